"""The stages of a run as dbt's Python models call them: tables in, one table out, and the ledger beside it.

A stage reads the border tables, hands arrays to the core, writes what it is about to do and what came of it
to the run's ledger, and returns rows. When the run is already sealed it returns no rows and writes nothing.
"""
