"""Measurements beside what a user would run instead."""
