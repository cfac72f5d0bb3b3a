"""The weights of a model's folder by name, type and shape, from the headers of its safetensors files alone.

Source of the format: https://huggingface.co/docs/safetensors, of the index: transformers, "Big models".
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from schemas.errors import RecipeError

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
LFS = b"version https://git-lfs.github.com/spec/"
# Types of whole weights; all others are packed or scaled, so they are those of a quantised model.
PLAIN = {"F64", "F32", "F16", "BF16"}


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises RecipeError for any other content."""
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"model.base: {path} is no JSON: {error}. Fetch the file again.") from None
    if not isinstance(content, dict):
        raise RecipeError(f"model.base: {path} holds a {type(content).__name__}; expected a JSON object.")
    return content


def refuse_pointers(files: Mapping[str, Path]) -> None:
    """Raise RecipeError for files of Git LFS that were not fetched."""
    for name, path in files.items():
        with path.open("rb") as file:
            if file.read(len(LFS)) == LFS:
                raise RecipeError(
                    f"model.base: {name} in {path.parent} is a pointer of Git LFS, not the file itself. Fetch it there "
                    "with git lfs pull."
                )


def read_shapes(files: Mapping[str, Path]) -> dict[str, Any]:
    """Map the name of each weight that is loaded from `files` to an empty tensor of its shape, without memory.

    Raises RecipeError for files that are damaged or missing, and for quantised weights.
    """
    shapes: dict[str, Any] = {}
    for name in names_of_shards(files):
        shapes |= _read_header(files[name])
    return shapes


def names_of_shards(files: Mapping[str, Path]) -> list[str]:
    """Name the files that transformers loads: the one with all weights, or those of the index. Raises RecipeError."""
    if WEIGHTS in files:
        return [WEIGHTS]
    if INDEX not in files:
        found = sorted(name for name in files if name.endswith(".safetensors"))
        others = ", ".join(found[:5]) or "no safetensors file"
        raise RecipeError(
            f"model.base has weights in {others}; expected {WEIGHTS}, or shards and {INDEX}. Rename them."
        )
    index = read_object(files[INDEX])
    places = index.get("weight_map")
    if not isinstance(index.get("metadata"), dict):
        raise RecipeError(f'model.base: {INDEX} has no metadata, which transformers reads. Add "metadata": {{}} to it.')
    if not isinstance(places, dict) or not places or not all(isinstance(place, str) for place in places.values()):
        raise RecipeError(f"model.base: {INDEX} has no weight_map from weights to files. Fetch the file again.")
    shards = sorted(set(places.values()))
    for shard in shards:
        if Path(shard).name != shard or not shard.endswith(".safetensors"):
            raise RecipeError(
                f"model.base: {INDEX} names {shard[:80]!r}; expected *.safetensors files beside it, since nothing else "
                "is part of the base's digest. Take the index that belongs to these weights."
            )
        if shard not in files:
            raise RecipeError(f"model.base: {INDEX} names {shard[:80]}, which is not there. Fetch all shards.")
    return shards


def _read_header(path: Path) -> dict[str, Any]:
    import torch
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
            found = {name: (part.get_shape(), part.get_dtype()) for name, part in slices.items()}
    except (SafetensorError, OSError, ValueError) as error:
        raise RecipeError(
            f"model.base: {path.name} is no whole safetensors file ({path.stat().st_size:,} bytes): {error}. "
            "Fetch it again."
        ) from None
    packed = sorted(name for name, (_, kind) in found.items() if kind not in PLAIN and _is_weight(name, kind))
    if packed:
        raise RecipeError(
            f"model.base: {path.name} holds {len(packed)} weights of type {found[packed[0]][1]}, such as {packed[0]}: "
            "the base is quantised, and cannot be trained. Take the model that it was made from."
        )
    return {name: torch.empty(shape, device="meta") for name, (shape, _) in found.items()}


def _is_weight(name: str, kind: str) -> bool:
    """Tell a quantised weight from a buffer, such as GPT-2's mask (BOOL, U8) or BERT's positions (I64)."""
    return kind not in {"I64", "BOOL"} and not name.endswith((".bias", "position_ids"))


def read_weights(folder: Path, names: Collection[str]) -> dict[str, Any]:
    """Read the weights of these names that a folder's files hold."""
    from safetensors import safe_open

    files = {path.name: path for pattern in ("*.safetensors", INDEX) for path in folder.glob(pattern)}
    found: dict[str, Any] = {}
    for shard in names_of_shards(files):
        with safe_open(files[shard], framework="pt") as file:
            found |= {name: file.get_tensor(name) for name in file.keys() if name in names}  # noqa: SIM118
    return found
