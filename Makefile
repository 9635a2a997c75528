# Targets are one line into a script or a Go tool; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X github.com/fairlead-lb/fairlead/internal/cli.Version=$(VERSION)
# gRPC's tracing pages bring html/template, which calls methods by name; with it
# the linker keeps every method of every type, and the binary has twice the size.
TAGS := grpcnotrace
export CGO_ENABLED := 0

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## install the Debian packages that the lab and the tests need
	@scripts/install-packages.sh runtime

build: ## build bin/fairlead and bin/fairlead-lab
	@scripts/step.sh "build bin/fairlead and bin/fairlead-lab" go build -tags '$(TAGS)' -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

kube: ## build the Kubernetes binary of the lab (minutes when cold, cached by content)
	@kube/build.sh >/dev/null

demo: deps build kube ## walk the blog post on a real small cluster (add ARGS=--keep to leave it up)
	@bin/fairlead-lab demo $(ARGS)

test: deps build kube ## run all tests, the walk included
	@scripts/test.sh

test-faults: kube ## make every AWS call and API server write of the controller go wrong in every way, once each (minutes)
	@scripts/test-faults.sh

lint: ## run the linters
	@scripts/step.sh "build the linter (cached)" go build -C tools -o ../bin/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@bin/golangci-lint run ./...

generate: ## regenerate the BPF objects and everything else that is generated
	@scripts/install-packages.sh generate
	@go generate ./...

verify: generate ## fail when regenerating or formatting changes a committed file
	@scripts/verify.sh

bench: build ## run the benchmarks and write bench/results.json
	@scripts/bench.sh $(ARGS)

peers: build kube ## prove that controllers of others work against the lab and the engine, unmodified
	@go run ./test/peers -cpa "$$(peers/build.sh aws-cloud-controller-manager)" $(ARGS)

fuzz: ## check every property on RAPID_CHECKS new cases, fuzz every parser for FUZZ_TIME each and the BPF program on ten million frames
	@scripts/install-packages.sh runtime
	@scripts/fuzz.sh

soak: deps build kube ## hold 1,000 connections while everything around them is disturbed (ARGS='-for 1h')
	@scripts/step.sh "build the soak" go build -o bin/ ./test/soak
	@FAIRLEAD_KUBE=$$(kube/build.sh) bin/soak $(ARGS)

e2e-upstream: build kube ## run Kubernetes' own LoadBalancer specs and write docs/reference/e2e.md (minutes)
	@scripts/e2e-upstream.sh $(ARGS)

clean: ## remove build results (caches stay)
	@rm -rf bin

.PHONY: help deps build kube demo test test-faults lint generate verify bench peers fuzz soak e2e-upstream clean
