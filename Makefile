PYTHON ?= python3
VENV ?= .venv
SEED ?= 0
OUT ?= demo-output
BIN := $(VENV)/bin

AUDIT := .audit

.PHONY: setup demo test peers lint format docs screenshots audit sbom clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: setup
	$(BIN)/python -m evalkit.demo --seed $(SEED) --out $(OUT)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal

peers: setup
	$(BIN)/python tests/peers.py

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup
	$(BIN)/python docs/make_reference.py
	$(BIN)/python docs/make_metric_pages.py
	PYTHONPATH=. $(BIN)/python docs/make_intervals.py

$(AUDIT)/.ready: tools/requirements.txt
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check --requirement tools/requirements.txt
	touch $@

# The pinned versions against tools/advisories.json; ONLINE=1 asks osv.dev instead
audit: setup $(AUDIT)/.ready
	$(BIN)/python tools/audit.py --pip-audit $(AUDIT)/bin/pip-audit $(if $(ONLINE),--online)

# What is installed, as CycloneDX
sbom: setup $(AUDIT)/.ready
	$(AUDIT)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
		--output-file sbom.cdx.json $(BIN)/python

screenshots: demo
	$(BIN)/python docs/make_screenshots.py --tracking-uri sqlite:///$(abspath $(OUT))/seed-$(SEED)/.evalkit/mlflow.db

clean:
	rm -rf $(VENV) $(AUDIT) sbom.cdx.json build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
