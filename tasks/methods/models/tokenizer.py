"""The tokenizer that belongs to a model's folder."""

from pathlib import Path
from typing import Any

from schemas.errors import RecipeError


def load_tokenizer(folder: Path) -> Any:
    """Load a tokenizer that pads on the right; where no token is set for it the end-of-text token pads, as for GPT-2.

    Raises RecipeError for a tokenizer that has neither.
    """
    from transformers import AutoTokenizer

    # A decoder counts positions from the left, padding included.
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, padding_side="right")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token is None:
        raise RecipeError(
            f"model.base: the tokenizer in {folder} has neither a pad_token nor an eos_token, so rows of different "
            "lengths make no batch. Set pad_token in its tokenizer_config.json."
        )
    return tokenizer
