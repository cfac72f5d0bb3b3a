"""Verbs: a file here is a step of the chain; `methods` and `services` are what steps are made of."""
