"""Reading the outside of a payload file: its format, whether it is whole, its columns."""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from quantmill.errors import DataContractError, UsageError

EXTENSIONS = {".csv": ("csv", "none"), ".csv.gz": ("csv", "gzip"), ".parquet": ("parquet", "none")}


@dataclass(frozen=True)
class FileFormat:
    """`extension` without its dot; `compression` is none or gzip."""

    extension: str
    format: str
    compression: str


def format_of(path: Path) -> FileFormat:
    """Return the format that the name of `path` states. Raises `UsageError` for any other ending."""
    for extension, (name, compression) in EXTENSIONS.items():
        if path.name.lower().endswith(extension):
            return FileFormat(extension[1:], name, compression)
    raise UsageError(
        f"{path} ends with none of {', '.join(EXTENSIONS)}",
        remedy="save it in one of these formats",
        path=str(path),
    )


def csv_header(data: bytes, *, compression: str, delimiter: str, origin: str) -> list[str]:
    """Return the column names of a CSV; raise `DataContractError` if it is torn, empty or ill named."""
    if compression == "gzip":
        try:
            # Read to the end: DuckDB accepts a truncated stream silently, the checksum does not.
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise DataContractError(
                f"{origin} is not a whole gzip file: {error}", remedy="fetch it again; nothing was landed"
            ) from error
    first = io.TextIOWrapper(io.BytesIO(data[: 1 << 20]), encoding="utf-8-sig", errors="replace", newline="")
    header = [name.strip() for name in next(csv.reader(first, delimiter=delimiter), [])]
    if not header:
        raise DataContractError(
            f"{origin} is empty; a line of column names and at least one row were needed",
            remedy="look at the file; nothing was landed",
        )
    check_names(header, origin=origin)
    return header


def check_names(header: Sequence[str], *, origin: str) -> None:
    """Raise `DataContractError` unless every column has an unreserved name of its own, ignoring case."""
    lower = [name.lower() for name in header]
    doubled = sorted({name for name in lower if lower.count(name) > 1})
    if doubled or "" in header or "rowid" in lower:
        fault = f"twice {', '.join(doubled)}" if doubled else "an empty name or the reserved name rowid"
        raise DataContractError(
            f"{origin} has the columns {', '.join(header)}: {fault}",
            remedy="give every column a name of its own; nothing was landed",
        )


def require_column(columns: Sequence[str], wanted: str, *, origin: str, option: str) -> str:
    """Return the column `wanted`; if it is missing raise `DataContractError` with the nearest one."""
    if wanted in columns:
        return wanted
    by_lower = {name.lower(): name for name in columns}
    near = [by_lower[name] for name in difflib.get_close_matches(wanted.lower(), by_lower, n=1, cutoff=0.5)]
    separators = [mark for mark in (";", "\t", "|", ",") if len(columns) == 1 and mark in columns[0]]
    if separators:
        remedy = f"its columns look separated by {separators[0]!r}: give --delimiter"
    else:
        remedy = f"did you mean {near[0]!r}? see {option}" if near else f"name its column by {option}"
    raise DataContractError(
        f"{origin} has no column {wanted!r}; it has {', '.join(columns)}",
        remedy=f"{remedy}; nothing was landed",
        found=list(columns),
    )
