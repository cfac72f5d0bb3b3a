"""Texts as a tokenizer reads them: a special token that stands in a text is text.

Otherwise a user's "</s>" would end a text in its middle, and "<|im_end|>" a turn of a conversation.
"""

import re
from collections.abc import Iterable
from typing import Any
from unicodedata import normalize


def without_special_tokens(tokenizer: Any, texts: Iterable[str]) -> list[str]:
    """Space out the special tokens in texts, but for the unknown one; texts without any stay as they are."""
    marks = {mark for mark in tokenizer.all_special_tokens if len(mark) > 1} - {tokenizer.unk_token}
    if not marks:
        return list(texts)
    special = re.compile("|".join(map(re.escape, sorted(marks, key=len, reverse=True))), re.IGNORECASE)
    return [_broken(special, text) for text in texts]


def _broken(special: re.Pattern[str], text: str) -> str:
    # A tokenizer may read full-width characters as these.
    compatible = text if text.isascii() else normalize("NFKC", text)
    return special.sub(lambda found: " ".join(found[0]), compatible) if special.search(compatible) else text
