# The two commands of the README, and what they need.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev

.PHONY: demo test install browser docs clean

demo: $(STAMP)
	$(VENV)/bin/cutaway demo

test: $(DEV_STAMP) browser
	scripts/check

install: $(STAMP)

# The constraints pin every package; without them pip takes several GB of CUDA packages.
$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Cutaway needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml constraints.txt | $(VENV)/bin/python
	PIP_CONSTRAINT=constraints.txt $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(DEV_STAMP): pyproject.toml constraints.txt | $(VENV)/bin/python
	PIP_CONSTRAINT=constraints.txt $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $(STAMP) $@

# The report's tests drive a real browser.
browser:
	@command -v chromium >/dev/null || (command -v apt-get >/dev/null && \
		(apt-get update -qq && apt-get install -y -qq chromium fonts-dejavu-core >/dev/null)) || \
		(echo "Install Chromium as /usr/bin/chromium: the browser tests need it." >&2; exit 1)

docs: $(DEV_STAMP)
	$(VENV)/bin/python scripts/reference.py

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
