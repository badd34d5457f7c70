"""Write the answers in README.md and docs/questions.md anew, from analyses/ and the published snapshot."""

from __future__ import annotations

import re
from pathlib import Path

from quantmill.listing import answer
from quantmill.manifest.home import current_home

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"(\*\*\d+\. (?P<question>[^\n]+)\*\*)\n\n```sql\n.*?```\n\n(?:\|[^\n]*\n?)+", re.S)


def main() -> None:
    """Replace the query and the answer below each question by those of its file in analyses/."""
    queries = dict(
        path.read_text(encoding="utf-8").removeprefix("-- ").strip().split("\n", 1)
        for path in sorted((ROOT / "analyses").glob("*.sql"))
    )
    home = current_home()
    for path in (ROOT / "README.md", ROOT / "docs" / "questions.md"):

        def block(found: re.Match[str]) -> str:
            query = queries[found["question"]]
            return f"{found[1]}\n\n```sql\n{query}\n```\n\n{answer(home, query, 'table').strip()}\n"

        path.write_text(BLOCK.sub(block, path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
