# ktrial. `make demo` and `make test` need Python 3.11, git and make; they bring everything else. `make help` lists all.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEMO_SERIES ?= examples/breaks-shrink.mbox
DEMO_TREE ?= debian:6.12
DEMO_RUN ?= build/demo-run
DEMO_FIGURES ?= build/demo-figures
PYTEST_ARGS ?=

# The oldest Python that will do is 3.11; a distribution's python3 may be older than the newest it has.
PYTHON ?= $(firstword $(foreach python,python3 python3.14 python3.13 python3.12 python3.11,$(shell \
	$(python) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(python))))

PACKAGES = sed -n 's/^\([a-z][^ |]*\) *|.*/\1/p' packages.debian
# Names of the installed packages, and of what they provide.
DPKG_HAS = dpkg-query -W -f='$${db:Status-Status} $${Package},$${Provides}\n' \
	| sed -n 's/^installed //p' | tr , '\n' | sed 's/ *(.*//; s/ //g'
APT_GET = $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300
SUDO = $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: help demo demo-report test test-fast lint bench bench-perf setup packages clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: setup ## put an example series on trial: a regression, with its verdict
	@echo "== $(DEMO_SERIES) on trial against $(DEMO_TREE): two kernels are built, unless they are in the cache"
	@status=0; $(BIN)/ktrial run $(DEMO_SERIES) --tree $(DEMO_TREE) || status=$$?; \
	case $$status in \
	1) echo "== as it should be: this series breaks the shrinking of fragments, and ktrial says so (exit status 1)" ;; \
	0) echo "== wrong: this series breaks the shrinking of fragments, and ktrial did not see it" >&2; exit 1 ;; \
	*) exit $$status ;; \
	esac

demo-report: setup ## the demo's report in every form, to docs/demo-report (of two runs that are made, or named)
	@$(BIN)/ktrial report "$(DEMO_RUN)" -q >/dev/null 2>&1 || $(BIN)/ktrial run $(DEMO_SERIES) --tree $(DEMO_TREE) \
		--suite xdp_multibuf -k test_shrink --reruns 1 --bisect --out "$(DEMO_RUN)" || [ $$? = 1 ]
	@$(BIN)/ktrial report "$(DEMO_FIGURES)" -q >/dev/null 2>&1 || $(BIN)/ktrial run examples/costs-instructions.mbox \
		--tree $(DEMO_TREE) --suite xdp_multibuf --perf --out "$(DEMO_FIGURES)" \
		-k "test_shrink or bench_nothing or bench_get_buff or bench_adjust_tail" || [ $$? = 1 ]
	@$(BIN)/python -m bench.demo_report "$(DEMO_RUN)" --figures "$(DEMO_FIGURES)"

test: lint ## lint, and every test: builds kernels and boots them
	@echo "== pytest, in two processes: one for what builds and boots, one for all else"
	@$(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)

test-fast: setup ## the tests that build and boot nothing
	@$(BIN)/python -m pytest -m "not vm and not kernel" $(PYTEST_ARGS)

lint: setup ## ruff and mypy --strict
	@echo "== ruff and mypy"
	@$(BIN)/ruff check .
	@$(BIN)/mypy

bench: setup ## what ktrial costs beside a bare make and a bare boot
	@$(BIN)/python -m bench

bench-perf: setup ## what measuring takes, and how far figures spread: docs/performance-spread.md (hours)
	@$(BIN)/python -m bench.perf_page

setup: $(INSTALLED) ## Debian's packages (root or sudo) and the virtual environment

$(INSTALLED): pyproject.toml | packages
	@$(if $(PYTHON),,echo "ktrial needs Python 3.11 or newer" >&2; exit 1)
	@echo "== a virtual environment in $(VENV), with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { \
		echo "$(PYTHON) cannot make one: install its venv package" >&2; rm -rf $(VENV); exit 1; }
	@echo "== pip install -e .[dev]"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

packages: ## Debian's packages alone
	@if ! { command -v apt-get && command -v dpkg-query; } >/dev/null; then \
		echo "== not Debian or Ubuntu: \`ktrial doctor\` says what this machine lacks"; exit 0; \
	fi; \
	missing=$$($(PACKAGES) | { grep -vxF -f <($(DPKG_HAS)) || true; } | tr '\n' ' '); \
	if [ -z "$$missing" ]; then exit 0; fi; \
	echo "== apt-get install $$missing"; \
	if [ -n "$(SUDO)" ] && ! command -v sudo >/dev/null; then \
		echo "they can only be installed by root: run this as root, or install sudo" >&2; exit 1; \
	fi; \
	$(APT_GET) install -qq -y --no-install-recommends $$missing >/dev/null 2>&1 || { \
		echo "== the package lists are missing or old: apt-get update, and again"; \
		$(APT_GET) update -qq; \
		$(APT_GET) install -qq -y --no-install-recommends $$missing >/dev/null; \
	}

clean: ## what make made here; kernels and trees stay (ktrial cache prune)
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find harness vm suites tests -name __pycache__ -type d -prune -exec rm -rf {} +
