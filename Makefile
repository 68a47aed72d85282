RUN = uv run

.PHONY: serve test lint format types bench docs lock ci

serve:  ## Start the service and restart it when code changes
	$(RUN) bedplate serve --reload

test:  ## Run the tests on both databases; ARGS="-k name" selects some
	$(RUN) pytest $(ARGS)

lint:  ## Check style, layers and Bedplate's own rules
	$(RUN) ruff format --check
	$(RUN) ruff check
	$(RUN) lint-imports --no-logo
	$(RUN) bedplate check

format:  ## Format the code and apply automatic fixes
	$(RUN) ruff format
	$(RUN) ruff check --fix

types:
	$(RUN) mypy

bench:
	$(RUN) python -m benchmarks

docs:  ## Serve the documentation at http://127.0.0.1:8001, with live reload
	$(RUN) mkdocs serve --dev-addr 127.0.0.1:8001

lock:  ## Upgrade all dependencies and pin them in pyproject.toml
	$(RUN) scripts/lock.py

ci:  ## Run all checks that a merge must pass
	.ci/run
