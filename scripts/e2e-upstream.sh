#!/usr/bin/env bash
# Runs Kubernetes' own LoadBalancer specs in a lab, and writes what became of
# each into docs/reference/e2e.md. Arguments go to the test: -spec REGEXP, -logs DIR.
set -euo pipefail
cd "$(dirname "$0")/.."

FAIRLEAD_KUBE=$(kube/build.sh)
export FAIRLEAD_KUBE
runner=$(kube/e2e/build.sh)
exec go test -tags e2e -count=1 -v -timeout 90m ./test/upstream -args -runner "$runner" "$@"
