# `make book` and `make test` are all that a newcomer needs; `make help` lists the rest.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
PORT ?= 8000
RUN = $(VENV)/bin/python -m

PYTEST = $(RUN) pytest -n logical
ROOMS = tests/test_lectures.py tests/test_exercises.py tests/test_mutants.py tests/test_[0-9]*.py
export ONLY

.PHONY: help book serve lab grade test test-grader test-colab sync format times mutants bench clean
.DEFAULT_GOAL := help

help:        ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

book: $(VENV)/ready        ## run every notebook that changed, build _build/html (ONLY=04_eigensolver: one chapter)
	@$(RUN) course book

serve: $(VENV)/ready       ## show the book at http://localhost:8000 (PORT=...)
	@$(RUN) course serve --port $(PORT)

lab: $(VENV)/ready-dev     ## open the notebooks in JupyterLab
	@$(RUN) jupyterlab

grade: $(VENV)/ready       ## grade the notebooks in exercises/
	@$(RUN) course grade || [ $$? -eq 1 ]

sync: $(VENV)/ready        ## write what is derived: exercises, setup cells, links
	@$(RUN) course sync $(ONLY)

test: $(VENV)/ready-dev    ## run everything once: notebooks, book, exercises, grader, browser (ONLY=…)
	@$(RUN) course book
	@$(PYTEST) $(if $(ONLY),$(ROOMS) tests/test_book.py tests/test_browser.py -k "$(ONLY)")
	@$(RUN) course times

format: $(VENV)/ready-dev  ## ruff: format and mend what it can
	@$(RUN) ruff format -q . && $(RUN) ruff check --fix .
	@$(RUN) ruff format -q --config ruff-notebooks.toml lectures solutions && $(RUN) ruff check --config ruff-notebooks.toml lectures solutions

times: $(VENV)/ready       ## what everything took when it was last run, and what 23 chapters would
	@$(RUN) course times

mutants: $(VENV)/ready-dev ## make each function of ONLY=NN_subject slightly wrong: which check notices?
	@$(RUN) course mutants $(ONLY)

test-grader: $(VENV)/ready-dev    ## every kept answer and every attack through the class grader
	@$(VENV)/bin/python tests/classroom.py

test-colab:                ## run every notebook on Colab's versions (wants Python 3.13)
	@$(MAKE) --no-print-directory VENV=.venv-colab CONSTRAINTS="-c constraints-colab.txt" .venv-colab/ready-dev
	@COURSE_BUILD=_build-colab .venv-colab/bin/python -m course execute
	@COURSE_BUILD=_build-colab .venv-colab/bin/python -m pytest -n logical $(ROOMS) $(if $(ONLY),-k "$(ONLY)")

bench: $(VENV)/ready-dev   ## measure against the peers (installs them first)
	@$(RUN) pip install -q -r benchmarks/requirements.txt
	@for script in $(filter-out benchmarks/table.py,$(wildcard benchmarks/*.py)); do $(VENV)/bin/python $$script || exit 1; done

clean:       ## remove what was built, not .venv
	rm -rf _build _build-colab

$(VENV)/ready: requirements.txt
	@$(call install,requirements.txt)

$(VENV)/ready-dev: requirements-dev.txt $(VENV)/ready
	@$(call install,requirements-dev.txt)

define install
[ -n "$(PYTHON)" ] || { echo "Python 3.11 or later is needed and was not found: install it, or name it with 'make PYTHON=/path/to/python'." >&2; exit 1; }; \
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "'$(PYTHON)' is not a Python 3.11 or later: name one with 'make PYTHON=/path/to/python'." >&2; exit 1; }; \
[ -x $(VENV)/bin/pip ] || $(PYTHON) -m venv $(VENV) || { echo "The virtual environment $(VENV) could not be made: is the package python3-venv installed?" >&2; exit 1; }; \
echo "installing $(1) into $(VENV) …"; \
$(VENV)/bin/pip install -q --disable-pip-version-check $(CONSTRAINTS) -r $(1) 2>$(VENV)/pip.log || { tail -n 5 $(VENV)/pip.log >&2; echo "The installation failed (the lines above and $(VENV)/pip.log say why): is there a network?" >&2; exit 1; }; \
touch $@
endef
