#!/usr/bin/env bash
# Judge a candidate, and leave gate.md, gate.json and junit.xml in $OUT. Exit codes are those of `tunegate gate`.
#
#   RECIPE     the recipe whose test rows and gate count
#   CANDIDATE  NAME@ALIAS, NAME@VERSION or a folder; empty: train one as the recipe says
#   OUT        a folder, made here
set -euo pipefail
: "${RECIPE:?set RECIPE to the path of a recipe}"
out="${OUT:-gate}"
candidate="${CANDIDATE:-}"
if [ -z "$candidate" ]; then
  status=0
  found=$(tunegate run "$RECIPE" --no-promote --json) || status=$?
  # Refused (1) and undecidable (3) candidates exist; the gate below says why. Anything else ends here.
  case "$status" in 0 | 1 | 3) ;; *) exit "$status" ;; esac
  candidate=$(tail -n 1 <<<"$found" | python3 -c 'import json, sys; m = json.load(sys.stdin)["model"]; print(m["name"] + "@" + m["version"])')
fi
tunegate gate "$RECIPE" --candidate "$candidate" --out "$out"
