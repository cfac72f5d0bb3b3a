"""The tokenizer that belongs to a model's folder."""

from pathlib import Path
from typing import Any


def load_tokenizer(folder: Path) -> Any:
    """Load a tokenizer; where none is set, the end-of-text token pads, as for GPT-2."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer
