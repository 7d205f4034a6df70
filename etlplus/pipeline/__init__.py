"""Kitchen: the plan as data, its checks, and its compilation to an engine's SQL.

The document half (plan, decode) is safe for the daemon. The modules ``expressions`` and ``compile`` import sqlglot and are
for the engine's child only.
"""
