#!/usr/bin/env bash
# Judge a candidate, and leave gate.md, gate.json and junit.xml in $OUT. Exit codes are those of `tunegate run`.
#
#   RECIPE     the recipe whose test rows and gate count
#   CANDIDATE  NAME@ALIAS, NAME@VERSION or a folder; empty: train one as the recipe says, which is not promoted
#   OUT        a folder, made here
#
# Without TUNEGATE_S3_ENDPOINT there would be an empty store of our own, no champion, and nothing to be worse than.
set -euo pipefail
for name in RECIPE TUNEGATE_S3_ENDPOINT; do
  if [ -z "${!name:-}" ]; then
    echo "gate.sh: $name is not set: RECIPE is the path of a recipe, TUNEGATE_S3_ENDPOINT the store of the champion." >&2
    exit 2
  fi
done
out="${OUT:-gate}"
if [ -z "${CANDIDATE:-}" ]; then
  tunegate run "$RECIPE" --no-promote --out "$out"
else
  tunegate gate "$RECIPE" --candidate "$CANDIDATE" --out "$out"
fi
