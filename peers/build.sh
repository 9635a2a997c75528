#!/usr/bin/env bash
# Builds a peer, or finds it built already, and prints the path of its binary.
# usage: build.sh aws-cloud-controller-manager
#
# The peers' sources are what go.mod pins, unmodified. The binary is cached under
# a key of everything that goes into it. Only the path goes to stdout: callers
# read it with $(peers/build.sh ...). Progress and errors go to stderr.
set -euo pipefail

src=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
cache=${FAIRLEAD_CACHE:-${XDG_CACHE_HOME:-${HOME:-/var/cache}/.cache}/fairlead}/peers
unset GOOS GOARCH GOEXPERIMENT
export CGO_ENABLED=0 GOWORK=off GOFLAGS=-mod=readonly

# The tools of go.mod are the peers; the last word of a path names a peer.
package=$(cd "$src" && go list -f '{{.ImportPath}}' tool | grep "/${1:-}\$") || {
  echo "peers: go.mod has no peer '${1:-}'" >&2
  echo "  next: name one of: $(cd "$src" && go list -f '{{.ImportPath}}' tool | sed 's|.*/||' | tr '\n' ' ')" >&2
  exit 2
}
module=$(cd "$src" && go list -f '{{.Module.Path}} {{.Module.Version}}' "$package")
key=$( (cd "$src" && sha256sum go.mod go.sum build.sh && go version && echo "$package") | sha256sum | cut -c1-64)
binary=$cache/$key/$1

if [[ ! -x $binary ]]; then
  mkdir -p -- "$cache/$key"
  exec 9>"$cache/.lock"
  flock 9 # a second caller waits for the first and then finds the binary
fi
if [[ ! -x $binary ]]; then
  "$src/../scripts/step.sh" "build ${module/ /@} unmodified (minutes when cold, cached by content)" \
    nice go build -C "$src" -trimpath -buildvcs=false -ldflags '-s -w' -o "$binary.$$" "$package" 9>&-
  mv -f -- "$binary.$$" "$binary" # appears whole or not at all
fi
printf '%s\n' "$binary"
