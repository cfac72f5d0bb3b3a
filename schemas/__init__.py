"""Schemas of recipes, records, settings and errors. Light imports only."""
