"""Turns of a dialogue as objects with role and content, as in chat templates and in data sets of the hub."""

from typing import Any

from tasks.methods.forms.form import Form, is_list, is_text, shown
from tasks.methods.rows import normalise_text

ROLES = ("user", "assistant")
EXPECTED = "expected the user's and the assistant's in turn, the last one the user's"


def is_turns(value: Any) -> bool:
    """Whether a value is a list of objects with role and content; what else they hold must be missing."""
    return isinstance(value, list) and bool(value) and all(map(_is_turn, value))


def _is_turn(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("role"), str):
        return False
    others = (item for name, item in value.items() if name not in ("role", "content"))
    return isinstance(value.get("content"), str) and all(item is None for item in others)


PROMPT = Form(
    "one text, or a list of turns (texts, or objects of a role and a content)",
    lambda value: is_text(value) or is_list(value) or is_turns(value),
)
ANSWER = Form("one text", lambda value: is_text(value) or is_turns(value))


def read_turns(text: Any, answer: Any) -> tuple[Any, Any]:
    """Convert turns that are objects to a list of texts, and an answer that is an assistant's turn to a text.

    The answer's own turn at the end of the text is left out. Turns whose roles are not in order stay objects.
    """
    if is_turns(answer) and answer[-1]["role"] == ROLES[1] and (answer == text or len(answer) == 1):
        answer = answer[-1]["content"]
    if is_turns(text):
        last = text[-1]
        turns = text[:-1] if last["role"] == ROLES[1] and last["content"] == answer else text
        if len(turns) % 2 and all(turn["role"] == ROLES[place % 2] for place, turn in enumerate(turns)):
            text = normalise_text([turn["content"] for turn in turns])
    return text, answer


def find_invalid_turns(text: Any, answer: Any) -> str | None:
    """Describe turns that are not in order, or an answer that is not the assistant's."""
    text, answer = read_turns(text, answer)
    if not isinstance(answer, str):
        return "an answer of turns (expected one turn, the assistant's, or the turns of the text with the answer)"
    if isinstance(text, list) and text and isinstance(text[0], dict):
        return f"turns of {', '.join(shown(turn['role']) for turn in text[:4])} ({EXPECTED})"
    if isinstance(text, list) and len(text) % 2 == 0:
        return f"{len(text)} turns ({EXPECTED})"
    return None
