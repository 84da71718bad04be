# Every target installs what it needs, and no more, into .venv; nothing needs to be there before but
# Python 3.11 or newer with venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2

.PHONY: help demo demo-serve demo-web test lint types bench torture fuzz release ship-model clean

help:
	@echo "make demo        render Bach's Prelude in C to demo/clip.wav, with a picture"
	@echo "make demo-serve  play the instrument in the browser"
	@echo "make demo-web    the same as static files, without a server of ours: demo/site"
	@echo "make test        lint, check types and run all tests (JOBS=2 at once)"
	@echo "make bench       measure speed and memory, as ratios (about 18 minutes)"
	@echo "make torture     kill, race, fill and attack the program; prints a table (under 30 minutes)"
	@echo "make fuzz        damage the files of every reader, a minute each"
	@echo "make release     build and check what is published"
	@echo "make ship-model  train the model that ships, from a SoundFont (MINUTES=90; SHIP='--go-on')"
	@echo "make clean       remove the environment and what the others made"

# The package with one of its extras.
$(VENV)/.ready-%: pyproject.toml constraints.txt
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$*]'
	@touch $@

# tinysoundfont's metadata ask for pyaudio, which needs a compiler; tests that play it are skipped
# without it.
DEV := $(VENV)/.ready-dev $(VENV)/.ready-tinysoundfont
$(VENV)/.ready-tinysoundfont: $(VENV)/.ready-dev
	-@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
	    tinysoundfont==0.3.7
	@touch $@

demo: $(VENV)/.ready-plot
	$(BIN)/gansynth generate --midi demo/bwv846.mid --seed 846 \
	    --plot --force -o demo/clip.wav
	@echo
	@echo "sound:   demo/clip.wav"
	@echo "picture: demo/clip.png"

demo-serve: $(VENV)/.ready-serve
	$(BIN)/gansynth serve --open

demo-web: $(VENV)/.ready-onnx
	$(BIN)/gansynth export web --force -o demo/site
	@echo
	@echo "play it at http://127.0.0.1:8000 (Ctrl-C ends it); any host can serve demo/site"
	@(sleep 1; $(BIN)/python -m webbrowser http://127.0.0.1:8000 >/dev/null 2>&1) &
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory demo/site 8000

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV)
	$(BIN)/mypy

test: lint types
	$(BIN)/pytest -n $(JOBS) --dist loadgroup --no-loadscope-reorder

bench: $(DEV)
	$(BIN)/python -m bench

torture: $(DEV)
	$(BIN)/python -m torture

fuzz: $(DEV)
	$(BIN)/python -m torture fuzz --seconds 60

release: $(VENV)/.ready-release
	rm -rf dist
	$(BIN)/hatchling build -d dist
	$(BIN)/twine check --strict dist/*
	@echo "publish with: $(BIN)/twine upload dist/*"

MINUTES ?= 90
ship-model: $(DEV)
	$(BIN)/python -m ship --minutes $(MINUTES) $(SHIP)

clean:
	rm -rf $(VENV) dist demo/clip.* demo/site
