"""Data sets of the hub and folders laid out like them. Alone: pytest tests/tasks/test_hub_sources.py."""

import json
from pathlib import Path

import datasets
import pytest
from huggingface_hub import constants

from schemas.errors import RecipeError
from schemas.recipe.data import Data
from schemas.recipe.loading import load_recipe
from tasks.ingestion import ingest_rows, read_source
from tasks.pinning import pin_sources
from tasks.services.cache.keys import key_of

REVISION = "0123456789abcdef0123456789abcdef01234567"
ROWS = [
    {"text": "sour bread", "label": 0, "label_text": "bad"},
    {"text": "warm room", "label": 2, "label_text": "great"},
    {"text": "flat roof", "label": 1, "label_text": "fine"},
]


def write_jsonl(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def write_shards(folder: Path, split: str) -> None:
    """The rows in two Parquet files whose features name the classes, as `datasets` pushes them."""
    features = datasets.Features(
        text=datasets.Value("string"),
        label=datasets.ClassLabel(names=["bad", "fine", "great"]),
        label_text=datasets.Value("string"),
    )
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for number, rows in enumerate((ROWS[:2], ROWS[2:])):
        table = datasets.Dataset.from_list(rows, features=features)
        table.to_parquet(folder / "data" / f"{split}-{number:05}-of-00002.parquet")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_shards(tmp_path / "set", "train")
    write_jsonl(tmp_path / "set" / "test.jsonl", ROWS)
    return tmp_path


def source(**fields: object) -> dict[str, object]:
    return {"kind": "hub", "id": "./set", "split": "train", "text": "text", "label": "label_text"} | fields


def pin(folder: Path, **fields: object):
    data = Data.model_validate({"train": source(**fields), "test": source(split="test")})
    return data, pin_sources(data, folder)


def read_train(folder: Path, **fields: object) -> list[tuple[str, str]]:
    data, (files, _) = pin(folder, **fields)
    rows = read_source(data.train, files)
    return list(zip(rows["text"], rows["label"], strict=True))


EXPECTED = [(row["text"], row["label_text"]) for row in ROWS]


@pytest.mark.parametrize("label", ["label_text", "label"])
def test_shards_are_read_in_order_and_class_numbers_get_the_names_of_the_file(folder: Path, label: str):
    assert read_train(folder, label=label) == EXPECTED


def test_lists_of_class_numbers_get_the_names_of_the_file(folder: Path):
    types = {
        "text": datasets.List(datasets.Value("string")),
        "tags": datasets.List(datasets.ClassLabel(names=["O", "B-x"])),
    }
    table = datasets.Dataset.from_dict({"text": [["a", "b"]], "tags": [[0, 1]]}, features=datasets.Features(types))
    table.to_parquet(folder / "set" / "tagged.parquet")

    assert read_train(folder, split="tagged", label="tags") == [(["a", "b"], ["O", "B-x"])]


def test_number_without_a_name_stays_a_number(folder: Path):
    write_jsonl(folder / "set" / "other.jsonl", ROWS)

    assert [label for _, label in read_train(folder, split="other", label="label")] == ["0", "2", "1"]


@pytest.mark.parametrize(
    ("split", "name"),
    [
        ("dev", "dev.jsonl"),
        ("dev", "dev-00000-of-00001.jsonl"),
        ("dev", "dev/part.jsonl"),
        ("dev", "data/dev.jsonl"),
        ("dev", "data/dev-00000-of-00001.jsonl"),
        ("sst2/dev", "sst2/dev-00000-of-00001.jsonl"),
    ],
)
def test_split_is_found_where_data_sets_lay_it(folder: Path, split: str, name: str):
    write_jsonl(folder / "set" / name, ROWS)

    assert read_train(folder, split=split) == EXPECTED


def test_hidden_files_and_folders_are_no_part_of_a_split(folder: Path):
    write_jsonl(folder / "set" / "dev" / "part.jsonl", ROWS)
    write_jsonl(folder / "set" / "dev" / ".part.jsonl", ROWS)
    (folder / "set" / "dev.jsonl").mkdir()

    assert read_train(folder, split="dev") == EXPECTED


def test_split_is_not_mistaken_for_one_with_a_longer_name(folder: Path):
    write_jsonl(folder / "set" / "trains.jsonl", ROWS * 2)

    assert read_train(folder) == EXPECTED


@pytest.mark.parametrize(
    ("break_it", "fields", "message"),
    [
        (None, {"id": "./none"}, "data.train.id is './none': there is no folder"),
        (None, {"split": "dev"}, "no split 'dev'.*its files are data/train-00000-of-00002.parquet, .*, test.jsonl"),
        ("data/train-00001-of-00002.parquet", {}, "1 of its 2 files .*fetch it again"),
    ],
)
def test_split_that_is_not_there_or_not_whole_is_refused(folder: Path, break_it, fields, message: str):
    if break_it:
        (folder / "set" / break_it).unlink()

    with pytest.raises(RecipeError, match=message):
        pin(folder, **fields)


def test_rows_that_are_there_in_two_forms_are_refused(folder: Path):
    (folder / "set" / "test.csv").write_text("text,label_text\nx,bad\n")

    with pytest.raises(RecipeError, match="files of several formats \\(test.csv, test.jsonl\\)"):
        pin(folder)


def test_content_counts_and_not_where_it_lies(folder: Path):
    def key(place: str) -> str:
        data, (train, test) = pin(folder, id=place)
        files = {"train_files": train, "test_files": test}
        return key_of(ingest_rows, {"train": data.train, "test": data.test} | files).path

    before = key("./set")
    write_shards(folder / "copy", "train")
    assert key("./copy") == before

    write_jsonl(folder / "moved" / "train.jsonl", ROWS[:1])
    assert key("./moved") != before


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch) -> Path:
    """The hub's cache with one data set at one revision: a snapshot of links to blobs."""
    data_set = tmp_path / "hub" / "datasets--someone--tiny"
    blobs, snapshot = data_set / "blobs", data_set / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    write_jsonl(blobs / "0f1e2d", ROWS)
    (snapshot / "train.jsonl").symlink_to("../../blobs/0f1e2d")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return snapshot


