# Two commands do all the set-up: `make demo` runs the main job, `make test` passes the tests.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
KERNELS := $(wildcard clients/python/fanin/backends/csrc/*)

.PHONY: demo test check format docs soak bench serve lock transcript sbom licenses audit clean js

demo: $(VENV)/service
	$(BIN)/python docs/examples/demo.py

# A file's tests share servers and models, so one process runs them all. Each process takes some 2 GB.
test: check
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile

# Lint, types, which package may import which, and the words of the prose (docs/prose).
check: $(VENV)/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/prose/lint.py

format: $(VENV)/dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

.PHONY: prose
# Let each file have the findings that it has today: after texts were rewritten, moved or merged.
prose:
	$(PYTHON) docs/prose/lint.py --baseline

# Every page, recipe and dashboard that a script writes from the code, or from figures that are stored beside it. Tests
# fail when one is stale.
docs: $(VENV)/dev
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/functions.py
	$(BIN)/python docs/vocabulary.py
	$(BIN)/python docs/library.py
	$(BIN)/python docs/commands.py
	$(BIN)/python docs/examples/recipes.py
	$(BIN)/python docs/examples/frontier.py
	$(BIN)/python docs/metrics.py
	$(BIN)/python docs/hub.py
	$(BIN)/python docs/bench/page.py
	$(BIN)/python docs/bench/gpu.py
	$(BIN)/python docs/compare/page.py
	$(BIN)/python deploy/grafana/dashboard.py
	$(BIN)/python -m tests.peers.page
	$(BIN)/python -m docs.catalogue.page

# The JavaScript client: its kernels, from the C source by clang and lld (Debian 12 has those of the modules in the
# repository), its TypeScript, and its tests with all public vectors. It needs Node 20 and npm.
js:
	clients/js/wasm/build.sh
	cd clients/js && npm ci --no-audit --no-fund && npm run build && npm test && npm run page

.PHONY: catalogue
# Recipes, configurations and sizes of the catalogue's models, recorded from transformers: a minute or two.
catalogue: $(VENV)/dev
	$(BIN)/python -m docs.catalogue.generate

.PHONY: site
# The pages as a website in build/site, which needs no server. A broken link or anchor is an error.
site: $(VENV)/dev
	$(BIN)/sphinx-build --nitpicky --fail-on-warning --keep-going --quiet --conf-dir docs/site . build/site

# The newest versions of packages whose insides are used, also beyond the bounds in pyproject.toml (pip says so), and the
# tests that touch them. Some need a later Python: make newest PYTHON=python3.14. torch brings gigabytes of CUDA along,
# unless pip knows an index with CPU builds. Run it every month, and before you raise a bound.
NEWEST := build/newest
NEWEST_PACKAGES ?= fastapi flax httptools jax keras limits numpy pydantic redis starlette torch transformers uvicorn uvloop
NEWEST_TESTS ?= tests/golden tests/torch tests/jax_and_keras tests/recording/test_record*.py tests/recording/test_jax.py \
    tests/recording/test_keras.py tests/service/server/test_protocol.py tests/service/server/test_lifecycle.py tests/service/server/test_workers.py
.PHONY: newest
newest:
	rm -rf $(NEWEST)
	$(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(NEWEST)/bin/python -m pip install --quiet ".[service,redis,torch,jax,keras]" --group newest
	$(NEWEST)/bin/python -m pip install --quiet --upgrade --upgrade-strategy eager $(NEWEST_PACKAGES)
	$(NEWEST)/bin/python -m pip list
	$(NEWEST)/bin/python -m pytest -p no:cacheprovider $(NEWEST_TESTS)

# Hours: long statistics, dieharder, other processors under qemu, memory while streaming. PARTS="load traffic" runs some.
# On Debian it needs: dieharder gcc-aarch64-linux-gnu gcc-s390x-linux-gnu libc6-dev-arm64-cross libc6-dev-s390x-cross qemu-user
soak: $(VENV)/dev
	$(BIN)/python -m pip install --quiet --group machine-code --group model-signing --group ray --group stores --group quantized
	$(BIN)/python -m tests.soak $(PARTS)

.PHONY: serving
# The environment of the soak part `serving`: 4 GB. vLLM's torchvision, torchaudio and torchcodec are built for CUDA, and
# do not load beside a torch for CPUs. SERVING=DIRECTORY puts it elsewhere; the tests read the same variable.
SERVING ?= build/serving
serving:
	test -x $(SERVING)/bin/python || $(PYTHON) -m venv $(SERVING)
	$(SERVING)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(SERVING)/bin/python -m pip install --quiet --group serving
	$(SERVING)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	$(SERVING)/bin/python -m pip install --quiet .

# Speed of generation on this machine beside the frameworks, and of the service.
bench: $(VENV)/peers
	mkdir -p build/bench
	$(BIN)/fanin bench --seconds 240 --output build/bench/fill.json --plot build/bench/fill.svg
	$(BIN)/python -m tests.bench.http --json build/bench/http.json

.PHONY: performance
# The same, stored in docs/bench and shown in docs/performance.md.
performance: bench
	$(BIN)/python docs/bench/page.py build/bench

.PHONY: rows
# All goals for speed in one run of ten minutes, stored in docs/bench and shown in docs/performance.md.
rows: $(VENV)/dev
	$(BIN)/python -m tests.bench.rows --json docs/bench/goals.json
	$(BIN)/python docs/bench/page.py

.PHONY: gpu
# On a machine with an NVIDIA GPU, at most 8 minutes: bits and speed, stored in docs/bench and docs/gpu.md. It downloads
# nothing. GPU_PYTHON names the Python that has CuPy and, to compare with, torch and JAX. make exits with 2 for every
# failure, and prints the runner's own code, such as `Error 69` without a GPU.
GPU_PYTHON ?= $(if $(wildcard $(BIN)/python),$(BIN)/python,python3)
gpu:
	@$(GPU_PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("make gpu needs Python 3.11 or later: GPU_PYTHON=/path/to/python")'
	$(GPU_PYTHON) -m tests.gpu

.PHONY: wheel
# A wheel with the kernels for this platform, and one without for every other, into dist/.
wheel: $(VENV)/dev
	rm -rf dist/*.whl build/wheel
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir build/wheel .
ifeq ($(shell uname -s),Linux)
	PATH="$(BIN):$$PATH" $(BIN)/python -m auditwheel repair --wheel-dir dist build/wheel/*.whl
else
	mkdir -p dist && cp build/wheel/*.whl dist
endif
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation -C wheel.cmake=false --wheel-dir dist .
	ls dist

serve: $(VENV)/service
	$(BIN)/fanin serve

# Versions and hashes of what the images install. Pins stay if pyproject.toml
# still allows them; UPGRADE=1 takes the newest.
PIN := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
       --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)
LOCKS := deploy/requirements
lock: $(VENV)/dev
	$(PIN) --group build --output-file $(LOCKS)/build.txt
	$(PIN) pyproject.toml --extra service --extra jwt --extra otel --extra redis --extra s3 --extra bucket --output-file $(LOCKS)/cpu.txt
	$(PIN) pyproject.toml --extra service --extra jwt --extra otel --extra redis --extra s3 --extra bucket --extra cuda12 --output-file $(LOCKS)/cuda12.txt
	$(PIN) pyproject.toml --extra service --extra jwt --extra otel --extra redis --extra s3 --extra bucket --extra cuda13 --output-file $(LOCKS)/cuda13.txt

# Requests and responses of this version's client and server, with which tests compare later versions.
transcript: $(VENV)/dev
	$(BIN)/python -m tests.compat.record

# An environment with only the packages that the images install, and one with the tools that inspect it.
AUDIT := build/audit
$(AUDIT)/done: pyproject.toml $(LOCKS)/cpu.txt
	rm -rf $(AUDIT)
	$(PYTHON) -m venv $(AUDIT)/tools
	$(PYTHON) -m venv --without-pip $(AUDIT)/runtime
	$(AUDIT)/tools/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(AUDIT)/tools/bin/python -m pip install --quiet --group audit
	$(AUDIT)/tools/bin/python -m pip --python $(AUDIT)/runtime install --quiet --require-hashes --requirement $(LOCKS)/cpu.txt
	touch $@

# A CycloneDX bill of materials of the service.
sbom: $(AUDIT)/done
	mkdir -p dist
	$(AUDIT)/tools/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
	    --output-file dist/sbom.cdx.json $(AUDIT)/runtime/bin/python

# The licences of what the service needs; fails on one that pyproject.toml does not allow.
licenses: $(AUDIT)/done
	mkdir -p dist
	$(AUDIT)/tools/bin/pip-licenses --python $(AUDIT)/runtime/bin/python --output-file dist/licenses.md

# Suspicious code, then known vulnerabilities of all that the images install. It fails without PyPI's advisories:
# nothing can be said then.
audit: $(AUDIT)/done
	$(AUDIT)/tools/bin/bandit --quiet --configfile pyproject.toml --recursive clients/python clients/lab service
	$(AUDIT)/tools/bin/pip-audit --strict --disable-pip --require-hashes $(foreach lock,$(wildcard $(LOCKS)/*.txt),-r $(lock)) || \
	    { echo "audit: a vulnerability, or no advisories to be had from PyPI; see above" >&2; exit 1; }

clean:
	rm -rf $(VENV) build dist

# The package is installed in place: edits of Python take effect at once, edits of kernels by the next make.
$(VENV)/service: pyproject.toml $(KERNELS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable ".[service]" --group demo
	touch $@

# One file of timm is compared; torchvision, which it asks for, has no wheel that loads beside a torch for CPUs alone.
$(VENV)/dev: $(VENV)/service
	$(BIN)/python -m pip install --quiet --group dev
	$(BIN)/python -m pip install --quiet --no-deps timm==1.0.31
	touch $@

$(VENV)/peers: $(VENV)/dev
	$(BIN)/python -m pip install --quiet --group peers
	touch $@
