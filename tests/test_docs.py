"""The documentation keeps up with the code. Alone: pytest tests/test_docs.py."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from flows.commands.app import app

README = Path("README.md")
DOCS = sorted(Path("docs").glob("*.md"))
TREE = re.compile(r"```\n(recipes/.*?)```", re.DOTALL)
ROOTS = ("flows", "tasks", "schemas", "benchmarks", "tests", "recipes", "infra")
COMMANDS = sorted(get_command(app).commands)


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def paths_of_tree() -> list[str]:
    """Every path of the tree in docs/architecture.md, one a line, indented below its folder."""
    (tree,) = TREE.findall(read(Path("docs/architecture.md")))
    found: list[str] = []
    parents: dict[int, str] = {}
    for line in tree.splitlines():
        indent, name = len(line) - len(line.lstrip()), line.split()[0]
        parents = {level: folder for level, folder in parents.items() if level < indent}
        found.append("".join(parents.values()) + name)
        if name.endswith("/"):
            parents[indent] = name
    return found


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives to a document's headings."""
    headings = re.findall(r"^#+ (.*)$", read(path), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_readme_is_short():
    assert len(read(README).splitlines()) <= 150


def test_index_links_every_page():
    index = read(Path("docs/README.md"))

    assert [page.name for page in DOCS if page.name != "README.md" and f"]({page.name}" not in index] == []


def test_every_path_of_the_tree_exists():
    assert [path for path in paths_of_tree() if not Path(path).exists()] == []


def test_every_package_and_every_step_is_in_the_tree():
    drawn = paths_of_tree()
    packages = [f"{path.parent}/" for root in ("flows", "tasks", "schemas") for path in Path(root).rglob("__init__.py")]
    files = [str(path) for root in ("flows", "tasks", "schemas") for path in Path(root).glob("*.py")]

    assert [path for path in packages + files if not path.endswith("__init__.py") and path not in drawn] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_how_to(command: str):
    assert f"tunegate {command}" in read(Path("docs/how-to.md"))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str):
    assert get_command(app).commands[command].help


def test_links_between_documents_lead_somewhere():
    documents = [path for path in Path().rglob("*.md") if not {".venv", ".pytest_cache"} & set(path.parts)]
    links = [
        (document, document.parent / target if target else document, anchor)
        for document in documents
        for target, anchor in re.findall(r"\]\(([^)#:]*)#?([^):]*)\)", read(document))
    ]

    assert links
    assert [str(link) for link in links if not link[1].exists()] == []
    assert [str(link) for link in links if link[2] and link[2] not in anchors(link[1])] == []


@pytest.mark.parametrize("document", [README, *DOCS], ids=str)
def test_every_path_that_a_document_names_exists(document: Path):
    named = re.findall(rf"`((?:{'|'.join(ROOTS)})/[\w./-]+)`", read(document))

    assert [path for path in named if not Path(path).exists()] == []


def test_every_paper_that_code_names_is_in_the_docs():
    named = {
        paper
        for root in ("flows", "tasks", "schemas", "benchmarks")
        for path in Path(root).rglob("*.py")
        for paper in re.findall(r"arXiv:(\d{4}\.\d{5})", read(path))
    }
    told = "".join(read(path) for path in [*DOCS, *Path("recipes").glob("*/README.md")])

    assert named
    assert sorted(paper for paper in named if paper not in told) == []


def test_changelog_has_an_unreleased_section():
    assert "## Unreleased" in Path("CHANGELOG.md").read_text()


def test_commands_of_the_docs_find_the_home_where_no_variable_names_it():
    """The default leaves it unset, and `rm $UNSET/...` looks at the root."""
    texts = [read(path) for path in [README, *DOCS]]

    assert [text[found.start() :][:40] for text in texts for found in re.finditer(r"\$TUNEGATE_HOME\b", text)] == []
