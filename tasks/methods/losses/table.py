"""Every loss: (its recipe part, class_counts_C) -> a `Loss`."""

from tasks.methods.losses import cross_entropy, focal

LOSSES = {
    "cross-entropy": cross_entropy.make_loss,
    "focal": focal.make_loss,
}
