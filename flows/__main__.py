"""`python -m flows` is `tunegate`."""

from flows.cli import app

app()
