"""moto's S3 server on loopback, unchanged or with a promise broken by WSGI middleware."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Lock, Thread
from typing import Any

from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

App = Callable[[dict[str, Any], Any], Iterable[bytes]]


@contextmanager
def moto(layer: Callable[[App], App] = lambda app: app) -> Iterator[str]:
    """Run a server during the body and yield its endpoint; its objects are global to the process."""
    app = layer(creates_one_at_a_time(DomainDispatcherApplication(create_backend_app)))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def creates_one_at_a_time(app: App) -> App:
    """Keep the promise of a condition, which moto's threads break now and then: each looks before another writes."""
    lock = Lock()

    def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        if "HTTP_IF_NONE_MATCH" not in environ:
            return app(environ, start)
        with lock:
            return list(app(environ, start))

    return answer


def ignores_conditions(app: App) -> App:
    """Ignore the condition, like servers that do not know the header."""

    def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        environ.pop("HTTP_IF_NONE_MATCH", None)
        return app(environ, start)

    return answer


def looks_before_it_writes(app: App) -> App:
    """Check the condition and write in two steps, which is not atomic."""
    there: set[str] = set()

    def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if environ["REQUEST_METHOD"] == "PUT" and path not in there:
            time.sleep(0.05)
            environ.pop("HTTP_IF_NONE_MATCH", None)
            there.add(path)
        return app(environ, start)

    return answer


def lists_late(app: App) -> App:
    """Leave the newest key out of listings, like stores whose listings lag behind."""

    def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        body = b"".join(app(environ, start))
        if "list-type=2" not in environ["QUERY_STRING"] or b"<Contents>" not in body:
            return [body]
        begun, ended = body.rindex(b"<Contents>"), body.rindex(b"</Contents>") + len(b"</Contents>")
        # As long as before, as its header says.
        return [body[:begun] + b" " * (ended - begun) + body[ended:]]

    return answer


def refuses(is_meant: Callable[[dict[str, Any]], bool], status: str, body: bytes) -> Callable[[App], App]:
    """Answer some requests with an error."""

    def layer(app: App) -> App:
        def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
            if not is_meant(environ):
                return app(environ, start)
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
            return [body]

        return answer

    return layer


def has_checksum(environ: dict[str, Any]) -> bool:
    sent = ("HTTP_X_AMZ_CHECKSUM_SHA256", "HTTP_X_AMZ_CHECKSUM_CRC32", "HTTP_X_AMZ_TRAILER")
    return environ["REQUEST_METHOD"] == "PUT" and any(name in environ for name in sent)
