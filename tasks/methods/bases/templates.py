"""Chat templates that give the same tokens each day, and everywhere."""

import re
from typing import Any

from schemas.errors import RecipeError

# What Jinja and transformers offer a template beside the messages: the clock, and chance.
UNSTEADY = re.compile(r"\b(strftime_now|lipsum)\b|(?:\||\bmap\(\s*['\"])\s*(random)\b")
# A comment, or code with its texts, which may hold what looks like the end of the code.
PART = re.compile(
    r"""\{#.*?(?:#\}|\Z)|\{[{%](?:'(?:\\.|[^'\\])*+'|"(?:\\.|[^"\\])*+"|(?![%}]\}).)*+(?:[%}]\}|\Z)""", re.DOTALL
)


def template_of(tokenizer: Any, otherwise: str) -> str:
    """Return the chat template of a tokenizer, of several the one named `default`; `otherwise` without any.

    Raises RecipeError for several without a default.
    """
    found = tokenizer.chat_template
    if not isinstance(found, dict):
        return str(found or otherwise)
    if "default" not in found:
        raise RecipeError(
            f"model.base: its tokenizer has the chat templates {', '.join(sorted(map(str, found))[:5])}; expected one "
            "of them to be named default. Name it so in tokenizer_config.json, or write it into chat_template.jinja."
        )
    return str(found["default"])


def refuse_unsteady(template: str) -> None:
    """Raise RecipeError for a template that writes the time or chance: its tokens would differ from day to day."""
    code = "\n".join(part for part in PART.findall(template) if not part.startswith("{#"))
    if found := UNSTEADY.search(code):
        raise RecipeError(
            f"model.base: its chat template calls {found[1] or found[2]}, so the same messages give other tokens at "
            "another time, and a version could not be checked. Replace it by a fixed text in the base's template."
        )
