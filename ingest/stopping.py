"""Ending a command that somebody interrupts: what has arrived is landed, what has not is asked for by the next run.

The first SIGINT (Ctrl-C) or SIGTERM sets a `Stop`. Whoever waits for answers looks at it several times a second, begins
nothing more, gives what is on its way `GRACE_SECONDS` to arrive, and ends as if that had been all. A second signal
raises `KeyboardInterrupt` where the command stands: the landing keeps what is on the disk then.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# How often somebody who waits looks whether he shall end, and how long requests on their way are waited for then.
POLL_SECONDS = 0.2
GRACE_SECONDS = 2.0
# What a shell says of a command that a signal ended: 130 after Ctrl-C, 143 after SIGTERM.
SIGNAL_EXIT_CODE = 128


class Interrupted(Exception):
    """A request was given up because its command is to end; there is no answer to it."""


class Stop:
    """Whether a command is to end. Threads share it; it is set once and never cleared."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.signal: signal.Signals | None = None

    @property
    def exit_code(self) -> int:
        """The exit code of a command that was stopped."""
        return SIGNAL_EXIT_CODE + (self.signal or signal.SIGINT)

    def is_set(self) -> bool:
        return self._event.is_set()

    def set(self, by: signal.Signals = signal.SIGINT) -> None:
        self.signal = self.signal or by
        self._event.set()

    def rest(self, seconds: float) -> None:
        """Sleep, and wake up at once when the command is to end."""
        self._event.wait(seconds)

    def check(self) -> None:
        """Raise `Interrupted` where the command is to end."""
        if self._event.is_set():
            raise Interrupted


@contextmanager
def heeded(stop: Stop) -> Iterator[None]:
    """Let SIGINT and SIGTERM set `stop`, the second one end everything; outside of the main thread nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def heed(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set(signal.Signals(number))
        # not print: the signal may have come in the middle of one
        os.write(2, b"interrupted: landing what has arrived; once more ends at once\n")

    before = {one: signal.signal(one, heed) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
