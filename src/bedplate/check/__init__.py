"""`bedplate check`: one command and one report over the best tool for each rule.

Ruff, mypy, import-linter and detect-secrets check what they are good at. The OpenAPI
document of the project's application shows its inputs and responses. Every other rule
is a small function over the syntax tree, in `rules/`.
"""
