"""A web server on loopback that gives the same answer to every request, or the next one of a function."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import NamedTuple


class Canned(NamedTuple):
    status: int = 200
    kind: str = "text/html"
    body: bytes = b"<html><body>Welcome</body></html>"
    headers: tuple[tuple[str, str], ...] = ()


@contextmanager
def canned(given: Canned | Callable[[], Canned]) -> Iterator[str]:
    """Serve the answers during the body and yield the endpoint."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            answer = given if isinstance(given, Canned) else given()
            self.send_response(answer.status)
            for name, value in (("content-type", answer.kind), ("content-length", str(len(answer.body)))):
                self.send_header(name, value)
            for name, value in answer.headers:
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
