"""The HTTP client: what is tried again, how long it waits, what opens the breaker, what is kept of a failure."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from loopback import Asked, Given, closed_port, given_json, web_service
from quantmill.errors import BadValue

from ingest.stopping import Stop
from ingest.transport import (
    PREFIX_BYTES,
    SLOW_WAITS,
    Breaker,
    Pacer,
    Pacing,
    RetryRules,
    Transport,
    check_address,
    clean_address,
    gathered,
)

NOW = datetime(2025, 3, 1, 0, 10, tzinfo=UTC)
PAGE = b"<!DOCTYPE html><html><body>service</body></html>"
QUICK = Pacing(requests_per_second=1e6)


@dataclass
class Waits:
    """A clock that moves only when somebody sleeps."""

    seconds: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)

    def clock(self) -> datetime:
        return NOW + timedelta(seconds=sum(self.seconds))


def client(address: str, waits: Waits, **options: Any) -> Transport:
    options = {"pacing": QUICK, **options}
    return Transport("venue", address, clock=waits.clock, sleep=waits.sleep, **options)


def test_a_whole_answer_is_parsed_and_its_attempt_recorded() -> None:
    waits = Waits()
    with web_service([given_json({"a": 1})]) as service:
        reply = client(service.address, waits, market_clock=NOW).get("/x", {"q": "a|b c"})
    assert (reply.status, reply.value, reply.code) == (200, {"a": 1}, None)
    assert [(one.started_at, one.status, one.code) for one in reply.attempts] == [(NOW, 200, None)]
    assert service.asked[0].query == {"q": "a|b c"}
    assert service.asked[0].headers["x-market-clock"] == "2025-03-01T00:10:00Z"
    assert service.asked[0].headers["user-agent"].startswith("Mozilla/5.0")


def test_without_a_market_clock_no_such_header_is_sent() -> None:
    with web_service([given_json([])]) as service:
        client(service.address, Waits()).get("/x")
    assert "x-market-clock" not in service.asked[0].headers


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_status_that_may_pass_is_tried_five_times_with_growing_jitter(status: int) -> None:
    waits = Waits()
    with web_service([Given(status, b"busy")] * 5) as service:
        reply = client(service.address, waits).get("/x")
    assert len(service.asked) == len(reply.attempts) == 5
    assert reply.code == ("RATE_LIMITED" if status == 429 else "SERVER_ERROR")
    assert reply.error == f"{service.address}/x: HTTP {status} after 5 attempts"
    pauses = waits.seconds if status != 429 else waits.seconds[::2]
    assert len(pauses) == 4
    assert all(0.0 <= pause <= 2.0 * 2.0**k for k, pause in enumerate(pauses))
    assert len(set(pauses)) == 4


def test_the_jitter_comes_from_the_seed_and_never_exceeds_the_cap() -> None:
    def pauses(seed: int) -> list[float]:
        waits = Waits()
        with web_service([Given(503)] * 8) as service:
            client(service.address, waits, seed=seed, rules=RetryRules(attempts=8, cap_seconds=5.0)).get("/x")
        return waits.seconds

    assert pauses(1) == pauses(1) != pauses(2)
    assert max(pauses(1)) <= 5.0


@pytest.mark.parametrize("value", ["7", "Sat, 01 Mar 2025 00:10:07 GMT"])
def test_retry_after_is_waited_for_in_seconds_and_as_a_date(value: str) -> None:
    waits = Waits()
    with web_service([Given(429, headers={"Retry-After": value}), given_json([])]) as service:
        reply = client(service.address, waits).get("/x")
    assert reply.code is None
    assert waits.seconds[0] == pytest.approx(7.0)


def test_a_service_that_asks_for_an_hour_is_not_waited_for() -> None:
    waits = Waits()
    with web_service([Given(503, headers={"Retry-After": "3600"})]) as service:
        reply = client(service.address, waits).get("/x")
    assert (reply.code, len(reply.attempts), waits.seconds) == ("SERVER_ERROR", 1, [])


def test_the_slow_lane_waits_30_and_60_seconds_for_a_429_and_then_gives_up() -> None:
    waits = Waits()
    with web_service([Given(429)] * 3) as service:
        reply = client(service.address, waits).with_rules(RetryRules(rate_limit_waits=SLOW_WAITS)).get("/x")
    assert reply.code == "RATE_LIMITED"
    assert [one for one in waits.seconds if one in (30.0, 60.0)] == [30.0, 60.0]


def test_the_slow_lane_does_not_wait_for_a_service_that_asks_for_a_day() -> None:
    waits = Waits()
    with web_service([Given(429, headers={"Retry-After": "86400"})]) as service:
        reply = client(service.address, waits).with_rules(RetryRules(rate_limit_waits=SLOW_WAITS)).get("/x")
    assert (reply.code, len(reply.attempts), waits.seconds) == ("RATE_LIMITED", 1, [])


@pytest.mark.parametrize("location", ["http://host:port/x", "http://[::1"])
def test_a_redirect_to_no_address_is_a_value(location: str) -> None:
    with web_service([Given(302, headers={"Location": location})]) as service:
        reply = client(service.address, Waits()).get("/x")
    assert (reply.code, len(reply.attempts)) == ("HTTP_ERROR", 1)
    assert "redirected to no address" in str(reply.error)


@pytest.mark.parametrize("status", [301, 400, 401, 404])
def test_any_other_status_is_final_and_keeps_its_body(status: int) -> None:
    with web_service([given_json({"msg": "no"}, status)]) as service:
        reply = client(service.address, Waits()).get("/x")
    assert (reply.status, reply.code, reply.body, len(reply.attempts)) == (status, "HTTP_ERROR", b'{"msg": "no"}', 1)


@pytest.mark.parametrize(
    "given",
    [
        Given(200, b'{"a": [1, 2', stated_length=400),
        Given(200, b'{"a": [1, 2'),
        Given(200, b"not json at all"),
        Given(200, b""),
        Given(200, b"[" * 200_000),
        Given(200, b'{"a": "\xff"}'),
    ],
    ids=["cut off", "half", "text", "empty", "deep", "no text"],
)
def test_a_damaged_body_is_tried_again_and_its_beginning_kept(given: Given) -> None:
    with web_service([given, given_json({"a": 1})]) as service:
        reply = client(service.address, Waits()).get("/x")
    assert (reply.value, [one.code for one in reply.attempts]) == ({"a": 1}, ["BODY_PARSE", None])
    with web_service([given] * 5) as service:
        reply = client(service.address, Waits()).get("/x")
    assert reply.code == "BODY_PARSE"
    assert reply.body[:PREFIX_BYTES] == given.body[:PREFIX_BYTES]


def test_a_body_that_ends_early_is_named_with_both_lengths() -> None:
    with web_service([Given(200, b"[1, 2, 3]", stated_length=400)] * 5) as service:
        reply = client(service.address, Waits()).get("/x")
    assert reply.attempts[0].detail == "the body ends after 9 of 400 bytes"


def test_a_dropped_connection_is_tried_again() -> None:
    with web_service([Given(is_dropped=True), given_json([])]) as service:
        reply = client(service.address, Waits()).get("/x")
    assert [one.code for one in reply.attempts] == ["CONNECTION", None]


def test_a_service_that_is_too_slow_is_a_timeout() -> None:
    rules = RetryRules(attempts=1, read_seconds=0.05)
    with web_service([Given(200, b"[]", seconds=0.3)]) as service:
        reply = client(service.address, Waits(), rules=rules).get("/x")
    assert (reply.code, reply.attempts[0].detail) == ("TIMEOUT", "no answer in time")


def test_a_closed_port_is_a_value_and_after_five_requests_nothing_is_asked_any_more() -> None:
    waits = Waits()
    with closed_port() as port:
        venue = client(f"http://user:hidden@127.0.0.1:{port}", waits)
        replies = [venue.get("/x", {"token": "hidden"}) for _ in range(6)]
    assert [reply.code for reply in replies] == ["CONNECTION"] * 5 + ["CIRCUIT_OPEN"]
    assert replies[0].error == f"http://127.0.0.1:{port}/x: connection refused after 5 attempts"
    assert replies[5].attempts == ()
    assert replies[5].error == (
        "venue is not asked any more in this run: 5 requests in a row failed, the last one with "
        "CONNECTION: connection refused"
    )
    assert "hidden" not in repr(replies)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (Given(418), "BANNED"),
        (Given(451), "GEO_BLOCKED"),
        (Given(403, PAGE), "CAPTCHA"),
        (Given(200, PAGE.replace(b"service", b"Please solve this CAPTCHA")), "CAPTCHA"),
    ],
)
def test_a_refusal_opens_the_breaker_at_once(given: Given, code: str) -> None:
    with web_service([given]) as service:
        venue = client(service.address, Waits())
        assert venue.get("/x").code == code
        second = venue.get("/y")
    assert second.code == "CIRCUIT_OPEN" and code in str(second.error)
    assert len(service.asked) == 1


def test_a_web_page_is_tried_again_and_opens_the_breaker_when_it_stays() -> None:
    with web_service([Given(200, PAGE), given_json([])]) as service:
        assert client(service.address, Waits()).get("/x").code is None
    with web_service([Given(200, PAGE)] * 5) as service:
        venue = client(service.address, Waits())
        assert [venue.get("/x").code, venue.get("/x").code] == ["HTML_PAGE", "CIRCUIT_OPEN"]
        assert len(service.asked) == 5


def test_an_answer_between_failures_keeps_the_breaker_closed() -> None:
    breaker = Breaker(2)
    for _ in range(5):
        breaker.failed("TIMEOUT")
        breaker.succeeded()
    assert breaker.reason is None
    breaker.failed("TIMEOUT")
    breaker.failed("TIMEOUT")
    assert breaker.reason is not None


def test_a_404_is_no_failure_of_the_source() -> None:
    with web_service([Given(404)] * 9) as service:
        venue = client(service.address, Waits(), rules=RetryRules(breaker_failures=2))
        assert {venue.get("/x").code for _ in range(9)} == {"HTTP_ERROR"}


def test_requests_begin_at_even_distances_and_only_so_many_at_once() -> None:
    moment, slept = 100.0, []

    def sleep(seconds: float) -> None:
        slept.append(seconds)

    pacer = Pacer(Pacing(requests_per_second=2.0, concurrent=2), timer=lambda: moment, sleep=sleep)
    for _ in range(4):
        with pacer.turn():
            pass
    assert slept == [0.5, 1.0, 1.5]


def test_no_more_requests_are_open_than_the_pacing_allows() -> None:
    lock, state = threading.Lock(), {"open": 0, "most": 0}

    def answer(asked: Asked) -> Given:
        with lock:
            state["open"] += 1
            state["most"] = max(state["most"], state["open"])
        threading.Event().wait(0.02)
        with lock:
            state["open"] -= 1
        return given_json([])

    with web_service(answer) as service:
        venue = client(service.address, Waits(), pacing=Pacing(1e6, concurrent=2))
        list(gathered(range(12), lambda _: venue.get("/x"), workers=6, stop=Stop()))
    assert state["most"] == 2


def test_a_used_up_weight_holds_requests_until_the_next_minute() -> None:
    waits = Waits()

    def headers(used: int) -> dict[str, str]:
        return {"X-MBX-USED-WEIGHT-1M": str(used)}

    with web_service([Given(200, b"[]", headers(700)), Given(200, b"[]", headers(801)), Given(200, b"[]")]) as service:
        venue = client(service.address, waits, pacing=Pacing(1e6, 5, 1000), timer=lambda: 0.0)
        for _ in range(3):
            venue.get("/x")
    assert [one for one in waits.seconds if one > 1] == [pytest.approx(60.0, abs=0.1)]


def test_gathered_yields_everything_and_stops_when_the_consumer_does() -> None:
    assert sorted(gathered(range(50), lambda n: n * n, workers=3, stop=Stop())) == [n * n for n in range(50)]
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        return number

    results: Iterator[int] = gathered(range(1000), work, workers=2, stop=Stop())
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert len(begun) <= 8


def test_an_error_of_ours_in_a_thread_reaches_the_consumer() -> None:
    def work(number: int) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(gathered([1], work, workers=2, stop=Stop()))


@pytest.mark.parametrize("address", ["", "ftp://host", "http://", "host:80", "http://host:port", "http://host:0"])
def test_an_address_that_is_none_is_a_clear_error(address: str) -> None:
    with pytest.raises(BadValue, match="needs http://HOST or https://HOST"):
        check_address(address)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://user:word@host.example:8443/base/?token=1#x", "https://host.example:8443/base/"),
        ("ws://[::1]:47801/path", "ws://[::1]:47801/path"),
    ],
)
def test_an_address_is_shown_without_anything_secret(address: str, shown: str) -> None:
    assert clean_address(address) == shown


def test_nobody_is_asked_through_a_proxy_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with web_service([given_json([1])]) as service:
        assert client(service.address, Waits()).get("/x").value == [1]


def test_a_parser_of_ones_own_may_refuse_a_body() -> None:
    def parse(body: bytes) -> bytes:
        if body != b"right":
            raise ValueError("needs right")
        return body

    take: Callable[[bytes], Any] = parse
    with web_service([Given(200, b"wrong"), Given(200, b"right")]) as service:
        reply = client(service.address, Waits()).get("/x", parse=take)
    assert (reply.value, reply.attempts[0].detail) == (b"right", "the body of 5 bytes cannot be read: needs right")
