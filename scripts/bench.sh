#!/usr/bin/env bash
# Runs the benchmarks; arguments go to the bench program (-only datapath,api).
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install-packages.sh bench
exec go run ./bench "$@"
