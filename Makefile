# Each target sets up what it needs: .venv is made on first use, with the tools pinned in constraints.txt.
# PYTHON=... chooses the interpreter; uv is used where it is on PATH, else installed into .venv. Nothing outside is touched.

# That of the system comes first: distributions build it with all optimizations, pyenv by default without.
PYTHONS := $(or $(PYTHON),/usr/bin/python3 python3 python3.13 python3.12 python3.11)
BIN := .venv/bin
READY := .venv/.installed
MEMBERS := $(sort $(wildcard aetherflow-*/pyproject.toml))
SOURCES := $(MEMBERS:/pyproject.toml=/src)
PLAIN := aetherflow-builtins-rest
PROPERTIES := $(addprefix tests/unit/core/,kernel/resolver/test_core_template.py \
  kernel/resolver/test_core_when.py kernel/yaml/test_core_loader.py base/test_core_redact.py checks/test_core_typos.py builtins/test_core_globbing.py) \
  tests/system/e2e/test_e2e_streams.py $(addprefix tests/system/core/builtins/test_core_,files_crash.py run_flow_crash.py) \
  $(addprefix tests/system/core/kernel/sequencing/test_core_,claims_crash.py failpoints.py items_crash.py) \
  $(addprefix tests/unit/scheduler/,time/test_scheduler_cron.py document/test_scheduler_document.py \
  $(addprefix importing/test_scheduler_import_,corpus.py crontab.py round_trip.py) audit/test_scheduler_against.py)
PEERS := $(addprefix tests/system/,builtins_db/test_db_hostile.py builtins_db/test_db_stores.py builtins_rest/test_rest_hostile.py \
  $(addprefix builtins_transfer/test_transfer_hostile_,sftp.py smb.py smtp.py) core/bundle/test_core_bundle_hostile_git.py)
TORTURE := $(sort $(wildcard tests/torture/test_torture_*.py)) $(PROPERTIES) $(PEERS)
WORKERS := 2
# Bytecode is kept even where the environment forbids it: pytest's rewritten modules are half of what a start costs.
# A worker that hangs is ended, and ends the run: with groups, xdist waits for ever after it has replaced one.
SIDE_BY_SIDE = -n $(WORKERS) --dist loadgroup --max-worker-restart=0
PYTEST = PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest $(SIDE_BY_SIDE)
COMPILE := $(BIN)/python -m compileall -q $(SOURCES)
UV = PATH="$(CURDIR)/$(BIN):$$PATH" uv

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-unit coverage check docs docs-check bench bench-archives bench-bundle bench-db bench-excel bench-forecast bench-http bench-journal bench-peers bench-peers-crash bench-peers-data bench-scale bench-scheduler \
  bench-slots bench-transfer size bounds torture mutation bandit fuzz build release constraints clean

help: ## show this list
	@echo "Targets:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1 \2/p' Makefile | while read -r name text; do printf '  make %-17s %s\n' "$$name" "$$text"; done

demo: $(READY) ## run the example flow on real data
	@AETHERFLOW_WORK_ROOT="$(CURDIR)/.demo/work" AETHERFLOW_STATE_ROOT="$(CURDIR)/.demo/state" $(BIN)/aetherflow run docs/examples/flights/flow.yaml

# More than cores: tests wait for clocks, and those of `make test` for servers.
test-unit: WORKERS := 3
test-unit: $(READY) ## the unit tests: everything that happens in one process, in a minute and a half on two cores
	@$(PYTEST) tests/unit

test: WORKERS := 4
test: $(READY) ## all tests: unit, processes and servers, and a sample of the torture suites (WORKERS=4)
	@$(PYTEST)

coverage: $(READY) ## which share of each distribution the unit and system tests take; fails where it must not be low
	@rm -rf .coverage.d && mkdir .coverage.d
	@PYTHONDONTWRITEBYTECODE= $(BIN)/coverage run -m pytest $(SIDE_BY_SIDE) tests/unit tests/system
	@$(BIN)/coverage combine -q && $(BIN)/coverage json -q -o .coverage.d/coverage.json
	@$(BIN)/python tests/services/coverage_table.py .coverage.d/coverage.json

docs: $(READY) ## build the site of the docs into .site/html; a link that leads nowhere is an error
	@$(UV) pip install -q --python $(BIN)/python -c constraints.txt zensical
	@$(BIN)/python tests/docs/docs_site.py
	@echo "to read it: python3 -m http.server --directory .site/html"

docs-check: docs ## open every page of that site, and pages of runs, in headless Chromium, and take pictures into .site/pictures
	@$(UV) pip install -q --python $(BIN)/python -c constraints.txt playwright
	@npm install --silent --no-save --no-audit --prefix .site/npm axe-core@4.14.1
	@$(BIN)/python -m pytest -q tests/browser

