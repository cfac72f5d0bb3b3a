"""The command line.

Logs and progress go to standard error; with --json the last line of standard output is one JSON object.
"""

import gc
import os
import traceback
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from flows.commands.gc import retention
from flows.commands.models import registry
from flows.commands.predict import predicting
from flows.commands.promote import releasing
from flows.commands.run import running
from flows.commands.stack import operations
from flows.commands.transfer import upkeep
from schemas.errors import Preempted, TunegateError
from schemas.settings import library_environment, proxy_exceptions, read_settings
from tasks.services.local.stack import running_api

INTERRUPTED = 130
OWN_FAULT = 70
# Libraries make a million objects that live as long as a command; Python would look through them again and again.
OBJECTS_TO_COLLECT = 10_000


class Commands(TyperGroup):
    """Turn what a user can cause into one message and an exit code, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (TunegateError, Preempted) as error:
            typer.echo(f"{type(error).__name__}: {error}", err=True)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            typer.echo("Interrupted. Run the same command again: finished steps are not repeated.", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except (typer.Exit, typer.Abort, TyperException):
            raise
        except Exception:
            # Python's own exit code for it is 1, which here means that the gate refused.
            traceback.print_exc()
            raise typer.Exit(OWN_FAULT) from None


app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(running)
app.add_typer(predicting)
app.add_typer(registry)
app.add_typer(retention)
app.add_typer(releasing)
app.add_typer(upkeep)
app.add_typer(operations)


@app.callback(help="Retraining you can defend.")
def prepare() -> None:
    """Set what libraries read when they are imported; what the user has set wins, and is added to for proxies."""
    gc.set_threshold(OBJECTS_TO_COLLECT)
    settings = read_settings()
    for name, value in library_environment(settings).items():
        os.environ.setdefault(name, value)
    os.environ.update(proxy_exceptions())
    if password := os.environ.get("PREFECT_SERVER_API_AUTH_STRING"):
        # Who starts the server asks it too.
        os.environ.setdefault("PREFECT_API_AUTH_STRING", password)
    if not os.environ.get("PREFECT_API_URL") and (api := running_api(settings)):
        os.environ["PREFECT_API_URL"] = api
