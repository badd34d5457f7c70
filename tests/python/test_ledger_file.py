from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from quantmill import ledger_file
from quantmill.errors import DataContractError, LedgerError
from quantmill.ledger import Entry, Record, read_record, verify_lines, verify_tables
from quantmill.ledger_file import LedgerFile, Outcome

RUN = "sample-20221228-0a1b2c3d"
GENESIS = {"profile": "sample", "seed": 7}
TABLES = {"tournaments.targets": (3, "a" * 64)}
CONTEXTS = [{"engine": "custom", "profile": "hrp", "window_index": index} for index in range(3)]


class Clock:
    """A clock that moves by `step` seconds each time it is read."""

    def __init__(self, step: float = 1.0) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.step = timedelta(seconds=step)

    def __call__(self) -> datetime:
        self.now += self.step
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / RUN / "audit.jsonl"


def start(path: Path, clock: Callable[[], datetime] | None = None) -> LedgerFile:
    return LedgerFile.start(path, RUN, clock or Clock(), GENESIS)


def records_of(path: Path) -> list[Record]:
    return [read_record(line) for line in path.read_bytes().splitlines(keepends=True)]


def story(path: Path) -> list[tuple[str, str]]:
    return [(record.action, record.status) for record in records_of(path)]


def work(ledger: LedgerFile, contexts: list[dict[str, Any]] = CONTEXTS) -> None:
    announced = ledger.intents("optimize", contexts)
    ledger.outcomes("optimize", [Outcome(context, "success", {"assets": 3}) for context in announced])


def verified(path: Path) -> int:
    with path.open("rb") as lines:
        return verify_lines(lines).code


def test_a_run_from_genesis_to_seal_verifies(path: Path) -> None:
    ledger = start(path)
    announced = ledger.intents("optimize", CONTEXTS, params={"seed": 1}, input_hashes={"returns": "b" * 64})
    ledger.append([Entry("VETO", "optimize", "fail", CONTEXTS[0], outcome={"kappa": 6000.0})])
    ledger.outcomes(
        "optimize",
        [
            Outcome(announced[0], "error", {"error": "infeasible"}),
            Outcome(announced[1], "success", {"assets": 3}, {"weights": "c" * 64}, {"weights": {"A": "0.6"}}),
            Outcome(announced[2], "empty"),
        ],
    )
    seal = ledger.seal(TABLES)

    records = records_of(path)
    assert story(path) == [
        ("GENESIS", "success"),
        *[("INTENT", "open")] * 3,
        ("VETO", "fail"),
        ("OUTCOME", "error"),
        ("OUTCOME", "success"),
        ("OUTCOME", "empty"),
        ("SEAL", "success"),
    ]
    assert records[0].data == GENESIS
    assert records[1].context == {**CONTEXTS[0], "attempt": 1}
    assert (records[1].params, records[1].input_hashes) == ({"seed": 1}, {"returns": "b" * 64})
    assert records[6].data == {"weights": {"A": "0.6"}}
    assert records[6].output_hashes == {"weights": "c" * 64}
    assert seal == records[-1]
    assert seal.data == {
        "record_count": 9,
        "tables": {"tournaments.targets": {"rows": 3, "hash": "a" * 64}},
    }
    assert (ledger.head, ledger.record_count) == (seal.hash, 9)
    assert list(ledger.lines()) == [record.line() for record in records]
    assert verify_lines(ledger.lines(), chain_head=ledger.head).code == 0
    assert verify_tables(seal, TABLES).code == 0


def test_params_and_hashes_may_differ_by_context(path: Path) -> None:
    ledger = start(path)
    ledger.intents("optimize", CONTEXTS[:2], input_hashes=[{"returns": "a"}, {"returns": "b"}])
    assert [record.input_hashes for record in records_of(path)[1:]] == [{"returns": "a"}, {"returns": "b"}]
    with pytest.raises(DataContractError, match="params holds 1 mappings for 2 contexts"):
        ledger.intents("simulate", CONTEXTS[:2], params=[{}])


