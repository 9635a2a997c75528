#!/usr/bin/env bash
# Walks all faults: each call of each phase of a Service's life, and each way in
# which a call can go wrong. Prints each phase as it ends, what is wrong at once,
# and the number of cases last.
set -euo pipefail
cd "$(dirname "$0")/.."

FAIRLEAD_KUBE=$(kube/build.sh)
export FAIRLEAD_KUBE

phase='' cases=0 mark=✓ begun=0
over() { [[ -z $phase ]] || printf ' %s %s: %d cases (%d s)\n' "$mark" "${phase//_/ }" "$cases" $((SECONDS - begun)); }

# progress makes lines for people of what 'go test -v' prints.
progress() {
  local line
  while IFS= read -r line; do
    case $line in
      '=== RUN   TestFaultWalk/'*/*) ((++cases)) ;;
      '=== RUN   TestFaultWalk/'*) over; phase=${line##*/} cases=0 mark=✓ begun=$SECONDS ;;
      *'fault walk: '*) over; phase=''; echo "${line##*_test.go:*: }" ;;
      *_test.go:*) mark=✗; echo "$line" ;;
      '--- FAIL'* | ' '*'--- FAIL'* | FAIL* | ok*) echo "$line" ;;
      panic*) echo "$line"; cat ;;
    esac
  done
}

echo "fault walk: about 2,000 cases in some forty phases, ten minutes or so on two free processors"
FAIRLEAD_FAULTS=all go test -timeout 120m -count=1 -v -run '^TestFaultWalk$' ./internal/controller | progress
