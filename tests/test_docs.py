"""The documentation keeps up with the code. Alone: pytest tests/test_docs.py."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from flows.commands.app import app

README = Path("README.md").read_text()
TREE = re.compile(r"```\n(recipes/.*?)```", re.DOTALL)
COMMANDS = sorted(get_command(app).commands)


def paths_of_tree(document: str) -> list[str]:
    """Every path of a document's tree, one a line, indented below its folder."""
    (tree,) = TREE.findall(Path(document).read_text(encoding="utf-8"))
    found: list[str] = []
    parents: dict[int, str] = {}
    for line in tree.splitlines():
        indent, name = len(line) - len(line.lstrip()), line.split()[0]
        parents = {level: folder for level, folder in parents.items() if level < indent}
        found.append("".join(parents.values()) + name)
        if name.endswith("/"):
            parents[indent] = name
    return found


@pytest.mark.parametrize("document", ["README.md", "docs/architecture.md"])
def test_every_path_of_the_tree_exists(document: str):
    assert [path for path in paths_of_tree(document) if not Path(path).exists()] == []


def test_every_package_and_every_step_is_in_the_tree():
    drawn = paths_of_tree("docs/architecture.md")
    packages = [f"{path.parent}/" for root in ("flows", "tasks", "schemas") for path in Path(root).rglob("__init__.py")]
    files = [str(path) for root in ("flows", "tasks", "schemas") for path in Path(root).glob("*.py")]

    assert [path for path in packages + files if not path.endswith("__init__.py") and path not in drawn] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme(command: str):
    assert f"tunegate {command}" in README


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str):
    assert get_command(app).commands[command].help


def test_links_between_documents_lead_somewhere():
    documents = [path for path in Path().rglob("*.md") if not {".venv", ".pytest_cache"} & set(path.parts)]
    links = [
        (document, target)
        for document in documents
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", document.read_text())
        if not target.startswith("http")
    ]

    assert links
    assert [str(link) for link in links if not (link[0].parent / link[1]).exists()] == []


def test_every_module_with_a_source_is_in_the_readme_table():
    sources = {"1810.04805", "1509.01626"}
    assert {source for source in sources if source not in README} == set()


def test_changelog_has_an_unreleased_section():
    assert "## Unreleased" in Path("CHANGELOG.md").read_text()


def test_commands_of_the_docs_find_the_home_where_no_variable_names_it():
    """The default leaves it unset, and `rm $UNSET/...` looks at the root."""
    texts = [README, *(path.read_text(encoding="utf-8") for path in Path("docs").glob("*.md"))]

    assert [text[found.start() :][:40] for text in texts for found in re.finditer(r"\$TUNEGATE_HOME\b", text)] == []
