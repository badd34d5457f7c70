"""Data Docs that read well without a network: pages of Great Expectations with a stylesheet of ours inside."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Whatever a page would fetch from a server of others, and the scripts that need it.
EXTERNAL = re.compile(
    r"<script\b[^>]*>.*?</script>|<script\b[^>]*/>|<link\b[^>]*>|<img\b[^>]*src=[\"']https?:[^>]*>", re.S | re.I
)


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """Give a new folder beside `folder` to write pages into; at the end they are styled and take its place."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    staged, old = folder.with_name(f"{folder.name}.new"), folder.with_name(f"{folder.name}.old")
    for leftover in (staged, old):
        if leftover.exists():
            shutil.rmtree(leftover)
    staged.mkdir()
    try:
        yield staged
        for path in sorted(staged.rglob("*.html")):
            path.write_text(styled(path.read_text(encoding="utf-8")), encoding="utf-8")
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    if folder.exists():
        folder.rename(old)
    staged.rename(folder)
    if old.exists():
        shutil.rmtree(old)


def styled(page: str) -> str:
    """Return the page without anything from a server, with our stylesheet in its head."""
    sheet = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
    bare = EXTERNAL.sub("", page)
    return re.sub(r"</head>", lambda _: f"<style>\n{sheet}</style>\n</head>", bare, count=1, flags=re.I)
