#!/usr/bin/env bash
# Builds the multi-call binary, or finds it built already, and prints its path.
#
# The binary takes minutes to build and changes rarely, so it is cached under a
# key of everything that goes into it. Only the path goes to stdout: callers
# read it with $(kube/build.sh). Progress and errors go to stderr.
set -euo pipefail

readonly kubernetes_version=v1.36.3
readonly build_date=1970-01-01T00:00:00Z # constant, so that equal sources give equal binaries
readonly keep=2                          # cache entries kept after a build
readonly need_mib=4096                   # free space a build from nothing takes, with some to spare

src=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
cache=${FAIRLEAD_CACHE:-${XDG_CACHE_HOME:-${HOME:-/var/cache}/.cache}/fairlead}/kube
work=                                    # scratch directory of a running build
build_pid=

say() { printf 'kube: %s\n' "$*" >&2; }

# fail WHAT WHY DO: what was attempted, why it did not work, what to do about it.
fail() {
	say "cannot $1"
	say "  why: $2"
	say "  do:  $3"
	exit 1
}

# The lab runs the binary here and without a C library in its root, whatever
# the caller's own builds are set up for.
set_go_environment() {
	unset GOOS GOARCH GOEXPERIMENT
	export CGO_ENABLED=0 GOWORK=off GOFLAGS=-mod=readonly
}

require_go() {
	command -v go >/dev/null || fail "build kube" "there is no 'go' command in PATH" \
		"install Go ($(sed -n 's/^go //p' "$src/go.mod") or newer), or put its bin directory into PATH"
	go_version=$(cd "$src" && go version 2>&1) || fail "run 'go version'" "$go_version" \
		"install the Go version that kube/go.mod asks for"
}

# Test files do not go into the binary, so they do not go into its key.
cache_key() {
	local f files=()
	for f in "$src"/*.go; do
		[[ $f == *_test.go ]] || files+=("${f##*/}")
	done
	(cd "$src" && sha256sum -- "${files[@]}" go.mod go.sum build.sh && printf '%s\n' "$go_version") |
		sha256sum | cut -c1-64
}

# Prints the binary's path if it is there, and marks the entry as used for prune.
cached() {
	[[ -x $cache/$key/kube ]] || return 1
	touch -c -- "$cache/$key" 2>/dev/null || true
	printf '%s\n' "$cache/$key/kube"
}

# Two concurrent callers would each take all processors for minutes; the second
# waits for the first instead and then finds the binary in the cache.
lock() {
	mkdir -p -- "$cache" 2>/dev/null || fail "create the cache directory $cache" \
		"$(mkdir -p -- "$cache" 2>&1 || true)" "set FAIRLEAD_CACHE to a directory that can be written"
	exec 9>"$cache/.lock" || fail "lock the cache" "$cache/.lock cannot be written" \
		"set FAIRLEAD_CACHE to a directory that can be written"
	flock -n 9 && return
	say "another build is running; waiting for it"
	flock 9
}

cleanup() {
	trap - EXIT INT TERM
	if [[ -n $build_pid ]]; then
		kill -INT "$build_pid" 2>/dev/null || true # go removes its scratch files only on this signal
		wait "$build_pid" 2>/dev/null || true
	fi
	[[ -z $work ]] || rm -rf -- "$work"
}

# Asks about the nearest directory that exists, as the caches may not yet.
free_mib() {
	local dir=$1
	while [[ ! -d $dir ]]; do dir=$(dirname -- "$dir"); done
	df -Pm -- "$dir" | awk 'NR == 2 { print $4 }'
}

# A warning only: how much is needed depends on what Go has cached already.
warn_if_disk_is_low() {
	local dir free
	for dir in "$cache" "$(go env GOCACHE)" "$(go env GOMODCACHE)" "${TMPDIR:-/tmp}"; do
		free=$(free_mib "$dir") || continue
		((free >= need_mib)) ||
			say "warning: $dir has ${free} MiB free; a first build needs about ${need_mib} MiB"
	done
}

# explain ATTEMPT: turns the log of a failed go command into an error and exits.
explain() {
	local log=$work/log last
	grep -v '^go: downloading' "$log" | tail -n 5 >&2 || true
	last=$(grep -v '^go: downloading' "$log" | tail -n 1)
	if grep -q 'no space left on device' "$log"; then
		fail "$1" "a disk is full" "free about ${need_mib} MiB, or set GOCACHE, GOMODCACHE, TMPDIR and FAIRLEAD_CACHE to a larger disk (go clean -cache empties Go's build cache)"
	fi
	if grep -Eq 'dial tcp|no such host|proxyconnect|i/o timeout|TLS handshake|module lookup disabled|reading https?://|Get "https?://' "$log"; then
		fail "$1" "a module could not be downloaded (GOPROXY=$(go env GOPROXY)): $last" \
			"check the network, or set GOPROXY to a proxy that can be reached"
	fi
	if grep -Eq 'signal: killed|cannot allocate memory' "$log"; then
		fail "$1" "the machine ran out of memory" "free memory, or run it with GOMAXPROCS=1"
	fi
	fail "$1" "${last:-it printed no error}" "see the output above; if go.mod changed, run 'go mod tidy' in kube"
}

