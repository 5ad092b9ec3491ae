# Squall. `make help` lists the targets.
SHELL := bash
.DEFAULT_GOAL := help

SCENARIOS ?= scenarios
# Only scenarios with one of these tags: make prove TAGS=smoke.
TAGS      ?=
# How many shops make chaos has at a time, each isolated from the others.
PARALLEL  ?= 2
OUT       ?= out
# Builds k6 with our extension unless that very one is cached; prints its path.
K6        := CGO_ENABLED=0 runner/load/xk6-squall/build
# The race detector needs a C compiler; without one the tests run without it.
RACE      := $(if $(shell command -v $(or $(CC),gcc) 2>/dev/null),-race)

export CGO_ENABLED := $(if $(RACE),1,0)
# Where PostgreSQL is not installed, the tests that run on both databases run on SQLite alone, and say so.
export SQUALL_NO_POSTGRES := $(if $(wildcard /usr/lib/postgresql/*/bin/postgres)$(shell command -v postgres 2>/dev/null),,1)

.PHONY: help build k6 test test-unit crash-test crash-days test-k6 test-e2e test-compose chaos prove third-party images lint schema catalogue fmt bench aa soak doctor clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/squall and bin/shop
	CGO_ENABLED=0 go build -o bin/ ./runner/cmd/squall
	CGO_ENABLED=0 go build -o bin/shop ./sample-system

k6: ## build k6 with the squall extension, once; it is cached
	@$(K6) >/dev/null

# Where the shop of make chaos runs: process, or compose (containers, docker-compose.yml).
TARGET    ?= process
chaos: build k6 $(if $(filter compose,$(TARGET)),images) ## a scenario for each resilience system of the sample shop (TAGS=smoke: the short suite; PARALLEL)
	SQUALL_K6=$$($(K6)) bin/squall run --out $(OUT) --junit $(OUT)/junit.xml --parallel $(PARALLEL) --tag $(or $(TAGS),full) $(if $(filter compose,$(TARGET)),--system sample-system/compose.yaml) $(SCENARIOS)

images: build ## the shop's image: FROM scratch with the one static binary
	printf 'FROM scratch\nCOPY shop /shop\nENTRYPOINT ["/shop"]\n' >bin/Dockerfile
	cd bin && tar -c Dockerfile shop | DOCKER_BUILDKIT=0 docker build -q -t squall-shop -

prove: build k6 ## switch on every claimed defect and require red (TAGS=smoke)
	SQUALL_K6=$$($(K6)) bin/squall prove --out $(OUT)/prove --junit $(OUT)/prove.xml $(if $(TAGS),--tag $(TAGS)) $(SCENARIOS)

third-party: build k6 ## servers nobody here wrote (httpd, PgBouncer, PostgreSQL, MariaDB): good configurations green, bad ones red
	SQUALL_K6=$$($(K6)) bin/squall prove --out $(OUT)/third-party --junit $(OUT)/third-party.xml scenarios/third-party

test: test-unit test-k6 test-e2e ## run all tests

test-unit: ## run the tests that need neither k6 nor the built binaries
	go test -timeout 20m $(RACE) ./...

CRASH_N   ?= 200
crash-test: ## kill runners with -9 at random points of all fault kinds: every world must be as before (CRASH_N, CRASH_SEED)
	CRASH_N=$(CRASH_N) CRASH_SEED=$(CRASH_SEED) go test -run TestCrashes -count 1 -timeout 30m -v ./runner/inject

CRASH_DAYS ?= 100
crash-days: ## kill the runners of game days with -9 at random points: nothing may be left (CRASH_DAYS)
	GAMEDAY_CRASH_N=$(CRASH_DAYS) go test -run TestGameDayCrashes -count 1 -timeout 120m -v ./runner/app

test-k6: k6 ## run the tests of the k6 extension, and of its driver with the real k6
	cd runner/load/xk6-squall && CGO_ENABLED=0 go test ./...
	SQUALL_K6=$$($(K6)) go test -tags k6 ./runner/load

test-e2e: build k6 ## run the tests that boot the shop: killed, interrupted and silent runners, runs without evidence, its variants
	SQUALL_K6=$$($(K6)) go test -timeout 30m -tags e2e -run ^TestE2E ./runner/app ./runner/squalltest
	go test -timeout 30m -tags e2e ./sample-system

test-compose: ## run the tests of compose projects with docker's own plugin, built once from its source
	DOCKER_CONFIG=$$(runner/targets/compose/plugin) go test -count 1 -timeout 10m -run 'Compose|Shop' ./runner/targets/compose ./runner/targets/process

lint: ## formatting, vet and staticcheck (pinned in go.mod)
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt would change:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet -stdmethods=false -tags aa,e2e,k6,soak ./...
	go tool staticcheck -tags aa,e2e,k6,soak ./...

schema: build ## write the JSON Schemas that editors use, and the reference
	bin/squall explain all >docs/REFERENCE.md
	bin/squall schema scenario >scenarios/schema/scenario.json
	bin/squall schema system >scenarios/schema/system.json
	bin/squall schema verdict >reports/schema/verdict.json
	bin/squall schema gameday >scenarios/schema/gameday.json

catalogue: build ## write the catalogue of scenarios, scenarios/README.md
	bin/squall list scenarios --markdown >scenarios/README.md

fmt: ## format all Go files
	gofmt -w $$(git ls-files '*.go')

bench: build k6 ## benchmarks against peers and limits, as ratios
	SQUALL_BIN=$(CURDIR)/bin/squall SQUALL_K6=$$($(K6)) go test -run '^$$' -bench . -benchtime 1x -timeout 30m ./bench ./reports

AA_RUNS   ?= 100
aa: build k6 ## how often identical systems are told apart, and a slower one is not (AA_RUNS)
	AA_RUNS=$(AA_RUNS) SQUALL_BIN=$(CURDIR)/bin/squall SQUALL_K6=$$($(K6)) CGO_ENABLED=0 go test -tags aa -run 'TestSameAgainstSame|TestHalfSlowerIsFound' -count 1 -timeout 60m -v ./bench

SOAK_FOR  ?= 5m
soak: ## kill random processes of the shop under load, then close its books (SOAK_FOR, SOAK_SEED)
	SOAK_FOR=$(SOAK_FOR) go test -tags soak -run TestSoak -count 1 -timeout 60m -v ./sample-system

doctor: build ## say what this machine lacks
	bin/squall doctor

clean: ## remove what was built and what runs wrote; the cached k6 stays
	rm -rf bin $(OUT)
