"""What the data cycle of a profile fetches, from where, and on whose clock."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from quantmill.errors import BadValue, QuantmillError, UnknownKey, UsageError
from quantmill.manifest.acquisition import INTERFACES, Acquisition, load_acquisition, load_interfaces, load_members
from quantmill.manifest.compose import list_profiles
from support import ROOT

MANIFEST = ROOT / "manifest"
VENUE = dict.fromkeys(INTERFACES, "http://127.0.0.1:47800") | {"tradingview_socket": "ws://127.0.0.1:47801"}


def loaded(profile: str, manifest: Path = MANIFEST, **environment: str) -> Acquisition:
    return load_acquisition(manifest, profile, overrides={}, environment=environment)


@pytest.mark.parametrize("profile", list_profiles(MANIFEST))
def test_every_profile_says_what_it_fetches(profile: str) -> None:
    found = loaded(profile)
    assert found.profile == profile
    assert set(found.addresses) == set(INTERFACES)
    assert found.as_of.utcoffset() is not None
    assert found.symbols == tuple(sorted(set(found.symbols)))


def test_static_lists_benchmarks_and_anchors_are_fetched_whatever_a_scan_says() -> None:
    funds = loaded("institutional_etf")
    baskets = {symbol for scanner in funds.scanners for symbol in scanner.symbols}
    assert len(baskets) == 47
    assert set(funds.symbols) == baskets | {"AMEX:SPY"}
    assert loaded("crypto_rating_all").symbols == ("BINANCE:BTCUSDT", "BINANCE:ETHUSDT")
    sample = loaded("sample")
    assert (len(sample.symbols), sample.scanners) == (26, ())


def test_sources_come_in_order_of_priority() -> None:
    crypto, funds = loaded("crypto_rating_all"), loaded("institutional_etf")
    assert crypto.bar_sources == ("binance_bulk", "binance", "tradingview")
    assert funds.bar_sources == ("tradingview", "yahoo")
    assert (crypto.has_rating_history, funds.has_rating_history) == (True, False)
    assert (crypto.has_total_return, funds.has_total_return) == (False, True)
    assert (crypto.lookback_sessions, crypto.history_floor, crypto.calendar_id) == (500, 90, "24/7")


def test_features_are_asked_for_on_the_timeframes_of_the_profile() -> None:
    found = loaded("crypto_rating_all")
    assert found.feature_timeframes == ("4h", "1d", "1W", "1M")
    assert {"Recommend.All|240", "Recommend.All", "RSI|1W", "Volatility.D"} <= set(found.feature_fields)
    assert "Volatility.D|1W" not in found.feature_fields
    assert {"pricescale", "minmov", "timezone", "base_currency"} <= set(found.metadata_fields)
    assert loaded("development").feature_timeframes == ("1d",)


def test_strictness_is_that_of_the_gate_and_no_variable_lowers_it() -> None:
    assert loaded("production").is_strict and not loaded("simulated_crypto").is_strict
    with pytest.raises(UsageError, match="locks it"):
        loaded("production", QUANTMILL_SET_QUALITY__GATE="report")


@pytest.mark.parametrize("profile", ["simulated_crypto", "simulated_etf"])
def test_simulated_profiles_ask_the_venue_on_this_machine_on_their_own_clock(profile: str) -> None:
    found = loaded(profile)
    assert found.clock == "request"
    assert found.addresses == VENUE
    assert found.as_of.isoformat() == "2026-01-29T00:10:00+00:00"


def test_other_profiles_ask_the_real_services_on_the_clock_of_the_wall() -> None:
    for profile in set(list_profiles(MANIFEST)) - {"simulated_crypto", "simulated_etf"}:
        found = loaded(profile)
        assert found.clock == "wall"
        assert found.addresses["tradingview_scanner"] == "https://scanner.tradingview.com"
        assert all(address.startswith(("https://", "wss://")) for address in found.addresses.values())


def test_the_environment_replaces_an_address() -> None:
    found = loaded("simulated_crypto", QUANTMILL_ADDRESS_BINANCE_SPOT="http://127.0.0.1:9/", QUANTMILL_HOME="x")
    assert found.addresses == VENUE | {"binance_spot": "http://127.0.0.1:9"}
    real = loaded("crypto_rating_ma", QUANTMILL_ADDRESS_TRADINGVIEW_SOCKET="ws://127.0.0.1:9")
    assert real.addresses["tradingview_socket"] == "ws://127.0.0.1:9"
    assert real.addresses["yahoo"] == "https://query1.finance.yahoo.com"


@pytest.mark.parametrize(
    ("variable", "address", "error", "words"),
    [
        ("QUANTMILL_ADDRESS_BINANCE_SPOTT", "http://a", UnknownKey, "did you mean 'binance_spot'?"),
        ("QUANTMILL_ADDRESS_YAHOO", "ws://127.0.0.1:9", BadValue, "http or https"),
        ("QUANTMILL_ADDRESS_TRADINGVIEW_SOCKET", "http://127.0.0.1:9", BadValue, "ws or wss"),
        ("QUANTMILL_ADDRESS_YAHOO", "127.0.0.1", BadValue, "no base address"),
        ("QUANTMILL_ADDRESS_YAHOO", "http://[::1", BadValue, "no base address"),
        ("QUANTMILL_ADDRESS_YAHOO", "http://127.0.0.1:port", BadValue, "no base address"),
        ("QUANTMILL_ADDRESS_YAHOO", "http://:word@127.0.0.1", BadValue, "no secret"),
        ("QUANTMILL_ADDRESS_YAHOO", "http://me:hidden-word@127.0.0.1", BadValue, "no secret"),
        ("QUANTMILL_ADDRESS_YAHOO", "http://127.0.0.1/?token=hidden-word", BadValue, "no secret"),
        ("QUANTMILL_ADDRESS_YAHOO", "file:///etc/passwd", BadValue, "http or https"),
    ],
)
def test_a_bad_address_is_an_error_that_repeats_no_secret(
    variable: str, address: str, error: type[QuantmillError], words: str
) -> None:
    with pytest.raises(error) as caught:
        loaded("sample", **{variable: address})
    assert words in str(caught.value)
    assert "hidden-word" not in f"{caught.value} {caught.value.facts}"


# --- sources -------------------------------------------------------------------------------------------------------


def test_limits_of_the_interfaces_are_those_of_the_rules() -> None:
    found = load_interfaces(MANIFEST)
    scanner, socket = found["tradingview_scanner"], found["tradingview_socket"]
    assert (scanner.pacing.requests_per_second, scanner.pacing.concurrent) == (2.0, 5)
    assert (scanner.page_rows, scanner.symbols_per_request) == (100, 500)
    assert scanner.retry.model_dump() == {
        "attempts": 5, "base_seconds": 2.0, "cap_seconds": 60.0, "connect_seconds": 10.0, "read_seconds": 10.0,
    }  # fmt: skip
    assert socket.pacing.concurrent == 5 and 20 <= (socket.symbols_per_connection or 0) <= 30
    assert (socket.depth_daily, socket.depth_intraday, socket.retry.read_seconds) == (3050, 8500, 15.0)
    assert (found["binance_spot"].page_rows, found["binance_usdm"].page_rows) == (1000, 1500)


def test_interfaces_without_a_recording_are_unconfirmed() -> None:
    status = {name: one.status for name, one in load_interfaces(MANIFEST).items()}
    assert status == dict.fromkeys(INTERFACES, "unconfirmed") | {
        "tradingview_scanner": "confirmed", "tradingview_socket": "confirmed",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "error", "words"),
    [
        ("page_rows:", "page_row:", UnknownKey, "did you mean 'interfaces.tradingview_scanner.page_rows'?"),
        ("requests_per_second: 2.0", "requests_per_second: 0", BadValue, "greater than 0"),
        ("tradingview_scanner:", "tradingview_scaner:", BadValue, "did you mean 'tradingview_scanner'?"),
        ("https://scanner", "ftp://scanner", BadValue, "http or https"),
    ],
)
def test_a_bad_file_of_a_source_is_an_error_that_names_it(
    manifest: Path, old: str, new: str, error: type[Exception], words: str
) -> None:
    path = manifest / "sources" / "tradingview.yml"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(error) as caught:
        load_interfaces(manifest)
    assert words in str(caught.value)


def test_a_missing_interface_is_an_error(manifest: Path) -> None:
    (manifest / "sources" / "yahoo.yml").unlink()
    with pytest.raises(BadValue, match="describes no interface 'yahoo'"):
        load_interfaces(manifest)


# --- members of indices --------------------------------------------------------------------------------------------

HEADER = "symbol,index,valid_from,valid_to\n"


@pytest.fixture
def with_index(manifest: Path) -> Path:
    (manifest / "profiles" / "shares.yml").write_text(
        "extends: institutional_etf\nuniverse: {scanners: [dw30_trend]}\n", encoding="utf-8"
    )
    return manifest


@pytest.mark.parametrize("name", ["sp500", "nasdaq100", "dw30"])
def test_no_invented_history_of_members_ships(name: str) -> None:
    assert load_members(MANIFEST, name) == ()


def test_a_profile_that_needs_members_says_so_where_there_are_none(with_index: Path) -> None:
    with pytest.raises(UsageError, match=r"manifest/indices/dw30\.csv has no member of 'dw30' on 2026-01-29; fill in"):
        loaded("shares", with_index)


def test_members_are_those_of_the_day(with_index: Path) -> None:
    (with_index / "indices" / "dw30.csv").write_text(
        f"{HEADER}NYSE:GE,dw30,1907-11-07,2018-06-26\nNASDAQ:WBA,dw30,2018-06-26,2024-02-26\n"
        "NASDAQ:AMZN,dw30,2024-02-26,\nNYSE:KO,dw30,1987-03-12,\n",
        encoding="utf-8",
    )
    found = loaded("shares", with_index)
    assert found.members("dw30", date(2018, 6, 25)) == ("NYSE:GE", "NYSE:KO")
    assert found.members("dw30", date(2018, 6, 26)) == ("NASDAQ:WBA", "NYSE:KO")
    assert found.members("dw30", date(2026, 1, 29)) == ("NASDAQ:AMZN", "NYSE:KO")
    with pytest.raises(UsageError, match="no member of 'dw30' on 1900-01-01"):
        found.members("dw30", date(1900, 1, 1))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("symbol,index,from,to\n", "has the columns symbol, index, from, to"),
        ("", "has the columns none"),
        (f"{HEADER}NYSE:GE,dw30,2018-06-26\n", "line 2 has 3 values; 4 were needed"),
        (f"{HEADER}GE,dw30,2018-06-26,\n", "line 2: 'GE' is no symbol"),
        (f"{HEADER}NYSE:GE,sp500,2018-06-26,\n", "the index is 'sp500'"),
        (f"{HEADER}NYSE:GE,dw30,26.6.2018,\n", "'26.6.2018' is no day"),
        (f"{HEADER}NYSE:GE,dw30,2018-06-26,2018-06-26\n", "is not after valid_from"),
        (f"{HEADER}NYSE:GE,dw30,2018-01-01,\nNYSE:GE,dw30,2019-01-01,\n", "NYSE:GE is a member twice on 2019-01-01"),
    ],
)
def test_a_bad_table_of_members_is_an_error_that_names_the_line(manifest: Path, text: str, words: str) -> None:
    (manifest / "indices" / "dw30.csv").write_text(text, encoding="utf-8")
    with pytest.raises(BadValue) as caught:
        load_members(manifest, "dw30")
    assert words in str(caught.value)
    assert "manifest/indices/dw30.csv" in str(caught.value)
