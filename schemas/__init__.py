"""Nouns: what a recipe says, what steps hand on, what a verdict holds. Light imports only."""
