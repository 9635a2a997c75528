#!/usr/bin/env bash
# Builds a program of a big module, or finds it built already, and prints its
# path: only that goes to stdout, progress and errors to stderr.
# usage: cached-build.sh "what it is" cache-name module-directory package [go build flags...] -- file...
#
# The binary is cached under a key of the files, of go.mod and go.sum beside
# them, and of Go itself: everything that goes into it when the package's other
# sources are what go.mod pins.
set -euo pipefail

what=$1 name=$2 module=$(cd -- "$3" && pwd) package=$4
shift 4
flags=()
while [[ $1 != -- ]]; do flags+=("$1"); shift; done
shift
cache=${FAIRLEAD_CACHE:-${XDG_CACHE_HOME:-${HOME:-/var/cache}/.cache}/fairlead}/$name
unset GOOS GOARCH GOEXPERIMENT
export CGO_ENABLED=0 GOWORK=off GOFLAGS=-mod=readonly

key=$( (cd "$module" && sha256sum -- go.mod go.sum "$@" && go version && echo "$package ${flags[*]}") | sha256sum | cut -c1-64)
binary=$cache/$key/${package##*/}

if [[ ! -x $binary ]]; then
  mkdir -p -- "$cache/$key"
  exec 9>"$cache/.lock"
  flock 9 # a second caller waits for the first and then finds the binary
fi
if [[ ! -x $binary ]]; then
  "$(dirname "$0")/step.sh" "build $what (minutes when cold, cached by content)" \
    nice go build -C "$module" -trimpath -buildvcs=false -ldflags '-s -w' "${flags[@]}" -o "$binary.$$" "$package" 9>&-
  mv -f -- "$binary.$$" "$binary" # appears whole or not at all
fi
printf '%s\n' "$binary"
