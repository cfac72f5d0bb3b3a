"""The tokenizer of a model's folder."""

from pathlib import Path
from typing import Any

from schemas.errors import RecipeError


def load_tokenizer(folder: Path) -> Any:
    """Load a tokenizer that pads on the right; without a pad_token, as for GPT-2, the eos_token pads.

    Raises RecipeError for a tokenizer without both.
    """
    from transformers import AutoTokenizer

    # A decoder counts positions from the left, padding included.
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, padding_side="right")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token is None:
        raise RecipeError(
            f"model.base: the tokenizer in {folder} has neither a pad_token nor an eos_token, so rows of different "
            "lengths cannot form a batch. Set pad_token in its tokenizer_config.json."
        )
    return tokenizer
