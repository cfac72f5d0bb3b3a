"""Stored texts as they are shown: what a terminal or a page would obey, or hide, is spelled out."""

import json
import re

# Controls (with the escape that begins a terminal's commands), directions of writing, separators of lines, characters
# without width or glyph, halves of surrogate pairs. Joiners (U+200C, U+200D) belong to words of Persian and to emoji.
UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
LAYOUT = "\n\t"


def visible(text: str, lines: bool = False) -> str:
    r"""Replace each such character by its escape in JSON, such as \u001b, so that JSON keeps its meaning.

    `lines` leaves line breaks and tabs, for what is more than one stored text.
    """
    return UNSEEN.sub(lambda found: found[0] if lines and found[0] in LAYOUT else json.dumps(found[0])[1:-1], text)
