RUN = uv run

.PHONY: serve test lint format types bench docs lock ci

serve:  ## Start the service, and again when code changes
	$(RUN) bedplate serve --reload

test:  ## Both databases; ARGS="-k name" for some
	$(RUN) pytest $(ARGS)

lint:  ## Style, layers, and our own check
	$(RUN) ruff format --check
	$(RUN) ruff check
	$(RUN) lint-imports --no-logo
	$(RUN) bedplate check

format:  ## Put right what can be put right
	$(RUN) ruff format
	$(RUN) ruff check --fix

types:
	$(RUN) mypy

bench:
	$(RUN) python -m benchmarks

docs:  ## The site, at http://127.0.0.1:8001, and again when a page changes
	$(RUN) mkdocs serve --dev-addr 127.0.0.1:8001

lock:  ## Newest versions of everything, pinned in pyproject.toml
	$(RUN) scripts/lock.py

ci:  ## What a merge has to pass
	.ci/run
