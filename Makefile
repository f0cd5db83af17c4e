# make run: set up and health-check this node. make test: set up and run the tests.
# make lint: every static check. make labs: real Slurm and real kernels in VMs (root).
# make pass-time: where the milliseconds of a pass go. make ib-pass, gpu-pass: what ten InfiniBand ports
# and eight GPUs (of a driver that is not there) cost.
# make gate-time: what a prolog costs on a healthy node, and a script in the manner of NHC.
# make agent-rest: what the agent costs while nothing happens (REST=--help).
# make bench-peers: our benchmarks beside the public tools, into bench/README.md (PEERS=--help for options).
# make gpu-peers: those of GPUs beside PyTorch, cuBLAS and nvbandwidth, where there is a GPU (PEERS=--help).
# .ci/run calls lint, test and labs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Many tests start a Python: without compiled modules each start takes three times as long.
unexport PYTHONDONTWRITEBYTECODE
NATIVE := $(shell find native -type f -not -path '*/build/*')

.PHONY: run test lint labs pass-time ib-pass gpu-pass gate-time agent-rest bench-peers gpu-peers clean

run: $(VENV)/.run
	@$(BIN)/nodeproof check; echo "(exit code of nodeproof check: $$?)"

test: $(VENV)/.dev
	$(BIN)/pytest -n auto

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/clang-format --dry-run --Werror $$(find native -name '*.[ch]')
	.ci/native-strict

labs: $(VENV)/.dev
	NODEPROOF_LABS=1 $(BIN)/pytest tests/labs/slurm -k 'not big_slurm and not slowed' -n 8
	NODEPROOF_LABS=1 $(BIN)/pytest tests/labs/slurm -k 'big_slurm or slowed'
	NODEPROOF_LABS=1 $(BIN)/pytest tests/labs --ignore tests/labs/slurm

pass-time: $(VENV)/.dev
	$(BIN)/python tests/performance/pass_time.py

ib-pass: $(VENV)/.dev
	PYTHONPATH=tests $(BIN)/python tests/performance/ib_pass.py

gpu-pass: $(VENV)/.dev
	PYTHONPATH=tests $(BIN)/python tests/performance/gpu_pass.py

gate-time: $(VENV)/.dev
	$(BIN)/python tests/performance/gate.py

agent-rest: $(VENV)/.dev
	PYTHONPATH=tests $(BIN)/python tests/performance/agent_rest.py $(REST)

bench-peers: $(VENV)/.run
	$(BIN)/python -m peers $(PEERS)

gpu-peers: $(VENV)/.run
	$(BIN)/python tests/performance/gpu_peers.py $(PEERS)

clean:
	rm -rf $(VENV) build

# Editable: new Python files are seen at once; C is rebuilt when it, or pyproject.toml, changes.
$(VENV)/.run: pyproject.toml $(NATIVE)
	.ci/venv "$(PYTHON)" $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml $(NATIVE)
	.ci/venv "$(PYTHON)" $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.run
