"""The step cache: keys, records, retries, checkpoints, locally kept models."""
