"""Sentences: what is done, in which order, to a recipe."""
