"""Renamed and migrated tickers: manifest/aliases.yml."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, ValidationError

from quantmill.errors import BadValue
from quantmill.manifest.explaining import explain
from quantmill.manifest.files import read_mapping, short
from quantmill.manifest.scanners import SYMBOL_PATTERN
from quantmill.manifest.settings import Record

Symbol = Annotated[str, StringConstraints(pattern=SYMBOL_PATTERN)]


class Alias(Record):
    """One thing whose symbol changed: `old` until the day before `renamed_on`, `new` from that day on."""

    old: Symbol
    new: Symbol
    renamed_on: date
    note: str = Field(min_length=1, description="why the symbol changed, for whoever reads the verdict later")


class _AliasFile(Record):
    aliases: tuple[Alias, ...]


def load_aliases(manifest: Path) -> tuple[Alias, ...]:
    """Return the aliases of the manifest, by old symbol.

    Raises `UsageError` where the file is missing, `UnknownKey` and `BadValue` for what is not valid in it: a symbol or
    a day that is none, a symbol that is the old or the new one twice, and names that lead back to themselves.
    """
    path = manifest / "aliases.yml"
    try:
        aliases = _AliasFile.model_validate(read_mapping(path)).aliases
    except ValidationError as error:
        raise explain(error, _AliasFile, lambda _: short(path)) from None
    for side in ("old", "new"):
        (symbol, count) = Counter(getattr(one, side) for one in aliases).most_common(1)[0] if aliases else ("", 0)
        if count > 1:
            raise BadValue(
                f"{short(path)}: {symbol} is the {side} symbol of {count} aliases",
                remedy="keep one of them: a series goes on under one symbol, and has one past",
            )
    following = {one.old: one.new for one in aliases}
    for start in sorted(following):
        symbol = following[start]
        while symbol in following and symbol != start:
            symbol = following[symbol]
        if symbol == start:
            raise BadValue(f"{short(path)}: the aliases of {start} lead back to it", remedy="remove one of them")
    return tuple(sorted(aliases, key=lambda one: one.old))
