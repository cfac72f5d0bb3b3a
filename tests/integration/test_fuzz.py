"""Files, recipes and bases of any content are read as written, or refused. Alone: pytest tests/integration/test_fuzz.py -m ''

All of it is slow: thousands of examples in this process, each under ten seconds, all of them in little memory.
"""

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow as pa
import pytest
import yaml
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from schemas.errors import RecipeError, TunegateError
from schemas.recipe.contract import Contract
from schemas.recipe.data import FileSource
from schemas.recipe.loading import read_recipe
from schemas.recipe.problem import TextClassification
from schemas.strict_yaml import Loader
from tasks.methods.contract.conversion import convert_rows
from tasks.methods.models.trial import try_base
from tasks.methods.rows import content_id
from tasks.methods.sources.file import read_rows
from tasks.services.inputs.pretrained import loaded_files
from tests.conftest import LABELS, recipe_maker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
MANY = settings(max_examples=2000, deadline=10_000, suppress_health_check=list(HealthCheck))
FEWER = settings(MANY, max_examples=300)
MEMORY_BYTES = 300 * 2**20

characters = st.characters(exclude_categories=("Cs",)) | st.sampled_from('",\r\n\t\\\x00\x1a\u2028\ufeff 07.-eE')
texts = st.text(characters, max_size=30)
tables = st.lists(st.tuples(texts, st.sampled_from(LABELS) | texts, texts), min_size=1, max_size=8)
PROBLEM = TextClassification(kind="text-classification", labels=LABELS)


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    before = psutil.Process().memory_info().rss
    yield
    assert psutil.Process().memory_info().rss - before < MEMORY_BYTES


def write_csv(rows: list[tuple[str, ...]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([("text", "label", "other"), *rows])
    return out.getvalue().encode()


def write_json(rows: list[tuple[str, ...]]) -> bytes:
    lines = [json.dumps(dict(zip(("text", "label", "other"), row, strict=True))) for row in rows]
    return "\n".join(lines).encode()


def write_parquet(rows: list[tuple[str, ...]]) -> bytes:
    out = io.BytesIO()
    names = ("text", "label", "other")
    parquet.write_table(pa.table(dict(zip(names, zip(*rows, strict=True), strict=True))), out)
    return out.getvalue()


WRITERS = {"csv": write_csv, "jsonl": write_json, "parquet": write_parquet}


def read(folder: Path, name: str, content: bytes) -> list[tuple[object, object]]:
    (folder / name).write_bytes(content)
    rows = read_rows(FileSource(path=name, text=("text",), label="label"), [folder / name])
    convert_rows(rows.assign(id=[content_id(text) for text in rows["text"]]), Contract(), PROBLEM)
    return list(zip(rows["text"], rows["label"], strict=True))


@pytest.mark.parametrize("kind", WRITERS)
@given(rows=tables)
@MANY
def test_values_are_those_that_were_written(tmp_path_factory, kind: str, rows):
    written = [(text or None, label or None) for text, label, _ in rows]
    try:
        found = read(tmp_path_factory.mktemp("fuzz"), f"a.{kind}", WRITERS[kind](rows))
    except TunegateError as error:
        event(f"refused: {type(error).__name__}")
        # What csv writes without quotes may not be sure; the other formats leave nothing open.
        if kind != "csv":
            raise
        return
    assert [(text or None, label or None) for text, label in found] == written


def altered(content: bytes, edits: list[tuple[int, bytes]]) -> bytes:
    for place, new in edits:
        at = place % (len(content) + 1)
        content = content[:at] + new + content[at + len(new) // 2 :]
    return content


edits = st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=6)), min_size=1, max_size=6)


@pytest.mark.parametrize("kind", WRITERS)
@given(rows=tables, edits=edits)
@MANY
def test_damaged_file_is_read_or_refused(tmp_path_factory, kind: str, rows, edits):
    try:
        read(tmp_path_factory.mktemp("fuzz"), f"a.{kind}", altered(WRITERS[kind](rows), edits))
    except TunegateError as error:
        event(f"refused: {type(error).__name__}")


NASTY = (
    "yes",
    "&a",
    "*a",
    "<<: {}",
    "!!python/object:os.system",
    "1e999",
    "0x1F",
    "2031-07-02",
    "\t",
    "[[[[",
    "~",
    "'",
    '"',
)
pieces = st.sampled_from(NASTY).map(str.encode) | st.binary(max_size=6) | texts.map(str.encode)


@given(edits=st.lists(st.tuples(st.integers(0, 10**6), pieces), min_size=1, max_size=4))
@MANY
def test_recipe_is_read_as_yaml_or_refused(recipe_text: str, edits):
    text = altered(recipe_text.encode(), edits).decode(errors="replace")
    try:
        recipe = read_recipe(text, "recipe.yaml")
    except RecipeError:
        event("refused")
        return
    # PyYAML's own parser refuses tabs that libyaml takes; YAML has no surrogate pairs, which JSON escapes with.
    same = json.dumps(yaml.load(text, Loader), ensure_ascii=False)
    assert recipe == read_recipe(same, "recipe.json")


@pytest.fixture(scope="module")
def recipe_text(tmp_path_factory, tiny_model: Path) -> str:
    return recipe_maker(tmp_path_factory.mktemp("recipe"), tiny_model)("tiny").read_text()


@given(name=st.integers(0, 100), edits=edits, replace=st.none() | st.sampled_from([b"", b"{}", b"[]", b"null"]))
@FEWER
def test_damaged_base_is_taken_or_refused(tmp_path_factory, tiny_model: Path, name: int, edits, replace):
    folder = tmp_path_factory.mktemp("fuzz") / "base"
    shutil.copytree(tiny_model, folder)
    files = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".safetensors"))
    path = files[name % len(files)]
    path.write_bytes(altered(path.read_bytes(), edits) if replace is None else replace)
    try:
        try_base(folder, loaded_files(folder), PROBLEM)
    except TunegateError as error:
        event(f"refused: {type(error).__name__}")


@given(choose=st.data())
@settings(MANY, max_examples=30, deadline=None)
def test_command_ends_with_a_documented_exit_code(prefect_engine, tmp_path_factory, tiny_model: Path, choose):
    from tests.flows.command import run

    folder = tmp_path_factory.mktemp("fuzz")
    recipe = recipe_maker(folder, tiny_model)("fuzzed", training={"epochs": 1, "batch_size": 16})
    name = choose.draw(st.sampled_from(["train.csv", "test.csv", "fuzzed.yaml"]))
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(altered(content, choose.draw(edits)))
    result = run("run", recipe, "--no-promote", "--json")
    event(f"exit {result.exit_code}")
    assert result.exit_code in (0, 1, 2, 3, 4, 5), result.stderr
    assert "Traceback" not in result.stderr
