#!/usr/bin/env bash
# Fails when a committed file differs from what the generators and formatters make.
set -euo pipefail
cd "$(dirname "$0")/.."
gofmt -w cmd internal test
go mod tidy
if ! git diff --exit-code --stat; then
  echo "verify: generated or formatted files differ from the committed ones (above)" >&2
  echo "  next: commit the result of 'make generate' and 'gofmt -w cmd internal test'" >&2
  exit 1
fi
echo "verify: nothing differs"
