"""The training engine: the trainer, its micro-batches, callbacks and checkpoints."""
