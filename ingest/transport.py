"""The HTTP client of the sources: bounded attempts, pacing, a circuit breaker, and a record of every attempt.

A request that cannot be carried out is a value (`Reply` with a code), never an exception: the caller lands it. The
retry loop is our own. `urllib3.util.Retry` sees the status line alone (requests reads bodies behind its back, so a
truncated or damaged body would never be tried again), keeps no times of its attempts, draws its jitter from the global
generator and sleeps by itself; the rules ask for a record of each attempt, seeded jitter and an injected clock.

| code         | what came | tried again |
|---|---|---|
| CONNECTION   | no connection, or one that was dropped before an answer | yes |
| TIMEOUT      | no answer in time | yes |
| RATE_LIMITED | 429 | yes, after `Retry-After` |
| SERVER_ERROR | 500, 502, 503, 504 | yes |
| BODY_PARSE   | 200 with a body that is cut off or cannot be parsed | yes |
| HTML_PAGE    | 200 with a web page in place of data | yes; the last one opens the breaker |
| CAPTCHA      | a page that asks for a human, or 403 with a page | no; opens the breaker |
| GEO_BLOCKED  | 451 | no; opens the breaker |
| BANNED       | 418 | no; opens the breaker |
| HTTP_ERROR   | any other status | no |
| CIRCUIT_OPEN | nothing: the breaker of the source is open for this run | no |
"""

from __future__ import annotations

import email.utils
import hashlib
import ipaddress
import json
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from quantmill.errors import BadValue

from ingest.answers import Attempt
from ingest.stopping import GRACE_SECONDS, POLL_SECONDS, Interrupted, Stop

if TYPE_CHECKING:
    import requests

# Many services refuse the name of a library.
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
MARKET_CLOCK = "X-Market-Clock"
WEIGHT_HEADER = "X-MBX-USED-WEIGHT-1M"
PREFIX_BYTES = 2048
LARGEST_BODY = 256 << 20

RETRIED_STATUSES = {429: "RATE_LIMITED", 500: "SERVER_ERROR", 502: "SERVER_ERROR", 503: "SERVER_ERROR"} | {
    504: "SERVER_ERROR"
}
REFUSED_STATUSES = {
    418: ("BANNED", "the address is banned for now"),
    451: ("GEO_BLOCKED", "the service refuses this country"),
}
RETRIED_CODES = frozenset({"CONNECTION", "TIMEOUT", "RATE_LIMITED", "SERVER_ERROR", "BODY_PARSE", "HTML_PAGE"})
OPENING_CODES = frozenset({"CAPTCHA", "GEO_BLOCKED", "BANNED"})
# A source that gave one of these was not reached, or not let us in: exit code 5 where nothing else was achieved.
UNREACHED_CODES = (OPENING_CODES | RETRIED_CODES | {"CIRCUIT_OPEN", "DROPPED"}) - {"BODY_PARSE", "HTML_PAGE"}

_PAGE_STARTS = (b"<!doctype html", b"<html")
_CAPTCHA_WORDS = (b"captcha", b"unusual traffic", b"are you a robot", b"cf-chl", b"challenge-platform")

Clock = Callable[[], datetime]
Progress = Callable[[int, int, str], None]  # done, total, what was just done
Job = TypeVar("Job")
Done = TypeVar("Done")


@dataclass(frozen=True)
class Pacing:
    """How fast one source may be asked: requests begun per second, requests open at once, weight used per minute.

    `weight_per_minute` is the allowance whose use the service reports in `X-MBX-USED-WEIGHT-1M`; at 80 % of it no
    request begins before the next minute. None: the service reports none.
    """

    requests_per_second: float = 2.0
    concurrent: int = 5
    weight_per_minute: int | None = None


