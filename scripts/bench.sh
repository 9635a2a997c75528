#!/usr/bin/env bash
# Runs the benchmarks; arguments go to the bench program (-only datapath,api).
set -euo pipefail
cd "$(dirname "$0")/.."
exec go run ./bench "$@"
