#!/usr/bin/env bash
# Walks all faults: each call of each phase of a Service's life, and each way in
# which a call can go wrong. Prints the number of cases.
set -euo pipefail
cd "$(dirname "$0")/.."

FAIRLEAD_KUBE=$(kube/build.sh)
export FAIRLEAD_KUBE
FAIRLEAD_FAULTS=all go test -timeout 60m -count=1 -v -run '^TestFaultWalk' ./internal/controller |
  grep -E --line-buffered '^(--- |FAIL|ok|panic)|cases of|_test.go:'
