# Everything a fresh machine needs is set up in .venv by the first of these commands; a second call
# does no set-up again unless pyproject.toml or constraints.txt changed.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: train test quick lint setup clean

train: $(READY)  ## the embedded demo: emoji scenes, half of whose classes never had a box
	$(BIN)/python train.py experiment=emoji

test: $(READY)  ## all tests
	$(BIN)/python -m pytest

quick: $(READY)  ## the tests that take under a minute together
	$(BIN)/python -m pytest -m "not slow"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else "Python %d.%d found; this project needs 3.11, 3.12 or 3.13: make PYTHON=python3.12 ..." % v)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,pretrained]"
	@touch $(READY)

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache
