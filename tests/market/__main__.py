"""`python -m tests.market serve|exec|fault|indices|list`: the simulated venue from the command line."""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from http.client import HTTPConnection
from typing import Any

from .faults import ALL_FAULTS
from .listings import INDEX_NAMES, all_listings, memberships
from .market import DEFAULT_SEED, Market
from .venue import SCANNER_DELAY, Venue, parse_moment

# With --clock or without: the end of the market is when its last session is over.
DEFAULT_PORT = 47800


def _fault(text: str) -> dict[str, Any]:
    """Return a fault given as NAME or as JSON with `name`."""
    given = json.loads(text) if text.startswith("{") else {"name": text}
    if given.get("name") not in ALL_FAULTS:
        raise argparse.ArgumentTypeError(f"unknown fault {given.get('name')!r}; see 'python -m tests.market list'")
    return given


def _clock(text: str) -> datetime:
    try:
        return datetime.fromtimestamp(parse_moment(text), UTC)
    except ValueError as wrong:
        raise argparse.ArgumentTypeError(f"{wrong}; needed: an ISO time with a zone, 2026-01-29T00:10:00Z") from wrong


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.market", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    venue = argparse.ArgumentParser(add_help=False)
    venue.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="HTTP port, the stream has the next; 0: any (%(default)s)"
    )
    venue.add_argument("--seed", type=int, default=DEFAULT_SEED, help="seed of the market (%(default)s)")
    venue.add_argument("--clock", type=_clock, help="moment of requests without a clock (default: the market's end)")
    venue.add_argument(
        "--fault", type=_fault, action="append", default=[], help="a fault by name or as JSON; repeatable"
    )
    venue.add_argument(
        "--scanner-delay", type=int, default=SCANNER_DELAY, help="seconds the scanner is late (%(default)s)"
    )
    commands.add_parser("serve", parents=[venue], help="serve until interrupted")
    run = commands.add_parser(
        "exec", parents=[venue], help="run a command while the venue is open: exec -- COMMAND ..."
    )
    run.add_argument("arguments", nargs="+", metavar="COMMAND", help="the command and its arguments, after --")
    fault = commands.add_parser("fault", help="ask an open venue for a fault, or heal")
    fault.add_argument("name", nargs="?", help="name of the fault; without: show what is on")
    fault.add_argument("--port", type=int, default=DEFAULT_PORT)
    fault.add_argument("--symbol", action="append", dest="symbols", help="only for this symbol; repeatable")
    fault.add_argument("--source", action="append", dest="sources", help="only at this source; repeatable")
    fault.add_argument("--count", type=int, help="heal after so many requests")
    fault.add_argument("--skip", type=int, help="spare so many requests first")
    fault.add_argument("--since", help="only for requests whose clock is at or after this moment")
    fault.add_argument("--until", help="only for requests whose clock is before this moment")
    fault.add_argument(
        "--set", action="append", default=[], metavar="OPTION=VALUE", help="an option of the fault; repeatable"
    )
    fault.add_argument("--heal", action="store_true", help="take the faults of this name away, or all")
    indices = commands.add_parser("indices", help="who was in which index when, as CSV")
    indices.add_argument("index", nargs="?", choices=sorted(INDEX_NAMES.values()))
    commands.add_parser("list", help="every fault with its options; every listing")
    return parser


def _open(options: argparse.Namespace) -> Venue:
    venue = Venue(
        Market(seed=options.seed), port=options.port, clock=options.clock, scanner_delay=options.scanner_delay
    )
    for given in options.fault:
        venue.fault(**given)
    venue.warm()
    return venue.start()


def _serve(options: argparse.Namespace) -> int:
    venue = _open(options)
    print(
        f"venue: {venue.http_url} and {venue.ws_url}, {len(venue.market.listings)} listings; Ctrl-C ends it", flush=True
    )
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        venue.stop()
    return 0


def _exec(options: argparse.Namespace) -> int:
    """Run a command with the venue's addresses in its environment; return its exit code."""
    venue = _open(options)
    addresses = {f"QUANTMILL_ADDRESS_{name.upper()}": value for name, value in venue.addresses().items()}
    try:
        return subprocess.run(options.arguments, env={**os.environ, **addresses}, check=False).returncode
    except FileNotFoundError:
        print(f"no such command: {options.arguments[0]}", file=sys.stderr)
        return 127
    finally:
        venue.stop()


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _ask_fault(options: argparse.Namespace) -> int:
    connection = HTTPConnection("127.0.0.1", options.port, timeout=10)
    method, path, body = "GET", "/control/faults", None
    if options.heal:
        method, path = "DELETE", path + (f"?name={options.name}" if options.name else "")
    elif options.name:
        scope = {key: getattr(options, key) for key in ("symbols", "sources", "count", "skip", "since", "until")}
        given = {key: value for key, value in scope.items() if value is not None}
        chosen = {key: _value(value) for key, _, value in (one.partition("=") for one in options.set)}
        method, body = "POST", json.dumps({"name": options.name, **given, **chosen})
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read().decode()
    except OSError as wrong:
        print(f"no venue at port {options.port}: {wrong}; start one: python -m tests.market serve", file=sys.stderr)
        return 5
    print(text)
    return 0 if answer.status < 400 else 2


def _indices(index: str | None) -> int:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("symbol", "index", "valid_from", "valid_to"))
    for one in memberships():
        if index in (None, INDEX_NAMES[one.index]):
            writer.writerow((one.symbol, INDEX_NAMES[one.index], one.valid_from, one.valid_to or ""))
    return 0


def _list() -> int:
    for name, (meaning, defaults) in ALL_FAULTS.items():
        print(f"{name:22} {meaning} {json.dumps(defaults) if defaults else ''}")
    print()
    for one in all_listings():
        print(f"{one.symbol:26} {one.type:8} {one.listed} {one.delisted or '':10} {one.description}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = _parser().parse_args(arguments)
    if options.command == "serve":
        return _serve(options)
    if options.command == "exec":
        return _exec(options)
    if options.command == "fault":
        return _ask_fault(options)
    return _indices(options.index) if options.command == "indices" else _list()


if __name__ == "__main__":
    sys.exit(main())
