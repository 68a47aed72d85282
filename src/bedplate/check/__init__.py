"""`bedplate check`: one command and one report over the best tool for each rule.

Ruff, mypy, import-linter and detect-secrets do what they know; the OpenAPI document of
the project's application tells what it takes and gives; what none of them knows is a
small function over the syntax tree, in `rules/`.
"""
