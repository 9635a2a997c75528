#!/usr/bin/env bash
# Builds Kubernetes' LoadBalancer specs, or finds them built already, and prints
# the path of the binary.
set -euo pipefail

src=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
exec "$src/../scripts/cached-build.sh" "Kubernetes' LoadBalancer specs" e2e "$src" ./e2e -tags e2e -- e2e/main.go e2e/build.sh