def test_a_group_is_one_write_and_on_the_disk_before_the_call_returns(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = start(path)
    calls: list[str] = []
    write, sync = os.write, os.fsync

    def note_write(handle: int, content: bytes) -> int:
        calls.append("write")
        return write(handle, content)

    def note_sync(handle: int) -> None:
        calls.append("fsync")
        sync(handle)

    monkeypatch.setattr(os, "write", note_write)
    monkeypatch.setattr(os, "fsync", note_sync)
    announced = ledger.intents("optimize", CONTEXTS)
    assert calls == ["write", "fsync"]
    assert story(path)[1:] == [("INTENT", "open")] * 3
    ledger.outcomes("optimize", [Outcome(context, "skipped") for context in announced])
    ledger.seal({})
    assert calls == ["write", "fsync"] * 3


def test_the_folder_is_synced_when_the_file_is_made(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: set[int] = set()
    sync = os.fsync

    def note(handle: int) -> None:
        synced.add(os.fstat(handle).st_ino)
        sync(handle)

    monkeypatch.setattr(os, "fsync", note)
    start(path)
    assert synced == {place.stat().st_ino for place in (path, *path.parents[:3])}


def test_an_empty_group_writes_nothing(path: Path) -> None:
    ledger = start(path)
    assert ledger.intents("optimize", []) == []
    ledger.outcomes("optimize", [])
    assert story(path) == [("GENESIS", "success")]


def test_attempts_are_counted_over_the_whole_file(path: Path) -> None:
    clock = Clock()
    ledger = start(path, clock)
    first = ledger.intents("optimize", CONTEXTS)
    ledger.outcomes("optimize", [Outcome(context, "error") for context in first])
    again = ledger.intents("optimize", first[:1])
    assert again == [{**CONTEXTS[0], "attempt": 2}]
    ledger.outcomes("optimize", [Outcome(again[0], "error")])
    assert ledger.intents("simulate", CONTEXTS[:1])[0]["attempt"] == 1

    later = LedgerFile.open(path, RUN, clock)
    assert [c["attempt"] for c in later.intents("optimize", [*CONTEXTS, {"engine": "x"}])] == [3, 2, 2, 1]


def test_open_work_cannot_be_announced_again(path: Path) -> None:
    ledger = start(path)
    before = path.read_bytes()
    with pytest.raises(DataContractError, match="announced while it is open"):
        ledger.intents("optimize", [CONTEXTS[0], CONTEXTS[0]])
    assert path.read_bytes() == before
    announced = ledger.intents("optimize", CONTEXTS[:1])
    with pytest.raises(DataContractError, match="announced while it is open"):
        ledger.intents("optimize", announced)
    ledger.outcomes("optimize", [Outcome(announced[0], "success")])
    assert ledger.intents("optimize", CONTEXTS[:1])[0]["attempt"] == 2


def test_an_outcome_answers_one_open_intent(path: Path) -> None:
    ledger = start(path)
    announced = ledger.intents("optimize", CONTEXTS[:2])
    before = path.read_bytes()
    done = Outcome(announced[0], "success")
    for step, items in (
        ("optimize", [Outcome(CONTEXTS[0], "success")]),
        ("simulate", [done]),
        ("optimize", [done, done]),
    ):
        with pytest.raises(DataContractError, match="answers no open intent"):
            ledger.outcomes(step, items)
    with pytest.raises(DataContractError, match="status 'ok'"):
        ledger.outcomes("optimize", [Outcome(announced[0], "ok")])
    assert path.read_bytes() == before
    ledger.outcomes("optimize", [done])
    with pytest.raises(DataContractError, match="answers no open intent"):
        ledger.outcomes("optimize", [done])


@pytest.mark.parametrize("action", ["GENESIS", "INTENT", "OUTCOME", "RESUME", "SEAL"])
def test_append_takes_no_record_that_has_a_method_of_its_own(path: Path, action: str) -> None:
    with pytest.raises(DataContractError, match=f"append got the action {action}"):
        start(path).append([Entry(action, "run", "success")])


def test_a_seal_needs_closed_intents_and_true_hashes(path: Path) -> None:
    ledger = start(path)
    announced = ledger.intents("optimize", CONTEXTS[:1])
    with pytest.raises(LedgerError, match="1 open intents; sequence 1 is step optimize"):
        ledger.seal(TABLES)
    ledger.outcomes("optimize", [Outcome(announced[0], "success")])
    bad: list[Any] = [(1, "abc"), (-1, "a" * 64), (1.0, "a" * 64), (True, "a" * 64), (1, None)]
    for value in bad:
        with pytest.raises(DataContractError, match="table t is to be sealed"):
            ledger.seal({"t": value})
    ledger.seal(TABLES)
    assert verified(path) == 0


def test_nothing_follows_a_seal(path: Path) -> None:
    ledger = start(path)
    ledger.seal(TABLES)
    before = path.read_bytes()
    for call in (lambda: work(ledger), lambda: ledger.seal(TABLES), lambda: ledger.append([])):
        with pytest.raises(LedgerError, match="is sealed"):
            call()
    with pytest.raises(LedgerError, match="is sealed"):
        LedgerFile.open(path, RUN, Clock())
    assert path.read_bytes() == before


def test_opening_continues_without_a_resume(path: Path) -> None:
    clock = Clock()
    announced = start(path, clock).intents("optimize", CONTEXTS)
    ledger = LedgerFile.open(path, RUN, clock)
    ledger.outcomes("optimize", [Outcome(context, "success") for context in announced])
    LedgerFile.open(path, RUN, clock).seal(TABLES)
    assert "RESUME" not in {action for action, _ in story(path)}
    assert verified(path) == 0


def test_opening_needs_a_whole_ledger_of_the_run(path: Path) -> None:
    with pytest.raises(LedgerError, match="cannot be opened: No such file"):
        LedgerFile.open(path, RUN, Clock())
    start(path)
    with pytest.raises(LedgerError, match=f"is the ledger of run {RUN}"):
        LedgerFile.open(path, "other", Clock())
    with pytest.raises(LedgerError, match=f"is the ledger of run {RUN}"):
        LedgerFile.start(path, "other", Clock(), GENESIS)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"action"')
    with pytest.raises(LedgerError, match="9 bytes of a torn line"):
        LedgerFile.open(path, RUN, Clock())
    path.write_bytes(b"")
    with pytest.raises(LedgerError, match="has no records"):
        LedgerFile.open(path, RUN, Clock())


def test_starting_an_unfinished_run_resumes_and_closes_what_was_open(path: Path) -> None:
    ledger = start(path)
    announced = ledger.intents("optimize", CONTEXTS)
    ledger.outcomes("optimize", [Outcome(announced[1], "success")])

    ledger = start(path)
    records = records_of(path)
    assert story(path)[5:] == [("RESUME", "success"), ("OUTCOME", "error"), ("OUTCOME", "error")]
    assert records[5].data == {"reason": "the ledger was unfinished", "torn_bytes": 0}
    assert [record.context for record in records[6:]] == [announced[0], announced[2]]
    assert all(record.outcome == {"error": "interrupted"} for record in records[6:])
    assert [record.step for record in records[6:]] == ["optimize"] * 2

    with pytest.raises(DataContractError, match="answers no open intent"):
        ledger.outcomes("optimize", [Outcome(announced[0], "success")])
    assert [c["attempt"] for c in ledger.intents("optimize", CONTEXTS)] == [2, 2, 2]


def test_a_sealed_run_whose_build_failed_can_be_resumed(path: Path) -> None:
    ledger = start(path)
    work(ledger)
    ledger.seal(TABLES)
    ledger = start(path)
    assert records_of(path)[-1].data["reason"] == "the ledger was sealed"
    assert verified(path) == 4
    work(ledger)
    ledger.seal(TABLES)
    assert verified(path) == 0


def test_a_torn_last_line_is_moved_aside_and_recorded(path: Path) -> None:
    start(path)
    whole = path.read_bytes()
    shelf = path.with_name("audit.torn")
    path.write_bytes(whole + b'{"action":"INT')
    start(path)
    assert path.read_bytes().startswith(whole)
    assert shelf.read_bytes() == b'{"action":"INT'
    assert records_of(path)[-1].data == {"reason": "the ledger was unfinished", "torn_bytes": 14}

    path.write_bytes(path.read_bytes() + b"\x00\x00")
    start(path).seal(TABLES)
    assert shelf.read_bytes() == b'{"action":"INT\n\x00\x00'
    assert verified(path) == 0


def test_a_crash_at_any_byte_of_any_group_resumes_to_a_ledger_that_verifies(tmp_path: Path) -> None:
    model = tmp_path / "model.jsonl"
    ledger = start(model)
    ends = [model.stat().st_size]
    announced = ledger.intents("optimize", CONTEXTS)
    ends.append(model.stat().st_size)
    ledger.outcomes("optimize", [Outcome(context, "success") for context in announced])
    ends.append(model.stat().st_size)
    ledger.seal(TABLES)
    content = model.read_bytes()
    borders = [place + 1 for place, byte in enumerate(content) if byte == 10]
    places = {0, *range(0, len(content), 131), *borders, *(b - 1 for b in borders), *(b + 1 for b in borders)}
    path = tmp_path / "audit.jsonl"
    shelf = tmp_path / "audit.torn"
    for place in sorted(place for place in places if place <= len(content)):
        shelf.unlink(missing_ok=True)
        path.write_bytes(content[:place])
        whole = content[:place].rfind(b"\n") + 1
        ledger = start(path)
        assert path.read_bytes()[:whole] == content[:whole]
        assert (shelf.read_bytes() if shelf.exists() else b"") == content[whole:place]
        resume = next(record for record in records_of(path) if record.action == "RESUME")
        assert resume.data["torn_bytes"] == place - whole
        work(ledger)
        ledger.seal(TABLES)
        assert verified(path) == 0, place


def test_a_killed_writer_leaves_a_ledger_that_resumes(path: Path) -> None:
    script = (
        "import sys; from datetime import UTC, datetime; from pathlib import Path\n"
        "from quantmill.ledger_file import LedgerFile, Outcome\n"
        f"ledger = LedgerFile.start(Path(sys.argv[1]), {RUN!r}, lambda: datetime.now(UTC), {{}})\n"
        "print('started', flush=True)\n"
        "while True:\n"
        "    announced = ledger.intents('optimize', [{'window_index': n} for n in range(50)])\n"
        "    ledger.outcomes('optimize', [Outcome(context, 'success') for context in announced])\n"
    )
    source = str(Path(ledger_file.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": source},
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"started\n"
        while path.stat().st_size < 200_000 and writer.poll() is None:
            sleep(0.01)
        writer.send_signal(signal.SIGKILL)
    assert writer.returncode == -signal.SIGKILL
    ledger = LedgerFile.start(path, RUN, lambda: datetime.now(UTC), {})
    ledger.seal(TABLES)
    assert verified(path) == 0


def test_an_interrupt_in_the_middle_of_a_group_of_work_resumes(path: Path) -> None:
    ledger = start(path)
    announced = ledger.intents("optimize", CONTEXTS)

    def interrupted() -> None:
        ledger.outcomes("optimize", [Outcome(announced[0], "success")])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    ledger = start(path)
    left = [record.context for record in records_of(path) if record.outcome == {"error": "interrupted"}]
    assert left == announced[1:]
    work(ledger, CONTEXTS[1:])
    ledger.seal(TABLES)
    assert verified(path) == 0


def test_a_clock_that_runs_backwards_does_not_turn_the_ledger_back(path: Path) -> None:
    clock = Clock(step=-60)
    ledger = start(path, clock)
    work(ledger)
    ledger = start(path, Clock(step=-3600))
    work(ledger)
    ledger.seal(TABLES)
    assert verified(path) == 0
    assert {record.ts for record in records_of(path)} == {"2025-12-31T23:59:00.000000Z"}


def test_a_clock_without_a_zone_is_refused(path: Path) -> None:
    with pytest.raises(DataContractError, match="no time zone"):
        start(path, lambda: datetime(2026, 1, 1))


def test_a_broken_chain_is_not_continued(path: Path) -> None:
    ledger = start(path)
    work(ledger)
    lines = path.read_bytes().splitlines(keepends=True)
    for broken, sequence, code in (
        ([*lines[:2], *lines[3:]], 2, 3),
        ([lines[0], lines[1].replace(b"hrp", b"erc"), *lines[2:]], 1, 2),
        (lines[1:], 0, 4),
        ([*lines, lines[-1]], 7, 3),
    ):
        path.write_bytes(b"".join(broken))
        for begin in (lambda: start(path), lambda: LedgerFile.open(path, RUN, Clock())):
            with pytest.raises(LedgerError, match=f"broken at sequence {sequence}") as caught:
                begin()
            assert caught.value.facts["code"] == code
            assert "tournaments.audit_ledger" in caught.value.remedy
        assert path.read_bytes() == b"".join(broken)


def test_a_second_writer_is_refused(path: Path) -> None:
    first = start(path)
    second = LedgerFile.open(path, RUN, Clock())
    work(first)
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="another one was here"):
        work(second)
    assert path.read_bytes() == before
    work(first)


def test_a_ledger_that_is_gone_is_not_begun_anew_by_an_append(path: Path) -> None:
    ledger = start(path)
    path.unlink()
    with pytest.raises(LedgerError, match="cannot be opened"):
        work(ledger)
    assert not path.exists()


def half(handle: int, content: bytes) -> int:
    return REAL_WRITE(handle, content[: len(content) // 2])


def full_disk(handle: int, content: bytes) -> int:
    REAL_WRITE(handle, content[:5])
    raise OSError(errno.ENOSPC, "No space left on device")


REAL_WRITE = os.write


@pytest.mark.parametrize("failing", [half, full_disk])
def test_a_write_that_fails_is_taken_back(
    path: Path, monkeypatch: pytest.MonkeyPatch, failing: Callable[[int, bytes], int]
) -> None:
    ledger = start(path)
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", failing)
        with pytest.raises(LedgerError, match="could not take"):
            ledger.intents("optimize", CONTEXTS)
    assert path.read_bytes() == before
    assert ledger.intents("optimize", CONTEXTS)[0]["attempt"] == 1
    ledger = start(path)
    ledger.seal(TABLES)
    assert verified(path) == 0


def test_a_torn_line_stays_until_it_is_safe_elsewhere(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start(path)
    torn = path.read_bytes() + b"{"
    path.write_bytes(torn)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full_disk)
        with pytest.raises(LedgerError, match=r"audit\.torn could not take"):
            start(path)
    assert path.read_bytes() == torn
    start(path)
    assert path.with_name("audit.torn").read_bytes() == b"{"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file", encoding="utf-8")
    with pytest.raises(LedgerError, match="cannot be made"):
        start(tmp_path / "runs" / RUN / "audit.jsonl")
