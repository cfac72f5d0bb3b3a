#!/usr/bin/env bash
# Post $OUT/gate.md on a merge request, or replace the note that an earlier run has posted. Needs curl, jq and a project
# access token with the scope api in GATE_TOKEN; the other variables are GitLab's own.
set -euo pipefail
: "${GATE_TOKEN:?}" "${CI_API_V4_URL:?}" "${CI_PROJECT_ID:?}" "${CI_MERGE_REQUEST_IID:?}"
file="${OUT:-gate}/gate.md"
notes="$CI_API_V4_URL/projects/$CI_PROJECT_ID/merge_requests/$CI_MERGE_REQUEST_IID/notes"
call() { curl --silent --show-error --fail --header "PRIVATE-TOKEN: $GATE_TOKEN" "$@"; }
marker=$(head -n 1 "$file")
id=$(call "$notes?per_page=100" | jq --arg marker "$marker" 'map(select(.body | startswith($marker))) | .[0].id // empty')
if [ -n "$id" ]; then
  call --request PUT --data-urlencode "body@$file" "$notes/$id" >/dev/null
else
  call --request POST --data-urlencode "body@$file" "$notes" >/dev/null
fi
