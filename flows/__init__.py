"""Flows: the order of steps for a recipe, the command line, Prefect."""
