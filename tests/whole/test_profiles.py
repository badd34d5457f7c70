"""Profiles with scanners from the wire to the sealed run, on a small simulated venue: replay, cycles, faults, repair.

One story is lived once, in one home; each test looks at what was written down on the way. No network code is replaced.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pytest
from quantmill.manifest.home import Home
from support import Build, ask, dbt_build, run

from tests.market.faults import CONTAMINATED
from tests.market.market import Market
from tests.market.venue import Venue

pytestmark = pytest.mark.build

SPOT = ("BTCUSDT", "BTCUSDC", "ETHUSDT", "ETHFDUSD", "BCHUSDT", "SOLUSDT", "ZENUSDT", "AAVEUSDT", "ATOMUSDT", "DOTUSDT")
PERPETUAL = ("BTC", "ETH", "SOL", "XRP", "DOGE", "ADA", "BNB", "LTC", "BCH", "AVAX", "SUI")
SYMBOLS = sorted(
    {*CONTAMINATED, *(f"BINANCE:{name}" for name in SPOT), *(f"BINANCE:{name}USDT.P" for name in PERPETUAL)}
)
# The contract with a gap is so young that its repair brings no history which the first load did not.
GAPPED, STALE, SPIKED, DONOR = "BINANCE:SUIUSDT.P", "BINANCE:ZENUSDT", "BINANCE:ADAUSDT", "BINANCE:BCHUSDT"

FIRST_SCAN = "2025-11-01"
BEFORE, LATER, INCIDENT = "2025-12-22T00:10:00Z", "2026-01-01T00:10:00Z", "2026-01-03T00:10:00Z"
INCIDENT_DAY = "2026-01-01"

# Two profiles made for the real venue, both strict, and one that goes on without what is broken.
AVERAGES, ALL, LENIENT = "crypto_rating_ma", "crypto_rating_all", "simulated_crypto"
# The clock is no part of a run; a simulated venue can be asked for a past moment.
PAST = {"QUANTMILL_SET_ACQUISITION__CLOCK": "request"}
MATRIX: dict[str, Any] = {
    "lookback_sessions": 120,
    "matrix__window_sets": ["golden"],
    "matrix__engines": ["custom"],
    "matrix__risk_profiles": ["equal_weight", "hrp"],
    "matrix__cost_models": ["std_6bp"],
    "headline__engine": "custom",
    "anchors": ["equal_weight"],
}
# The last decision is that of the day of the incident: the session after it is all that is tested.
UP_TO_THE_INCIDENT = {**MATRIX, "lookback_sessions": 30, "windows__golden__test": 1, "windows__golden__step": 1}
# What a decision is made from, and nothing after it; data that a build has just computed are not computed again.
TO_CANDIDATES = ("--select", "+candidates", "--exclude-resource-type", "test")
FROM_COMPUTED_DATA = (
    *TO_CANDIDATES, "--exclude", "path:models/staging", *(f"path:models/features/{name}" for name in (
        "calendar", "factors", "health", "identity", "panel", "regime", "scans", "survival", "symbols", "vendor")),
)  # fmt: skip

Rows = list[tuple[Any, ...]]


@dataclass
class Story:
    """What commands said and what the tables held, by the name of the moment."""

    home: Home
    said: dict[str, Build] = field(default_factory=dict)
    held: dict[str, Rows] = field(default_factory=dict)

    def look(self, name: str, query: str, *parameters: Any) -> Rows:
        """Keep the answer of the workbench under a name."""
        with duckdb.connect(str(self.home.workbench), read_only=True) as connection:
            self.held[name] = connection.execute(query, list(parameters)).fetchall()
        return self.held[name]


COUNTS = """
select table_name, estimated_size from duckdb_tables()
where schema_name = 'raw' and table_name not in ('loads') order by 1
"""
# Left out is what a repair or another as_of may change and no later bar does: estimation rows begin where the look-back
# of a run does; a series that was healed from another source has its volumes from then on, by which regimes weigh.
DECIDED = """
select windows.* exclude (run_id, window_index, estimation_row, estimation_start_date, test_row, regime_score),
    candidates.* exclude (run_id, window_set, window_index, return_count)
