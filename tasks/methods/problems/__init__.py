"""Kinds of question a model answers."""
