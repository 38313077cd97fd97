PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
PACKAGES := -c constraints.txt -e '.[embedded,remote,dev]' -e core/contract
# Tests wait for other processes half of the time.
SIDE_BY_SIDE := $(shell expr $$(nproc) + 2)
MEASURED := tests/acceptance/test_learning.py::test_better_ones_serve_worse_ones_do_not_and_back_again_under_traffic
TASKS ?= 1000
SEEDS ?= 1,2,3,4,5
# Else each of the tests' many processes compiles all of the project for itself.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test types suite fuzz chaos bench bench-gpu up clean

setup: $(INSTALLED)

# pip collects 150 packages one by one, for over a minute: uv brings all but torch, and pip still does where uv's way is barred.
$(INSTALLED): pyproject.toml core/contract/pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --progress-bar off --no-compile -c constraints.txt torch uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python $(PACKAGES) || \
		$(BIN)/pip install --quiet --progress-bar off --no-compile $(PACKAGES)
	touch $@

# The main job end to end. DOCS=folder runs it on files of your own.
demo: $(INSTALLED)
	$(BIN)/python -m samples.demo $(if $(DOCS),--documents '$(DOCS)')

test: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo
	# By itself: how soon a promotion serves is measured in it.
	$(BIN)/pytest $(MEASURED)
	$(MAKE) --no-print-directory --jobs 2 types suite

types:
	$(BIN)/mypy

suite:
	$(BIN)/pytest -n $(SIDE_BY_SIDE) --dist loadfile --no-loadscope-reorder --deselect $(MEASURED) \
		tests/acceptance tests/chaos tests/integration tests/unit

# Thousands of damaged files through the reader, and what became of them.
fuzz: $(INSTALLED)
	$(BIN)/python tests/fuzz.py

# Requests by the thousand while something is killed, cut, frozen or full every two seconds. Table: build/chaos.md
chaos: $(INSTALLED)
	CHAOS_TASKS=$(TASKS) CHAOS_SEEDS=$(SEEDS) $(BIN)/pytest -s tests/chaos/test_chaos.py

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks

# On one NVIDIA GPU, with torch built for CUDA.
bench-gpu: $(INSTALLED)
	$(BIN)/python -m benchmarks.gpu --json benchmarks/gpu.json

up: $(INSTALLED)
	$(BIN)/docintake up

clean:
	rm -rf .venv .docintake build *.egg-info
