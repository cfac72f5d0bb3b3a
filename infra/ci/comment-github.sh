#!/usr/bin/env bash
# Post $OUT/gate.md on a pull request, or replace the comment that an earlier run has posted. Needs gh and GH_TOKEN.
#
#   REPOSITORY  owner/name
#   NUMBER      of the pull request
set -euo pipefail
: "${REPOSITORY:?}" "${NUMBER:?}"
file="${OUT:-gate}/gate.md"
marker=$(head -n 1 "$file")
id=$(gh api "repos/$REPOSITORY/issues/$NUMBER/comments" --paginate --jq ".[] | select(.body | startswith(\"$marker\")) | .id" | head -n 1)
if [ -n "$id" ]; then
  gh api --method PATCH "repos/$REPOSITORY/issues/comments/$id" -F "body=@$file" --silent
else
  gh api --method POST "repos/$REPOSITORY/issues/$NUMBER/comments" -F "body=@$file" --silent
fi
