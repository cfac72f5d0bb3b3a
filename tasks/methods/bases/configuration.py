"""The configuration of a model's folder, without the switches of its outputs.

`problem_type` chooses a loss and how a served model reads its logits; the others change the form of an output, or the
way to it. They are choices of whoever saved the folder, while the recipe decides here.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from schemas.errors import RecipeError

SWITCHES = {
    "output_attentions": False,
    "output_hidden_states": False,
    "return_dict": True,
    "problem_type": None,
    "chunk_size_feed_forward": 0,
}
QUANTISED = ("quantization_config", "compression_config")
# Keys of the number of a model's blocks.
BLOCKS = {
    "num_hidden_layers",
    "num_layers",
    "n_layers",
    "n_layer",
    "encoder_layers",
    "decoder_layers",
    "num_decoder_layers",
}


def read_config(folder: Path, **settings: Any) -> Any:
    """Read config.json as a configuration of transformers, with `settings` in place of its values."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder, trust_remote_code=False, **(SWITCHES | settings))


def refuse_foreign(config: dict[str, Any]) -> None:
    """Raise RecipeError for a config.json of a model that cannot be loaded or trained here."""
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        own_code = " It brings code of its own (auto_map), which is never run." if "auto_map" in config else ""
        raise RecipeError(
            f"model.base: the architecture in its config.json (model_type) is {kind!r:.80}, which transformers "
            f"{transformers.__version__} does not know.{own_code} Choose another base."
        )
    packed = [name for name in QUANTISED if config.get(name) is not None]
    if packed:
        raise RecipeError(
            f"model.base is quantised ({packed[0]} in its config.json), so it cannot be trained. Take the model that "
            "it was made from."
        )
    if "transformers_weights" in config:
        raise RecipeError(
            "model.base: its config.json names a file of weights (transformers_weights), which may be none of its "
            "digest. Remove the key and name the file model.safetensors."
        )
    if kernels := list(_kernels(config)):
        raise RecipeError(
            f"model.base: its config.json names {kernels[0]}, code of the hub, which is never run. Remove the key."
        )


def refuse_endless(config: dict[str, Any], num_weights: int) -> None:
    """Raise RecipeError for more blocks than there are weights: to build their model could take hours."""
    for name in sorted(BLOCKS & config.keys()):
        if isinstance(config[name], int) and config[name] > num_weights:
            raise RecipeError(
                f"model.base: its config.json says {name} {config[name]:,}, and its files hold {num_weights} weights. "
                "Take the config.json that belongs to these weights."
            )


def _kernels(config: dict[str, Any]) -> Iterator[str]:
    """Find the implementations that a configuration, or one inside it, names as a repository of the hub."""
    for name, value in config.items():
        if name.endswith("_implementation"):
            yield from [f"{name} ({str(value)[:80]})"] if "/" in str(value) else []
        elif isinstance(value, dict):
            yield from _kernels(value)
