"""Pinning of inputs outside the store, source files and the pretrained model, by digest before they enter a key.

Pinning reads the present files each time, so it is not a cached task.
"""

import logging
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import glob
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from schemas.errors import Corrupt, RecipeError
from schemas.frozen import digest_of
from schemas.recipe.data import Data, HubSource, Source
from schemas.recipe.model import Model
from schemas.recipe.problem import Problem
from schemas.records.references import ModelRef, PretrainedRef, SourceFile, SourceFiles
from schemas.settings import read_settings
from tasks.methods.bases.checkpoint import read_object
from tasks.methods.models.trial import try_base
from tasks.methods.sources.hub import find_files, patterns_of
from tasks.services.cache.code import code_digest, environment
from tasks.services.inputs import bucket, pretrained
from tasks.services.inputs.hub import fetch
from tasks.services.local.object_store import current_store, open_store
from tasks.services.registry.versions import read_manifest, resolve_reference, unpacked
from tasks.services.storage.store import file_digest

log = logging.getLogger(__name__)


def pin_sources(data: Data, recipe_folder: Path) -> tuple[SourceFiles, SourceFiles]:
    """Digest the files of train and test; those of the hub are downloaded. Raises RecipeError where there are none."""
    return _pin_files(data.train, "data.train", recipe_folder), _pin_files(data.test, "data.test", recipe_folder)


def list_sources(data: Data, recipe_folder: Path) -> str:
    """Digest names, sizes and ETags or times of the sources, without reading files or fetching objects.

    Equal digests mean equal rows; different ones may not mean different rows. Raises RecipeError as above.
    """
    sources = {"data.train": data.train, "data.test": data.test}
    return digest_of([_list_files(source, field, recipe_folder) for field, source in sources.items()])


