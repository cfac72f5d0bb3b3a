"""Baselines without tuning: majority class, TF-IDF, dictionary of entities."""
