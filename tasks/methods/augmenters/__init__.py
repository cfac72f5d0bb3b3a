"""Augmenters of training rows."""
