"""The quality gate: rules kept as data, judged by Great Expectations, recorded as rows, enforced before selection.

`rules` reads them, `subjects` says which rows a judgement looks at, `runner` finds the failing rows over a live DuckDB
connection, `engine` is the only module that imports Great Expectations, `gate` decides what stops a build.
"""
