"""A small bucket as it is at one moment, for whoever checks it often: what has not changed is not read again."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

from tasks.services.storage.store import Store

WRITERS = 4


class View:
    """Read as a bucket is (`store.Objects`); of equal ETags the bytes are equal, since one is the other's digest."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.contents: dict[str, tuple[str, bytes]] = {}

    def look(self) -> None:
        """Bring it up to date; of fewer objects than a list has on a page."""
        page = self.store._client.list_objects_v2(Bucket=self.store.bucket)
        assert not page["IsTruncated"]
        tags = {entry["Key"]: entry["ETag"] for entry in page.get("Contents", [])}
        kept = {key: content for key, content in self.contents.items() if tags.get(key) == content[0]}
        self.contents = kept | {key: (tag, self.store.read(key)) for key, tag in tags.items() if key not in kept}

    def write(self, contents: dict[str, tuple[str, bytes]]) -> None:
        """Make the bucket hold what another view has seen, beside what it holds."""
        with ThreadPoolExecutor(WRITERS) as writers:
            list(writers.map(lambda key: self.store.replace(key, contents[key][1]), contents))

    def clear(self) -> None:
        """Empty the bucket."""
        self.look()
        keys = [{"Key": key} for key in self.contents]
        self.store._client.delete_objects(Bucket=self.store.bucket, Delete={"Objects": keys})

    def read(self, key: str) -> bytes | None:
        return self.contents[key][1] if key in self.contents else None

    def digest(self, key: str) -> str | None:
        raw = self.read(key)
        return None if raw is None else hashlib.sha256(raw).hexdigest()

    def list_keys(self, prefix: str, after: str = "") -> list[str]:
        return sorted(key for key in self.contents if key.startswith(prefix) and key > after)
