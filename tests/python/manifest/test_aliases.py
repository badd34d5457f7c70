"""The table of renamed symbols: what ships is valid, and what is not valid is an error that names it."""

from __future__ import annotations

from pathlib import Path

import pytest
from quantmill.errors import BadValue, UnknownKey, UsageError
from quantmill.manifest.aliases import load_aliases
from support import ROOT


def write(folder: Path, *lines: str) -> Path:
    (folder / "aliases.yml").write_text("aliases:" + "".join(f"\n  - {{{line}}}" for line in lines) + "\n", "utf-8")
    return folder


def line(old: str, new: str, day: str = "2024-01-02") -> str:
    return f'old: "{old}", new: "{new}", renamed_on: {day}, note: test'


def test_the_shipped_aliases_are_valid_and_sorted() -> None:
    found = load_aliases(ROOT / "manifest")
    assert [one.old for one in found] == sorted(one.old for one in found)
    assert "BINANCE:POLUSDT" in {one.new for one in found}


def test_a_chain_of_names_is_allowed(tmp_path: Path) -> None:
    assert len(load_aliases(write(tmp_path, line("X:A", "X:B"), line("X:B", "X:C")))) == 2


@pytest.mark.parametrize(
    ("lines", "error", "found"),
    [
        ([line("X:A", "X:B"), line("X:A", "X:C")], BadValue, "X:A is the old symbol of 2"),
        ([line("X:A", "X:C"), line("X:B", "X:C")], BadValue, "X:C is the new symbol of 2"),
        ([line("X:A", "X:A")], BadValue, "lead back"),
        ([line("X:A", "X:B"), line("X:B", "X:A")], BadValue, "lead back"),
        ([line("X:A'; drop table", "X:B")], BadValue, "aliases.0.old"),
        ([line("X:A", "X:B", "soon")], BadValue, "renamed_on"),
        ([line("X:A", "X:B") + ", ratio: 2"], UnknownKey, "ratio"),
    ],
)
def test_what_is_not_valid_is_named(tmp_path: Path, lines: list[str], error: type[UsageError], found: str) -> None:
    with pytest.raises(error, match=found):
        load_aliases(write(tmp_path, *lines))
