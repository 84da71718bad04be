# Every target sets up its own environment in .venv; nothing needs to be installed first but
# Python 3.11 or newer with venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo demo-serve test lint types bench ship-model clean

help:
	@echo "make demo    render Bach's Prelude in C to demo/clip.wav, with a picture"
	@echo "make demo-serve  the instrument in the browser"
	@echo "make test    lint, type check and all tests"
	@echo "make bench   speed and memory, as ratios (about 18 minutes)"
	@echo "make ship-model  train the model that ships, from a SoundFont (MINUTES=90; SHIP='--go-on')"
	@echo "make clean   remove the environment and what the demo made"

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@# Its metadata asks for pyaudio, which needs a compiler; tests that play it are skipped without it.
	-@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
	    tinysoundfont==0.3.7
	@touch $(READY)

demo: $(READY)
	@# Threads that wait by spinning would hold each other up where other programs run too.
	OMP_WAIT_POLICY=passive $(BIN)/gansynth generate --midi demo/bwv846.mid --seed 846 \
	    --plot --force -o demo/clip.wav
	@echo
	@echo "sound:   demo/clip.wav"
	@echo "picture: demo/clip.png"

demo-serve: $(READY)
	$(BIN)/gansynth serve --open

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

test: lint types
	$(BIN)/pytest

bench: $(READY)
	$(BIN)/python -m bench

MINUTES ?= 90
ship-model: $(READY)
	$(BIN)/python -m ship --minutes $(MINUTES) $(SHIP)

clean:
	rm -rf $(VENV) demo/clip.*
