"""Stored texts on a terminal. Alone: pytest tests/flows/commands/test_display.py."""

import logging
import re
from datetime import UTC, datetime
from pathlib import Path

from flows.commands.display import show_history
from flows.commands.echo import VisibleFormatter, echo
from schemas.records.versions import Event

LIVE = "fine \x1b]0;title\x07\u202e [bold]markup[/] :smile: [/nothing]"
SHOWN = "fine \\u001b]0;title\\u0007\\u202e [bold]markup[/] :smile: [/nothing]"


def test_history_shows_reason_and_author_as_they_are(capsys):
    event = Event(
        sequence=1,
        previous_event_sha256=None,
        kind="override",
        alias="champion",
        from_version=None,
        to_version="a" * 64,
        gate_sha256=None,
        evaluation_set_sha256=None,
        by=LIVE,
        reason=f"{LIVE}\n2  2026-01-01 00:00  promote",
        at=datetime(2026, 1, 1, tzinfo=UTC),
        nonce="0",
    )
    show_history((event,), is_whole=True)
    printed = capsys.readouterr().out

    assert printed.count(SHOWN) == 2
    # A reason that would forge another line of the table.
    assert "\\n2  2026-01-01" in printed
    show_history((event,), is_whole=False)
    assert "fine \\u001b]0" in capsys.readouterr().out


def test_lines_of_commands_and_logs_show_them(capsys):
    echo(f"one {LIVE}\ntwo")
    record = logging.LogRecord("flows", logging.INFO, "", 0, "said %s", (LIVE,), None)

    assert capsys.readouterr().out == f"one {SHOWN}\ntwo\n"
    assert VisibleFormatter("%(message)s").format(record) == f"said {SHOWN}"


def test_no_command_prints_past_them():
    """A stored text that reaches a terminal by another way commands it."""
    past = re.compile(r"typer\.(secho|echo)\(|(?<![._])print\(|\bConsole\(|sys\.std(out|err)\.write")
    found = {
        f"{path.name}: {line.strip()}"
        for path in Path("flows/commands").glob("*.py")
        for line in path.read_text().splitlines()
        if past.search(line)
    }

    assert found == {"echo.py: typer.echo(visible(str(text), lines=True), err=err)"}
