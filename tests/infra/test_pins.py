"""Pins: every distribution that commands need has one version and the hashes of its files."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PINS = Path("infra/pins")
PROJECT = tomllib.loads(Path("pyproject.toml").read_text())["project"]
REQUIRED = [Requirement(text) for text in PROJECT["dependencies"]]
EXTRAS = {name: [Requirement(text) for text in texts] for name, texts in PROJECT["optional-dependencies"].items()}
# Their builds differ by machine.
WITHOUT_HASHES = {"torch"}


def read_pins(name: str) -> dict[str, str]:
    """Versions by name; each has at least one hash, and nothing else stands in the file."""
    blocks = re.split(r"^(?=\S)", (PINS / name).read_text(), flags=re.MULTILINE)[1:]
    found = {}
    for block in blocks:
        matched = re.fullmatch(r"(\S+)==(\S+)(?: ; [^\n]+?)?(?: \\\n    --hash=sha256:[0-9a-f]{64})+\n", block)
        assert matched, block
        found[matched[1]] = matched[2]
    return found


@pytest.mark.parametrize(
    ("name", "required"),
    [
        ("run.txt", [*REQUIRED, *EXTRAS["model"]]),
        ("dev.txt", [*REQUIRED, *(one for few in EXTRAS.values() for one in few)]),
    ],
)
def test_every_distribution_is_pinned_as_the_project_allows(name: str, required: list[Requirement]):
    pins = read_pins(name)

    for one in required:
        if one.name not in WITHOUT_HASHES | {PROJECT["name"]}:
            assert one.specifier.contains(pins[canonicalize_name(one.name)]), one


def test_image_holds_the_versions_that_are_tested():
    assert read_pins("run.txt").items() <= read_pins("dev.txt").items()


def test_what_has_no_hash_has_a_version():
    constraints = Path("constraints.txt").read_text().splitlines()

    assert WITHOUT_HASHES.isdisjoint(read_pins("dev.txt"))
    assert {line.partition("==")[0] for line in constraints if not line.startswith("#")} == WITHOUT_HASHES


def test_accelerator_libraries_are_left_to_torch():
    assert not [name for name in read_pins("dev.txt") if name.startswith(("nvidia-", "cuda-", "triton"))]