from selection.windows as windows
join selection.candidates as candidates using (run_id, window_set, window_index)
join selection.runs as runs using (run_id)
where runs.as_of_date = ?
order by all
"""
HEALTH = """
select symbol, verdict from features.symbol_health
qualify row_number() over (partition by symbol order by as_of_date desc) = 1 order by symbol
"""
OPEN_SPIKES = "select symbol, session_date::varchar, code, donor_symbol from features.bar_spikes where not is_resolved"


@pytest.fixture(scope="module")
def story(make_home: Callable[[str], Home]) -> Iterator[Story]:
    """A replay, a sealed run, ten days more with a gap, an incident of 22 symbols with a stale one, and its repair."""
    story = Story(make_home("profiles"))
    with Venue(Market(symbols=SYMBOLS), port=0) as venue:
        addresses = {f"QUANTMILL_ADDRESS_{name.upper()}": value for name, value in venue.addresses().items()}

        def cycle(name: str, profile: str, command: str, *arguments: str) -> None:
            words = ("-m", "ingest", command, "--profile", profile, *arguments)
            story.said[name] = run(story.home, *words, environment=addresses | PAST)

        cycle("replay", AVERAGES, "scan", "--from", FIRST_SCAN, "--to", "2025-12-21", "--as-of", BEFORE)
        # all listings, so that no history of another symbol comes in later: regimes measure the market of them all
        cycle("flow", AVERAGES, "flow", "--symbol", ",".join(SYMBOLS), "--as-of", BEFORE)
        story.said["build"] = quantmill_build(story.home, AVERAGES, BEFORE)
        story.look("decided", DECIDED, BEFORE[:10])
        story.said["report"] = run(story.home, "-m", "quantmill", "report", "--profile", AVERAGES)

        # ten days later one source has lost three sessions of a contract
        venue.fault("gap", symbols=[GAPPED], sources=["binance"], first="2025-12-24", last="2025-12-26")
        cycle("more scans", AVERAGES, "scan", "--from", "2025-12-22", "--to", "2025-12-31", "--as-of", LATER)
        cycle("flow with a gap", AVERAGES, "flow", "--as-of", LATER)
        story.look("gapped bars", "select source, count(*) from raw.bars where symbol = ? and opened_at_utc between "
                   "'2025-12-24' and '2025-12-26' group by 1", GAPPED)  # fmt: skip
        venue.heal()
        story.look("rows after the flow", COUNTS)
        cycle("the same flow", AVERAGES, "flow", "--as-of", LATER)
        story.look("rows after the same flow", COUNTS)
        story.said["later"] = dbt_build(story.home, *TO_CANDIDATES, profile=AVERAGES, as_of=LATER, **MATRIX)

        story.look("decided later", DECIDED, LATER[:10])

        # the incident
        cycle("scans of all ratings", ALL, "scan", "--from", "2025-12-08", "--to", "2025-12-31", "--as-of", LATER)
        venue.fault("contamination", day=INCIDENT_DAY)
        venue.fault("stale", symbols=[STALE], last="2025-12-20")
        cycle("incident", ALL, "flow", "--as-of", INCIDENT)
        story.look("rejected", "select distinct symbol from raw.findings where severity = 'reject' order by 1")
        story.said["strict"] = quantmill_build(story.home, ALL, INCIDENT)
        story.look("health in the incident", HEALTH)
        story.look("spikes in the incident", OPEN_SPIKES)
        story.said["lenient"] = dbt_build(
            story.home, *FROM_COMPUTED_DATA, profile=LENIENT, as_of=INCIDENT, **UP_TO_THE_INCIDENT
        )
        story.look("candidates in the incident", "select symbol, is_kept, drop_reason from selection.candidates "
                   "join selection.windows using (run_id, window_set, window_index) where decision_date = ?",
                   INCIDENT_DAY)  # fmt: skip

        # what was wrong is mended at the source, and somebody names the symbols
        venue.heal()
        cycle("repair", ALL, "repair", "--symbol", ",".join([*CONTAMINATED, STALE]), "--as-of", INCIDENT)
        cycle("flow after the repair", ALL, "flow", "--as-of", INCIDENT)
        story.said["healed"] = quantmill_build(story.home, ALL, INCIDENT)
        story.look("health after the repair", HEALTH)
        story.look("spikes after the repair", OPEN_SPIKES)
    yield story


def quantmill_build(home: Home, profile: str, as_of: str) -> Build:
    """Run `python -m quantmill build` over the small matrix."""
    given = [f"{key.replace('__', '.')}={json.dumps(value)}" for key, value in {**MATRIX, "as_of": as_of}.items()]
    words = [word for one in given for word in ("--set", one)]
    return run(home, "-m", "quantmill", "build", "--profile", profile, *words)


def wins_by_direction(home: Home, profile: str) -> dict[tuple[str, str], int]:
    """Winners of v3.2 in the newest run of a profile by venue class and direction."""
    query = """
        select if(ends_with(symbol, '.P'), 'perpetual', 'spot') as venue_class, direction, count(*)
        from selection.winners join selection.runs as runs using (run_id)
        where runs.profile = ? and runs.status = 'sealed' and selection_engine = 'v3.2' group by all
    """
    return {(venue_class, direction): count for venue_class, direction, count in ask(home, query, profile)}


def test_a_replay_then_a_cycle_lead_to_a_sealed_run_point_in_time(story: Story) -> None:
    assert story.said["flow"].code == 0, story.said["flow"].output
    assert story.said["build"].code == 0, story.said["build"].output
    ((basis, status),) = ask(
        story.home, "select universe_basis, status from selection.runs where profile = ? and as_of_date = '2025-12-22'",
        AVERAGES,
    )  # fmt: skip
    assert (basis, status) == ("pit", "sealed")
    statuses = ask(
        story.home, "select distinct configs.status from tournaments.configs join selection.runs using (run_id) "
        "where profile = ?", AVERAGES,
    )  # fmt: skip
    assert {status for (status,) in statuses} <= {"native", "composed", "delegated"}


def test_winners_are_long_and_short_on_both_venues_and_none_leaks_to_the_other(story: Story) -> None:
    for profile in (AVERAGES, ALL):
        wins = wins_by_direction(story.home, profile)
        assert {direction for _, direction in wins} == {"LONG", "SHORT"}, wins
        assert {venue_class for venue_class, _ in wins} == {"spot", "perpetual"}, wins
    leaked = ask(
        story.home, """
        select count(*) filter (where starts_with(scanner_id, 'binance_spot') and ends_with(symbol, '.P')),
            count(*) filter (where starts_with(scanner_id, 'binance_perp') and not ends_with(symbol, '.P')),
            count(*) filter (where ends_with(scanner_id, '_long') and direction <> 'LONG'),
            count(*) filter (where ends_with(scanner_id, '_short') and direction <> 'SHORT'), count(*) > 0
        from selection.candidates
        """,
    )  # fmt: skip
    assert leaked == [(0, 0, 0, 0, True)]


def test_no_window_is_decided_before_the_first_scan_and_the_build_says_so(story: Story) -> None:
    ((first, last, index),) = ask(
        story.home, "select min(decision_date)::varchar, max(decision_date)::varchar, min(window_index) "
        "from selection.windows join selection.runs using (run_id) where profile = ? and as_of_date = '2025-12-22'",
        AVERAGES,
    )  # fmt: skip
    assert FIRST_SCAN <= first <= "2025-11-11" and last <= "2025-12-12" and index == 0
    assert "window(s) of golden before the decision of " in story.said["build"].output
    assert "python -m ingest scan --from --to" in story.said["build"].output


def test_the_report_of_such_a_run_is_complete(story: Story) -> None:
    assert story.said["report"].code == 0, story.said["report"].output
    page = next((story.home.state / "reports").glob(f"{AVERAGES}-*/index.html")).read_text(encoding="utf-8")
    assert "4 scanners: " in page


def test_a_gap_is_named_and_healed_from_another_source(story: Story) -> None:
    said = story.said["flow with a gap"]
    assert said.code == 0, said.output
    assert f"{GAPPED}: DEGRADED" in said.output
    assert story.held["gapped bars"] == [("tradingview", 3)]


def test_the_same_cycle_again_lands_no_row_and_only_skips(story: Story) -> None:
    again = story.said["the same flow"]
    assert again.code == 0, again.output
    assert story.held["rows after the same flow"] == story.held["rows after the flow"] != []
    assert "pass normal: 0 requests" in again.output
    assert "rows_new" not in again.output


def test_later_scans_and_bars_change_no_earlier_window_and_no_candidate(story: Story) -> None:
    assert story.said["later"].code == 0, story.said["later"].output
    earlier, later = set(story.held["decided"]), set(story.held["decided later"])
    assert len(earlier) > 100
    assert earlier - later == set()
    assert later - earlier != set()


def test_the_incident_is_named_and_its_loads_are_rejected(story: Story) -> None:
    """F-1, F-2. One of the 22 is gold: it is nobody's candidate, so nobody asks for it."""
    assert {symbol for (symbol,) in story.held["rejected"]} == set(CONTAMINATED) - {"BINANCE:PAXGUSDT"}
    assert story.said["incident"].code == 4, "the profile is strict"
    output = story.said["incident"].output
    assert f"{SPIKED}: TOXIC" in output and "verdict_STALE 1" in output, output
    assert "make data-repair PROFILE=crypto_rating_all AS_OF=2026-01-03T00:10:00Z FORCE=1" in output


