#!/usr/bin/env bash
# Installs the Debian packages that are missing, and says nothing when none is.
# usage: install-packages.sh runtime|generate|bench
set -euo pipefail
cd "$(dirname "$0")"

# runtime: what the lab and the tests call. generate: what builds the BPF objects.
# bench: what loads the data path, and what it is measured against.
case "${1:-}" in
  runtime)  need=(nft:nftables ip:iproute2 /usr/bin/aws:awscli curl:curl wget:wget nc:netcat-openbsd) ;;
  generate) need=(clang-14:clang-14 llvm-strip-14:llvm-14 /usr/include/bpf/bpf_helpers.h:libbpf-dev) ;;
  bench)    need=(wrk:wrk haproxy:haproxy nginx:nginx-light /usr/lib/nginx/modules/ngx_stream_module.so:libnginx-mod-stream) ;;
  *) echo "usage: $0 runtime|generate|bench" >&2; exit 2 ;;
esac

missing=()
for n in "${need[@]}"; do
  what=${n%%:*}
  if [[ $what == /* ]]; then [[ -e $what ]] || missing+=("${n##*:}")
  else PATH=$PATH:/usr/sbin command -v "$what" >/dev/null || missing+=("${n##*:}"); fi
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

fail() {
  echo "install ${missing[*]}: $1" >&2
  echo "  next: $2" >&2
  exit 1
}
command -v apt-get >/dev/null || fail "this is not Debian (no apt-get)" "install the programs of these packages with your system's package manager, then run make again"
[[ $(id -u) == 0 ]] || fail "not running as root" "run 'sudo apt-get install ${missing[*]}', then make again"
export DEBIAN_FRONTEND=noninteractive
./step.sh "refresh the package lists" apt-get update
./step.sh "install ${missing[*]}" apt-get install -y --no-install-recommends "${missing[@]}"
