"""Output of commands: lines in which stored texts cannot command the terminal."""

import logging

import typer

from schemas.visible import visible


def echo(text: object, err: bool = False) -> None:
    typer.echo(visible(str(text), lines=True), err=err)


class VisibleFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record), lines=True)
