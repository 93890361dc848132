# Needs Go, git and make; `make help` lists the targets. Nothing here is
# needed to use the modules: `go build work` at the top does as well.

SHELL     := /bin/bash -o pipefail
GO        ?= go
TOOLS     := bin/tools
CTST      := bin/ctst
GUESTBOOK := examples/guestbook
STACK     := $(GUESTBOOK)/guestbook.ctst
MODULES   := cli core graph lang observe sdk storage vm
PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

# The guestbook's project, named before the command: `logs -f` follows.
RUN      := $(CTST) -f $(STACK)
RUN_WITH := GUESTBOOK_TITLE=Ours $(CTST) -f $(STACK)

# The race detector needs cgo, and cgo a C compiler. Asked when it is used,
# because hack/setup may install one first.
RACE = $(if $(filter 1,$(shell $(GO) env CGO_ENABLED)),-race)

# As root on Linux the kernel suites must run: a skip fails.
comma   := ,
REQUIRE := $(if $(filter Linux-0,$(shell uname -s)-$(shell id -u)),root$(comma)kernel$(comma)rootless)

# Works while go.work does not.
MODSYNC := cd hack && GOWORK=off $(GO) run ./modsync

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## bin/ctst, one static program
	CGO_ENABLED=0 $(GO) build -trimpath -o $(CTST) ./modules/cli/cmd/ctst

# ---- the demonstration

.PHONY: demo
demo: build ## deploy the guestbook, ask it something, leave it running
	@if [ "$$(uname -s)" != Linux ]; then echo "make demo needs Linux for now"; exit 1; fi
	$(GO) -C $(GUESTBOOK) run ./build
	@$(GO) -C hack build -o ../bin/leftovers ./leftovers
	@if [ -z "$$($(RUN) ps -q 2>/dev/null)" ]; then bin/leftovers -save bin/before-demo; fi
	$(RUN) run -d
	@echo; echo "Signing the guestbook at http://127.0.0.1:8080 and reading it back:"
	@$(GO) -C $(GUESTBOOK) run ./visit http://127.0.0.1:8080 "Hello from $$(uname -n)"
	@echo
	$(RUN) ps
	@echo
	@echo "It works. Now look at it:"
	@echo "  in a browser     http://127.0.0.1:8080"
	@echo "  its output       $(RUN) logs"
	@echo "  inside           $(RUN) exec store /store --help"
	@echo "  a change         $(RUN_WITH) run -d"
	@echo "  stop and check   make demo-stop"

.PHONY: demo-stop
demo-stop: build ## stop the guestbook and check that nothing is left
	$(RUN) stop
	@$(GO) -C hack build -o ../bin/leftovers ./leftovers
	@bin/leftovers -since bin/before-demo
	@echo "Kept: the entries, in $(GUESTBOOK)/.containust (make clean removes them)."

# ---- tests

.PHONY: test
test: ## everything that must hold, with its own set-up
	hack/setup test
	$(GO) build work
	$(GO) vet work
	$(MAKE) --no-print-directory test-race
	@$(if $(REQUIRE),$(MAKE) --no-print-directory test-limits,echo "Not run, since you are not root: make test-limits")
	$(MAKE) --no-print-directory rehearse

.PHONY: test-race
test-race: ## the tests of all modules, with the race detector where there is a C compiler
	CTST_TEST_REQUIRE=$(REQUIRE) $(GO) test $(RACE) -timeout 10m work

.PHONY: test-unit
test-unit: ## the tests of all modules, fast: cached, no race detector
	$(GO) test -timeout 10m work

.PHONY: test-long
test-long: ## the attacks that race, many more times, 10,000 launches, and 200 moments of each fault
	CTST_TEST_LONG=1 CTST_TEST_REQUIRE=$(REQUIRE) $(GO) test -count=1 -timeout 60m ./integration/security ./integration/faults
	CTST_TEST_LONG=1 CTST_TEST_REQUIRE=$(REQUIRE) $(GO) test -count=1 -timeout 60m -run 'Endurance|Unreadable|ManyAtOnce|LogsSurviveKills' ./modules/core/sandbox ./modules/sdk/native

.PHONY: test-limits
test-limits: ## limits, which need cgroup v2, in a guest with Debian's kernel (QEMU)
	hack/setup test-vm
	$(GO) run ./integration/guest -run 'TestScripts/limits|Limit' ./modules/core/cgroup ./modules/sdk/native ./integration

.PHONY: test-vm
test-vm: ## all kernel suites in a guest with Debian's kernel and cgroup v2 (QEMU)
	hack/setup test-vm
	$(GO) run ./integration/guest

.PHONY: test-systemd
test-systemd: ## scopes of systemd, as root and as a user, in a guest that it runs (QEMU)
	hack/setup test-vm
	$(GO) run ./integration/guest -systemd

.PHONY: bench
bench: ## launch latency beside crun, runc, podman and bwrap, in one run
	hack/setup bench
	$(GO) run ./integration/bench

.PHONY: rehearse
rehearse: ## release HEAD to a temporary repository and use it from outside
	@$(MODSYNC) rehearse

# ---- care

.PHONY: lint
lint: $(TOOLS)/golangci-lint ## the linter, and the modules in step
	$(TOOLS)/golangci-lint run $$($(GO) list -m -f '{{.Dir}}/...')
	@$(MODSYNC) check

.PHONY: fmt
fmt: $(TOOLS)/golangci-lint ## format all Go code
	$(TOOLS)/golangci-lint fmt

.PHONY: fix
fix: $(TOOLS)/golangci-lint ## format, and mend what the linter can mend itself
	$(TOOLS)/golangci-lint run --fix $$($(GO) list -m -f '{{.Dir}}/...')

.PHONY: vuln
vuln: $(TOOLS)/golangci-lint ## known vulnerabilities in what we use (asks vuln.go.dev)
	for m in $(MODULES); do $(TOOLS)/govulncheck -C modules/$$m ./... || exit 1; done

.PHONY: tidy
tidy: ## tidy every go.mod and go.sum
	@$(MODSYNC) tidy

.PHONY: sync
sync: ## write the versions of versions.yaml to every go.mod and go.work
	@$(MODSYNC) sync

.PHONY: cross
cross: ## vet and link every module, tests too, for every platform
	@for p in $(PLATFORMS); do \
		for m in $(MODULES); do \
			echo "$$p $$m"; \
			export GOOS=$${p%/*} GOARCH=$${p#*/} CGO_ENABLED=0; \
			$(GO) vet ./modules/$$m/... && \
			$(GO) test -c -o /dev/null ./modules/$$m/... >/dev/null || exit 1; \
		done; \
	done

.PHONY: clean
clean: ## remove what was built, and the guestbook's data
	@if [ -d $(GUESTBOOK)/.containust ] && [ -x $(CTST) ] && [ -f $(STACK) ]; then $(RUN) rm --force --volumes; fi
	rm -rf $(GUESTBOOK)/.containust
	rm -rf bin dist $(GUESTBOOK)/images $(STACK)

# All pinned tools come from one build; it takes minutes once.
$(TOOLS)/golangci-lint: hack/tools/go.mod hack/tools/go.sum
	@echo "building the tools (once)"
	GOWORK=off $(GO) -C hack/tools build -trimpath -o ../../$(TOOLS)/ tool
	@touch $@
