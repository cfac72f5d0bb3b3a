"""`python -m flows` is `tunegate`."""

from flows.commands.app import app

app()
