"""The trial of a base model: what its folder tells, for a kind of problem, before anything is computed."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any

from schemas.errors import RecipeError, TunegateError
from schemas.recipe.problem import Problem
from tasks.methods.bases import vocabulary
from tasks.methods.bases.checkpoint import read_object, read_shapes, refuse_pointers
from tasks.methods.bases.completeness import load_complete
from tasks.methods.bases.configuration import read_config, refuse_endless, refuse_foreign
from tasks.methods.models.tokenizer import load_tokenizer
from tasks.methods.problems.problem import ProblemMethods


def try_base(folder: Path, files: Mapping[str, Path], problem: Problem) -> None:
    """Check a base's folder, of which `files` are digested, for a kind of problem; no weight is read.

    Raises RecipeError.
    """
    from tasks.methods.problems.table import PROBLEMS

    methods = PROBLEMS[problem.kind]
    refuse_pointers(files)
    content = {name: read_object(path) for name, path in files.items() if name.endswith(".json")}
    refuse_foreign(content["config.json"])
    vocabulary.refuse_missing_pieces(files)
    vocabulary.refuse_outside(content.get("tokenizer_config.json", {}), files)
    shapes = read_shapes(files)
    refuse_endless(content["config.json"], len(shapes))
    with _quiet():
        model = _empty_model(folder, shapes, methods)
        _try_tokenizer(folder, files, model, problem, methods)


def _empty_model(folder: Path, shapes: dict[str, Any], methods: ProblemMethods) -> Any:
    """Load a model of shapes without numbers. Raises RecipeError where shapes and configuration differ."""
    import transformers

    with _translated(f"transformers {transformers.__version__} builds no model from its config.json"):
        config = read_config(folder)
        architectures = getattr(transformers, methods.model_class)._model_mapping
        if type(config) not in architectures:
            raise RecipeError(
                f"model.base is a {config.model_type}, which problem.kind does not support: transformers "
                f"{transformers.__version__} has no {methods.model_class} of it. Choose another base."
            )
        return load_complete(architectures[type(config)], folder, config, methods.has_own_head, shapes)[0]


def _try_tokenizer(
    folder: Path, files: Mapping[str, Path], model: Any, problem: Problem, methods: ProblemMethods
) -> None:
    lacking = "" if vocabulary.has_source(files) else f", as there is no {vocabulary.WHOLE} or other vocabulary"
    with _translated(f"its tokenizer cannot be loaded{lacking}"):
        tokenizer = load_tokenizer(folder)
        vocabulary.refuse_invented(tokenizer, files)
        vocabulary.refuse_unkept(tokenizer, folder, files)
        vocabulary.refuse_beyond_embeddings(tokenizer, model)
    with _translated("its tokenizer cannot encode every text"):
        vocabulary.refuse_gaps(tokenizer)
    with _translated(f"its tokenizer does not suit problem.kind {problem.kind}"):
        methods.try_tokenizer(tokenizer, model.config)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Raise RecipeError for whatever a library makes of a damaged or unusual file."""
    try:
        yield
    except TunegateError:
        raise
    except BaseException as error:
        # A panic of the tokenizers' Rust code is no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        cause = shorten(str(error), 300) or "no message"
        raise RecipeError(
            f"model.base: {what}: {type(error).__name__}: {cause.rstrip('.')}. Fetch its files again, or choose "
            "another base."
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers silent: what it would report of an empty model is checked here."""
    from transformers.utils import logging as messages

    level, has_bars = messages.get_verbosity(), messages.is_progress_bar_enabled()
    messages.set_verbosity(logging.CRITICAL)
    messages.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        messages.set_verbosity(level)
        if has_bars:
            messages.enable_progress_bar()  # type: ignore[no-untyped-call]
