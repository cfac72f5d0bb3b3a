"""Inputs from outside the store: pretrained models, the hub, buckets of rows."""