check: $(READY) ## lint, formatting, types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: $(READY) ## measure starts, steps, programs, resume, and the history of a million steps
	@$(COMPILE)
	@$(BIN)/python tests/benchmarks/startup.py
	@PYTHONPATH=tests/common $(BIN)/python tests/benchmarks/plugins.py
	@$(BIN)/python tests/benchmarks/engine.py
	@$(BIN)/python tests/benchmarks/process.py
	@PYTHONPATH=tests/services $(BIN)/python tests/benchmarks/history.py
	@$(BIN)/python tests/benchmarks/pages.py

bench-bundle: $(READY) ## measure a sync of 10,000 files that have not changed
	@$(COMPILE)
	@$(BIN)/python tests/benchmarks/bundle.py

bench-transfer: $(READY) ## measure SFTP and SMB against the systems' own clients (SIZE_MB=..., FILES=...)
	@$(COMPILE)
	@PYTHONPATH=tests/services $(BIN)/python tests/benchmarks/transfer.py

bench-db: $(READY) ## measure extraction and loading against the databases' own tools
	@$(COMPILE)
	@PYTHONPATH=tests/services $(BIN)/python tests/benchmarks/db_extract.py
	@PYTHONPATH=tests/services $(BIN)/python tests/benchmarks/db_load.py

bench-scale: $(READY) ## measure runs on Celery workers against commands and run_flow, and two workers against one (RUNS, SLEEPS)
	@$(COMPILE)
	@PYTHONPATH=tests/services $(BIN)/python tests/benchmarks/scale.py

bench-scheduler: $(READY) ## measure the scheduler with 1,000 items: idle, over months, at a slot (SECONDS=...)
	@$(COMPILE)
	@SECONDS=$(or $(SECONDS),60) $(BIN)/python tests/benchmarks/scheduler.py

bench-forecast: $(READY) ## measure how long a forecast of 1,000 items takes
	@$(COMPILE)
	@$(BIN)/python tests/benchmarks/forecast.py

bench-slots: $(READY) ## measure how fast the scheduler finds the slots of 1,000 items
	@$(COMPILE)
	@$(BIN)/python tests/benchmarks/slots.py

bench-peers: $(READY) ## measure the same 1,000 steps in other workflow tools
	@$(COMPILE)
	@$(BIN)/python tests/benchmarks/peers.py

bench-peers-data: $(READY) ## measure files and databases against sling, dlt, ConnectorX, rclone and others (ROWS=..., ONLY=postgres)
	@$(COMPILE)
	@PYTHONPATH=tests/services $(BIN)/python tests/benchmarks/peers_data.py

bench-peers-crash: $(READY) ## kill loads and uploads of ours and of peers, and count lost and doubled rows and files (KILLS=30)
	@$(COMPILE)
	@PYTHONPATH=tests/services $(BIN)/python tests/benchmarks/peers_crash.py

bench-http: $(READY) ## measure HTTP against bare httpx and curl
	@$(COMPILE)
	@$(BIN)/python tests/benchmarks/http_bench.py

bench-journal: $(READY) ## measure a state that is written as events, beside its tables (STEPS=..., KILLS=...)
	@$(COMPILE)
	@$(BIN)/python tests/benchmarks/journal.py

bench-archives: $(READY) ## measure how fast 1 GB is packed, against zip -6
	@$(COMPILE)
	@$(BIN)/python tests/benchmarks/archives.py

bench-excel: $(READY) ## measure filling an Excel template against XlsxWriter
	@$(COMPILE)
	@$(BIN)/python tests/benchmarks/excel.py

size: $(READY) ## print the logical lines of every room of the core
	@$(BIN)/python tests/unit/architecture/size.py

bounds: $(READY) ## the tests of each distribution with the oldest and the newest libraries it allows (ONLY=aetherflow-builtins-rest)
	@$(BIN)/python tests/services/bounds.py $(if $(ONLY),'$(ONLY)')

bandit: $(READY) ## look for known weaknesses in the sources (Bandit)
	@$(UV) pip install -q --python $(BIN)/python -c constraints.txt bandit
	@$(BIN)/bandit -q -c pyproject.toml -r $(SOURCES)

fuzz: $(READY) ## fuzz what reads foreign text, 60 seconds per target (SECONDS=...)
	@$(UV) pip install -q --python $(BIN)/python -c constraints.txt atheris
	@mkdir -p .fuzz && cd .fuzz && ../$(BIN)/python ../tests/fuzz/fuzz.py 2> targets.log | xargs -P $$(nproc) -I TARGET sh -c \
	  'echo "fuzzing TARGET ..."; ../$(BIN)/python ../tests/fuzz/fuzz.py TARGET $(or $(SECONDS),60) > TARGET.log 2>&1 \
	  || { tail -20 TARGET.log; exit 1; }; echo "TARGET: $$(tail -1 TARGET.log)"'

