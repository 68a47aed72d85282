"""What every layer may use: errors, passwords and tokens, pagination, roles, the clock.

Nothing in here imports a web framework, a database or any other part of Bedplate.
"""
