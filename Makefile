# 関守 sekimori. `make` or `make help` lists what can be made.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

GO        ?= go
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
PROGRAMS  := ./agent/cmd/sekimori-agent ./hub/cmd/sekimori-hub ./firmware-sim/cmd/sekimori-sim
PLATFORMS := linux/amd64 linux/arm64 linux/arm windows/amd64
FUZZTIME  ?= 30s
FUZZPACKETS ?= 1000000

# No C compiler: the same sources build the same program on every machine. The
# version is passed in, because a checkout without git must build too.
export CGO_ENABLED := 0
export GOARM := 7
BUILDFLAGS = -trimpath -buildvcs=false -ldflags '-s -w -X sekimori/internal/version.Version=$(VERSION)'

TESTGATE = $(GO) run ./internal/tools/testgate
# End-to-end tests start whole programs; everything else is a unit test.
UNIT = $$($(GO) list ./... | grep -v '^sekimori/internal/e2e')

.PHONY: help run test unit race fuzz interop bench lint build build-all e2e smoke vm-test trace golden clean

help: ## この一覧 · this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z][a-z0-9-]*:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## 作って動かす (hub・扉・人の模擬) · build, then run a hub with pretend doors
	scripts/run.sh

build: ## bin/ に 3 つのプログラムを作る · build the three programs into bin/
	@mkdir -p bin
	$(GO) build $(BUILDFLAGS) -o bin/ $(PROGRAMS)

build-all: ## bin/<os>-<arch>/ に全機種分を作る · build for every platform
	@for p in $(PLATFORMS); do \
		export GOOS=$${p%/*} GOARCH=$${p#*/}; mkdir -p bin/$$GOOS-$$GOARCH; \
		echo "build $$p"; $(GO) build $(BUILDFLAGS) -o bin/$$GOOS-$$GOARCH/ $(PROGRAMS); \
	done

test: ## CI と同じ全部 (検査・試験・全機種・通し) · everything CI runs
	scripts/test.sh

# staticcheck is the tool of go.mod, built for this machine first: `go tool` would
# build it for GOOS.
lint: ## 書式・vet・staticcheck (Linux と Windows) · format, vet, staticcheck
	@bad=$$(gofmt -l .); if [ -n "$$bad" ]; then echo "gofmt -w:"; echo "$$bad"; exit 1; fi
	@mkdir -p bin/tools; $(GO) build -buildvcs=false -o bin/tools/ honnef.co/go/tools/cmd/staticcheck
	@for os in linux windows; do echo "lint $$os"; export GOOS=$$os; $(GO) vet ./...; bin/tools/staticcheck ./...; done
	@echo "lint simtime"; $(GO) vet -tags simtime ./...; bin/tools/staticcheck -tags simtime ./...

unit: ## 単体試験 · unit tests
	@$(TESTGATE) -label unit $(if $(TALLY),-tally $(TALLY)) -- -count=1 $(UNIT)

e2e: ## 通し試験 (模擬時刻、実プロセス) · end to end, simulated time, real processes
	@$(TESTGATE) -label e2e $(if $(TALLY),-tally $(TALLY)) -each -- -count=1 -timeout 30m -tags simtime ./internal/e2e/...

smoke: ## 通し試験 (実時間の小さな組) · end to end in real time, a small set
	@$(TESTGATE) -label smoke $(if $(TALLY),-tally $(TALLY)) -each -- -count=1 -timeout 15m ./internal/e2e/...

race: ## 競合検出付きの単体試験 (gcc が必要) · unit tests under the race detector
	@scripts/need.sh gcc
	@CGO_ENABLED=1 $(TESTGATE) -label race -- -count=1 -race $(UNIT)

fuzz: ## 各 fuzz を FUZZTIME ずつ、broker に乱れた電文 FUZZPACKETS 個 · fuzz every target
	FUZZTIME=$(FUZZTIME) FUZZPACKETS=$(FUZZPACKETS) scripts/fuzz.sh

interop: ## libosdp との相互接続 (場所は LIBOSDP_DIR) · OSDP with libosdp, if it is there
	scripts/interop.sh

bench: build ## 性能測定 (合否なし)、BENCH=. で部品も · measurements, never pass or fail
	scripts/bench.sh

vm-test: ## GPIO を本物の Linux カーネルで試す (QEMU と gpio-sim、1 分ほど) · GPIO on a real kernel in QEMU
	scripts/vm-test.sh

trace: ## 条項との対応表 TRACEABILITY.md を書く · write the traceability page
	$(GO) run ./internal/traceability/trace

golden: ## 試験の見本を書き直す (差分を読むこと) · write golden files again, then read the diff
	$(GO) test ./internal/settings -update

clean: ## bin/ を消す · remove bin/
	rm -rf bin
