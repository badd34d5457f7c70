"""Lists of records as Arrow columns: how a model returns one row per piece of work with all its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


def nested(counts: Sequence[int], columns: Mapping[str, Any], types: Mapping[str, Any]) -> pa.Array:
    """Return a list column: group i holds the next `counts[i]` records of the flat `columns`.

    `types` gives the Arrow type of each field, in order; a column may be any sequence or array that fits it.
    """
    import pyarrow as pa

    offsets = np.concatenate([[0], np.cumsum(np.asarray(counts, dtype=np.int64))]).astype(np.int32)
    fields = [pa.field(name, kind) for name, kind in types.items()]
    arrays = [_array(columns[name], kind) for name, kind in types.items()]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.StructArray.from_arrays(arrays, fields=fields))


def _array(values: Any, kind: Any) -> pa.Array:
    import pyarrow as pa

    if isinstance(values, pa.Array):
        return values.cast(kind)
    return pa.array(values, type=kind)


def flatten_groups(
    groups: Sequence[Sequence[Sequence[Any]]], names: Sequence[str]
) -> tuple[list[int], dict[str, list[Any]]]:
    """Return counts and flat columns for groups of records given as tuples in the order of `names`."""
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for group in groups:
        for record in group:
            for name, value in zip(names, record, strict=True):
                columns[name].append(value)
    return [len(group) for group in groups], columns
