#!/usr/bin/env bash
# Runs a command that may take a while: says what it does, keeps the terminal
# alive with the elapsed time, and shows the command's output only on failure.
# usage: step.sh "what it does" command [args...]
set -euo pipefail
what=$1; shift
log=$(mktemp)
trap 'rm -f "$log"' EXIT
start=$SECONDS
"$@" >"$log" 2>&1 &
pid=$!
next=5
while kill -0 "$pid" 2>/dev/null; do
  sleep 0.2
  if (( SECONDS - start >= next )); then
    echo "   … $what ($((SECONDS - start)) s)" >&2
    next=$((next * 2 > next + 30 ? next + 30 : next * 2))
  fi
done
if wait "$pid"; then
  echo " ✓ $what ($((SECONDS - start)) s)" >&2
else
  code=$?
  echo " ✗ $what: '$*' ended with code $code; its output:" >&2
  sed 's/^/   | /' "$log" >&2
  exit "$code"
fi
