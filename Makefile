# Two commands for a fresh machine with git, make and Python 3.11+: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
BOARD := hatch_build.py $(shell git ls-files board/src board/package-lock.json clients/js/src 2>/dev/null)

.PHONY: demo run test quick check bench docs install clean
demo: .venv/installed          ## the main job: a recorded session through the whole pipeline
	@$(BIN)/zlotick demo
run: .venv/installed           ## the service, as zlotick.toml says
	@$(BIN)/zlotick serve
test: .venv/dev                ## every test
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile
quick: .venv/dev               ## the tests that need no server, no browser and no process
	$(BIN)/python -m pytest --numprocesses=2 --dist=worksteal -m "not questdb and not pocketbase and not engine and not rabbitmq and not browser and not slow"
check: .venv/dev               ## style, types, layers, dependencies; of Python and TypeScript
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry src
	$(BIN)/python hatch_build.py check
bench: .venv/dev               ## ratios within one run, printed
	$(BIN)/python -m benchmarks
docs: .venv/dev                ## the reference and the clients' types, made from the code
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/wire_types.py
install: .venv/installed
clean:                           ## all that was built or installed here; data/ and zlotick.toml stay
	rm -rf .venv build dist clients/js/dist clients/js/node_modules board/node_modules src/zlotick/gateway/api/static

.venv/installed: pyproject.toml constraints.txt $(BOARD)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "zlotick needs Python 3.11 or newer: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Installing zlotick into .venv (once; about a minute)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
# websockets is for README's example and examples/client.py; zlotick itself does not use it.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[embedded,tui]' websockets
	@touch $@
.venv/dev: .venv/installed
	@echo "Installing the tools of the tests into .venv (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --group dev
	@touch $@
