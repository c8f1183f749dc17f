# Everything runs in a virtual environment, made on first use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Processes that run tests, each on one core and with one test file at a time.
JOBS ?= 2
# Seed of the random cases of `make torture`.
SEED ?= 0
# Options of `make matrix`: other interpreters, releases of torch, and so on.
MATRIX ?=
# Options of `make bench-scale`: --number 10000, and so on.
SCALE ?=

.PHONY: help demo test torture matrix docs dist bench bench-scale lint format clean

help:
	@echo "make demo    train on the shipped data, draw predicted against computed DOS"
	@echo "make test    run the test suite"
	@echo "make torture hours of attempts to break it; make test does a share"
	@echo "make matrix  test with other versions of metatrain; part of make torture"
	@echo "make docs    build the site, with its examples, in docs/_build/html"
	@echo "make dist    build and check the files of a release, in dist"
	@echo "make bench   time the loss against metatrain's, on one thread"
	@echo "make bench-scale  time prepare, check, evaluate and predict on many structures"
	@echo "make lint    check style and types"
	@echo "make format  apply the style"
	@echo "make clean   remove the environment and all outputs of the above"

$(VENV)/installed: pyproject.toml constraints.txt src/metatrain_dos.pth src/metatrain_dos_startup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    --constraint constraints.txt --editable ".[test,lint]"
	@touch $@

# Extras of single targets, so that the others stay quick to set up.
$(VENV)/installed-%: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    --constraint constraints.txt --editable ".[$*]"
	@touch $@

demo: $(VENV)/installed
	mkdir -p demo
	cd demo && ../$(BIN)/python ../examples/1_prepare.py
	cd demo && ../$(BIN)/python ../examples/2_train.py --epochs 250
	cd demo && ../$(BIN)/python ../examples/3_evaluate.py
	@echo "figure: demo/predicted-and-computed.png"

test: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest \
	    --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder

torture: $(VENV)/installed
	$(BIN)/python -m pytest tests/torture --torture --hypothesis-seed=$(SEED)
	$(BIN)/python tests/torture/matrix.py $(MATRIX)

matrix: $(VENV)/installed
	$(BIN)/python tests/torture/matrix.py $(MATRIX)

docs: $(VENV)/installed-docs
	$(BIN)/sphinx-build --fail-on-warning --keep-going docs docs/_build/html
	$(BIN)/python docs/check_links.py docs/_build/html

dist: $(VENV)/installed-dist
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

bench: $(VENV)/installed
	$(BIN)/python benchmarks/bench_loss.py --output bench
	$(BIN)/python benchmarks/bench_dos.py
	$(BIN)/python benchmarks/bench_training.py

bench-scale: $(VENV)/installed
	$(BIN)/python benchmarks/bench_scale.py $(SCALE)

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) bench demo build dist docs/_build docs/gallery
