"""The command line `python -m ingest`. Only click is imported here; each command imports what it needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ingest.storing import Outcome

IMPORT_EXAMPLE = """
\b
Example:
  python -m ingest import prices.csv.gz --source my_vendor \\
      --received-at 2024-03-28T21:00:00Z \\
      --symbol-column symbol --date-column date --map close=adj_close \\
      --adjustment total_return
"""

RESOLVE_EXAMPLE = """
\b
Example:
  python -m ingest resolve NASDAQ:SIVB 2023-03-28 --code SUSPECT_DROP \\
      --reason "receivership; the price is real"
  python -m ingest resolve NYSE:AAPRC --code TOXIC --by desk --reason "checked against the exchange"
"""


CHECK_EXAMPLE = """
\b
Example:
  python -m ingest check tradingview
  python -m ingest check yahoo --address yahoo=http://127.0.0.1:47800 --market-clock 2025-03-01T00:10:00Z
"""

# A TradingView user's own token, for whoever has one; it is sent to the socket and kept nowhere.
TOKEN_VARIABLE = "QUANTMILL_TRADINGVIEW_TOKEN"


def _now() -> datetime:
    return datetime.now(UTC)


def _voice() -> Callable[[str], None]:
    """Return a function that prints one line of progress: in colour on a terminal, plain elsewhere."""
    if not sys.stdout.isatty():
        return lambda line: print(line, flush=True)
    from rich.console import Console

    console = Console(soft_wrap=True)
    return lambda line: console.print(line, markup=False)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cli() -> None:
    """Bring data into the warehouse: land it, judge it, keep what was received.

    \b
    Exit codes: 0 done, 2 usage, 3 data, 4 health, 5 network, 6 warehouse, 130 interrupted (143 by SIGTERM).
    """


@cli.command()
@click.option("--force", is_flag=True, help="Read and judge the payloads again even if they were landed before.")
def sample(force: bool) -> None:
    """Land the real prices that ship inside skfolio: 20 US stocks, the S&P 500 index, five factor funds."""
    say = _voice()
    say("landing the embedded prices")
    from quantmill.manifest.home import current_home

    from ingest.loads import open_session
    from ingest.sources.embedded import land_embedded, package_folder, read_manifest
    from ingest.storing import describe

    home = current_home()
    source = read_manifest(home.manifest / "sources" / "embedded.yml")
    folder = package_folder(source)
    with open_session(home, holder="ingest sample", clock=_now, say=say) as session:
        outcomes = land_embedded(
            session,
            source,
            folder,
            force=force,
            report=lambda name, outcome: say(f"{name}: {describe(outcome)}"),
        )
    _finish(outcomes, say)


@cli.command("import", epilog=IMPORT_EXAMPLE)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--source", required=True, help="Name of who the bars come from; part of their key.")
@click.option("--received-at", required=True, help="When the file was obtained, ISO with a zone.")
@click.option("--symbol", help="The one symbol of the file, EXCHANGE:TICKER.")
@click.option("--symbol-column", help="Column that holds the symbols.")
@click.option(
    "--symbol-map",
    type=click.Path(path_type=Path),
    help="CSV name,symbol: what a name in the file stands for.",
)
@click.option(
    "--symbol-form",
    help="Makes a symbol of each name in the column, {} being the name: BINANCE:{}.P. --symbol-map goes first.",
)
@click.option("--date-column", help="Column of session dates, in the exchange's time zone.")
@click.option("--time-column", help="Column of opening times in UTC: text, or epoch s, ms or us (told by magnitude).")
@click.option(
    "--map",
    "mapping",
    default="",
    help="FIELD=COLUMN,... for open, high, low, close, volume, quote_volume. "
    "Columns of these names need no mapping; FIELD= leaves a column out.",
)
@click.option(
    "--interval",
    default="1d",
    show_default=True,
    help="Length of a bar: 1m 3m 5m 15m 30m 45m 1h 2h 3h 4h 1d 1W 1M.",
)
@click.option("--adjustment", default="none", show_default=True, help="none, splits or total_return.")
@click.option("--delimiter", default=",", show_default=True, help="Separator of a CSV.")
@click.option(
    "--decimal",
    type=click.Choice(["point", "comma"]),
    help="How numbers are written: 1234.56 or 1.234,56. Needed where a number has a comma.",
)
@click.option("--timezone", help="IANA zone of the dates, in place of the exchange's.")
@click.option("--calendar", help="Calendar (exchange_calendars) of symbols not described yet.")
@click.option("--asset-class", help="equity, etf, index, crypto, forex or futures, of symbols not described yet.")
@click.option("--region", help="Region of symbols not described yet.")
@click.option("--sector", help="Sector of symbols not described yet.")
@click.option("--base", help="Base currency of symbols not described yet.")
@click.option("--quote", help="Quote currency of symbols not described yet.")
@click.option("--tick-size", type=float, help="Smallest price step of symbols not described yet.")
def import_command(
    file: Path,
    source: str,
    received_at: str,
    symbol: str | None,
    symbol_column: str | None,
    symbol_map: Path | None,
    symbol_form: str | None,
    date_column: str | None,
    time_column: str | None,
    mapping: str,
    interval: str,
    adjustment: str,
    delimiter: str,
    decimal: str | None,
    timezone: str | None,
    calendar: str | None,
    asset_class: str | None,
    region: str | None,
    sector: str | None,
    base: str | None,
    quote: str | None,
    tick_size: float | None,
) -> None:
    """Land the bars of FILE (.csv, .csv.gz or .parquet, one row per bar).

    Rows that cannot be bars go to raw.quarantine with a code; a file without one good row ends with exit code
    3.
    """
    say = _voice()
    say(f"reading {file}")
    from quantmill.manifest.home import current_home

    from ingest.loads import open_session
    from ingest.sources.local_files import (
        Description,
        ImportOptions,
        check_options,
        import_file,
        parse_mapping,
        parse_moment,
        read_symbol_map,
    )
    from ingest.storing import describe

    options = ImportOptions(
        source=source,
        received_at=parse_moment(received_at, option="--received-at"),
        symbol=symbol,
        symbol_column=symbol_column,
        symbol_map=read_symbol_map(symbol_map) if symbol_map else {},
        symbol_form=symbol_form,
        date_column=date_column,
        time_column=time_column,
        mapping=parse_mapping(mapping),
        interval=interval,
        adjustment=adjustment,
        delimiter=delimiter,
        decimal=decimal,
        timezone=timezone,
        description=Description(
            asset_class=asset_class,
            calendar_id=calendar,
            region=region,
            sector=sector,
            base=base,
            quote=quote,
            tick_size=tick_size,
        ),
    )
    check_options(options, now=_now())
    with open_session(current_home(), holder=f"ingest import {file.name}", clock=_now, say=say) as session:
        outcomes = import_file(session, file, options)
        examples = session.connection.execute(
            """
            select code || ', for example: ' || min(detail) from raw.quarantine
            where list_contains(?::varchar[], load_id) group by code order by code
            """,
            [[outcome.load_id for outcome in outcomes]],
        ).fetchall()
    for outcome in outcomes:
        say(f"{outcome.kind}: {describe(outcome)}")
    for (example,) in examples:
        say(f"  {example}")
    _finish(outcomes, say)


@cli.command(epilog=RESOLVE_EXAMPLE)
@click.argument("symbol")
@click.argument("sessions", metavar="[SESSION...]", nargs=-1, type=click.DateTime(formats=["%Y-%m-%d"]))
@click.option(
    "--code",
    required=True,
    help="SUSPECT_DROP, EXTREME or DUPLICATE_ROW with sessions; OVERLAP_MISMATCH, CORPORATE_ACTION or TOXIC without.",
)
@click.option("--reason", required=True, help="What happened, for whoever reads the verdict later.")
@click.option("--by", help="Who says so; the name of the user who is logged in where it is left out.")
def resolve(symbol: str, sessions: tuple[datetime, ...], code: str, reason: str, by: str | None) -> None:
    """Record a person's word on a finding about SYMBOL: who, when and why.

    \b
    SUSPECT_DROP, EXTREME  the move of each SESSION is real and no longer makes the symbol TOXIC; a lasting
                           fall is suspect until the median of 20 closes has followed it: name all sessions
    DUPLICATE_ROW          the bars of each SESSION equal those of another symbol by chance
    OVERLAP_MISMATCH,      for seven days the source may say something else than what is stored
    CORPORATE_ACTION
    TOXIC                  the registry lets the symbol go, and the next cycle fetches and judges it again
    The record is a load like any other: immutable, and replayed by a rebuild. No stored row changes; land what
    was rejected again (import, or repair --symbol), and build.
    """
    say = _voice()
    from getpass import getuser

    from quantmill.manifest.home import current_home

    from ingest.loads import open_session
    from ingest.releases import land_resolution
    from ingest.sources.common import require_symbol
    from ingest.storing import describe

    who = by if by is not None else getuser()
    with open_session(current_home(), holder=f"ingest resolve {require_symbol(symbol)}", clock=_now, say=say) as opened:
        for day in (moment.date() for moment in sessions) if sessions else (None,):
            outcome = land_resolution(opened, symbol=symbol, session_date=day, code=code, reason=reason, by=who)
            say(f"{day or symbol}: {describe(outcome)}")


@cli.command()
@click.option("--as-of", help="Moment to judge for, ISO with a zone; now where it is left out.")
def aliases(as_of: str | None) -> None:
    """Judge every renamed symbol of manifest/aliases.yml by the stored bars: are the two histories one?

    Every sync does so for the symbols it knows; this is for bars that were imported. Opens no connection.
    """
    say = _voice()
    from quantmill.manifest.aliases import load_aliases
    from quantmill.manifest.home import current_home

    from ingest.aliases import heed_aliases
    from ingest.loads import open_session
    from ingest.sources.local_files import parse_moment

    home = current_home()
    known = load_aliases(home.manifest)
    moment = parse_moment(as_of, option="--as-of") if as_of is not None else _now()
    with open_session(home, holder="ingest aliases", clock=_now, say=say) as opened:
        rows, _ = heed_aliases(opened, known, as_of=moment, is_complete=True)
        for row in rows:
            say(f"{row['symbol']} to {row['new_symbol']}: {row['verdict']}, {row['code']} ({row['detail']})")
        say(f"{len(known)} aliases, {len(rows)} of them judged otherwise than before")


@cli.command()
def rebuild() -> None:
    """Make the workbench again from the landing files and the published snapshot."""
    say = _voice()
    say("rebuilding the workbench from the landing")
    from quantmill.manifest.home import current_home

    from ingest.rebuild import rebuild as rebuild_workbench

    _count(rebuild_workbench(current_home(), say=say), say)


@cli.command(epilog=CHECK_EXAMPLE)
@click.argument("source", type=click.Choice(["tradingview", "binance", "binance_bulk", "yahoo"]))
@click.option(
    "--address",
    "addresses",
    multiple=True,
    metavar="INTERFACE=URL",
    help="Where an interface is, in place of the real service; may be repeated.",
)
@click.option("--market-clock", help="Moment that a simulated venue is to answer for, ISO with a zone.")
def check(source: str, addresses: tuple[str, ...], market_clock: str | None) -> None:
    """Ask each interface of SOURCE one small question and compare the answer with what its reader expects.

    \b
    confirmed    the answer is read as expected
    differs      it is not, and how
    unreachable  nothing came
    Exit codes: 0 all confirmed, 3 some differ, 5 some are unreachable. Nothing is landed.
    """
    say = _voice()
    from quantmill.errors import BadValue, DataContractError, NetworkError
    from quantmill.manifest.acquisition import load_interfaces
    from quantmill.manifest.home import current_home

    from ingest.check import check as check_source
    from ingest.network import Network, Ways
    from ingest.sources.local_files import parse_moment
    from ingest.transport import RetryRules

    stated: dict[str, str] = {}
    for text in addresses:
        name, equals, address = text.partition("=")
        if not equals:
            raise BadValue("--address needs INTERFACE=URL", remedy="write it like yahoo=http://127.0.0.1:47800")
        stated[name] = address
    moment = parse_moment(market_clock, option="--market-clock") if market_clock is not None else None
    network = Network(
        Ways(clock=_now),
        interfaces={str(name): one for name, one in load_interfaces(current_home().manifest).items()},
        addresses=stated,
        market_clock=moment,
        token=os.environ.get(TOKEN_VARIABLE),
        rules=RetryRules(attempts=2),
    )
    findings = []
    for finding in check_source(source, network, now=moment or _now()):
        findings.append(finding)
        say(f"{finding.status:<11}  {finding.interface}: {finding.detail}")
    for status, error, needed in (
        ("unreachable", NetworkError, "see whether this machine may reach it; docs/sources.md lists the addresses"),
        ("differs", DataContractError, "the reader has to learn what the service says now"),
    ):
        named = [one.interface for one in findings if one.status == status]
        if named:
            raise error(f"{len(named)} of {len(findings)} interfaces of {source}: {status}", remedy=needed, named=named)


def _data_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a data command the options that all of them share."""
    options = (
        click.option("--profile", help="Profile whose symbols and sources are meant."),
        click.option(
            "--symbol", "symbols", multiple=True, help="EXCHANGE:TICKER, also several with commas or repeated."
        ),
        click.option("--scope", help="Comma-separated symbols; the same as --symbol."),
        click.option(
            "--as-of",
            help="Moment to work for, ISO with a zone. Left out: now, or with a request clock the profile's.",
        ),
        click.option(
            "--fixtures",
            type=click.Path(path_type=Path),
            help="Folder of recorded answers to take in place of the network; --as-of is that of the newest, then.",
        ),
        click.option(
            "--record", type=click.Path(path_type=Path), help="Folder to keep all answers in, for --fixtures."
        ),
        click.option("--dry-run", is_flag=True, help="Say what would be asked for, ask nobody, change nothing."),
        click.option("--json", "as_json", is_flag=True, help="With --dry-run: print JSON instead of a table."),
        click.option("--force", is_flag=True, help="Ask also for what is fresh, locked or TOXIC."),
        click.option(
            "--strict", is_flag=True, help="End with 4 unless every symbol is OK, as strict profiles always do."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@cli.command()
@_data_options
@click.option("--from", "first", help="First day of a replay, YYYY-MM-DD: one scan a day, for request clocks only.")
@click.option("--to", "last", help="Last day of the replay, YYYY-MM-DD.")
def scan(first: str | None, last: str | None, **options: Any) -> None:
    """Ask the scanners of a profile and land their rows."""
    _run("scan", first=first, last=last, **options)


@cli.command()
@_data_options
def metadata(**options: Any) -> None:
    """Fetch what the symbols in scope are, and the trading limits of their venue."""
    _run("metadata", **options)


@cli.command()
@_data_options
def bars(**options: Any) -> None:
    """Fetch the bars of the symbols in scope that are not up to date."""
    _run("bars", **options)


@cli.command()
@_data_options
@click.option("--waive", help="Why an incomplete coverage is let through; kept in ops.feature_coverage.")
def features(waive: str | None, **options: Any) -> None:
    """Fetch the vendor's features of the symbols in scope, up to three times for those that fail."""
    _run("features", waiver=waive, **options)


@cli.command()
@_data_options
def repair(**options: Any) -> None:
    """Heal what is missing, stale, degraded or (by --symbol or --force) toxic: deep, slow, then from another source."""
    _run("repair", **options)


@cli.command()
@_data_options
def recover(**options: Any) -> None:
    """Take the failures of the last cycle through the slow lane and the alternate source."""
    _run("recover", **options)


@cli.command()
@_data_options
def audit(**options: Any) -> None:
    """Judge the health of the symbols in scope by what is stored. Opens no connection; ends with 4 where strict."""
    _run("audit", **options)


@cli.command()
@_data_options
@click.option("--waive", help="Why an incomplete coverage of features is let through.")
def flow(waive: str | None, **options: Any) -> None:
    """Run the data cycle: scan, metadata, bars, repair, features.

    What lands goes to the workbench; 'python -m quantmill build' judges it, selects from it and publishes.
    """
    _run("flow", waiver=waive, **options)


def _run(
    command: str,
    *,
    profile: str | None,
    symbols: Sequence[str],
    scope: str | None,
    as_of: str | None,
    fixtures: Path | None,
    record: Path | None,
    dry_run: bool,
    as_json: bool,
    force: bool,
    strict: bool,
    waiver: str | None = None,
    first: str | None = None,
    last: str | None = None,
) -> None:
    """Run one data command and end with its exit code."""
    say = _voice()
    from ingest.commands import Wish, run_command

    results = run_command(
        Wish(
            command=command,
            profile=profile,
            symbols=tuple(part.strip() for text in (*symbols, scope or "") for part in text.split(",") if part.strip()),
            as_of=as_of,
            is_dry=dry_run,
            is_json=as_json,
            is_forced=force,
            is_strict=strict,
            waiver=waiver,
            first=first,
            last=last,
            fixtures=fixtures,
            record=record,
        ),
        clock=_now,
        say=say,
        environment=os.environ,
    )
    # what is worse than an interruption was raised
    click.get_current_context().exit(max((result.exit_code for result in results), default=0))


@cli.command()
def status() -> None:
    """Show what was landed, by source and by symbol."""
    from quantmill.manifest.home import current_home

    from ingest.status import show

    show(current_home())


def _count(outcomes: Sequence[Outcome], say: Callable[[str], None]) -> None:
    statuses = sorted({outcome.status for outcome in outcomes})
    counts = ", ".join(f"{name} {sum(o.status == name for o in outcomes)}" for name in statuses)
    say(f"loads: {counts}; new bars: {sum(o.rows_new for o in outcomes if o.kind == 'bars'):,}")


def _finish(outcomes: Sequence[Outcome], say: Callable[[str], None]) -> None:
    """Print counts by status, warn of quarantined rows, and raise `DataContractError` for a rejected load."""
    from quantmill.errors import DataContractError

    _count(outcomes, say)
    for outcome in outcomes:
        where = f"select * from raw.quarantine where load_id = '{outcome.load_id}'"
        if outcome.status == "REJECTED":
            raise DataContractError(
                f"load {outcome.load_id} was rejected: {outcome.error}",
                remedy=f"see {where} (in the published snapshot after the next build)",
                load_id=outcome.load_id,
            )
        if outcome.status == "PARTIAL":
            share = outcome.rows_quarantined / outcome.rows_received
            strength = "WARNING, more than 5 %" if share > 0.05 else "warning"
            say(f"{strength}: {outcome.error}; see {where}")


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; an error is one line on stderr, never a traceback."""
    from quantmill.errors import QuantmillError

    try:
        code = cli.main(
            args=list(arguments) if arguments is not None else None,
            prog_name="python -m ingest",
            standalone_mode=False,
        )
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        print("interrupted: what was landed is kept, and the next command replays it", file=sys.stderr)
        return 130
    except QuantmillError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code


def main() -> None:
    """Entry point of `python -m ingest`."""
    sys.exit(run())
