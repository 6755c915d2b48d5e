# Everything sets itself up: what a target needs is installed into .venv when it is first used.
# `make help` lists the targets. Needs make and a Python >= 3.11 (or name one: make test PYTHON=/path/to/python).

VENV ?= .venv
PYENV_ROOT ?= $(HOME)/.pyenv
PYTHONS ?= 3.11 3.12 3.13
IO ?= blocking
FUZZ_SECONDS ?= 60
FUZZ_SEED ?= 0
COVERAGE ?= --cov --cov-report=term
PROFILE ?= unit
# Tests run in several processes; those of one file in the same one. JOBS=0 runs them in this one.
JOBS ?= auto
PARALLEL = --numprocesses $(JOBS) --maxprocesses 4 --dist loadfile

# The first of some commands that really runs (a pyenv shim may exist and fail), is new enough and can make environments.
first_python = for python in $(1); do \
	"$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; \
	done
PYTHON ?= $(shell $(call first_python,python3.13 python3.12 python3.11 python3))

RUN = $(VENV)/bin/python
SOURCES = $(wildcard dicom_proto transports/dicom_transports tests benchmarks fuzz docs .ci)
TYPED = $(filter-out docs .ci,$(SOURCES))

# pytest rewrites each assertion of the tests, which takes as long as a third of them: what it has written is kept.
unexport PYTHONDONTWRITEBYTECODE

.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test unit rest test-pythons own-coverage long check format bench calls fuzz docs wheel clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
		printf '  %-14s%s\n' "$$name" "$$text"; done

demo: $(VENV)/.installed-cli,trio ## send and receive real images on loopback and show what happens; IO=blocking, trio or asyncio
	$(RUN) -m dicom_transports.apps.demo --io $(IO)

test: unit rest ## all tests: the core with its coverage, then the adapters and real peers (those installed)

unit: $(VENV)/.installed-test ## the tests of the core alone, which must cover each of its branches
	$(RUN) -m pytest $(PARALLEL) $(COVERAGE) --hypothesis-profile $(PROFILE) tests/proto

own-coverage: $(VENV)/.installed-test ## whether each module of the core is covered by its own test module
	$(RUN) .ci/own_coverage.py

rest: $(VENV)/.installed-test ## every other test
	$(RUN) -m pytest $(PARALLEL) tests --ignore=tests/proto

test-pythons: $(addprefix test-python-,$(PYTHONS)) ## the tests of the core, with more examples, on each Python of PYTHONS that this machine has

test-python-%:
	@python=$$($(call first_python,python$* $(wildcard $(PYENV_ROOT)/versions/*/bin/python$*))); \
	if [ -z "$$python" ]; then echo "Python $*: not on this machine"; else \
		echo "Python $*: $$python"; \
		$(MAKE) --no-print-directory unit VENV=.venv-$* PYTHON="$$python" COVERAGE= PROFILE=thorough; fi

long: $(VENV)/.installed-test ## what takes long, and is no part of CI: pynetdicom's own tests, the programs of its documentation, packages built on it, an archive that is killed, planted faults, and the decoders of others
	$(RUN) -m tests.compat.measure
	$(RUN) -m tests.archive.killing 20
	$(RUN) -m tests.compat.programs
	$(RUN) -m tests.planted
	$(RUN) -m tests.decoders.compare
	$(RUN) -m tests.compat.packages $(shell $(call first_python,python3.13 $(wildcard $(PYENV_ROOT)/versions/3.13.*/bin/python)))

check: $(VENV)/.installed-check ## lint, format, types and the floors of the architecture
	$(RUN) -m ruff check $(SOURCES)
	$(RUN) -m ruff format --check $(SOURCES)
	$(RUN) -m mypy --strict $(TYPED)
	$(RUN) -m pytest --quiet tests/test_architecture.py

format: $(VENV)/.installed-check ## let ruff format the sources and mend what it can
	$(RUN) -m ruff check --fix $(SOURCES)
	$(RUN) -m ruff format $(SOURCES)

bench: $(VENV)/.installed-bench ## measure; with BEFORE=COMMIT also that build, in turns with this one
	$(RUN) -m benchmarks $(if $(BEFORE),--before $(BEFORE)) $(foreach name,$(ONLY),--only $(name))

calls: $(VENV)/.installed-bench ## count the Python calls of an operation; with BEFORE=COMMIT also those of that build
	$(RUN) -m benchmarks.calls $(if $(BEFORE),--before $(BEFORE))

fuzz: $(VENV)/.installed-fuzz ## run each fuzz harness for FUZZ_SECONDS
	$(RUN) -m fuzz --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED)

docs: $(VENV)/.installed-docs ## build the documentation into docs/_build; a warning is an error
	$(RUN) -m sphinx -W --keep-going --fresh-env --quiet --builder html docs docs/_build/html

wheel: $(RUN) ## build the wheel, install it into a clean environment and check what it brings
	rm -rf build/wheel
	$(RUN) -m pip wheel --quiet --no-deps --wheel-dir build/wheel .
	$(RUN) -m venv build/wheel/env
	build/wheel/env/bin/python -m pip install --quiet build/wheel/*.whl
	build/wheel/env/bin/python -I .ci/check_wheel.py build/wheel/*.whl

clean: ## remove everything that make has made
	rm -rf .venv .venv-* .peers build dist docs/_build htmlcov .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "no Python >= 3.11 with venv found; name one: make PYTHON=..." >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

$(VENV)/.installed-%: pyproject.toml | $(VENV)/bin/python
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@