version_flags() {
	local pkg minor=${kubernetes_version#v1.}
	for pkg in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
		printf -- '-X %s.%s ' \
			"$pkg" "gitVersion=$kubernetes_version" "$pkg" gitMajor=1 "$pkg" "gitMinor=${minor%%.*}" \
			"$pkg" gitCommit= "$pkg" gitTreeState=clean "$pkg" "buildDate=$build_date"
	done
}

# In a subshell, so that it can replace it: the process to kill is go itself. It
# must not inherit the lock, which would outlive this script.
go_build() (
	cd "$src"
	exec go build "$@" -trimpath -buildvcs=false \
		-ldflags "-s -w $(version_flags)" -o "$work/kube" . 9>&-
)

elapsed() { printf '%dm%02ds' $((SECONDS / 60)) $((SECONDS % 60)); }

downloading() {
	local count
	count=$(grep -c '^go: downloading' "$work/log") || true
	printf 'kube: resolving modules: %d downloaded, %s' "$count" "$(elapsed)"
}

# go build -v names each package as it starts on it; when all are named, what
# remains is linking.
compiling() {
	local count
	count=$(grep -c -v '^go: ' "$work/log") || true
	if ((count < total)); then
		printf 'kube: compiling: package %d of %d, %s' "$count" "$total" "$(elapsed)"
	else
		printf 'kube: linking, %s' "$(elapsed)"
	fi
}

# show_progress STATUS: a line that rewrites itself on a terminal, and a new line
# every few seconds elsewhere, for as long as go runs.
show_progress() {
	local tick=0
	while kill -0 "$build_pid" 2>/dev/null; do
		if [[ -t 2 ]]; then
			printf '\r%s\033[K' "$("$1")" >&2
		elif ((tick++ % 5 == 0)); then
			printf '%s\n' "$("$1")" >&2
		fi
		sleep 1
	done
	[[ ! -t 2 ]] || printf '\r\033[K' >&2
}

# run_go STATUS ATTEMPT ARGUMENT...
run_go() {
	local status=$1 attempt=$2
	shift 2
	: >"$work/log"
	go_build "$@" >>"$work/log" 2>&1 &
	build_pid=$!
	show_progress "$status"
	wait "$build_pid" || { build_pid=; explain "$attempt"; }
	build_pid=
}

# A dry run comes first: it downloads what is missing, so that a network failure
# says what it is, and it tells how many packages are to be compiled.
build() {
	run_go downloading "resolve the modules of Kubernetes $kubernetes_version" -n
	total=$(grep -c '/compile -o ' "$work/log") || true
	say "building Kubernetes $kubernetes_version: $total packages to compile (from nothing, about ten minutes on two processors)"
	run_go compiling "compile Kubernetes $kubernetes_version" -v
}

# The rename makes the entry appear whole or not at all.
install_binary() {
	{ mkdir -p -- "$cache/$key" && mv -f -- "$work/kube" "$cache/$key/kube"; } ||
		fail "put the binary into $cache/$key" "the directory cannot be written" "check its owner and mode"
	say "built in $(elapsed)"
}

# find fails on processes that end meanwhile; what counts is what it prints.
in_use() { [[ -n $(find /proc/[0-9]*/exe -lname "$1/*" -print -quit 2>/dev/null || true) ]]; }

# Entries that a running lab was started from stay, however old: it starts new
# processes from the same file.
prune() {
	local entry n=0
	while IFS= read -r entry; do
		((++n <= keep)) || in_use "$entry" || rm -rf -- "$entry"
	done < <(find "$cache" -mindepth 1 -maxdepth 1 -type d ! -name '.*' -printf '%T@ %p\n' | sort -rn | cut -d' ' -f2-)
}

main() {
	set_go_environment
	require_go
	key=$(cache_key)
	! cached || return 0
	lock
	! cached || return 0
	trap cleanup EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	rm -rf -- "$cache"/.build.* # left by a build that was killed
	work=$(mktemp -d "$cache/.build.XXXXXX") || fail "create a directory in $cache" "see above" "check its owner and mode"
	warn_if_disk_is_low
	build
	install_binary
	prune
	cached
}

main
