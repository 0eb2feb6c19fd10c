# Two commands do all the set-up: `make demo` runs the main job, `make test` passes the tests.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
KERNELS := $(wildcard clients/python/fanin/backends/csrc/*)

.PHONY: demo test check format soak bench serve lock sbom licenses audit clean

demo: $(VENV)/service
	$(BIN)/python docs/examples/demo.py

test: check
	$(BIN)/python -m pytest

# Lint, types, and which package may import which.
check: $(VENV)/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# Hours: long statistics, dieharder, other processors under qemu, memory while streaming.
# On Debian it needs: dieharder gcc-aarch64-linux-gnu gcc-s390x-linux-gnu qemu-user
soak: $(VENV)/dev
	$(BIN)/python -m pytest -m soak

# How fast elements are made here, beside torch and NumPy.
bench: $(VENV)/dev
	$(BIN)/python tests/bench/fill.py

serve: $(VENV)/service
	$(BIN)/fanin serve

# Versions and hashes of what the images install. Kept where pyproject.toml still allows them; UPGRADE=1 takes the newest.
PIN := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
       --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)
LOCKS := deploy/requirements
lock: $(VENV)/dev
	$(PIN) --group build --output-file $(LOCKS)/build.txt
	$(PIN) pyproject.toml --extra service --output-file $(LOCKS)/cpu.txt
	$(PIN) pyproject.toml --extra service --extra cuda12 --output-file $(LOCKS)/cuda12.txt
	$(PIN) pyproject.toml --extra service --extra cuda13 --output-file $(LOCKS)/cuda13.txt

clean:
	rm -rf $(VENV) build

# The package is installed in place: edits of Python take effect at once, edits of kernels by the next make.
$(VENV)/service: pyproject.toml $(KERNELS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable ".[service]" --group demo
	touch $@

$(VENV)/dev: $(VENV)/service
	$(BIN)/python -m pip install --quiet --group dev
	touch $@
