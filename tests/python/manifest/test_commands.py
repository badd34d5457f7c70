"""The commands that show the manifest: lists of scanners and blocks, and one scanner with the layer of each value."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from quantmill.cli import main
from quantmill.listing import lines
from quantmill.manifest.composition import Library
from quantmill.manifest.home import Home
from support import ROOT


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.chdir(ROOT)
    return lambda *arguments: CliRunner().invoke(main, list(arguments))


def test_scanners_are_listed_with_direction_logic_limit_and_status(command: object, library: Library) -> None:
    result: Result = command("list", "scanners")  # type: ignore[operator]
    rows = {line.split()[0]: line.split()[1:5] for line in result.output.splitlines()}
    assert sorted(rows) == library.scanner_ids
    assert rows["etf_yield_alpha"] == ["LONG", "yield", "20", "active"]
    assert rows["binance_pairs_spread_short"] == ["SHORT", "pair_spread", "50", "disabled"]


def test_a_broken_scanner_is_listed_as_broken_among_the_others(manifest: Path) -> None:
    (manifest / "scanners" / "odd.yml").write_text(
        "scanners: {odd: {extends: [index_etfs], direction: LONG, limit: 3}}"
    )
    listed = list(lines(Home(root=manifest.parent, state=manifest.parent), "scanners", "sample"))
    broken = [line for line in listed if "BROKEN" in line]
    assert len(broken) == 1 and len(listed) > 40
    assert broken[0].startswith("odd ") and "does not state 'logic'" in broken[0]


def test_blocks_and_universes_are_listed(command: object, library: Library) -> None:
    blocks: Result = command("list", "blocks")  # type: ignore[operator]
    assert {line.split()[1]: line.split()[0] for line in blocks.output.splitlines()} == {
        name: entry.layer for name, entry in library.blocks.items()
    }
    universes: Result = command("list", "universes")  # type: ignore[operator]
    listed = universes.output.splitlines()
    assert listed[0].split()[:3] == ["us_large_caps", "20", "symbols,"]
    assert {line.split()[0] for line in listed[1:]} == {
        name for name, entry in library.blocks.items() if entry.layer == "L0"
    }
    assert not any("BROKEN" in line for line in listed)


def test_a_scanner_is_shown_with_the_layer_of_each_value(command: object) -> None:
    result: Result = command("show-scanner", "etf_thematic_momentum")  # type: ignore[operator]
    shown = {" ".join(line.split()) for line in result.output.splitlines()}
    assert {
        "filters Value.Traded L0 dynamic_etf_discovery_niche greater 2000000",
        "gates trend_recommendation L1 institutional Recommend.All >= 0.1",
        "gates trend_adx L4 etf_thematic_momentum ADX >= 15",
        "gates liquidity derived dynamic_etf_discovery_niche Value.Traded > 2000000",
        "market L2 us_listed america",
        "ranks L4 etf_thematic_momentum Perf.1M desc",
    } <= shown


def test_a_scanner_is_shown_as_it_is_stored(command: object, library: Library) -> None:
    from quantmill.manifest.composition import resolve_scanner

    result: Result = command("show-scanner", "crypto_vol_breakout", "--json")  # type: ignore[operator]
    assert json.loads(result.output) == json.loads(resolve_scanner(library, "crypto_vol_breakout").scanner.canonical)


def test_a_scanner_of_an_index_without_members_says_so_until_a_desk_has_filled_the_table(
    command: object, manifest: Path
) -> None:
    shown: Result = command("show-scanner", "dw30_trend")  # type: ignore[operator]
    words = "[no membership known: fill manifest/indices/dw30.csv]"
    assert shown.output.splitlines()[0] == f"attention: {words}"
    home = Home(root=manifest.parent, state=manifest.parent)

    def unknown() -> set[str]:
        listed = lines(home, "scanners", "sample")
        return {line.split()[0] for line in listed if line.endswith(".csv]") and "no membership known" in line}

    assert unknown() == {"sp500_trend", "nasdaq100_trend", "dw30_trend"}
    (manifest / "indices" / "dw30.csv").write_text(
        "symbol,index,valid_from,valid_to\nNYSE:KO,dw30,1987-03-12,\n", encoding="utf-8"
    )
    assert unknown() == {"sp500_trend", "nasdaq100_trend"}


def test_an_unknown_scanner_ends_with_the_nearest_name_and_exit_code_two(command: object) -> None:
    result: Result = command("show-scanner", "etf_yeld_alpha")  # type: ignore[operator]
    assert result.exit_code == 2
    assert "did you mean 'etf_yield_alpha'?" in result.output
