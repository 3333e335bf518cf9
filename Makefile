# make demo   run the bundled language model on the hardware, in Verilator
# make test   pass the tests            make lint    ruff, mypy
# make bench  every figure of the docs  make setup   only make .venv
# Each makes .venv by itself when it is missing or older than what it is made from.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/lamina.stamp

.PHONY: demo test lint bench setup clean
.DEFAULT_GOAL := demo

demo: $(STAMP)
	@$(BIN)/lamina demo

# One BLAS thread per worker: pytest fills the cores, and threads that wait for one just spin.
test: $(STAMP)
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal $(PYTEST_ARGS)

lint: $(STAMP)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

bench: $(STAMP)
	@$(BIN)/lamina bench all --docs docs

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt scripts/setup.sh
	@sh scripts/setup.sh $(PYTHON) .venv
	@touch $@

clean:
	rm -rf build .venv
