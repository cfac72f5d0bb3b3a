"""The command line app: groups of commands, error handling, environment of libraries.

Logs and progress go to standard error; with --json the last line of standard output is one JSON object.
"""

import gc
import os
import traceback
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from flows.commands.echo import echo
from flows.commands.gc import retention
from flows.commands.models import registry
from flows.commands.predict import predicting
from flows.commands.promote import releasing
from flows.commands.run import running
from flows.commands.stack import operations
from flows.commands.transfer import upkeep
from schemas.errors import Preempted, TunegateError
from schemas.settings import Settings, library_environment, proxy_exceptions, read_settings
from tasks.services.local.login import CLIENT_LOGIN, SERVER_LOGIN, server_login
from tasks.services.local.stack import running_api
from tasks.services.process.output import outlive_readers

INTERRUPTED = 130
INTERNAL_ERROR = 70
# Libraries create a million long-lived objects, which Python would scan again and again.
GC_THRESHOLD = 10_000


class Commands(TyperGroup):
    """Turn user-facing errors into one message and an exit code, without a traceback."""

    def main(self, *args: Any, **named: Any) -> Any:
        # Help and usage errors are printed before a command is invoked.
        outlive_readers()
        return super().main(*args, **named)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        for argument in args:
            # Python stands in for bytes that are not UTF-8 with half characters, which nothing can store or send.
            if not argument.isprintable() and any("\ud800" <= one <= "\udfff" for one in argument):
                raise typer.BadParameter(f"{argument!a} is not UTF-8. Write the argument in UTF-8.")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (TunegateError, Preempted) as error:
            echo(f"{type(error).__name__}: {error}", err=True)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            echo("Interrupted. Run the same command again: finished steps are not repeated.", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except (typer.Exit, typer.Abort, TyperException):
            raise
        except BaseException:
            # Python would exit with 1, which here means that the gate refused. A panic of Rust is no Exception.
            traceback.print_exc()
            raise typer.Exit(INTERNAL_ERROR) from None


app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)
for group in (running, predicting, registry, retention, releasing, upkeep, operations):
    app.add_typer(group)


@app.callback(help="Retraining you can defend.")
def prepare() -> None:
    """Set the environment that libraries read on import; the user's variables win, proxy exceptions are merged."""
    gc.set_threshold(GC_THRESHOLD)
    settings = read_settings()
    for name, value in library_environment(settings).items():
        os.environ.setdefault(name, value)
    os.environ.update(proxy_exceptions())
    if password := os.environ.get(SERVER_LOGIN):
        # The process that starts the server is also its client.
        os.environ.setdefault(CLIENT_LOGIN, password)
    if api := running_api(settings):
        _use_stack(api, settings)


def _use_stack(api: str, settings: Settings) -> None:
    """Use the server of `up`, unless another is configured: that one is not sent its password."""
    given = os.environ.get("PREFECT_API_URL") or api
    if given.rstrip("/").replace("//localhost:", "//127.0.0.1:") == api:
        os.environ["PREFECT_API_URL"] = given
        os.environ[CLIENT_LOGIN] = os.environ.get(CLIENT_LOGIN) or server_login(settings)
