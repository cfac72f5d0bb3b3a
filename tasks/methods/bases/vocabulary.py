"""The vocabulary of a base: its files are there, and the model has an embedding for each token.

Without files transformers invents a vocabulary of a few special tokens, to which all texts look alike.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from schemas.errors import RecipeError

WHOLE = "tokenizer.json"
TEMPLATE = "additional_chat_templates/default.jinja"
SETTINGS = {
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
}
PIECES = (".model", ".spm")
# Roles, in `vocab_files_names` of a tokenizer's class, of the files without which there is no vocabulary.
SOURCES = ("vocab_file", "merges_file")
# A cuneiform sign, an emoji and a rare ideograph, which only tokenizers of bytes or characters know.
RARE = "\U00012000\U0001f9ff\U0002053b"


def has_source(files: Mapping[str, Path]) -> bool:
    """Whether some file may hold a vocabulary."""
    others = set(files) - SETTINGS
    return any(not name.endswith((".safetensors", ".index.json")) for name in others)


def refuse_missing_pieces(files: Mapping[str, Path]) -> None:
    """Raise RecipeError for a SentencePiece model that this installation cannot read."""
    pieces = sorted(name for name in files if name.endswith(PIECES))
    if pieces and WHOLE not in files and find_spec("sentencepiece") is None:
        raise RecipeError(
            f"model.base: its tokenizer is the SentencePiece model {pieces[0]}, which needs the package sentencepiece. "
            f"Install it (pip install -e '.[sentencepiece]'), or save the tokenizer as {WHOLE} where it is installed."
        )


def refuse_outside(settings: Mapping[str, Any], files: Mapping[str, Path]) -> None:
    """Raise RecipeError where tokenizer_config.json names a file of a tokenizer that is not among `files`."""
    named = settings.get("fast_tokenizer_files") or []
    for name in named if isinstance(named, list) else [named]:
        if str(name) not in files:
            raise RecipeError(
                f"model.base: its tokenizer_config.json names {str(name)[:80]!r} (fast_tokenizer_files), but only "
                f"files beside it are part of the base's digest. Remove the key, keep {WHOLE}."
            )


def refuse_invented(tokenizer: Any, files: Mapping[str, Path]) -> None:
    """Raise RecipeError where the files of a tokenizer's vocabulary are not among `files`."""
    own = dict(type(tokenizer).vocab_files_names)
    if WHOLE in files or not own:  # a tokenizer of bytes or characters needs none
        return
    wanted = [own[role] for role in SOURCES if role in own] or [WHOLE]
    missing = [name for name in wanted if name not in files]
    if missing and not (wanted == [WHOLE] and "tokenizer.model" in files):
        raise RecipeError(
            f"model.base has no tokenizer files: {type(tokenizer).__name__} needs {WHOLE} or {' and '.join(wanted)}, "
            f"and {', '.join(missing)} is not there. Copy the tokenizer's files into the folder."
        )


def refuse_unkept(tokenizer: Any, folder: Path, files: Mapping[str, Path]) -> None:
    """Raise RecipeError where a tokenizer reads files that are neither digested nor kept with a version."""
    read = type(tokenizer).vocab_files_names.values()
    unkept = sorted(name for name in (*read, TEMPLATE) if name not in files and (folder / name).exists())
    if unkept:
        raise RecipeError(
            f"model.base: its {type(tokenizer).__name__} reads {', '.join(unkept)}, which would not be kept with a "
            f"version. Save it as {WHOLE}, its default template as chat_template.jinja, or choose another base."
        )


def refuse_gaps(tokenizer: Any) -> None:
    """Raise RecipeError for a tokenizer that drops what it does not know, with no token in its place."""
    ids = tokenizer(RARE, add_special_tokens=False)["input_ids"]
    if tokenizer.unk_token_id not in ids and not set(RARE) & set(tokenizer.decode(ids)):
        raise RecipeError(
            "model.base: its tokenizer leaves out characters that it does not know, so texts would lose words without "
            "notice. Name its unknown token (unk_token of the model in tokenizer.json), or choose another base."
        )


def refuse_beyond_embeddings(tokenizer: Any, model: Any) -> None:
    """Raise RecipeError where a token has no embedding."""
    embeddings = model.get_input_embeddings()
    num_rows = getattr(embeddings, "num_embeddings", None) if embeddings is not None else None
    last, token = max((number, token) for token, number in tokenizer.get_vocab().items())
    if num_rows is not None and last >= num_rows:
        raise RecipeError(
            f"model.base: its tokenizer has {last + 1} tokens (the last one is {token[:40]!r}), its model {num_rows} "
            "embeddings. Take the tokenizer that belongs to the model, or enlarge the model (resize_token_embeddings)."
        )


def refuse_unended(tokenizer: Any, config: Any) -> None:
    """Raise RecipeError for an encoder-decoder whose texts do not end in one end token, which its classifier reads."""
    if not config.is_encoder_decoder:
        return
    ids = tokenizer("a text")["input_ids"]
    if ids.count(config.eos_token_id) != 1:
        raise RecipeError(
            f"model.base is a {config.model_type}, whose classifier reads the end token of a text (eos_token_id "
            f"{config.eos_token_id}); its tokenizer adds {ids.count(config.eos_token_id)} of them, expected 1. Let the "
            "tokenizer add the end token, or choose an encoder."
        )
