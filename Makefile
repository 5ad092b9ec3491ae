# Squall. `make help` lists the targets.
SHELL := bash
.DEFAULT_GOAL := help

CACHE     := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/squall
SCENARIOS ?= scenarios
OUT       ?= out
# The race detector needs a C compiler; without one the tests run without it.
RACE      := $(if $(shell command -v $(or $(CC),gcc) 2>/dev/null),-race)

export CGO_ENABLED := $(if $(RACE),1,0)

.PHONY: help build k6 test test-k6 chaos prove lint schema fmt bench doctor clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/squall and bin/shop
	CGO_ENABLED=0 go build -o bin/ ./runner/cmd/squall
	CGO_ENABLED=0 go build -o bin/shop ./sample-system

k6: ## build k6 with the squall extension, once; it is cached
	@CGO_ENABLED=0 runner/load/xk6-squall/build >/dev/null

chaos: build k6 ## run every scenario against the sample system
	bin/squall run --out $(OUT) --junit $(OUT)/junit.xml $(SCENARIOS)

prove: build k6 ## switch on every claimed defect and require red
	bin/squall prove --out $(OUT)/prove $(SCENARIOS)

test: build test-k6 ## run all tests
	go test $(RACE) ./...

test-k6: k6 ## run the tests of the k6 extension, and of the runner with the real k6
	cd runner/load/xk6-squall && CGO_ENABLED=0 go test ./...
	SQUALL_K6=$$(CGO_ENABLED=0 runner/load/xk6-squall/build) go test -tags k6 ./runner/load

lint: ## formatting, vet and staticcheck (pinned in go.mod)
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt would change:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet -stdmethods=false ./...
	go tool staticcheck ./...

schema: build ## write the JSON Schemas that editors use
	bin/squall schema scenario >scenarios/schema/scenario.json
	bin/squall schema system >scenarios/schema/system.json

fmt: ## format all Go files
	gofmt -w $$(git ls-files '*.go')

bench: ## benchmarks against peers, as ratios
	go test -run '^$$' -bench . ./bench/...

doctor: build ## say what this machine lacks
	bin/squall doctor

clean: ## remove what was built and what runs wrote; the cached k6 stays
	rm -rf bin $(OUT)
