"""Entries of a listing over all its pages, refused where a store leaves it unfinished or answers for other keys.

botocore takes a page that is not the last, but does not say where the next one begins, for the end. An event that is
missing in a listing of the log would be a promotion that never was.
"""

from collections.abc import Iterator
from typing import Any

# The fields of a page that say where the next one begins.
NEXT = ("NextContinuationToken", "NextKeyMarker")
# S3 may give empty pages where many objects were deleted.
MAX_IDLE_PAGES = 100


def list_entries(client: Any, operation: str, field: str, parameters: dict[str, str]) -> Iterator[dict[str, Any]]:
    """List a field's entries, each once. Raises ValueError for an answer that S3 does not give."""
    name, prefix = "Prefix" if field == "CommonPrefixes" else "Key", parameters.get("Prefix", "")
    seen: set[tuple[str, str | None]] = set()
    num_idle = 0
    for page in client.get_paginator(operation).paginate(**parameters):
        num_idle += 1
        for entry in page.get(field, []):
            place = (entry[name], entry.get("UploadId"))
            if not entry[name].startswith(prefix):
                raise ValueError(f"a listing of {prefix} names {entry[name][:80]}")
            if place not in seen:
                seen.add(place)
                num_idle = 0
                yield entry
        if page.get("IsTruncated") and not any(page.get(token) for token in NEXT):
            raise ValueError("an unfinished listing does not say where it goes on")
        if num_idle > MAX_IDLE_PAGES:
            raise ValueError(f"a listing goes on after {num_idle} pages without new entries")
