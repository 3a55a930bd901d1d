# `make demo` and `make test` are all a new user needs: each sets up .venv first, once.
#
#   PYTHON=/path/to/python3.12   the Python to make .venv with, where the first one found is not the one wanted
#   ARGS='...'                   passed on: make demo ARGS=--no-chat, make test ARGS='-k recipes'

.DEFAULT_GOAL := help
.PHONY: help demo test check format contracts bench-peers setup clean

VENV := .venv
PEERS := .venv-peers
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTHON ?= python3.11 python3.12 python3.13 python3.14 python3 python
CHECKED := src tests tools $(if $(wildcard benchmarks/*.py),benchmarks)
# A looser request than the exact version lets pip choose another build of torch, with gigabytes of CUDA beside it.
TORCH := $(shell grep '^torch==' constraints.txt)
PIP := $(BIN)/python -m pip --disable-pip-version-check

help:
	@echo 'make demo         fine-tune a small model on bundled persona dialogues, compare before and after, talk with it'
	@echo 'make test         run the tests'
	@echo 'make check        check formatting, lint and types'
	@echo 'make format       put the code in order'
	@echo 'make contracts    build llama.cpp and vLLM, each in its own environment, and see whether they answer as we do'
	@echo 'make bench-peers  set up .venv-peers with TRL, for the benchmarks that compare with it'
	@echo 'make setup        only set up .venv, which every other target does by itself'
	@echo 'make clean        remove .venv and caches; runs/ stays'

demo: $(READY)
	@$(BIN)/personable demo $(ARGS)

test: $(READY)
	@$(BIN)/python -m pytest $(ARGS)

check: $(READY)
	@$(BIN)/python -m ruff format --check $(CHECKED)
	@$(BIN)/python -m ruff check $(CHECKED)
	@$(BIN)/python -m mypy $(CHECKED)

format: $(READY)
	@$(BIN)/python -m ruff check --fix $(CHECKED)
	@$(BIN)/python -m ruff format $(CHECKED)

contracts: $(READY)
	@$(BIN)/python -m tools.contracts.check $(ARGS)

bench-peers: $(PEERS)/.ready

setup: $(READY)

# Apart from .venv, as nobody needs TRL to use Personable; torch and all else at the same versions as there.
$(PEERS)/.ready: $(READY) benchmarks/peers.txt
	@echo 'setting up $(PEERS): the first time, downloading torch takes some minutes' >&2
	@$(BIN)/python -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt pip
	@$(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt $(TORCH)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt \
		--build-constraint constraints.txt $(TORCH) --editable '.[lora,gguf]' --requirement benchmarks/peers.txt
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist

# Written last, so an interrupted set-up is taken up again; pip itself is pinned because older ones know no --group.
$(READY): pyproject.toml constraints.txt
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { $(make_venv); }
	@echo 'setting up $(VENV): the first time, downloading torch takes some minutes' >&2
	@$(PIP) install --quiet --constraint constraints.txt pip
	@$(PIP) install --constraint constraints.txt $(TORCH)
	@$(PIP) install --quiet --constraint constraints.txt --build-constraint constraints.txt \
		$(TORCH) --editable '.[lora,gguf]' --group dev
	@touch $@

# Debian and pyenv both put a python3.X on the path that cannot make environments or does not run, so each is tried.
define make_venv
for python in $(PYTHON); do \
	found=$$($$python -c 'import platform; print(platform.python_version())' 2>/dev/null) || continue; \
	if ! $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
		seen="$$seen $$python is $$found;"; \
	elif ! $$python -c 'import ensurepip, venv' 2>/dev/null; then \
		seen="$$seen $$python is $$found but has no venv (on Debian: apt install $${python}-venv);"; \
	else \
		echo "making $(VENV) with $$python ($$found)" >&2; \
		exec $$python -m venv --clear $(VENV); \
	fi; \
done; \
echo "expected Python 3.11 or newer with venv, found:$${seen:- no python at all;}" \
	"Next: install a newer one, or name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; \
exit 1
endef
