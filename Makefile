# Everything a stranger needs: `make verify` and `make test` set up .venv by themselves.
PYTHON ?= python3
BIN := .venv/bin
OUT ?= out/quick
PROFILE ?= quick

TWINS := $(addprefix tests/unit/test_,kernels.py elementwise.py gaussians.py second_layer.py)

.PHONY: verify figures test test-long twins peers check bench docs frontier venv clean
.DELETE_ON_ERROR:

verify: venv
	$(BIN)/mimtheory verify --profile quick --out $(OUT)

# The paper's figures and claims, with criteria stated beforehand; PROFILE=full takes about half an hour on two cores.
figures: venv
	$(BIN)/python -m verification all --profile $(PROFILE)

test: venv
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-long: venv
	@$(BIN)/python -c 'import torch, statsmodels' 2>/dev/null || echo 'Without torch and statsmodels the comparisons with them are skipped; make peers installs them.'
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "long or not long"

# What the code is compared with besides NumPy, SciPy and mpmath: large, so never needed.
peers: venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[peers]'

# The Python twins of the compiled functions.
twins: venv
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -n 2 $(TWINS)

check: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: venv
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest benchmarks --benchmark-only --benchmark-group-by=group -W default

docs: venv
	$(BIN)/python -m docs.build site

frontier: venv
	$(BIN)/mimtheory frontier --write mimtheory/plans/frontier.json

venv: .venv/.complete

.venv/.complete: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"mimtheory needs Python 3.11 or newer; {sys.executable} is {v[0]}.{v[1]}. Try: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf .venv out dist site
