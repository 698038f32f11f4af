# Bitácora. `make` alone lists what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup demo test equality lint format types kafka prometheus bench clean

help: ## What can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## A virtual environment in .venv with everything, pinned

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Bitácora needs Python 3.11 or newer: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	@touch $@

demo: setup ## A simulated desk for a minute: services, people, dashboard
	$(BIN)/bitacora demo

test: setup ## All tests; what needs Apache Kafka or PostgreSQL skips where there is none
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

equality: setup ## Two public logs, whole: every figure by the services and by pandas (minutes)
	BITACORA_TEST_WHOLE=1 $(BIN)/python -m pytest tests/bench/test_equality.py -k whole

lint: setup ## Style and format
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

format: setup ## Mend style and format where a machine can
	$(BIN)/python -m ruff check --fix-only --quiet .
	$(BIN)/python -m ruff format .

types: setup ## Types, strictly
	$(BIN)/python -m mypy

kafka: deploy/kafka/libs/.fetched ## Apache Kafka's jars from Maven Central (needs Java 17 and Maven)

deploy/kafka/libs/.fetched: deploy/kafka/pom.xml
	mvn -q -B -f deploy/kafka/pom.xml dependency:copy-dependencies
	@touch $@

prometheus: deploy/prometheus/bin/promtool ## Prometheus and promtool, unpacked from Debian's package (needs apt)

deploy/prometheus/bin/promtool:
	@command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || \
	  { echo "no apt here: put prometheus and promtool of version 2.42 or newer on the PATH"; exit 1; }
	rm -rf deploy/prometheus/bin && mkdir -p deploy/prometheus/bin/package
	cd deploy/prometheus/bin/package && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb .
	mv deploy/prometheus/bin/package/usr/bin/prometheus deploy/prometheus/bin/
	mv deploy/prometheus/bin/package/usr/bin/promtool deploy/prometheus/bin/
	rm -rf deploy/prometheus/bin/package

bench: setup ## Every benchmark, each beside its peer or its limit
	$(BIN)/python -m bench all

clean: ## Throw away what was made, except the virtual environment
	rm -rf .bitacora .pytest_cache .mypy_cache .ruff_cache .hypothesis .schemathesis deploy/kafka/libs deploy/prometheus/bin
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
