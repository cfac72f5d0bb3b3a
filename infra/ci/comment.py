#!/usr/bin/env python3
"""Post a comment on a pull or merge request, or replace that of an earlier run. Standard library only.

    comment.py gate/gate.md

The file's first line identifies our comment. GitLab's runners set CI_API_V4_URL, CI_MERGE_REQUEST_PROJECT_ID and
CI_MERGE_REQUEST_IID, and GATE_TOKEN is a project access token with the scope `api`; GitHub's runners set
GITHUB_API_URL and GITHUB_REPOSITORY, and the workflow sets NUMBER, GH_TOKEN and COMMIT. Without a request's number,
as in a merge queue, there is nothing to comment on.
"""

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

PAGE = 100


def main() -> None:
    """Find our comment and replace it, or post the first one."""
    is_gitlab = "CI_API_V4_URL" in os.environ
    if not os.environ.get("CI_MERGE_REQUEST_IID" if is_gitlab else "NUMBER"):
        print("comment.py: there is no pull or merge request here, so no comment was posted.")
        return
    body = Path(sys.argv[1]).read_text(encoding="utf-8")
    marker = body.splitlines()[0]
    commit = os.environ.get("CI_COMMIT_SHA") or os.environ.get("COMMIT")
    body += f"\nCommit {commit}\n" if commit else ""
    try:
        comments, one, method, headers = _gitlab() if is_gitlab else _github()
        found = _find(comments, marker, headers)
        if found is None:
            _request("POST", comments, headers, body)
        else:
            _request(method, one.format(found), headers, body)
    except KeyError as error:
        sys.exit(f"comment.py: {error.args[0]} is not set; the comment was not posted.")
    except urllib.error.URLError as error:
        sys.exit(f"comment.py: the comment was not posted: {error}.")


def _github() -> tuple[str, str, str, dict[str, str]]:
    """Return the URL of comments, that of one comment, the method to replace it, and headers."""
    repository = f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}/issues"
    headers = {"Authorization": f"Bearer {os.environ['GH_TOKEN']}", "Accept": "application/vnd.github+json"}
    return f"{repository}/{os.environ['NUMBER']}/comments", f"{repository}/comments/{{}}", "PATCH", headers


def _gitlab() -> tuple[str, str, str, dict[str, str]]:
    project = f"{os.environ['CI_API_V4_URL']}/projects/{quote(_target(), safe='')}"
    notes = f"{project}/merge_requests/{os.environ['CI_MERGE_REQUEST_IID']}/notes"
    return notes, f"{notes}/{{}}", "PUT", {"PRIVATE-TOKEN": os.environ["GATE_TOKEN"]}


def _target() -> str:
    """Return the request's project; a fork's pipeline runs in another, whose request of that number is another too."""
    return os.environ.get("CI_MERGE_REQUEST_PROJECT_ID") or os.environ["CI_PROJECT_ID"]


def _find(comments: str, marker: str, headers: dict[str, str]) -> int | None:
    page = 1
    while found := _request("GET", f"{comments}?per_page={PAGE}&page={page}", headers):
        for comment in found:
            if comment["body"].startswith(marker):
                return int(comment["id"])
        page += 1
    return None


def _request(method: str, url: str, headers: dict[str, str], body: str | None = None) -> Any:
    content = None if body is None else json.dumps({"body": body}).encode()
    # The address comes from the runner.
    request = urllib.request.Request(url, content, headers | {"Content-Type": "application/json"}, method=method)  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
        return json.load(response)


if __name__ == "__main__":
    main()