# Models with relative positions, whatever limit their configuration gives.
RELATIVE = {"t5", "mt5", "umt5", "longt5", "switch_transformers"}
# Models that number positions from pad_token_id + 1 on.
SHIFTED = {"roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "longformer"}


def pin_pretrained(model: Model, problem: Problem, positions: int, recipe_folder: Path) -> PretrainedRef:
    """Find the base model, digest it and try it for the kind of problem. Raises RecipeError.

    positions: the tokens that it must take, with those of the tuning
    """
    if "@" in model.base:
        pinned = _pin_version(model)
    else:
        pinned = pretrained.check(model, pretrained.locate(model, recipe_folder))
    _try_once(pinned, problem)
    limit = positions_of(read_object(Path(pinned.folder) / "config.json"))
    if limit is not None and positions > limit:
        raise RecipeError(
            f"problem.max_tokens and the tuning's own tokens are {positions} tokens; {model.base!r} takes "
            f"{limit} at most."
        )
    return pinned


def _try_once(pinned: PretrainedRef, problem: Problem) -> None:
    """Try a base unless it passed already on this machine: these bytes, by this code, with these libraries.

    The trial imports torch and transformers, which takes longer than a run with everything cached. It refuses some
    files beside those of the digest, so their names count too.
    """
    words, folder = frozenset({problem.kind}), Path(pinned.folder)
    subject = (
        pinned.digest,
        sorted(str(path.relative_to(folder)) for path in folder.rglob("*")),
        problem.model_dump(),
        code_digest(try_base.__module__, words),
        environment(try_base.__module__, words),
    )
    mark = read_settings().home / "tried" / digest_of(subject)
    if not mark.exists():
        log.info("%-18s loading it once, to see whether it suits %s ...", "model.base", problem.kind)
        try_base(folder, pretrained.loaded_files(folder), problem)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()


def positions_of(config: dict[str, Any]) -> int | None:
    """Return the number of tokens a model accepts; None without a limit."""
    kind, limit = config.get("model_type"), config.get("max_position_embeddings") or config.get("n_positions")
    if limit is None or kind in RELATIVE:
        return None
    return int(limit) - (config.get("pad_token_id", 1) + 1 if kind in SHIFTED else 0)


def _pin_files(source: Source, field: str, recipe_folder: Path) -> SourceFiles:
    if isinstance(source, HubSource):
        paths = _split_files(source, field, recipe_folder)
    else:
        paths = [path for name in source.path for path in _find(name, field, recipe_folder)]
        if twice := [path for path, count in Counter(paths).items() if count > 1]:
            raise RecipeError(
                f"{field}.path names {twice[0]} more than once, so its rows would count twice. Name it once."
            )
    with _readable(field):
        files = [SourceFile(digest=file_digest(path), path=str(path)) for path in paths]
    # The suffix selects the parser, so it is part of the identity.
    identity = [(file.digest, Path(file.path).suffix) for file in files]
    return SourceFiles(digest=digest_of(identity), files=tuple(files))


def _list_files(source: Source, field: str, recipe_folder: Path) -> list[tuple[str, str | int, int]]:
    if isinstance(source, HubSource):
        return [_stat(path) for path in _split_files(source, field, recipe_folder)]
    found: list[tuple[str, str | int, int]] = []
    for name in source.path:
        if name.startswith(bucket.SCHEME):
            found += bucket.list_objects(field, name, current_store().address)
        else:
            found += map(_stat, _find(name, field, recipe_folder))
    return found


def _stat(path: Path) -> tuple[str, int, int]:
    found = path.stat()
    return str(path), found.st_mtime_ns, found.st_size


def _find(name: str, field: str, recipe_folder: Path) -> list[Path]:
    """Find the file of a path, or those of a pattern, sorted by name; objects of a bucket are copied.

    A pattern leaves out hidden files, as a shell does: they are parts of downloads and copies of editors.
    """
    if name.startswith(bucket.SCHEME):
        settings = read_settings()
        return bucket.fetch(field, name, open_store(settings).address, settings.home / "incoming")
    path = (recipe_folder / name).resolve()
    with _readable(field):
        # A bracket is a pattern, so a name with one does not match itself.
        matches = [path.name] if path.exists() else sorted(glob(path.name, root_dir=path.parent))  # noqa: PTH207 - Path.glob takes hidden files
        if not matches:
            raise RecipeError(f"{field}.path is {name!r}: there is no file {path}. Paths are relative to the recipe.")
        for match in matches:
            _check_regular(path.parent / match, name, field)
    return [path.parent / match for match in matches]


def _check_regular(path: Path, name: str, field: str) -> None:
    if path.is_dir():
        inner = PurePosixPath(name).with_name(path.name) / f"*{path.suffix}"
        raise RecipeError(f"{field}.path is {name!r}: {path} is a folder. For the files in it write {inner}.")
    if not path.is_file():
        raise RecipeError(f"{field}.path is {name!r}: {path} is no regular file, or a link to nothing. Remove it.")


@contextmanager
def _readable(field: str) -> Iterator[None]:
    """Translate errors of the file system. Raises RecipeError."""
    try:
        yield
    except OSError as error:
        raise RecipeError(f"{field}: {error.filename} cannot be read: {error.strerror}.") from None


def _split_files(source: HubSource, field: str, recipe_folder: Path) -> list[Path]:
    if source.revision:
        folder = fetch(f"{field}.id", source.id, source.revision, patterns_of(source.split), "dataset")
    else:
        folder = (recipe_folder / source.id).resolve()
    if not folder.is_dir():
        raise RecipeError(f"{field}.id is {source.id!r}: there is no folder {folder}.")
    try:
        return find_files(folder, source.split)
    except RecipeError as error:
        raise RecipeError(f"{field}.id is {source.id!r}: {error}") from None


def _pin_version(model: Model) -> PretrainedRef:
    """Unpack a version of the registry into its folder, with the licence of its base."""
    settings = read_settings()
    store = open_store(settings)
    name, version = resolve_reference(store, model.base)
    manifest = read_manifest(store, name, version)
    folder = settings.home / "pretrained" / version
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with unpacked(store, ModelRef.of(manifest.files)) as files, TemporaryDirectory(dir=folder.parent) as staging:
            copy = Path(staging) / version
            shutil.copytree(files, copy)
            (copy / pretrained.CARD).write_text(f"---\nlicense: {manifest.base.licence}\n---\n")
            # Another run may have made it meanwhile; the digests are checked below.
            with suppress(OSError):
                copy.rename(folder)
    if pretrained.digest_files(folder) != {file: blob.digest for file, blob in sorted(manifest.files.items())}:
        raise Corrupt(f"{folder}: its files are not those of {model.base}. Delete the folder and run again.")
    return pretrained.check(model, folder)
