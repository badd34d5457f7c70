"""Verifying and exporting ledgers from the command line, against the published snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quantmill.errors import LedgerError
from quantmill.ledger import (
    Verification,
    canonical_json,
    read_record,
    row_to_line,
    verify_lines,
    verify_table_equals_lines,
    verify_tables,
)
from quantmill.manifest.home import Home
from quantmill.snapshot import find_run, read_snapshot, rows
from quantmill.stages.context import ledger_path
from quantmill.stages.sealing import TABLE_KEYS, table_digest

RUN_QUERY = "select * from selection.runs where run_id = ?"
LEDGER_QUERY = "select * from tournaments.audit_ledger where run_id = ? order by sequence"


def verify_run(home: Home, *, run_id: str | None, profile: str) -> int:
    """Verify the ledger of a run, print a line per check and return the exit code of the first that fails."""
    with read_snapshot(home) as connection:
        found = find_run(connection, run_id=run_id, profile=profile)
        path = ledger_path(home, found)
        print(f"ledger of run {found}")
        if not path.is_file():
            return _report("file", Verification(4, f"{path} is missing; 'ledger-export' writes it again"))
        lines = path.read_bytes().splitlines(keepends=True)
        head = connection.execute("select chain_head from selection.runs where run_id = ?", [found]).fetchone()
        if head is None or not head[0]:
            return _report(
                "chain", Verification(3, "selection.runs has no chain head for the run, though it is sealed")
            )
        chain = verify_lines(lines, chain_head=head[0])
        if _report("chain", chain):
            return chain.code
        if chain.seal is None:
            raise LedgerError(f"{path} verified without a SEAL", remedy="build the run again")
        opened = _report("run", _compare_run(chain.seal.seq, lines[0], rows(connection, RUN_QUERY, [found])[0]))
        if opened:
            return opened
        digests = {name: table_digest(name, connection.table(name), found) for name in TABLE_KEYS}
        tables = verify_tables(chain.seal, digests)
        if _report("tables", tables):
            return tables.code
        code = _report("file and warehouse", verify_table_equals_lines(rows(connection, LEDGER_QUERY, [found]), lines))
        print("  --   inputs: not compared; landed data may have moved on since. GENESIS holds their digests by symbol")
        return code


def _compare_run(sequence: int, genesis: bytes, run: dict[str, Any]) -> Verification:
    """Compare the row of the run with what GENESIS says of it; code 6 names the first field that differs."""
    data = read_record(genesis).data
    said = {name: data[name] for name in ("profile", "settings_hash", "snapshot_hash", "code_hash", "universe_basis")}
    said["settings"] = canonical_json(data["settings"])
    for name, value in said.items():
        if run[name] != value:
            return Verification(6, f"selection.runs has another {name} than GENESIS", sequence)
    return Verification(0, f"{len(said)} fields of selection.runs are those of GENESIS")


def export_ledger(home: Home, run_id: str) -> Path:
    """Write the ledger file of a run from the published snapshot, byte for byte, and return its path.

    Raises `LedgerError` when a file is there already: it may be the evidence.
    """
    with read_snapshot(home) as connection:
        found = find_run(connection, run_id=run_id)
        path = ledger_path(home, found)
        if path.exists():
            raise LedgerError(f"{path} is there already", remedy="move it away first if it is to be replaced")
        lines = b"".join(row_to_line(row) for row in rows(connection, LEDGER_QUERY, [found]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lines)
    return path


def _report(check: str, verification: Verification) -> int:
    state = "ok  " if not verification.code else f"FAIL (exit {verification.code})"
    place = "" if verification.first_bad_sequence is None else f", first bad record {verification.first_bad_sequence}"
    print(f"  {state} {check}: {verification.reason}{place}")
    return verification.code