def test_the_models_call_the_spiked_symbols_toxic_and_their_neighbours_sound(story: Story) -> None:
    health = dict(story.held["health in the incident"])
    rejected = {symbol for (symbol,) in story.held["rejected"]}
    assert {symbol for symbol, verdict in health.items() if verdict == "TOXIC"} == rejected
    assert health[STALE] == "STALE"
    assert {health[symbol] for symbol in (DONOR, "BINANCE:ADAUSDT.P", "BINANCE:BTCUSDT")} == {"OK"}
    spikes = {(symbol, day, code): donor for symbol, day, code, donor in story.held["spikes in the incident"]}
    assert spikes[SPIKED, INCIDENT_DAY, "CROSS_LEVEL"] == DONOR
    assert {day for _, day, _ in spikes} <= {INCIDENT_DAY, "2026-01-02"}, "the way back is one, too"


def test_a_strict_profile_stops_before_selection_and_names_symbols_and_remedy(story: Story) -> None:
    """F-7, F-21."""
    stopped = story.said["strict"]
    assert stopped.code == 4, stopped.output
    assert "HealthGateError" in stopped.output and "selection.alpha_scores" not in stopped.output
    assert SPIKED in stopped.output and STALE in stopped.output
    assert "make data-repair" in stopped.output


def test_a_lenient_profile_goes_on_without_the_toxic_ones(story: Story) -> None:
    assert story.said["lenient"].code == 0, story.said["lenient"].output
    found = story.held["candidates in the incident"]
    kept = {symbol for symbol, is_kept, _ in found if is_kept}
    dropped = {symbol: reason for symbol, is_kept, reason in found if not is_kept}
    assert not kept & set(CONTAMINATED)
    assert dropped.get(SPIKED, "TOXIC") == "TOXIC"
    assert "BINANCE:BTCUSDT" in kept


def test_after_the_repair_no_spike_is_open_and_the_strict_profile_is_sealed(story: Story) -> None:
    """F-5."""
    assert story.said["repair"].code == 0, story.said["repair"].output
    assert story.held["spikes after the repair"] == []
    health = dict(story.held["health after the repair"])
    assert set(health.values()) == {"OK"}
    assert story.said["healed"].code == 0, story.said["healed"].output
    assert ask(story.home, "select status, universe_basis from selection.runs where profile = ?", ALL) == [
        ("sealed", "pit")
    ]
