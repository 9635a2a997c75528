#!/usr/bin/env bash
# Runs every test of the repository: the packages first, then the walk, which
# needs the machine for itself.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ $(id -u) != 0 ]]; then
  echo "make test: the data path and the lab need root (namespaces, XDP)" >&2
  echo "  next: run 'sudo make test'" >&2
  exit 1
fi
FAIRLEAD_KUBE=$(kube/build.sh)
export FAIRLEAD_KUBE
# Property tests draw the same cases everywhere and every time: a change is what
# makes this run fail, never chance. New cases are what scripts/fuzz.sh is for.
export RAPID_SEED=${RAPID_SEED:-1}

unformatted=$(gofmt -l cmd internal test)
if [[ -n $unformatted ]]; then
  echo "gofmt: these files are not formatted: $unformatted" >&2
  echo "  next: run 'gofmt -w cmd internal test'" >&2
  exit 1
fi

echo "== packages"
packages=$(go list ./... | grep -v '/test/')
# shellcheck disable=SC2086 # a list of import paths
go test -timeout 30m $packages
echo "== the walk"
go test -timeout 30m -count=1 -v ./test/...