@dataclass(frozen=True)
class RetryRules:
    """How often and after which pauses, in seconds, a request is tried again.

    The pause before attempt k + 2 is uniform between 0 and min(`cap_seconds`, `base_seconds` * 2^k) (full jitter), and
    at least what `Retry-After` asks. For 429s `rate_limit_waits` replaces the jitter, and its length bounds their
    repeats. A service that asks for more than `longest_wait_seconds` is not waited for. `breaker_failures` requests in
    a row whose attempts are used up open the breaker.
    """

    attempts: int = 5
    base_seconds: float = 2.0
    cap_seconds: float = 60.0
    connect_seconds: float = 10.0
    read_seconds: float = 10.0
    total_seconds: float = 300.0
    longest_wait_seconds: float = 300.0
    rate_limit_waits: tuple[float, ...] | None = None
    breaker_failures: int = 5


# The slow lane of a repair: a 429 is waited out for 30 s, then for 60 s, and not a third time.
SLOW_WAITS = (30.0, 60.0)


@dataclass(frozen=True)
class Reply:
    """What one request brought, after all its attempts.

    `code` is None for a whole answer with status 200, whose parsed body is `value`. Otherwise `code` and `error` say
    what is wrong and `body` holds what arrived last (cut at 64 kB), which may be nothing.
    """

    status: int | None
    body: bytes
    value: Any
    headers: Mapping[str, str]
    attempts: tuple[Attempt, ...]
    code: str | None = None
    error: str | None = None


class Breaker:
    """Stops all requests to one source for the rest of a run; it never closes again."""

    def __init__(self, failures: int) -> None:
        self._limit = failures
        self._failures = 0
        self._reason: str | None = None
        self._lock = threading.Lock()

    @property
    def reason(self) -> str | None:
        """Why the source is not asked any more; None while it is."""
        return self._reason

    def open(self, reason: str) -> None:
        with self._lock:
            self._reason = self._reason or reason

    def failed(self, reason: str) -> None:
        """Count one request whose attempts are used up."""
        with self._lock:
            self._failures += 1
            if self._failures >= self._limit and self._reason is None:
                self._reason = f"{self._failures} requests in a row failed, the last one with {reason}"

    def succeeded(self) -> None:
        with self._lock:
            self._failures = 0


