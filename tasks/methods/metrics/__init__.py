"""Metrics with their bootstrap."""
