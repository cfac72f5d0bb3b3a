"""As much of W&B's API as `wandb sync` asks for (wandb 0.31): runs, their curves, files and artifacts.

It keeps what it is sent, and refuses what a test asks it to refuse.
"""

import gzip
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class WandbServer:
    """What came, and whose requests are answered by what."""

    url: str = ""
    refused: dict[str, int] = field(default_factory=dict)
    """Status by operation (`UpsertBucket`), `file_stream` or `upload`."""
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    history: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    uploads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    """All that was sent, without headers, which hold the key."""

    def answer(self, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        """Answer a query as its name asks."""
        match operation:
            case "ServerFeaturesQuery":
                return {"serverInfo": {"features": []}}
            case "UpsertBucket":
                self.runs.setdefault(given["name"], {}).update(
                    {name: value for name, value in given.items() if value is not None}
                )
                project = {"id": "p", "name": given["project"], "entity": {"id": "e", "name": "team"}}
                bucket = {"id": "b", "name": given["name"], "displayName": "", "config": "{}", "historyLineCount": 0}
                return {"upsertBucket": {"bucket": bucket | {"project": project}, "inserted": True}}
            case "CreateRunFiles":
                files = [{"name": name, "uploadUrl": self._place(name)} for name in given["files"]]
                return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
            case "CreateArtifact":
                self.artifacts.append(given["input"])
                sequence = {"id": "s", "latestArtifact": None}
                made = {"id": "a", "state": "PENDING", "artifactSequence": sequence}
                return {"createArtifact": {"artifact": made}}
            case "CreateArtifactManifest":
                file = {"id": "f", "uploadUrl": self._place("manifest"), "uploadHeaders": []}
                return {"createArtifactManifest": {"artifactManifest": {"id": "m", "file": file}}}
            case "CreateArtifactFiles":
                nodes = [self._artifact_file(file["name"]) for file in given["input"]["artifactFiles"]]
                return {"createArtifactFiles": {"files": {"edges": nodes}}}
            case "ArtifactType":
                return {"project": {"artifact": None}}
            case "CommitArtifact":
                return {"commitArtifact": {"artifact": {"id": "a", "digest": ""}}}
        # Whose key it is, in one of several queries.
        return {"viewer": {"id": "u", "username": "user", "entity": "team", "flags": "{}", "teams": {"edges": []}}}

    def stream(self, path: str, files: dict[str, Any]) -> None:
        """Keep the points of a run's curves."""
        lines = files.get("wandb-history.jsonl", {}).get("content", [])
        self.history.setdefault(path.split("/")[-2], []).extend(json.loads(line) for line in lines)

    def _artifact_file(self, name: str) -> dict[str, Any]:
        place = {"storagePath": name, "uploadUrl": self._place(name), "uploadHeaders": []}
        return {"node": place | {"uploadMultipartUrls": None, "artifact": {"id": "a"}}}

    def _place(self, name: str) -> str:
        return f"{self.url}/upload/{name}"


class Handler(BaseHTTPRequestHandler):
    """One connection; what it says is the business of the server's `kept`."""

    protocol_version = "HTTP/1.1"

    @property
    def kept(self) -> WandbServer:
        return self.server.kept

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:
            return

    def do_GET(self) -> None:
        self._say({}, 200)

    def do_PUT(self) -> None:
        self._body()
        status = self.kept.refused.get("upload", 200)
        if status == 200:
            self.kept.uploads.append(self.path.removeprefix("/upload/"))
        self._say({}, status)

    def do_POST(self) -> None:
        body = self._body()
        if self.path.endswith("/graphql"):
            self._query(json.loads(body))
        elif self.path.endswith("/file_stream"):
            self._stream(json.loads(body))
        else:
            self._say({}, 200)

    def _query(self, asked: dict[str, Any]) -> None:
        operation = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"]).group(1)
        status = self.kept.refused.get(operation, 200)
        if status == 200:
            self._say({"data": self.kept.answer(operation, asked.get("variables") or {})}, status)
        else:
            self._say({"errors": [{"message": "refused"}]}, status)

    def _stream(self, given: dict[str, Any]) -> None:
        status = self.kept.refused.get("file_stream", 200)
        if status == 200:
            self.kept.stream(self.path, given.get("files") or {})
        self._say({}, status)

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        plain = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
        self.kept.bodies.append(self.path.encode() + b" " + plain)
        return plain

    def _say(self, what: dict[str, Any], status: int) -> None:
        data = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def wandb_server() -> Iterator[WandbServer]:
    """Listen on loopback until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.kept = made = WandbServer(f"http://127.0.0.1:{server.server_port}")
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
