#!/usr/bin/env bash
# Gate a candidate and write gate.md, gate.json and junit.xml into $OUT. Exit codes are those of `tunegate run`.
#
#   RECIPE     the recipe with the test rows and the gate
#   CANDIDATE  NAME@ALIAS, NAME@VERSION or a folder; empty: train one with the recipe, without promoting it
#   OUT        a folder, created if absent
#
# Without TUNEGATE_S3_ENDPOINT an empty embedded store would be used, which has no champion to compare with.
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