class Pacer:
    """Lets requests begin at even distances, so many at once, and none while the source asks for a pause."""

    def __init__(
        self,
        pacing: Pacing,
        *,
        timer: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not pacing.requests_per_second > 0 or pacing.concurrent < 1:
            raise BadValue(f"pacing is {pacing}; needs rates above 0", remedy="correct the pacing of the source")
        self._spacing = 1.0 / pacing.requests_per_second
        self._places = threading.BoundedSemaphore(pacing.concurrent)
        self._next = -math.inf
        self._lock = threading.Lock()
        self._timer = timer
        self._sleep = sleep

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a place and for the moment; the place is free again at the end."""
        with self._places:
            with self._lock:
                now = self._timer()
                moment = max(now, self._next)
                self._next = moment + self._spacing
            if moment > now:
                self._sleep(moment - now)
            yield

    def hold(self, seconds: float) -> None:
        """Let no request begin for `seconds`."""
        with self._lock:
            self._next = max(self._next, self._timer() + seconds)


def clean_address(address: str) -> str:
    """Return an address without user, password, query and fragment: what may be shown and kept.

    A service may send anything as an address; of one that cannot be split only that is said.
    """
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return "no address"
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, f"{host}:{port}" if port else host, parts.path, "", ""))


def check_address(address: str, *, schemes: tuple[str, ...] = ("http", "https")) -> str:
    """Return a base address without a slash at its end. Raises `BadValue` for anything that is none."""
    try:
        parts = urlsplit(address)
        is_whole = parts.scheme in schemes and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_whole = False
    if not is_whole:
        raise BadValue(
            f"the address is {clean_text(address)!r}; needs {' or '.join(f'{name}://HOST' for name in schemes)}",
            remedy="correct the address of the source",
        )
    return address.rstrip("/")


def clean_text(text: str) -> str:
    """Return text without what stands before an @ in it: no password of an address that cannot be parsed."""
    return text.rpartition("@")[2] if "@" in text else text


def is_loopback(address: str) -> bool:
    """Whether the host of an address is this machine; such a host is never reached through a proxy."""
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def market_clock_text(moment: datetime) -> str:
    """Return an aware moment as `X-Market-Clock` has it: 2025-03-01T00:10:00Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seeded_fraction(text: str) -> float:
    """Return a number in [0, 1) that is evenly spread over texts: jitter without a generator that threads share."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2.0**48


def failure_reason(error: BaseException) -> str:
    """Return why a connection failed, in the words of the system and without addresses."""
    seen: list[BaseException] = []
    queue = [error]
    while queue:
        one = queue.pop(0)
        if one in seen or len(seen) > 20:
            continue
        seen.append(one)
        inner = (one.__cause__, one.__context__, vars(one).get("reason"), *one.args)
        queue.extend(part for part in inner if isinstance(part, BaseException))
    for one in seen:
        # The errors of requests are OSErrors without a number: their text holds the whole address.
        if isinstance(one, OSError) and one.errno is not None and one.strerror:
            return one.strerror.removeprefix(f"[Errno {one.errno}] ").strip().lower()
    return type(seen[-1]).__name__


def parse_json(body: bytes) -> Any:
    """Return the JSON value of a body. Raises `ValueError` for anything that is none."""
    try:
        return json.loads(body.decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


@dataclass(frozen=True)
class _Try:
    """One attempt before it is judged as a whole request."""

    status: int | None
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    value: Any = None
    code: str | None = None
    detail: str | None = None


class Transport:
    """A client of one base address. Threads may share it; each gets a connection pool of its own.

    `clock` gives an aware now for the records, `timer` and `sleep` measure and wait, `seed` fixes the jitter per
    request, `market_clock` is sent as `X-Market-Clock`. Once `stop` is set, a request raises `Interrupted`.
    """

    def __init__(
        self,
        source: str,
        address: str,
        *,
        clock: Clock,
        pacer: Pacer | None = None,
        pacing: Pacing | None = None,
        rules: RetryRules | None = None,
        breaker: Breaker | None = None,
        headers: Mapping[str, str] | None = None,
        market_clock: datetime | None = None,
        seed: int = 0,
        timer: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        stop: Stop | None = None,
    ) -> None:
        self.source = source
        self.address = check_address(address)
        self.origin = clean_address(self.address)
        self.clock = clock
        self.stop = stop or Stop()
        self.pacing = pacing or Pacing()
        self.rules = rules or RetryRules()
        self.breaker = breaker or Breaker(self.rules.breaker_failures)
        self._pacer = pacer or Pacer(self.pacing, timer=timer, sleep=sleep)
        self._headers = {"User-Agent": USER_AGENT, "Accept": "*/*", **(headers or {})}
        if market_clock is not None:
            self._headers[MARKET_CLOCK] = market_clock_text(market_clock)
        self._seed = seed
        self._timer = timer
        self._sleep = sleep
        self._local = threading.local()

    def with_rules(self, rules: RetryRules) -> Transport:
        """Return a client with other rules that shares pacing and breaker with this one."""
        other = Transport.__new__(Transport)
        other.__dict__.update(self.__dict__)
        other.rules = rules
        other._local = threading.local()
        return other

    def get(
        self, path: str, params: Mapping[str, str] | None = None, *, parse: Callable[[bytes], Any] = parse_json
    ) -> Reply:
        """GET `path`; `parse` turns a whole body into a value and raises `ValueError` for a damaged one."""
        return self._send("GET", path, params=params, body=None, parse=parse)

    def post(self, path: str, value: Any, *, parse: Callable[[bytes], Any] = parse_json) -> Reply:
        """POST a JSON value to `path`."""
        body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        return self._send("POST", path, params=None, body=body, parse=parse)

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None,
        body: bytes | None,
        parse: Callable[[bytes], Any],
    ) -> Reply:
        asked = repr((self._seed, method, path, sorted((params or {}).items()), body))
        attempts: list[Attempt] = []
        limited = 0
        while True:
            if self.breaker.reason is not None:
                return self._refused(attempts)
            with self._pacer.turn():
                self.stop.check()
                started_at, started = self.clock(), self._timer()
                one = self._once(method, path, params, body, parse)
                seconds = self._timer() - started
            attempts.append(Attempt(started_at, round(seconds, 3), one.status, one.code, one.detail))
            self._heed_weight(one)
            if one.code is None:
                self.breaker.succeeded()
                return Reply(one.status, one.body, one.value, one.headers, tuple(attempts))
            if one.code in OPENING_CODES:
                self.breaker.open(f"{one.code}: {one.detail}")
                break
            if one.code not in RETRIED_CODES:
                # The service answers: whatever is wrong is wrong with this request alone.
                self.breaker.succeeded()
                break
            limited += one.code == "RATE_LIMITED"
            pause = self._pause(one, len(attempts), limited, asked)
            if pause is None:
                if one.code == "HTML_PAGE":
                    self.breaker.open(f"HTML_PAGE: {one.detail}")
                self.breaker.failed(f"{one.code}: {one.detail}")
                break
            if one.code == "RATE_LIMITED":
                self._pacer.hold(pause)
            self._sleep(pause)
        times = f" after {len(attempts)} attempts" if len(attempts) > 1 else ""
        return Reply(
            one.status,
            one.body[: 32 * PREFIX_BYTES],
            None,
            one.headers,
            tuple(attempts),
            one.code,
            f"{self.origin}{path}: {one.detail}{times}",
        )

    def _refused(self, attempts: list[Attempt]) -> Reply:
        return Reply(
            None,
            b"",
            None,
            {},
            tuple(attempts),
            "CIRCUIT_OPEN",
            f"{self.source} is not asked any more in this run: {self.breaker.reason}",
        )

    def _pause(self, one: _Try, done: int, limited: int, question: str) -> float | None:
        """Return the seconds to wait before the next attempt, or None when this was the last one."""
        asked = retry_after(one.headers, self.clock())
        if asked > self.rules.longest_wait_seconds:
            return None
        waits = self.rules.rate_limit_waits
        if one.code == "RATE_LIMITED" and waits is not None:
            return max(waits[limited - 1], asked) if limited <= len(waits) else None
        if done >= self.rules.attempts:
            return None
        limit = min(self.rules.cap_seconds, self.rules.base_seconds * 2.0 ** (done - 1))
        return max(seeded_fraction(f"{question}|{done}") * limit, asked)

    def _heed_weight(self, one: _Try) -> None:
        allowance, used = self.pacing.weight_per_minute, one.headers.get(WEIGHT_HEADER.lower(), "")
        if allowance is not None and used.isdecimal() and int(used) >= 0.8 * allowance:
            now = self.clock()
            self._pacer.hold(60.0 - now.second - now.microsecond / 1e6)

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            import requests

            session = requests.Session()
            session.headers.clear()
            session.headers.update(self._headers)
            session.trust_env = not is_loopback(self.address)
            self._local.session = session
        return session

    def _once(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        body: bytes | None,
        parse: Callable[[bytes], Any],
    ) -> _Try:
        import requests
        import urllib3

        deadline = self._timer() + self.rules.total_seconds
        received, status, headers = bytearray(), None, {}
        try:
            with self._session().request(
                method,
                f"{self.address}{path}",
                params=params,
                data=body,
                headers={"Content-Type": "application/json"} if body is not None else None,
                timeout=(self.rules.connect_seconds, self.rules.read_seconds),
                allow_redirects=False,
                stream=True,
            ) as response:
                status = response.status_code
                headers = {name.lower(): value for name, value in response.headers.items()}
                # iter_content would drop what arrived of a block that is cut off.
                while block := response.raw.read1(1 << 16, decode_content=True):
                    self.stop.check()
                    received += block
                    if self._timer() > deadline:
                        return _Try(status, bytes(received), headers, code="TIMEOUT", detail="the body took too long")
                    if len(received) > LARGEST_BODY:
                        return _Try(status, bytes(received), headers, code="HTTP_ERROR", detail="the body is too large")
        except (requests.exceptions.Timeout, urllib3.exceptions.ReadTimeoutError):
            return _Try(status, bytes(received), headers, code="TIMEOUT", detail="no answer in time")
        except (urllib3.exceptions.ProtocolError, urllib3.exceptions.DecodeError):
            whole = headers.get("content-length")
            detail = f"the body ends after {len(received)}{f' of {whole}' if whole else ''} bytes"
            return _Try(status, bytes(received), headers, code="BODY_PARSE", detail=detail)
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
            return _Try(status, bytes(received), headers, code="CONNECTION", detail=failure_reason(error))
        except ValueError as error:
            # requests splits the address of a redirect even where it does not follow it.
            return _Try(
                status, bytes(received), headers, code="HTTP_ERROR", detail=f"redirected to no address: {error}"
            )
        return _judged(_Try(status, bytes(received), headers), parse)


def _judged(one: _Try, parse: Callable[[bytes], Any]) -> _Try:
    """Give an answer that arrived its value or its code."""
    assert one.status is not None
    start = one.body[:PREFIX_BYTES].lstrip().lower()
    is_page = start.startswith(_PAGE_STARTS)
    if one.status in REFUSED_STATUSES:
        code, detail = REFUSED_STATUSES[one.status]
        return replace(one, code=code, detail=f"HTTP {one.status}, {detail}")
    if one.status in RETRIED_STATUSES:
        return replace(one, code=RETRIED_STATUSES[one.status], detail=f"HTTP {one.status}")
    if is_page and (one.status == 403 or any(word in one.body.lower() for word in _CAPTCHA_WORDS)):
        return replace(one, code="CAPTCHA", detail=f"HTTP {one.status} with a page that asks for a human")
    if one.status != 200:
        target = one.headers.get("location")
        moved = f", redirected to {clean_address(target)}" if target else ""
        return replace(one, code="HTTP_ERROR", detail=f"HTTP {one.status}{moved}")
    if is_page:
        return replace(one, code="HTML_PAGE", detail="HTTP 200 with a web page in place of data")
    try:
        return replace(one, value=parse(one.body))
    except ValueError as error:
        return replace(one, code="BODY_PARSE", detail=f"the body of {len(one.body)} bytes cannot be read: {error}")


def retry_after(headers: Mapping[str, str], now: datetime) -> float:
    """Return the seconds that `Retry-After` asks for (a number or a date); 0 where it says nothing."""
    text = next((value for name, value in headers.items() if name.lower() == "retry-after"), "").strip()
    if not text:
        return 0.0
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = email.utils.parsedate_to_datetime(text)
        except (TypeError, ValueError):
            return 0.0
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (moment - now).total_seconds()
    return max(seconds, 0.0) if math.isfinite(seconds) else 0.0


def gathered(jobs: Iterable[Job], work: Callable[[Job], Done], *, workers: int, stop: Stop) -> Iterator[Done]:
    """Yield `work(job)` for all jobs as the results come, from `workers` threads.

    Only a few jobs run ahead of the consumer. When the consumer stops early, jobs that have not begun never do. Once
    `stop` is set none begins, those that end within the grace are yielded, and the others are not waited for.
    """
    waiting = iter(jobs)
    running: set[Future[Done]] = set()
    pool = ThreadPoolExecutor(max_workers=max(workers, 1))
    try:
        while not stop.is_set():
            for job in islice(waiting, 2 * workers - len(running)):
                running.add(pool.submit(work, job))
            if not running:
                return
            done, running = wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            yield from _results(done)
        begun = {future for future in running if not future.cancel()}
        yield from _results(wait(begun, timeout=GRACE_SECONDS).done)
    finally:
        for future in running:
            future.cancel()
        pool.shutdown(wait=not stop.is_set())


def _results(done: Iterable[Future[Done]]) -> Iterator[Done]:
    """Yield the results of futures that have ended, but for those that were given up."""
    for future in done:
        if not isinstance(future.exception(), Interrupted):
            yield future.result()
