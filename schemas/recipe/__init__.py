"""A recipe: one file for each key of its YAML, the whole, and how it is read."""
