"""Inputs from outside the store: pretrained models, the Hugging Face Hub, buckets of rows."""
