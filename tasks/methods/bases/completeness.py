"""Completeness of loaded weights: what a file does not give, transformers fills with random numbers.

`loading` is what from_pretrained returns with output_loading_info=True: the names of weights that are missing, that
have another shape (name, in the file, in the model), and that nothing in the model uses.
"""

import re
from pathlib import Path
from typing import Any

from schemas.errors import RecipeError

# BERT's dense layer between encoder and classifier, which masked-language models do not train and so do not store.
POOLER = re.compile(r"(^|\.)pooler\.")


def load_complete(
    model_class: Any, folder: Path, config: Any, may_head_be_new: bool, shapes: dict[str, Any] | None = None
) -> tuple[Any, dict[str, Any]]:
    """Load a model in float32, and what transformers says of its weights; see `refuse_incomplete`.

    With `shapes`, empty tensors by name, the files are not read: the model has shapes and no numbers.
    """
    import torch
    from transformers import GenerationConfig

    source: dict[str, Any] = {"state_dict": shapes, "device_map": "meta"} if shapes is not None else {}
    model, loading = model_class.from_pretrained(
        None if source else folder,
        config=config,
        # The default is the type of the checkpoint, often bfloat16.
        dtype=torch.float32,
        use_safetensors=True,
        trust_remote_code=False,
        # They are refused below, by name.
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        # Generation has settings of its own, and those of a base may be invalid.
        generation_config=GenerationConfig(),  # type: ignore[no-untyped-call]
        **source,
    )
    refuse_incomplete(model, loading, may_head_be_new)
    return model, loading


def refuse_incomplete(model: Any, loading: dict[str, Any], may_head_be_new: bool) -> None:
    """Raise RecipeError where the files lack weights of the model, or hold blocks that it has no room for."""
    names = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    excused = names_of_head(model) | set(filter(POOLER.search, names)) if may_head_be_new else set()
    expected = names - excused
    _refuse_other_shapes([entry for entry in loading["mismatched_keys"] if entry[0] in expected])
    missing = sorted(expected & set(loading["missing_keys"]))
    if missing:
        raise RecipeError(
            f"model.base: {_list(missing)} in none of its *.safetensors files and would be random; only a "
            "classification head may be new. Fetch all files, or choose a base that holds this kind of model."
        )
    surplus = _surplus_blocks(model, names, loading["unexpected_keys"])
    if surplus:
        raise RecipeError(
            f"model.base: {_list(surplus)} in its files but have no place in a model of its config.json, which has "
            "fewer blocks. Take the config.json that belongs to these weights."
        )


def refuse_infinite(model: Any) -> None:
    """Raise RecipeError for a base with weights that are NaN or infinite, from which nothing is learned."""
    wrong = sorted(name for name, weight in model.named_parameters() if not weight.sum().isfinite())
    if wrong:
        raise RecipeError(
            f"model.base: {len(wrong)} of its weights are not finite, such as {wrong[0]}. Fetch its files again, or "
            "choose another base."
        )


def names_of_head(model: Any) -> set[str]:
    """Return the names of the weights outside the base model; none for a model without such a division."""
    if model.base_model is model:
        return set()
    body = {id(weight) for weight in model.base_model.parameters()}
    words = model.get_output_embeddings()
    body |= set() if words is None else {id(weight) for weight in words.parameters()}
    return {name for name, weight in model.named_parameters(remove_duplicate=False) if id(weight) not in body}


def _refuse_other_shapes(entries: list[Any]) -> None:
    if entries:
        name, found, expected = min(entries, key=lambda entry: str(entry[0]))
        raise RecipeError(
            f"model.base: {len(entries)} of its weights have another shape than its config.json says, such as {name}: "
            f"{list(found)} in the file, {list(expected)} by config.json. Only a "
            "classification head may differ: take the config.json that belongs to these weights."
        )


def _surplus_blocks(model: Any, names: set[str], unexpected: set[str]) -> list[str]:
    """Return unused weights that are named like those of a block of the model, but for the block's number."""
    prefix = f"{model.base_model_prefix}."
    patterns = {_without_numbers(form) for name in names for form in (name, name.removeprefix(prefix))}
    return sorted(name for name in unexpected if re.search(r"\d", name) and _without_numbers(name) in patterns)


def _without_numbers(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _list(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return f"the weight {shown} is" if len(names) == 1 else f"{len(names)} weights, such as {shown}, are"
