#!/usr/bin/env bash
# Explores for a long time what the tests try for a moment: every property test
# on cases that no run has drawn before, every fuzz target in turn, then the BPF
# program against its model on ten million frames.
# RAPID_CHECKS is how many cases each property is checked on, FUZZ_TIME how long
# each target runs, ORACLE_RUNS how many sequences of 1,000 frames the program is
# compared on.
set -euo pipefail
cd "$(dirname "$0")/.."

checks=${RAPID_CHECKS:-10000}
time=${FUZZ_TIME:-30s}
runs=${ORACLE_RUNS:-10000}
unset RAPID_SEED # chance chooses; what fails prints the seed to repeat it with

# Prints "file test" for each test that checks a property.
properties() {
  grep -rl --include='*_test.go' 'rapid\.Check(' . | sort | xargs awk '
    /^func Test/ { test = $2; sub(/\(.*/, "", test) }
    /rapid\.Check\(/ && test != last { print FILENAME, test; last = test }'
}

oracle=TestProgramDoesWhatTheModelSays
properties | grep -v " $oracle\$" | while read -r file test; do
  package=$(dirname "$file")
  scripts/step.sh "check $package $test on $checks cases" \
    go test -count=1 -timeout 2h -run "^$test\$" "$package" -rapid.checks="$checks" </dev/null
done
grep -rl --include='*_test.go' '^func Fuzz' . | sort | while read -r file; do
  package=$(dirname "$file")
  sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file" | while read -r target; do
    scripts/step.sh "fuzz $package $target for $time" \
      go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package" </dev/null
  done
done
scripts/step.sh "compare the program with its model on $runs x 1,000 frames" \
  go test -count=1 -timeout 12h -run "^$oracle\$" ./internal/datapath -rapid.checks="$runs" -oracle-frames=1000
echo "fuzz: no property and no target failed"
