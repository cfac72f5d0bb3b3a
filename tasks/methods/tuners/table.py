"""Every tuning method: (its recipe part, model) -> the model with the weights it trains marked.

MERGERS: of the methods whose trained weights can be added to the model's, (model) -> the plain architecture.
"""

from collections.abc import Callable
from typing import Any

from tasks.methods.tuners import adapters, full, lora, prefix, prompt, top_layers

TUNERS: dict[str, Callable[[Any, Any], Any]] = {
    "full": full.mark_weights,
    "lora": lora.insert_products,
    "adapter": adapters.insert_adapters,
    "prefix": prefix.insert_prefix,
    "prompt": prompt.insert_prompt,
    "top": top_layers.mark_top,
}
MERGERS: dict[str, Callable[[Any], Any]] = {
    "lora": lora.merge_products,
}
