"""What was landed, as two short tables; reads only."""

from __future__ import annotations

import sys

from quantmill.errors import MissingLanding
from quantmill.manifest.home import Home

from ingest.landing import Landing
from ingest.workbench import Workbench, translated


def show(home: Home) -> None:
    """Print loads by source, kind and status, and symbols by status with their newest session.

    Raises `MissingLanding` when nothing was landed yet.
    """
    from rich.console import Console
    from rich.table import Table

    missing = MissingLanding(
        f"{home.workbench} holds no raw tables: nothing was landed yet",
        remedy="run 'python -m ingest sample', or 'make rebuild' if there are landing files",
    )
    if not home.workbench.is_file():
        raise missing
    with Workbench(home.workbench, read_only=True) as workbench, translated(home.workbench):
        query = workbench.connection.execute
        if not query("select 1 from duckdb_tables() where schema_name = 'raw' and table_name = 'loads'").fetchone():
            raise missing
        loads = query(
            """
            select source, kind, status, count(*), sum(rows_received)::bigint, sum(rows_new)::bigint,
                sum(rows_superseding)::bigint, sum(rows_quarantined)::bigint, max(finished_at_utc)
            from raw.loads group by all order by all
            """
        ).fetchall()
        symbols = query(
            """
            select status, count(*), min(last_final_session), max(last_final_session), min(symbol) || ' ...'
            from ops.symbol_registry group by status order by status
            """
        ).fetchall()
        stored = {row[0] for row in query("select load_id from raw.loads").fetchall()}
    console = Console(width=None if sys.stdout.isatty() else 160, soft_wrap=False)
    for title, headings, rows in (
        (
            "loads",
            (
                "source",
                "kind",
                "status",
                "loads",
                "received",
                "new",
                "superseding",
                "quarantined",
                "last (UTC)",
            ),
            loads,
        ),
        ("symbols", ("status", "symbols", "oldest last session", "newest last session", "first"), symbols),
    ):
        table = Table(title=title, title_justify="left")
        for heading in headings:
            table.add_column(heading)
        for row in rows:
            table.add_row(
                *("" if value is None else f"{value:,}" if isinstance(value, int) else str(value) for value in row)
            )
        console.print(table)
    waiting = [load_id for load_id in Landing(home.landing).load_ids() if load_id not in stored]
    if waiting:
        console.print(f"{len(waiting)} landed loads are not in the workbench yet; the next ingest command replays them")
