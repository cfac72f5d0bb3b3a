"""Every tuning method: (its recipe part, model) -> the model with the weights it trains marked."""

from tasks.methods.tuners import full

TUNERS = {
    "full": full.mark_weights,
}
