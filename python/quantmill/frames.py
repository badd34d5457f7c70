"""The border between tables and arrays: named preconditions on frames, and arrays that nobody can write to.

Inside the border the frame is trusted, so each check stands here once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from quantmill.errors import DataContractError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray


def frozen(array: Any) -> NDArray[Any]:
    """Return `array` as a C-ordered array that raises on assignment; the caller's array stays writable."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def require_columns(table: pa.Table, columns: Sequence[str], *, name: str) -> None:
    """Raise `DataContractError` unless `table` has every one of `columns`."""
    missing = [column for column in columns if column not in table.column_names]
    if missing:
        raise DataContractError(
            f"{name} has no column {', '.join(missing)}; it has {', '.join(table.column_names)}",
            remedy="build the model before the one that reads it",
            missing=missing,
        )


def require_sorted_unique(table: pa.Table, *, by: Sequence[str], name: str) -> None:
    """Raise `DataContractError` unless the rows of `table` ascend strictly by the columns `by`."""
    require_columns(table, by, name=name)
    if table.num_rows < 2:
        return
    ascending = np.zeros(table.num_rows - 1, dtype=bool)
    tied = np.ones(table.num_rows - 1, dtype=bool)
    for column in by:
        values = np.asarray(table[column].combine_chunks().to_numpy(zero_copy_only=False))
        ascending |= tied & (values[:-1] < values[1:])
        tied &= values[:-1] == values[1:]
    wrong = np.flatnonzero(~ascending)
    if wrong.size:
        row = int(wrong[0]) + 1
        key = {column: table[column][row].as_py() for column in by}
        what = "repeats" if bool(tied[row - 1]) else "is out of order"
        raise DataContractError(
            f"{name}: row {row} {what} by ({', '.join(by)}): {key}",
            remedy="order the rows and keep one per key before they cross the border",
            row=row,
            key=key,
        )


def require_finite(array: NDArray[np.float64], *, name: str) -> None:
    """Raise `DataContractError` if `array` holds NaN or infinity, naming the first place."""
    bad = np.argwhere(~np.isfinite(array))
    if bad.size:
        place = tuple(int(i) for i in bad[0])
        raise DataContractError(
            f"{name} holds {array[place]} at {place}; finite numbers were needed",
            remedy="drop the row or the column before it crosses the border",
            place=place,
        )
