"""Tables from rows: each column knows its header and how it reads a row, so that both cannot drift apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quantmill.reports.formats import number, text
from quantmill.reports.page import Cell, Column, Table

Row = Mapping[str, Any]
Tone = Callable[[Row], str]


@dataclass(frozen=True)
class Field:
    """A column and the cell it makes of a row."""

    column: Column
    cell: Callable[[Row], Cell]


def words(label: str, key: str, *, tone: Tone | None = None, hint: str = "") -> Field:
    """Return a column of texts or dates; `hint` names the key whose value hovering shows."""
    return Field(
        Column(label),
        lambda row: text(row[key], tone=tone(row) if tone else "", title=str(row[hint] or "") if hint else ""),
    )


def count(label: str, key: str, *, tone: Tone | None = None, title: str = "") -> Field:
    """Return a column of whole numbers."""
    return Field(Column(label, is_number=True, title=title), lambda row: text(row[key], tone=tone(row) if tone else ""))


def figure(label: str, key: str, kind: str, *, reason: str = "", title: str = "") -> Field:
    """Return a column of numbers of a kind of `formats.readable`; `reason` is why one may be missing."""
    return Field(Column(label, is_number=True, title=title), lambda row: number(row[key], kind, reason=reason))


def table(
    identity: str,
    rows: Iterable[Row],
    fields: Sequence[Field],
    *,
    caption: str = "",
    is_sortable: bool = False,
    is_tall: bool = False,
) -> Table:
    """Return the table of `rows` with one column per field."""
    return Table(
        identity,
        [field.column for field in fields],
        [[field.cell(row) for field in fields] for row in rows],
        caption=caption,
        is_sortable=is_sortable,
        is_tall=is_tall,
    )
