"""The command line: serving, running a command beside the venue, faults, indices."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from market import Market, Venue
from market.__main__ import main

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.market", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False, timeout=120)


def test_a_command_runs_beside_the_venue_and_gives_its_exit_code() -> None:
    script = (
        "import json, os, sys, urllib.request\n"
        "address = os.environ['QUANTMILL_ADDRESS_BINANCE_SPOT']\n"
        "path = '/api/v3/klines?symbol=ADAUSDT&interval=1d&limit=1'\n"
        "request = urllib.request.Request(address + path, headers={'X-Market-Clock': '2026-01-01T12:00:00Z'})\n"
        "print(json.load(urllib.request.urlopen(request))[0][4])\n"
        "assert os.environ['QUANTMILL_ADDRESS_TRADINGVIEW_SOCKET'].startswith('ws://127.0.0.1:')\n"
        "sys.exit(4)\n"
    )
    fault = '{"name": "spike", "symbols": ["BINANCE:ADAUSDT"], "day": "2026-01-01", "close": 526.06}'
    done = run("exec", "--port", "0", "--fault", fault, "--", sys.executable, "-c", script)
    assert done.returncode == 4 and float(done.stdout) == 526.06, done.stderr


def test_faults_are_asked_for_and_healed_from_outside(venue: Venue, capsys: pytest.CaptureFixture[str]) -> None:
    port = ("--port", venue.http_url.rpartition(":")[2])
    scope = ("--symbol", "BINANCE:BTCUSDT", "--count", "2", "--set", "last=2026-01-16")
    assert main(["fault", "stale", *port, *scope]) == 0 and '"last":"2026-01-16"' in capsys.readouterr().out
    assert [one["name"] for one in venue.faults.described()] == ["stale"]
    assert main(["fault", *port]) == 0 and capsys.readouterr().out.count("stale") == 1
    assert main(["fault", *port, "--heal"]) == 0 and venue.faults.described() == []
    assert main(["fault", "nothing", *port]) == 2


def test_a_closed_venue_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fault", "--port", "9"]) == 5 and "tests.market serve" in capsys.readouterr().err


def test_indices_and_faults_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["indices", "dw30"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "symbol,index,valid_from,valid_to" and len(lines) > 20
    assert "NASDAQ:INTC,dw30,2019-01-02,2024-11-08" in lines
    assert main(["list"]) == 0 and "contamination" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--clock", "yesterday"], ["--fault", "nothing"]])
def test_wrong_arguments_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["serve", *arguments])
    assert refused.value.code == 2 and arguments[1] in capsys.readouterr().err


def test_two_venues_do_not_share_a_port() -> None:
    market = Market(symbols=["BINANCE:BTCUSDT"])
    with Venue(market, port=0) as one, Venue(market, port=0) as two:
        assert len({one.http_url, two.http_url, one.ws_url, two.ws_url}) == 4
