"""Measurements, each against the plain alternative."""
