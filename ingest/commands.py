"""From the words of the command line to a data command at work: profile, clock, network, exit code."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from quantmill.errors import BadValue, DataContractError, HealthGateError, NetworkError, UsageError
from quantmill.manifest.acquisition import addresses_of, load_interfaces
from quantmill.manifest.aliases import load_aliases
from quantmill.manifest.home import current_home

from ingest.loads import Session, open_session, open_view
from ingest.operations import Cycle, Result
from ingest.scope import check_symbols
from ingest.sources.local_files import parse_moment
from ingest.stopping import Stop, heeded
from ingest.sync import Rules
from ingest.telling import teller
from ingest.thresholds import REPAIR_SECONDS

if TYPE_CHECKING:
    from quantmill.manifest.acquisition import Acquisition

    from ingest.fixtures import Fixtures
    from ingest.operations import Sources

TOKEN_VARIABLE = "QUANTMILL_TRADINGVIEW_TOKEN"
# Commands that end with a line about what they took and what is next.
CLOSED = ("flow", "bars", "repair", "recover")
DEFAULT_SOURCES = ("binance", "tradingview", "yahoo")
# A wall clock cannot be asked for the past; this much lies between two readings of it.
PRESENT = timedelta(minutes=10)


@dataclass(frozen=True)
class Wish:
    """What a data command was called with. Times and days are text as given."""

    command: str
    profile: str | None = None
    symbols: tuple[str, ...] = ()
    as_of: str | None = None
    is_dry: bool = False
    is_json: bool = False
    is_forced: bool = False
    is_strict: bool = False
    waiver: str | None = None
    first: str | None = None
    last: str | None = None
    fixtures: Path | None = None
    record: Path | None = None


def run_command(
    wish: Wish,
    *,
    clock: Callable[[], datetime],
    say: Callable[[str], None],
    environment: Mapping[str, str],
    timer: Callable[[], float] = time.monotonic,
) -> list[Result]:
    """Run a data command; return its results, or raise what its exit code stands for when it ended with one.

    Ctrl-C and SIGTERM end it between two answers: what has arrived is landed, and the results have that exit code.

    A profile with a request clock takes `as_of` for now, everywhere; one with the wall clock refuses a past `as_of`,
    except for `audit`, which asks nobody.
    """
    home = current_home()
    check_symbols(wish.symbols)
    if wish.profile is None and not wish.symbols and wish.command not in ("recover",):
        raise UsageError("nothing says which symbols are meant", remedy="give --profile or --symbol")
    if wish.is_json and not wish.is_dry:
        raise UsageError("--json is of --dry-run alone", remedy="add --dry-run, or leave --json out")
    acquisition = _acquisition(home.manifest, wish.profile, environment)
    fixtures = _fixtures(wish)
    moment = _moment(wish, acquisition, fixtures, clock)
    # Recorded answers are as old as they are: the moment asked for stands for now.
    is_request_clock = fixtures is not None or (acquisition is not None and acquisition.clock == "request")
    days = _days(wish, is_request_clock=is_request_clock, moment=moment)
    rules = Rules(
        bar_sources=acquisition.bar_sources if acquisition else DEFAULT_SOURCES,
        lookback_sessions=acquisition.lookback_sessions if acquisition else 500,
        has_rating_history=acquisition.has_rating_history if acquisition else False,
        has_total_return=acquisition.has_total_return if acquisition else False,
        repair_seconds=acquisition.repair_seconds if acquisition else REPAIR_SECONDS,
        profile=wish.profile,
    )
    interfaces = (
        acquisition.interfaces
        if acquisition
        else {str(name): one for name, one in load_interfaces(home.manifest).items()}
    )
    now = {"moment": moment}
    stop = Stop()

    def session_clock() -> datetime:
        return now["moment"] if is_request_clock else clock()

    def make_network(at: datetime) -> Sources:
        from ingest.network import Network, Ways

        if fixtures is not None:
            return fixtures
        network = Network(
            Ways(clock=session_clock, sleep=stop.rest, timer=timer, stop=stop),
            interfaces=interfaces,
            addresses=acquisition.addresses if acquisition else addresses_of(environment),
            market_clock=at if is_request_clock else None,
            token=environment.get(TOKEN_VARIABLE),
        )
        if wish.record is None:
            return network
        from ingest.fixtures import Recorder

        return Recorder(network, wish.record)

    def can_have(source: str, symbol: str, interval: str, adjustment: str) -> bool:
        from ingest.network import can_have as asked

        return asked(source, symbol, interval, adjustment)

    def make_cycle(session: Session) -> Cycle:
        return Cycle(
            session=session,
            as_of=moment,
            make_network=make_network,
            rules=rules,
            acquisition=acquisition,
            can_have=can_have,
            tell=teller(say),
            timer=timer,
            sleep=stop.rest,
            symbols=wish.symbols,
            is_forced=wish.is_forced,
            is_strict=wish.is_strict or bool(acquisition and acquisition.is_strict),
            waiver=wish.waiver,
            aliases=load_aliases(home.manifest),
            stop=stop,
            is_replay=wish.first is not None,
        )

    if wish.is_dry:
        from ingest.planning import foresee, show

        addresses = acquisition.addresses if acquisition else addresses_of(environment)
        # what planning says of a command that goes on would be untrue here, and no JSON
        with open_view(home, clock=session_clock, say=lambda _: None) as (view, waiting):
            cycle = make_cycle(view)
            found = foresee(cycle, wish.command, days=days, interfaces=interfaces, addresses=addresses, waiting=waiting)
        show(found, as_json=wish.is_json)
        return []
    results: list[Result] = []
    began = timer()
    with open_session(home, holder=f"ingest {wish.command}", clock=session_clock, say=say) as session:
        cycle = make_cycle(session)
        with heeded(stop):
            for day in days:
                cycle.as_of = now["moment"] = day
                if len(days) > 1:
                    say(f"as of {day:%Y-%m-%d %H:%M}Z")
                done = getattr(cycle, wish.command)()
                results += done if isinstance(done, list) else [done]
                if stop.is_set():
                    break
                if len(days) > 1 and not results[-1].exit_code:
                    described = cycle.welcome()
                    results += [described] if described else []
    if wish.command in CLOSED:
        say(_closing(wish, results, timer() - began, is_interrupted=stop.is_set()))
    if stop.is_set():
        # it may have come where no step looks: between two of them, or on a day that was scanned already
        results[-1].exit_code = stop.exit_code
        return results
    _raise_for(results, say, is_request_clock=is_request_clock)
    return results


def _closing(wish: Wish, results: Sequence[Result], seconds: float, *, is_interrupted: bool) -> str:
    """Return the last line of a cycle: how long it took, what it brought and did not have to ask for, what is next."""
    minutes, rest = divmod(round(seconds), 60)
    took = f"{minutes} min {rest} s" if minutes else f"{rest} s"
    new = sum(result.counts["rows_new"] for result in results)
    asked, saved = (sum(getattr(one, name) for one in results) for name in ("asked_count", "saved_count"))
    share = f" ({saved / (asked + saved):.0%})" if asked + saved else ""
    as_of = f" AS_OF={wish.as_of}" if wish.as_of else ""
    if is_interrupted:
        following = "the same command again"
    elif any(result.exit_code for result in results):
        following = "see below"
    elif wish.profile is None:
        following = "make build PROFILE=..., of a profile that names these symbols"
    else:
        following = f"make build PROFILE={wish.profile}{as_of}"
    spared = f"{saved:,} series need not be asked for{share}"
    return f"{wish.command} took {took}: {new:,} new rows, {spared}; next: {following}"


def _acquisition(manifest: object, profile: str | None, environment: Mapping[str, str]) -> Acquisition | None:
    if profile is None:
        return None
    from quantmill.manifest.acquisition import load_acquisition

    assert isinstance(manifest, Path)
    return load_acquisition(manifest, profile, overrides={}, environment=environment)


def _fixtures(wish: Wish) -> Fixtures | None:
    if wish.fixtures is None:
        return None
    if wish.record is not None:
        raise UsageError("--fixtures asks nobody, so there is nothing to --record", remedy="leave one of them out")
    from ingest.fixtures import Fixtures

    return Fixtures(wish.fixtures)


def _moment(
    wish: Wish, acquisition: Acquisition | None, fixtures: Fixtures | None, clock: Callable[[], datetime]
) -> datetime:
    """Return the moment to work for. Raises `BadValue` for one that cannot be asked for."""
    now = clock()
    given = parse_moment(wish.as_of, option="--as-of") if wish.as_of else None
    if fixtures is not None:
        return given or fixtures.latest()
    if acquisition is not None and acquisition.clock == "request":
        return given or acquisition.as_of
    if given is None:
        return now
    if given > now:
        raise BadValue(f"--as-of is {wish.as_of}, which lies ahead of the clock", remedy="leave it out")
    if wish.command != "audit" and now - given > PRESENT:
        raise BadValue(
            f"--as-of is {wish.as_of}: the sources of this profile answer for now, not for a past moment",
            remedy="leave --as-of out, or take a profile with a request clock, such as simulated_crypto",
        )
    return given


def _days(wish: Wish, *, is_request_clock: bool, moment: datetime) -> list[datetime]:
    """Return the moments of a replay, oldest first: the time of day of `moment` on each day."""
    if wish.first is None and wish.last is None:
        return [moment]
    if not is_request_clock:
        raise UsageError(
            "--from and --to replay the past, but the sources of this profile answer for now alone",
            remedy="take a profile with a request clock, such as simulated_crypto",
        )
    try:
        first = date.fromisoformat(wish.first or "")
        last = date.fromisoformat(wish.last) if wish.last else moment.date()
    except ValueError as error:
        raise BadValue(f"--from {wish.first} --to {wish.last}: {error}", remedy="write days like 2025-03-01") from None
    if last < first:
        raise BadValue(f"--to {last} lies before --from {first}", remedy="correct one of them")
    count = (last - first).days + 1
    at = moment.astimezone(UTC).time()
    return [datetime.combine(first + timedelta(days=number), at, tzinfo=UTC) for number in range(count)]


def _raise_for(results: list[Result], say: Callable[[str], None], *, is_request_clock: bool) -> None:
    """Raise the error of the worst result: network before health before data.

    With a request clock nobody but a simulated venue answers, so one that cannot be reached was not opened.
    """
    worst = max(results, key=lambda result: result.exit_code, default=None)
    if worst is None or not worst.exit_code:
        remedies = {result.remedy for result in results if result.failed and result.remedy}
        for remedy in sorted(remedies):
            say(f"some of it failed; to try again: {remedy}")
        return
    error = {3: DataContractError, 4: HealthGateError, 5: NetworkError}[worst.exit_code]
    shown = "; ".join(worst.failed[:3]) + ("; ..." if len(worst.failed) > 3 else "")
    remedy = worst.remedy or "run it again"
    if is_request_clock and any("CONNECTION: " in line for line in worst.failed):
        remedy = f"open the simulated venue: 'python -m tests.market exec -- COMMAND' does, and so does {remedy}"
    raise error(f"{worst.command}: {shown}", remedy=remedy, failed=list(worst.failed))
