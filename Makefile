# make demo   the page with the bundled model on http://127.0.0.1:7860 (PORT=8000, LAN=1 for the audience's phones)
# make test   the whole test suite
# Both make .venv first, once.

PYTHON ?= python3
PORT ?= 7860
BIN := .venv/bin

.PHONY: demo test test-slow results lint install clean

demo: .venv/.demo
	@$(BIN)/album-gan demo --port $(PORT) $(if $(filter-out 0,$(LAN)),--lan)

# Three workers: a test uses one core, and waits for processes and browsers half of its time. A file stays with one
# worker, which starts its page, browser or hub only once.
test: .venv/.test
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --durations 25

test-slow: .venv/.test
	@$(BIN)/python -m pytest -m slow --timeout 3600

# The bundled model's sheet, card and tables, measured anew; needs ../shared.
results: .venv/.test
	@$(BIN)/python tools/results

lint: .venv/.test
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

install: .venv/.test

.venv/.demo: pyproject.toml constraints.txt tools/install
	@tools/install $(PYTHON) demo "about 400 MB (torch, diffusers, gradio; on Linux with an NVIDIA GPU 3 GB), 2 to 5 minutes"

.venv/.test: pyproject.toml constraints.txt tools/install
	@tools/install $(PYTHON) test "about 600 MB (torch, diffusers, gradio, datasets, test tools), 2 to 6 minutes"

clean:
	rm -rf .venv
