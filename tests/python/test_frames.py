"""The border names what breaks it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from quantmill.errors import DataContractError
from quantmill.frames import frozen, require_columns, require_finite, require_sorted_unique

TABLE = pa.table({"symbol": ["A", "A", "B"], "day": [1, 2, 1], "close": [1.0, 2.0, 3.0]})


def test_a_frozen_array_cannot_be_written_to_and_its_source_can() -> None:
    source = np.arange(3.0)
    view = frozen(source)
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 9.0
    source[0] = 9.0


def test_a_missing_column_is_named_with_those_that_are_there() -> None:
    with pytest.raises(DataContractError, match="bars has no column volume; it has symbol, day, close"):
        require_columns(TABLE, ("close", "volume"), name="bars")


@pytest.mark.parametrize(
    ("order", "words"),
    [([0, 2, 1], "row 2 is out of order"), ([0, 0, 1], "row 1 repeats"), ([1, 0, 2], "row 1 is out of order")],
)
def test_rows_out_of_order_or_repeated_are_named(order: list[int], words: str) -> None:
    with pytest.raises(DataContractError, match=words):
        require_sorted_unique(TABLE.take(order), by=("symbol", "day"), name="bars")


def test_rows_in_order_pass_and_so_do_none_and_one() -> None:
    for count in (3, 1, 0):
        require_sorted_unique(TABLE.slice(0, count), by=("symbol", "day"), name="bars")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_named_with_its_place(bad: float) -> None:
    array = np.ones((2, 2))
    array[1, 0] = bad
    with pytest.raises(DataContractError, match=r"returns holds .* at \(1, 0\)"):
        require_finite(array, name="returns")
    require_finite(np.ones(3), name="returns")
