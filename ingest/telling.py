"""Progress for people: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Progress = Callable[[int, int, str], None]
Say = Callable[[str], None]


def teller(say: Say, *, is_terminal: bool | None = None) -> Callable[[str, int], AbstractContextManager[Progress]]:
    """Return a maker of progress displays: called with a label and a total, it gives a callback (done, total, what).

    Off a terminal it says how much was asked for and when a quarter of it is done.
    """
    shows = sys.stdout.isatty() if is_terminal is None else is_terminal

    @contextmanager
    def plain(label: str, total: int) -> Iterator[Progress]:
        said = 0

        def progress(done: int, whole: int, what: str) -> None:
            nonlocal said
            quarter = 4 * done // whole if whole else 4
            if whole >= 40 and quarter > said and done < whole:
                said = quarter
                say(f"{label}: {done:,} of {whole:,}")

        say(f"{label}: asking for {total:,}")
        yield progress

    @contextmanager
    def drawn(label: str, total: int) -> Iterator[Progress]:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Bar(*columns, transient=True) as bar:
            task = bar.add_task(label, total=total or None)

            def progress(done: int, whole: int, what: str) -> None:
                bar.update(task, completed=done, total=whole, description=f"{label} {what}"[:60])

            yield progress

    return drawn if shows else plain
