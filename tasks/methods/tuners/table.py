"""The tuning methods."""

from tasks.methods.tuners import adapters, full, lora, prefix, prompt, top_layers

TUNERS = {
    "full": full.METHODS,
    "lora": lora.METHODS,
    "adapter": adapters.METHODS,
    "prefix": prefix.METHODS,
    "prompt": prompt.METHODS,
    "top": top_layers.METHODS,
}
