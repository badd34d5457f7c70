"""Finished pieces of a run are found again, and only under the inputs that they were made from."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from quantmill.stages.cells import CellStore

TABLE = pa.table({"weight": [0.25, None, 1.0]})


def never() -> pa.Table:
    raise AssertionError("the piece was made again")


def test_a_finished_piece_is_found_and_not_made_again(tmp_path: Path) -> None:
    store = CellStore(tmp_path, {"settings_hash": "a"})
    assert store.finished("allocate", {"id": 1}, lambda: TABLE) == (TABLE, False)
    assert store.finished("allocate", {"id": 1}, never) == (TABLE, True)


@pytest.mark.parametrize(
    ("stage", "piece", "inputs"), [("simulate", 1, "a"), ("allocate", 2, "a"), ("allocate", 1, "b")]
)
def test_another_stage_piece_or_input_is_another_piece(stage: str, piece: int, inputs: str, tmp_path: Path) -> None:
    CellStore(tmp_path, {"settings_hash": "a"}).finished("allocate", {"id": 1}, lambda: TABLE)
    store = CellStore(tmp_path, {"settings_hash": inputs})
    assert not store.finished(stage, {"id": piece}, lambda: TABLE)[1]


def test_a_damaged_piece_is_told_of_and_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = CellStore(tmp_path, {})
    store.finished("allocate", {"id": 1}, lambda: TABLE)
    [path] = tmp_path.glob("*.arrow")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    assert store.finished("allocate", {"id": 1}, lambda: TABLE) == (TABLE, False)
    assert "is damaged; it is made again" in capsys.readouterr().err
    assert store.finished("allocate", {"id": 1}, never) == (TABLE, True)


def test_pieces_are_forgotten_together(tmp_path: Path) -> None:
    store = CellStore(tmp_path / "cells", {})
    store.finished("allocate", {"id": 1}, lambda: TABLE)
    store.forget()
    assert not (tmp_path / "cells").exists()
    store.forget()
