# wardfs: two commands do the set-up on a fresh Debian or Ubuntu.
#
#	make run     everything on this machine, mounted at MNT, until Ctrl-C
#	make test    every test
#
# `make help` lists the rest.

MNT     ?= $(if $(filter 0,$(shell id -u)),/mnt/ward,$(HOME)/ward)
DIR     ?=
PREFIX  ?= /usr/local
FUZZTIME ?= 30s

# The go that tests/setup.sh finds or installs; its own directory goes first
# so that gofmt and the tests' children are of the same version.
GO       = $(shell tests/setup.sh which-go)
go_path  = PATH="$(dir $(GO)):$$PATH"
# These cut the power at every operation of a disk: minutes as they are, an hour
# under the race detector, which sees the short form.
walks   := server/chunk/disk server/engine/pebble
version := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# With a C compiler the binary looks users and groups up as nsswitch.conf says
# (ADR 5); hosts are looked up by Go either way. CGO=0 makes it static.
CGO ?= $(shell command -v gcc >/dev/null && [ -e /usr/include/stdlib.h ] && echo 1 || echo 0)

# The tests that run the built binary.
system = harness owners posix coherence shared acl identity scale programs crash refusals bench/wardbench
space := $(subst ,, )

.PHONY: help run test check lint unit system build bench soak fuzz install clean setup-go setup-run setup-test

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12
	@echo "Variables: MNT=$(MNT) DIR=$(DIR) PREFIX=$(PREFIX) FUZZTIME=$(FUZZTIME)"

run: setup-run build ## build, start everything here, mount it at MNT; Ctrl-C ends it
	@MNT='$(MNT)' DIR='$(DIR)' tests/run.sh

test: lint unit system ## every test; installs what they need
	@echo "all tests passed"

check: test ## what continuous integration runs: lint and tests

build: setup-go ## bin/wardfs and nothing else
	CGO_ENABLED=$(CGO) $(GO) build -trimpath -tags netgo -ldflags '-X main.version=$(version)' -o bin/wardfs ./cmd/wardfs

lint: setup-go ## gofmt, go vet, staticcheck, the import law
	@bad=$$($(go_path) gofmt -l $$(git ls-files -co --exclude-standard '*.go' | grep -v /testdata/)); \
		if [ -n "$$bad" ]; then echo "gofmt is needed on:" $$bad; exit 1; fi
	$(GO) vet ./...
	$(GO) tool -modfile=tools/go.mod staticcheck ./...
	$(GO) test -count=1 ./tests

unit: setup-test ## the packages' own tests, under the race detector
	$(go_path) $(GO) test -race -count=1 -timeout=15m $$($(GO) list ./... | grep -v -E '/tests($$|/($(subst $(space),|,$(system))))|/$(subst $(space),|/,$(walks))')
	$(go_path) $(GO) test -race -short -count=1 -timeout=15m $(addprefix ./,$(walks))
	$(go_path) $(GO) test -count=1 -timeout=15m $(addprefix ./,$(walks))

system: setup-test build ## the real binary on a real mount
	$(go_path) WARDFS_BIN='$(CURDIR)/bin/wardfs' $(GO) test -count=1 -p=1 -timeout=25m $(addprefix ./tests/,$(system))

bench: setup-test build ## figures of a local directory, a mount, and PEERS="NAME=DIR ..."
	WARDFS_BIN='$(CURDIR)/bin/wardfs' $(GO) run ./tests/bench/wardbench $(BENCHFLAGS) $(PEERS)

soak: setup-test ## ten minutes of load while all that proves or protects is rotated
	$(go_path) $(GO) test -count=1 -timeout=30m ./tests/soak -full -v

fuzz: setup-go ## every fuzz target for FUZZTIME
	@GO=$(GO) FUZZTIME='$(FUZZTIME)' tests/fuzz.sh

install: build ## into PREFIX, with the helpers that mount(8) looks for in /sbin
	DESTDIR='$(DESTDIR)' deploy/install.sh '$(PREFIX)'

clean: ## what was built here
	rm -rf bin

setup-go:
	@tests/setup.sh go

setup-run:
	@tests/setup.sh run

setup-test:
	@tests/setup.sh test
