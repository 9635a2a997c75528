#!/usr/bin/env bash
# Fuzzes for a long time what the tests fuzz for a moment: every fuzz target in
# turn, then the BPF program against its model on ten million frames.
# FUZZ_TIME is how long each target runs, ORACLE_RUNS how many sequences of 1,000
# frames the program is compared on.
set -euo pipefail
cd "$(dirname "$0")/.."

time=${FUZZ_TIME:-30s}
runs=${ORACLE_RUNS:-10000}

grep -rl --include='*_test.go' '^func Fuzz' . | sort | while read -r file; do
  package=$(dirname "$file")
  sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file" | while read -r target; do
    scripts/step.sh "fuzz $package $target for $time" \
      go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package" </dev/null
  done
done
scripts/step.sh "compare the program with its model on $runs x 1,000 frames" \
  go test -count=1 -timeout 12h -run '^TestProgramDoesWhatTheModelSays$' ./internal/datapath -rapid.checks="$runs" -oracle-frames=1000
echo "fuzz: no target failed"