def test_data_set_is_found_at_its_revision(folder: Path, hub_cache: Path):
    assert read_train(folder, id="someone/tiny", revision=REVISION) == EXPECTED


@pytest.mark.parametrize(
    ("name", "revision"), [("someone/other", REVISION), ("someone/tiny", "f" * 40), ("a/b/c", REVISION)]
)
def test_data_set_that_cannot_be_fetched_is_refused_with_what_to_check(folder, hub_cache, name: str, revision: str):
    with pytest.raises(RecipeError) as caught:
        pin(folder, id=name, revision=revision)

    assert f"data.train.id {name!r} at revision {revision!r} could not be fetched" in str(caught.value)
    assert "Check the id, the revision and the network." in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": "someone/tiny"}, "data.train is .*; an id of the hub needs the revision"),
        ({"id": "someone/tiny", "revision": "main"}, "data.train.revision is 'main'"),
        ({"revision": REVISION}, "a folder has no revision"),
        ({"id": "/data/set"}, "an absolute path works on one machine only"),
        ({"split": "../train"}, "data.train.split is '../train'"),
        ({"split": "tr*"}, "data.train.split is"),
        ({"kind": "web"}, "data.train.kind is 'web'; expected one of file, hub"),
        ({"path": "a.csv"}, "data.train.path is not a field; the fields there are text, label, .*revision, split"),
    ],
)
def test_wrong_hub_source_is_refused(make_recipe, fields: dict[str, object], message: str):
    recipe = make_recipe(data={"train": source(**fields), "test": source(split="test")})

    with pytest.raises(RecipeError, match=message):
        load_recipe(recipe)
