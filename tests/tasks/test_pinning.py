"""Files that a source names. Alone: pytest tests/tasks/test_pinning.py."""

import shutil
from pathlib import Path

import pytest

from schemas.errors import RecipeError, StoreError
from schemas.recipe.data import Data
from schemas.recipe.model import Model
from schemas.recipe.problem import TextClassification, TokenClassification
from tasks import pinning
from tasks.methods.models.trial import try_base
from tasks.pinning import pin_pretrained, pin_sources
from tasks.services.inputs import bucket
from tasks.services.storage.store import Store


def make_data(path: str) -> Data:
    source = {"text": "text", "label": "label"}
    return Data.model_validate({"train": source | {"path": path}, "test": source | {"path": "test.csv"}})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "new").mkdir()
    for name in ("test.csv", "new/b.csv", "new/a.csv", "new/notes.jsonl", "new/[1].csv"):
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("new/*.csv", ["[1].csv", "a.csv", "b.csv"]),
        ("new/a.csv", ["a.csv"]),
        ("new/[1].csv", ["[1].csv"]),
        ("new/?.csv", ["a.csv", "b.csv"]),
    ],
)
def test_pattern_takes_the_files_in_the_order_of_their_names(folder: Path, path: str, names: list[str]):
    train, _ = pin_sources(make_data(path), folder)

    assert [Path(file.path).name for file in train.files] == names


@pytest.mark.parametrize("name", [".a.csv.part.csv", "._b.csv"])
def test_pattern_leaves_out_hidden_files_unless_it_begins_with_a_dot(folder: Path, name: str):
    (folder / "new" / name).write_text("half")
    whole, _ = pin_sources(make_data("new/*.csv"), folder)
    hidden, _ = pin_sources(make_data("new/.*.csv"), folder)

    assert name not in [Path(file.path).name for file in whole.files]
    assert [Path(file.path).name for file in hidden.files] == [name]


@pytest.mark.parametrize("path", ["all.parquet", "a*.parquet"])
def test_folder_is_named_with_the_pattern_of_its_files(folder: Path, path: str):
    (folder / "all.parquet").mkdir()

    with pytest.raises(RecipeError, match=r"all.parquet is a folder. For the files in it write all.parquet/\*.parquet"):
        pin_sources(make_data(path), folder)


def test_link_to_nothing_is_named(folder: Path):
    (folder / "new" / "c.csv").symlink_to("gone")

    with pytest.raises(RecipeError, match=r"new/c.csv is no regular file, or a link to nothing"):
        pin_sources(make_data("new/*.csv"), folder)


def test_path_that_the_system_refuses_is_named(folder: Path):
    with pytest.raises(RecipeError, match="data.train: .* cannot be read: File name too long"):
        pin_sources(make_data(f"{'a' * 300}.csv"), folder)


def test_new_file_changes_the_digest(folder: Path):
    before, _ = pin_sources(make_data("new/*.csv"), folder)
    (folder / "new" / "c.csv").write_text("c")
    after, _ = pin_sources(make_data("new/*.csv"), folder)

    assert before.digest != after.digest


def test_file_that_is_named_twice_is_refused(folder: Path):
    source = {"text": "text", "label": "label"}
    train = source | {"path": ["new/*.csv", "test.csv", "./new/a.csv"]}
    data = Data.model_validate({"train": train, "test": source | {"path": "test.csv"}})

    with pytest.raises(RecipeError, match=r"data\.train\.path names .*/new/a\.csv more than once"):
        pin_sources(data, folder)


def test_pattern_that_matches_nothing_is_named(folder: Path):
    with pytest.raises(RecipeError, match=r"data.train.path is 'old/\*.csv': there is no file"):
        pin_sources(make_data("old/*.csv"), folder)


def test_objects_of_a_bucket_are_files_that_are_fetched_once(folder: Path, store: Store, settings):
    for name in ("b.csv", "a.csv", ".a.csv", "a.txt", "deeper/c.csv"):
        store.replace(f"arrived/{name}", name.encode())
    data = make_data(f"s3://{store.bucket}/arrived/*.csv")
    first, _ = pin_sources(data, folder)
    modified = [Path(file.path).stat().st_mtime_ns for file in first.files]
    again, _ = pin_sources(data, folder)
    store.replace("arrived/a.csv", b"changed")
    changed, _ = pin_sources(data, folder)

    assert [Path(file.path).read_bytes() for file in first.files] == [b"a.csv", b"b.csv"]
    assert again == first
    assert [Path(file.path).stat().st_mtime_ns for file in again.files] == modified
    assert [Path(file.path).read_bytes() for file in changed.files] == [b"changed", b"b.csv"]
    assert changed.digest != first.digest
    assert not [path for path in (settings.home / "incoming").iterdir() if path.name.startswith(".")]


def test_object_that_is_replaced_meanwhile_is_named_by_its_key(folder: Path, store: Store, monkeypatch):
    store.replace("moving/a.csv", b"old")
    listed = bucket._list

    def list_and_replace(*given: object) -> object:
        found = listed(*given)
        store.replace("moving/a.csv", b"new")
        return found

    monkeypatch.setattr(bucket, "_list", list_and_replace)
    with pytest.raises(StoreError, match=f"/{store.bucket}/moving/a.csv: 412 PreconditionFailed"):
        pin_sources(make_data(f"s3://{store.bucket}/moving/*.csv"), folder)


def test_bucket_is_a_source_like_the_same_files_in_a_folder(folder: Path, store: Store):
    store.replace("same/x.csv", (folder / "new" / "a.csv").read_bytes())
    here, _ = pin_sources(make_data("new/a.csv"), folder)
    there, _ = pin_sources(make_data(f"s3://{store.bucket}/same/x.csv"), folder)

    assert here.digest == there.digest


@pytest.mark.parametrize(
    ("place", "said"), [("{}/none/*.csv", "no such object"), ("no-such-bucket-here/*.csv", "no bucket")]
)
def test_bucket_without_such_objects_is_named(folder: Path, store: Store, place: str, said: str):
    with pytest.raises((RecipeError, StoreError), match=said):
        pin_sources(make_data(f"s3://{place.format(store.bucket)}"), folder)


def test_base_is_tried_once_for_a_kind_of_problem_and_again_when_its_bytes_change(tmp_path, tiny_model, monkeypatch):
    tried = []

    def record(folder, files, problem) -> None:
        tried.append(problem.kind)

    record.__module__ = try_base.__module__
    monkeypatch.setattr(pinning, "try_base", record)
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path / "home"))
    shutil.copytree(tiny_model, tmp_path / "base")
    model = Model(base="./base", licences=("mit",))
    labels, tags = TextClassification(labels=("bad", "great")), TokenClassification(labels=("place",))

    for problem in (labels, labels, tags, tags):
        pin_pretrained(model, problem, 64, tmp_path)
    assert tried == [labels.kind, tags.kind]
    config = tmp_path / "base" / "config.json"
    config.write_text(config.read_text() + "\n")
    pin_pretrained(model, labels, 64, tmp_path)
    assert tried == [labels.kind, tags.kind, labels.kind]
    # It is no part of the digest, and a tokenizer would read it.
    (tmp_path / "base" / "additional_chat_templates").mkdir()
    pin_pretrained(model, labels, 64, tmp_path)
    assert tried == [labels.kind, tags.kind, labels.kind, labels.kind]