torture: $(READY) ## the torture suites in full, each alone (SUITE=crash, AETHERFLOW_TORTURE_SEED=...)
	@seed=$${AETHERFLOW_TORTURE_SEED:-$$(date +%s)}; failed=0; \
	for file in $(or $(SUITE:%=tests/torture/test_torture_%.py),$(TORTURE)); do \
	  AETHERFLOW_TORTURE_TIER=T1 AETHERFLOW_TORTURE_SEED=$$seed $(BIN)/python -m pytest -q -o hang_seconds=3600 $$file || failed=1; done; \
	$(BIN)/python tests/torture/matrix.py && exit $$failed

mutation: $(READY) ## change the product and see a test fail (MODULE=kernel/locks/store.py, SAMPLE=200, SEED=1)
	@$(BIN)/python tests/mutation/mutation.py $(addprefix --module ,$(MODULE)) $(SAMPLE:%=--sample %) $(SEED:%=--seed %)

build: $(READY) ## build all wheels and source distributions into dist/
	@rm -rf dist
	@uv=$$(PATH="$(BIN):$$PATH" command -v uv) && $$uv build -q --all-packages --no-build-isolation --python $(BIN)/python --out-dir dist
	@rm -f dist/.gitignore
	@ls dist

release: $(READY) ## build all twice and compare, check the wheels; bill of materials and sums beside them; KEY=FILE signs
	@$(BIN)/python tests/services/release.py $(if $(KEY),--key '$(KEY)')

constraints: $(READY) ## resolve everything again and write constraints.txt
	@$(BIN)/uv pip compile -q --upgrade --generate-hashes --universal --fork-strategy fewest --python-version 3.11 --no-annotate \
	  --all-extras --group dev --group example --group release --group fuzz --group bandit --group docs --custom-compile-command 'make constraints' \
	  $(foreach name,aetherflow $(MEMBERS:/pyproject.toml=),--no-emit-package $(name)) \
	  -o constraints.txt pyproject.toml $(MEMBERS)

clean: ## remove everything that make created
	@rm -rf .venv dist .demo .fuzz .coverage.d .torture .mutation .bench .site .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find $(SOURCES) tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp comes last: an interrupted installation leaves none and is taken up again.
# pip reads hashes of requirements only, uv those of constraints too: pip gets the lines of uv as its requirements.
$(READY): pyproject.toml $(MEMBERS) constraints.txt
	@set -eu; \
	if ! $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	  new=; able=; for python in $(PYTHONS); do \
	    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	    new=$${new:-$$python}; \
	    if command -v uv >/dev/null || "$$python" -c 'import ensurepip, venv' 2>/dev/null; then able=$$python; break; fi; \
	  done; \
	  [ -n "$$new" ] || { echo "make: no Python 3.11 or newer found (tried: $(PYTHONS)); install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }; \
	  [ -n "$$able" ] || { echo "make: $$new cannot create a virtual environment; on Debian or Ubuntu: apt-get install python3-venv (or install uv)" >&2; exit 1; }; \
	  echo "creating .venv with $$able ..."; \
	  if "$$able" -c 'import ensurepip, venv' 2>/dev/null; then "$$able" -m venv --clear .venv; \
	  else uv venv -q --clear --python "$$able" .venv; fi; \
	fi; \
	if uv pip install --help 2>/dev/null | grep -q -e --group; then uv=uv; \
	else uv=$(BIN)/uv; [ -x $$uv ] || { echo "installing uv into .venv ..."; \
	  $(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null; \
	  sed -n '/^uv==/,/[^\\]$$/p' constraints.txt | $(BIN)/python -m pip install -q --disable-pip-version-check -r /dev/stdin; }; fi; \
	echo "installing the workspace into .venv ..."; \
	$$uv pip install -q --python $(BIN)/python -c constraints.txt -b constraints.txt --compile-bytecode --group dev -e . \
	  -e './aetherflow-core[all]' -e './aetherflow-scheduler[celery]' \
	  -e './aetherflow-builtins-db[duckdb,exasol,isal,mysql,oracle,parquet,postgres,sqlalchemy]' \
	  -e './aetherflow-builtins-transfer[fast,mail,sftp,smb,zip,zstd]' \
	  -e './aetherflow-builtins-reports[html]' $(PLAIN:%=-e ./%); \
	$(COMPILE); \
	touch $@
