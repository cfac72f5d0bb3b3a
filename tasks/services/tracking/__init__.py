"""Weights & Biases runs and their sync."""
