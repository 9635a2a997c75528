#!/usr/bin/env bash
# Builds a peer, or finds it built already, and prints the path of its binary.
# usage: build.sh aws-cloud-controller-manager
#
# The peers' sources are what go.mod pins, unmodified.
set -euo pipefail

src=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)

# The tools of go.mod are the peers; the last word of a path names a peer.
tools() { cd "$src" && GOWORK=off GOFLAGS=-mod=readonly go list -f "$1" tool; }
package=$(tools '{{.ImportPath}}' | grep "/${1:-}\$") || {
  echo "peers: go.mod has no peer '${1:-}'" >&2
  echo "  next: name one of: $(tools '{{.ImportPath}}' | sed 's|.*/||' | tr '\n' ' ')" >&2
  exit 2
}
module=$(tools '{{if eq .ImportPath "'"$package"'"}}{{.Module.Path}} {{.Module.Version}}{{end}}' | grep .)
exec "$src/../scripts/cached-build.sh" "${module/ /@} unmodified" peers "$src" "$package" -- build.sh
