"""NAME:PASSWORD of the Prefect servers that commands start.

Whoever reaches Prefect's API runs code as the worker, and so would a web page of another origin: without a password
the server answers its requests. So no server is started without one.
"""

import os
import re
import secrets
from pathlib import Path

from schemas.errors import UsageError
from schemas.settings import Settings
from tasks.services.process.files import atomic_write, flock
from tasks.services.process.home import make_home

SERVER_LOGIN, CLIENT_LOGIN = "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"
FORM = re.compile(r"[!-9;-~]+:[!-~]+")
NAME = "tunegate"


def server_login(settings: Settings) -> str:
    """Return the environment's, else the home's, which is made when it is first asked for. Raises UsageError."""
    given = os.environ.get(SERVER_LOGIN) or os.environ.get(CLIENT_LOGIN)
    return given or _kept(settings)


def login_path(settings: Settings) -> Path:
    return settings.home / "prefect-login"


def _kept(settings: Settings) -> str:
    make_home(settings)
    path = login_path(settings)
    try:
        with flock(path.with_name(f"{path.name}.lock")):
            if not path.exists():
                atomic_write(path, f"{NAME}:{secrets.token_urlsafe(24)}\n".encode(), mode=0o600)
        path.chmod(0o600)
        login = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise UsageError(f"{path}, the password of Prefect's server: {error.strerror}. {_remedy(path)}") from None
    if not FORM.fullmatch(login):
        raise UsageError(f"{path} is not NAME:PASSWORD of Prefect's server. {_remedy(path)}")
    return login


def _remedy(path: Path) -> str:
    return f"`tunegate down`, then delete {path}: the next start makes another password."
