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
        values = _sortable(table[column])
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


def sorted_rows(table: pa.Table, *, by: Sequence[str]) -> pa.Table:
    """Return the rows of `table` in ascending order of the columns `by`; equal rows keep their order.

    A table of the warehouse is written in the order of its key and a day's rows are added at its end, so most of what
    is read is in order already, and is returned as it is.
    """
    if table.num_rows < 2:
        return table
    import pyarrow as pa

    keys = [_sortable(table[column]) for column in by]
    is_later, is_tied = np.zeros(table.num_rows - 1, dtype=bool), np.ones(table.num_rows - 1, dtype=bool)
    for values in keys:
        is_later |= is_tied & (values[:-1] > values[1:])
        is_tied &= values[:-1] == values[1:]
    return table.take(pa.array(np.lexsort(keys[::-1]))) if is_later.any() else table


def _sortable(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return an array whose values compare as those of `column` do; of texts their places among the distinct ones."""
    import pyarrow as pa

    values = column.combine_chunks()
    if not pa.types.is_string(values.type) or values.null_count:
        return np.asarray(values.to_numpy(zero_copy_only=False))
    encoded = values.dictionary_encode()
    listed = np.array(encoded.dictionary.to_pylist(), dtype=object)
    ranks = np.empty(len(listed), dtype=np.int32)
    ranks[np.argsort(listed)] = np.arange(len(listed), dtype=np.int32)
    places: NDArray[np.int32] = ranks[encoded.indices.to_numpy(zero_copy_only=False)]
    return places


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
