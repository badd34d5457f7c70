"""What dbt's connection needs of us: no network, the writer lock before it opens the workbench, and the publication."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from functools import cache
from typing import Any

import duckdb
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError

from quantmill.errors import MissingLanding, QuantmillError, WarehouseError
from quantmill.manifest.home import current_home, writer_lock
from quantmill.offline import forbid_network
from quantmill.publish import publish_prepare, publish_swap
from quantmill.stages.context import digest_of_files
from quantmill.udf import register

# What decides the rows of models that follow changes beside what was landed: none of them reads a setting or the
# manifest.
FEATURE_CODE = (
    "models/staging", "models/features", "macros", "python/quantmill/features", "python/quantmill/stages/features.py",
    "python/quantmill/udf.py", "python/quantmill/frames.py", "python/quantmill/manifest/calendars.py",
    "requirements.lock",
)  # fmt: skip

# Held until the process ends: dbt opens and closes its connection more than once in one build. A refusal is final, too:
# dbt asks again for every schema.
_lock = ExitStack()
_is_locked = False
_refusal: QuantmillError | None = None


def features_digest() -> str:
    """Return the SHA-256 of the code that makes the tables of the data cycle; when it changes, they are made anew."""
    return digest_of_files(current_home().root, FEATURE_CODE)


def checks_digest() -> str:
    """Return the SHA-256 of that code and of the tests; when it changes, all rows are judged anew."""
    return digest_of_files(current_home().root, (*FEATURE_CODE, "tests/dbt"))


def say(message: str) -> None:
    """Tell whoever waits at the terminal; dbt's own log is not open yet."""
    print(message, file=sys.stderr, flush=True)


@cache
def code_digest() -> str:
    """Return the digest of the code that builds: rows that a build finds ready were made by the same or are remade."""
    from quantmill.stages.context import code_hash

    return code_hash(current_home().root)


class Plugin(BasePlugin):
    """The plugin that profiles.yml names."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Close the network, take the writer lock and make sure that the workbench is there and opens."""
        global _is_locked, _refusal  # noqa: PLW0603 - one lock per process, however often dbt makes a plugin
        forbid_network()
        if _is_locked:
            return
        if _refusal is None:
            try:
                self._take_lock()
                _is_locked = True
                return
            except QuantmillError as error:
                _refusal = error
        # dbt prints its own errors as one line and any other with its whole stack
        raise DbtRuntimeError(f"{type(_refusal).__name__}: {_refusal}")

    def _take_lock(self) -> None:
        home = current_home()
        if not home.workbench.is_file():
            raise MissingLanding(
                f"{home.workbench} is not there: nothing has been landed yet",
                remedy="run 'python -m ingest sample', or 'make rebuild' if landing files are there",
            )
        _lock.enter_context(writer_lock(home, holder="dbt", say=say))
        _require_readable(str(home.workbench))

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Register the functions that SQL lacks, the digest of the code and the two file steps of the publication."""
        register(conn)
        conn.create_function("code_digest", code_digest, [], "VARCHAR")
        conn.create_function("features_digest", features_digest, [], "VARCHAR", side_effects=True)
        conn.create_function("checks_digest", checks_digest, [], "VARCHAR", side_effects=True)
        conn.create_function("publish_prepare", publish_prepare, [], "VARCHAR", side_effects=True)
        conn.create_function("publish_swap", publish_swap, ["VARCHAR"], "VARCHAR", side_effects=True)


def _require_readable(path: str) -> None:
    """Raise `WarehouseError` when the workbench does not open, naming the way back."""
    try:
        duckdb.connect(path).close()
    except duckdb.Error as error:
        raise WarehouseError(
            f"the workbench {path} does not open: {str(error).splitlines()[0]}",
            remedy="end whatever holds it; if the file is damaged, 'make rebuild' makes it again from the"
            " landing files",
        ) from None
