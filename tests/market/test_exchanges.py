"""The exchange's interface, its archives, and the portal's charts."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest
import requests

from market import Venue
from market.clients import get
from market.market import DAY, epoch, epoch_of_day

NOW = epoch(datetime(2026, 1, 29, 0, 10, tzinfo=UTC))
JANUARY = epoch_of_day(date(2026, 1, 1)) * 1000


def klines(venue: Venue, path: str = "/api/v3/klines", **query: Any) -> list[list[Any]]:
    answer = get(venue, path, **{"interval": "1d", **query})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_kline_has_twelve_values_with_numbers_as_text(venue: Venue) -> None:
    answer = get(venue, "/api/v3/klines", symbol="BTCUSDT", interval="1d", limit=2)
    found = answer.json()
    expected = venue.market.bars("BINANCE:BTCUSDT", "1D", NOW)[-2:]
    assert [row[0] for row in found] == (expected.opened * 1000).tolist()
    assert all(
        len(row) == 12 and all(isinstance(row[at], str) for at in (1, 2, 3, 4, 5, 7, 9, 10, 11)) for row in found
    )
    assert [float(row[4]) for row in found] == expected.close.tolist()
    assert [row[6] for row in found] == (expected.closed * 1000 - 1).tolist()
    # turnover lies between the lowest and the highest price of what was traded
    assert all(float(row[3]) <= float(row[7]) / float(row[5]) <= float(row[2]) for row in found)
    assert int(answer.headers["X-MBX-USED-WEIGHT-1M"]) > 0


def test_a_start_counts_forward_and_no_start_backward(venue: Venue) -> None:
    forward = klines(venue, symbol="ETHUSDT", startTime=JANUARY, limit=3)
    assert [row[0] - JANUARY for row in forward] == [0, DAY * 1000, 2 * DAY * 1000]
    between = klines(venue, symbol="ETHUSDT", startTime=JANUARY, endTime=JANUARY + DAY * 1000)
    assert [row[0] for row in between] == [row[0] for row in forward[:2]]
    assert klines(venue, symbol="ETHUSDT", endTime=JANUARY, limit=1)[0][0] == JANUARY


def test_limits_are_those_of_the_interface(venue: Venue) -> None:
    assert len(klines(venue, symbol="BTCUSDT")) == 500
    assert len(klines(venue, symbol="BTCUSDT", limit=5000)) == 1000
    assert len(klines(venue, "/fapi/v1/klines", symbol="BTCUSDT", limit=5000, interval="4h")) == 1500


@pytest.mark.parametrize("interval", ["1m", "15m", "1h", "4h", "1w", "1M"])
def test_other_intervals_are_served(venue: Venue, interval: str) -> None:
    found = klines(venue, symbol="BTCUSDT", interval=interval, limit=5)
    assert len(found) == 5 and all(row[6] > row[0] for row in found)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"symbol": "NOPE", "interval": "1d"}, -1121),
        ({"symbol": "BTCUSD_PERP", "interval": "1d"}, -1121),
        ({"interval": "1d"}, -1102),
        ({"symbol": "BTCUSDT", "interval": "2d"}, -1120),
        ({"symbol": "BTCUSDT", "interval": "1d", "startTime": "yesterday"}, -1100),
        ({"symbol": "MATICUSDT", "interval": "1d"}, -1121),
    ],
)
def test_a_wrong_request_is_refused_with_its_code(venue: Venue, query: dict[str, str], code: int) -> None:
    answer = get(venue, "/api/v3/klines", **query)
    assert answer.status_code == 400 and answer.json()["code"] == code
    assert get(venue, "/api/v3/nothing").status_code == 404


def test_names_lead_to_spot_and_futures(venue: Venue) -> None:
    spot, future = (klines(venue, path, symbol="BTCUSDT", limit=1)[0] for path in ("/api/v3/klines", "/fapi/v1/klines"))
    coin = klines(venue, "/dapi/v1/klines", symbol="BTCUSD_PERP", limit=1)[0]
    assert len({row[4] for row in (spot, future, coin)}) == 3
    # contracts of a hundred dollars, and the turnover in coins
    assert float(coin[7]) == pytest.approx(float(coin[5]) * 100 / float(coin[4]), rel=0.01)
    thousand = klines(venue, "/fapi/v1/klines", symbol="1000PEPEUSDT", limit=2)[0]
    one = klines(venue, symbol="PEPEUSDT", limit=2)[0]
    assert float(thousand[4]) == pytest.approx(1000 * float(one[4]), rel=0.01)


def test_exchange_info_describes_limits(venue: Venue) -> None:
    info = get(venue, "/api/v3/exchangeInfo").json()
    names = [one["symbol"] for one in info["symbols"]]
    assert "BTCUSDT" in names and "MATICUSDT" not in names and names == sorted(names)
    assert next(one for one in info["symbols"] if one["symbol"] == "FLMUSDT")["status"] == "BREAK"
    only = get(venue, "/api/v3/exchangeInfo", symbol="BTCUSDT").json()["symbols"]
    filters = {one["filterType"]: one for one in only[0]["filters"]}
    assert filters["PRICE_FILTER"]["tickSize"] == "0.01" and float(filters["LOT_SIZE"]["stepSize"]) > 0
    assert float(filters["NOTIONAL"]["minNotional"]) == 5
    future = get(venue, "/fapi/v1/exchangeInfo").json()["symbols"]
    filters = {one["filterType"]: one for one in next(one for one in future if one["symbol"] == "BTCUSDT")["filters"]}
    assert filters["MIN_NOTIONAL"]["notional"] == "100"
    assert all(one["contractType"] == "PERPETUAL" for one in future)
    two = get(venue, "/api/v3/exchangeInfo", symbols='["BTCUSDT","ETHUSDT"]').json()["symbols"]
    assert [one["symbol"] for one in two] == ["BTCUSDT", "ETHUSDT"]
    assert get(venue, "/api/v3/exchangeInfo", symbol="NOPE").json()["code"] == -1121


def test_prices_are_multiples_of_the_tick(venue: Venue) -> None:
    info = {one["symbol"]: one for one in get(venue, "/api/v3/exchangeInfo").json()["symbols"]}
    for name in ("BTCUSDT", "ADAUSDT", "PEPEUSDT", "USDCUSDT"):
        tick = float(info[name]["filters"][0]["tickSize"])
        closes = np.array([float(row[4]) for row in klines(venue, symbol=name, limit=50)])
        assert np.allclose(closes / tick, np.round(closes / tick), atol=1e-4)


def test_funding_comes_in_order_of_time(venue: Venue) -> None:
    found = get(venue, "/fapi/v1/fundingRate", symbol="BTCUSDT", startTime=JANUARY, limit=4).json()
    assert [one["fundingTime"] - JANUARY for one in found] == [0, 28_800_000, 57_600_000, 86_400_000]
    assert set(found[0]) == {"symbol", "fundingTime", "fundingRate", "markPrice"} and float(found[0]["markPrice"]) > 0
    assert len(get(venue, "/fapi/v1/fundingRate", symbol="BTCUSDT").json()) == 100
    assert get(venue, "/api/v3/fundingRate", symbol="BTCUSDT").status_code == 404


def _archive(venue: Venue, kind: str, span: str, symbol: str, period: str, *, clock: str) -> requests.Response:
    return get(venue, f"/data/{kind}/{span}/klines/{symbol}/1d/{symbol}-1d-{period}.zip", clock=clock)


def _rows(body: bytes) -> list[list[str]]:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert len(archive.namelist()) == 1 and archive.namelist()[0].endswith(".csv")
        return list(csv.reader(io.StringIO(archive.read(archive.namelist()[0]).decode())))


def test_an_archive_holds_its_month_and_fits_its_checksum(venue: Venue) -> None:
    clock = "2026-01-29T00:10:00Z"
    answer = _archive(venue, "spot", "monthly", "BTCUSDT", "2025-12", clock=clock)
    again = _archive(venue, "spot", "monthly", "BTCUSDT", "2025-12", clock="2026-01-15T00:00:00Z")
    assert answer.content == again.content
    path = "/data/spot/monthly/klines/BTCUSDT/1d/BTCUSDT-1d-2025-12.zip.CHECKSUM"
    digest, name = get(venue, path, clock=clock).text.split()
    assert digest == hashlib.sha256(answer.content).hexdigest() and name == "BTCUSDT-1d-2025-12.zip"
    rows = _rows(answer.content)
    bars = venue.market.bars("BINANCE:BTCUSDT", "1D", NOW)
    inside = bars[(bars.opened >= epoch_of_day(date(2025, 12, 1))) & (bars.opened < epoch_of_day(date(2026, 1, 1)))]
    assert len(rows) == 31 and [float(row[4]) for row in rows] == inside.close.tolist()
    assert int(rows[0][0]) == epoch_of_day(date(2025, 12, 1)) * 1_000_000


def test_units_and_headers_differ_between_archives(venue: Venue) -> None:
    clock = "2026-01-29T00:10:00Z"
    old = _rows(_archive(venue, "spot", "monthly", "BTCUSDT", "2024-12", clock=clock).content)
    assert int(old[0][0]) == epoch_of_day(date(2024, 12, 1)) * 1000
    plain = _rows(_archive(venue, "futures/um", "monthly", "BTCUSDT", "2025-11", clock=clock).content)
    named = _rows(_archive(venue, "futures/um", "monthly", "BTCUSDT", "2025-12", clock=clock).content)
    assert plain[0][0].isdigit() and named[0][0] == "open_time" and len(named) == 32
    assert int(named[1][0]) == epoch_of_day(date(2025, 12, 1)) * 1000
    assert _archive(venue, "futures/cm", "monthly", "BTCUSD_PERP", "2025-11", clock=clock).status_code == 200
    # a listing that is gone keeps its archives
    assert len(_rows(_archive(venue, "spot", "monthly", "MATICUSDT", "2024-09", clock=clock).content)) == 10


def test_an_archive_is_there_when_its_time_is_over(venue: Venue) -> None:
    def status(span: str, period: str, clock: str) -> int:
        return _archive(venue, "spot", span, "BTCUSDT", period, clock=clock).status_code

    assert status("monthly", "2025-12", "2026-01-01T12:00:00Z") == 404
    assert status("monthly", "2025-12", "2026-01-02T00:00:00Z") == 200
    assert status("daily", "2026-01-27", "2026-01-28T00:10:00Z") == 404
    assert status("daily", "2026-01-27", "2026-01-28T06:00:00Z") == 200
    assert status("monthly", "2016-12", "2026-01-02T00:00:00Z") == 404
    assert status("monthly", "2025-13", "2026-01-02T00:00:00Z") == 404


def chart(venue: Venue, name: str, **query: Any) -> dict[str, Any]:
    answer = get(venue, f"/v8/finance/chart/{name}", **{"interval": "1d", "events": "div,splits", **query})
    assert answer.status_code == 200, answer.text
    return answer.json()["chart"]["result"][0]


def test_a_chart_has_quotes_and_adjusted_closes(venue: Venue) -> None:
    found = chart(venue, "TLT", period1=epoch_of_day(date(2024, 1, 1)), period2=NOW)
    quote, adjusted = found["indicators"]["quote"][0], found["indicators"]["adjclose"][0]["adjclose"]
    bars = venue.market.bars("NASDAQ:TLT", "1D", NOW)[-len(adjusted) :]
    assert found["timestamp"] == bars.opened.tolist() and quote["close"] == bars.close.tolist()
    assert adjusted[-1] == quote["close"][-1] and adjusted[0] < 0.95 * quote["close"][0]
    paid = found["events"]["dividends"]
    assert 23 <= len(paid) <= 26 and all(int(key) == one["date"] and one["amount"] > 0 for key, one in paid.items())
    # the adjusted return of an ex-day is the total return
    day = sorted(one["date"] for one in paid.values())[5]
    at = found["timestamp"].index(day)
    total = adjusted[at] / adjusted[at - 1]
    expected = quote["close"][at] / (quote["close"][at - 1] - paid[str(day)]["amount"])
    assert total == pytest.approx(expected)
    assert found["meta"]["exchangeTimezoneName"] == "America/New_York"


def test_a_chart_knows_of_every_split(venue: Venue) -> None:
    found = chart(venue, "BRZX", period1=epoch_of_day(date(2024, 1, 1)), period2=NOW)
    split = next(iter(found["events"]["splits"].values()))
    assert (split["numerator"], split["denominator"], split["splitRatio"]) == (2.0, 1.0, "2:1")
    closes = np.array(found["indicators"]["quote"][0]["close"])
    assert np.abs(closes[1:] / closes[:-1] - 1).max() < 0.3


def test_names_of_the_portal(venue: Venue) -> None:
    assert chart(venue, "BRK-B")["meta"]["currency"] == "USD"
    assert set(chart(venue, "EURUSD=X")["indicators"]["quote"][0]["volume"]) == {0}
    assert chart(venue, "BTC-USD")["indicators"]["quote"][0]["close"][-1] > 1000
    wrong = get(venue, "/v8/finance/chart/ZZZZ")
    assert wrong.status_code == 404 and wrong.json()["chart"]["error"]["code"] == "Not Found"
    assert get(venue, "/v8/finance/chart/SPY", interval="7d").status_code == 422
    assert get(venue, "/v8/finance/chart/SPY", period1="9", period2="3").status_code == 400
    assert len(chart(venue, "SPY", range="1mo")["timestamp"]) in range(19, 24)


def test_the_portal_turns_away_who_is_no_browser(venue: Venue) -> None:
    assert requests.get(f"{venue.http_url}/v8/finance/chart/SPY", timeout=10).status_code == 429
