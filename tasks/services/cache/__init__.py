"""The step cache: keys, records, retries, checkpoints, models of this machine."""
