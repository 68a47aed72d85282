"""Code that every layer may use: errors, passwords, tokens, pagination, roles, clock.

It imports no web framework, no database and no other part of Bedplate.
"""
