"""The audit ledger as values: canonical JSON, frame hashes, records in a hash chain, and their verification.

Nothing here touches a file or a clock: `quantmill.ledger_file` keeps the ledger of a run on disk.
"""

from __future__ import annotations

import hashlib
import json
import math
import operator
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING, Any

from quantmill.errors import DataContractError, LedgerError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

SCHEMA_VERSION = 1
ZERO_HASH = "0" * 64
ACTIONS = ("GENESIS", "INTENT", "OUTCOME", "VETO", "GATE", "OVERRIDE", "ARTIFACT", "RESUME", "SEAL")
STATUSES = ("open", "success", "empty", "error", "skipped", "pass", "fail")
OUTCOME_STATUSES = ("success", "empty", "error", "skipped")

OK = 0
HASH_MISMATCH = 2
BROKEN_CHAIN = 3
NO_GENESIS_OR_SEAL = 4
OPEN_INTENTS = 5
TABLE_DIFFERS = 6
LINES_DIFFER = 7

_STATUS_OF_ACTION = {
    "GENESIS": ("success",),
    "INTENT": ("open",),
    "OUTCOME": OUTCOME_STATUSES,
    "RESUME": ("success",),
    "SEAL": ("success",),
}
_SCALAR_OBJECTS = ("context", "params", "input_hashes", "output_hashes", "outcome")
_OBJECTS = (*_SCALAR_OBJECTS, "data")
_TEXTS = ("run_id", "ts", "action", "step", "status", "prev_hash", "hash")
_INTEGERS = ("schema_version", "seq")
_FIELDS = frozenset((*_INTEGERS, *_TEXTS, *_OBJECTS))
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_ROWS_PER_CHUNK = 65_536
_CONTAINERS = (dict, list, tuple)


# Canonical text


def canonical_json(value: object) -> str:
    """Return the one JSON text of `value`: unescaped, keys sorted, separators `,` and `:`, shortest floats.

    Tuples are written as lists. Raises `DataContractError`, naming the place, for NaN and infinity, for a key
    that is not text, for text that UTF-8 cannot carry, and for anything that JSON has no word for (dates,
    numpy integers).
    """
    try:
        # The encoder sees all that JSON lacks but keys, which it turns into text, and lone surrogates.
        if _has_text_keys(value):
            text = _ENCODER.encode(value)
            if not text.isascii():
                text.encode()
            return text
    except (TypeError, ValueError, RecursionError):
        pass  # the slower search that follows names the place
    try:
        _require_json(value, "")
        return _ENCODER.encode(value)
    except (RecursionError, ValueError) as error:
        raise DataContractError(
            f"the value cannot be written as JSON: {error}",
            remedy="pass a finite tree of objects, lists, text, numbers, true, false and null",
        ) from error


def _has_text_keys(value: object) -> bool:
    """Whether the keys of all objects in `value` are text."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or (isinstance(item, _CONTAINERS) and not _has_text_keys(item)):
                return False
    elif isinstance(value, list | tuple):
        for item in value:
            if isinstance(item, _CONTAINERS) and not _has_text_keys(item):
                return False
    return True


def _require_json(value: object, place: str) -> None:
    if value is None or isinstance(value, bool | int):
        return
    if isinstance(value, str):
        _require_unicode(value, place)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise _not_json(place, repr(float(value)), "write null and give the reason in a field beside it")
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise _not_json(place, f"the key {key!r}", "use text keys")
            _require_unicode(key, place)
            _require_json(item, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _require_json(item, f"{place}[{index}]")
    else:
        raise _not_json(place, f"a {type(value).__name__}", "convert it to text, a number, a list or a dict first")


def _require_unicode(text: str, place: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _not_json(place, f"the text {text!r}", "remove the lone surrogate") from None


def _not_json(place: str, found: str, remedy: str) -> DataContractError:
    where = f"${place}"
    return DataContractError(f"{where} holds {found}, which JSON cannot carry", remedy=remedy, place=where)


def decimal_text(x: float) -> str:
    """Return the shortest decimal text without exponent that reads back as `x`: 1e-7 is `0.0000001`.

    Whole numbers have no point (`1`), minus zero is `0`. Raises `DataContractError` for NaN and infinity.
    """
    value = float(x)
    if not math.isfinite(value):
        raise DataContractError(
            f"a weight or price is {value}; a finite number was needed",
            remedy="write null and give the reason in a field beside it",
        )
    if value == 0.0:
        return "0"
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def utc_text(moment: datetime) -> str:
    """Return an aware `moment` as UTC ISO-8601 text with six decimals and `Z`.

    Raises `DataContractError` for a moment without a time zone.
    """
    if moment.tzinfo is None:
        raise DataContractError(
            f"{moment.isoformat()} has no time zone; an aware time was needed",
            remedy="pass datetime.now(UTC) or another aware time",
        )
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


# Frame hash


def frame_hash(
    table: pa.Table,
    sql_types: Mapping[str, str],
    key: Sequence[str],
    *,
    significant_digits: int | None = None,
) -> str:
    """Return the SHA-256 (64 hex digits) of what `table` holds, in whatever order of rows and columns.

    The digest covers the line `FH1`, the line of canonical [[column, SQL type], ...] with columns sorted by
    name, then one line per row, sorted by `key` with nulls last: a canonical array of the row's values.
    Floats are quoted `float.hex()` with -0 as 0 (NaN is "nan", infinities "inf" and "-inf"); NULL is null;
    dates are ISO; timestamps `YYYY-MM-DD HH:MM:SS`, of zoned ones in UTC, with six decimals only where they
    are not zero; decimals are quoted at their scale; blobs are quoted hex; lists are arrays. A frame without
    rows hashes its header.

    `sql_types` names the DuckDB type of each column as `describe` gives it. `significant_digits` rounds
    floats first: the result is the frame hash of the rounded frame, for comparison across platforms.

    Raises `DataContractError` for a frame that is missing, columns that `sql_types` and `table` do not share,
    a type that has no canonical text or does not fit the column, an empty key, and rows that share a key.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if significant_digits is not None and significant_digits < 1:
        raise DataContractError(
            f"floats were to be rounded to {significant_digits} significant digits; at least 1 was needed",
            remedy="pass 12, or leave significant_digits out",
        )
    if not isinstance(table, pa.Table):
        raise DataContractError(
            f"the frame is missing: found {type(table).__name__}, needed an Arrow table",
            remedy="record null as the hash of a frame that was not made",
        )
    names = sorted(table.column_names)
    _require_matching_columns(names, sql_types, key)
    columns = {name: _plain(table.column(name)) for name in names}
    for name, column in columns.items():
        _require_type(column.type, sql_types[name], name)
    ordered = pa.table(columns)
    ordered = ordered.take(_row_order(ordered, sql_types, key))

    digest = hashlib.sha256()
    digest.update(f"FH1\n{canonical_json([[name, sql_types[name]] for name in names])}\n".encode())
    last_key: tuple[str, ...] | None = None
    for start in range(0, ordered.num_rows, _ROWS_PER_CHUNK):
        chunk = ordered.slice(start, _ROWS_PER_CHUNK)
        cells = {
            name: _cells(_one_array(chunk.column(name)), sql_types[name], name, significant_digits) for name in names
        }
        last_key = _require_unique([cells[name] for name in key], last_key, key)
        rows = pc.binary_join_element_wise("[", pc.binary_join_element_wise(*cells.values(), ","), "]\n", "")
        end = int.from_bytes(memoryview(rows.buffers()[1])[4 * len(rows) : 4 * len(rows) + 4], sys.byteorder)
        digest.update(memoryview(rows.buffers()[2])[:end])
    return digest.hexdigest()


def _require_matching_columns(names: list[str], sql_types: Mapping[str, str], key: Sequence[str]) -> None:
    repeated = sorted({left for left, right in pairwise(names) if left == right})
    differing = sorted(set(names) ^ set(sql_types))
    if repeated or differing:
        what = "repeats" if repeated else "and its SQL types do not share"
        raise DataContractError(
            f"the frame {what} column {', '.join(repeated or differing)}",
            remedy="give one SQL type for each column of the frame, and each column once",
            columns=repeated or differing,
        )
    unknown = [name for name in key if name not in sql_types]
    if unknown or not key:
        what = f"names {', '.join(unknown)}" if unknown else "is empty"
        raise DataContractError(
            f"the key of the frame {what}; the frame has {', '.join(names)}",
            remedy="name the columns that identify a row",
            key=tuple(key),
        )


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return `column` without the wrapping of extension types and dictionaries."""
    import pyarrow as pa

    if isinstance(column.type, pa.BaseExtensionType):
        storage = column.type.storage_type
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], type=storage)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column


def _kind(sql_type: str, name: str) -> str:
    """Return the kind of canonical text that values of `sql_type` have."""
    if sql_type.endswith("]"):
        _kind(_element_type(sql_type), name)
        return "list"
    base = sql_type.split("(", maxsplit=1)[0]
    for kind, bases in _SQL_BASES.items():
        if base in bases:
            return kind
    raise DataContractError(
        f"column {name} of the frame has SQL type {sql_type}, which has no canonical text",
        remedy="use the type name that DuckDB's describe gives; cast structs, maps and intervals to VARCHAR",
        column=name,
    )


_SQL_BASES: dict[str, frozenset[str]] = {
    "float": frozenset({"FLOAT", "DOUBLE"}),
    "integer": frozenset(
        sign + size for sign in ("", "U") for size in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
    ),
    "boolean": frozenset({"BOOLEAN"}),
    "text": frozenset({"VARCHAR", "JSON", "UUID", "ENUM"}),
    "date": frozenset({"DATE"}),
    "timestamp": frozenset({"TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE"}),
    "time": frozenset({"TIME"}),
    "decimal": frozenset({"DECIMAL"}),
    "blob": frozenset({"BLOB"}),
}


def _element_type(sql_type: str) -> str:
    return sql_type[: sql_type.rindex("[")]


def _require_type(arrow_type: pa.DataType, sql_type: str, name: str) -> None:
    """Raise `DataContractError` unless a column of `arrow_type` can hold values of `sql_type`."""
    import pyarrow as pa

    kind = _kind(sql_type, name)
    is_list = pa.types.is_list(arrow_type) or pa.types.is_large_list(arrow_type)
    is_list = is_list or pa.types.is_fixed_size_list(arrow_type)
    if kind == "list" and is_list:
        _require_type(arrow_type.value_type, _element_type(sql_type), name)
        return
    fits = {
        "float": pa.types.is_floating,
        # DuckDB hands a HUGEINT over as DECIMAL(38, 0).
        "integer": lambda t: pa.types.is_integer(t) or (pa.types.is_decimal(t) and t.scale == 0),
        "boolean": pa.types.is_boolean,
        "text": lambda t: pa.types.is_string(t) or pa.types.is_large_string(t) or pa.types.is_string_view(t),
        "date": pa.types.is_date,
        "timestamp": pa.types.is_timestamp,
        "time": pa.types.is_time,
        "decimal": pa.types.is_decimal,
        "blob": lambda t: pa.types.is_binary(t) or pa.types.is_large_binary(t),
        "list": lambda _: False,
    }[kind]
    if not fits(arrow_type):
        raise DataContractError(
            f"column {name} of the frame is declared {sql_type} but arrived as Arrow {arrow_type}",
            remedy="declare the type that the warehouse gives, or cast the column",
            column=name,
        )


def _row_order(table: pa.Table, sql_types: Mapping[str, str], key: Sequence[str]) -> pa.Array:
    """Return the row numbers of `table` in ascending order of `key`, nulls last, text by code point."""
    import pyarrow.compute as pc

    for name in key:
        if _kind(sql_types[name], name) == "list":
            raise DataContractError(
                f"the key of the frame names {name} of type {sql_types[name]}; a list cannot identify a row",
                remedy="name scalar columns as the key",
                column=name,
            )
    return pc.sort_indices(table, sort_keys=[(name, "ascending") for name in key])


def _require_unique(
    keys: Sequence[pa.Array], before: tuple[str, ...] | None, names: Sequence[str]
) -> tuple[str, ...] | None:
    """Return the last of the rows of `keys`, one array of texts per key column; raise `DataContractError` if two
    neighbours in [before, *rows] are equal."""
    import pyarrow.compute as pc

    count = len(keys[0])
    if not count:
        return before
    # Each text is a JSON value, so that rows are equal where their joined texts are.
    joined = pc.binary_join_element_wise(*keys, ",")
    repeated = pc.index(pc.equal(joined.slice(1), joined.slice(0, count - 1)), True).as_py() + 1
    first = tuple(key[0].as_py() for key in keys)
    if repeated or first == before:
        right = tuple(key[repeated].as_py() for key in keys)
        shown = ", ".join(f"{name} {cell}" for name, cell in zip(names, right, strict=True))
        raise DataContractError(
            f"two rows of the frame share the key {shown}",
            remedy="name the columns that identify a row, or keep one row per key",
            key=right,
        )
    return tuple(key[count - 1].as_py() for key in keys)


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa

    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], type=column.type)


def _cells(values: pa.Array, sql_type: str, name: str, digits: int | None) -> pa.Array:
    """Return the canonical text of each of `values`."""
    import numpy as np
    import pyarrow as pa

    present = values.drop_null() if values.null_count else values
    if sql_type.endswith("]"):
        cells = _list_cells(present, _element_type(sql_type), name, digits)
    elif _kind(sql_type, name) == "float":
        cells = _float_cells(present, digits)
    else:
        cells = _RENDERERS[_kind(sql_type, name)](present, name)
    if not isinstance(cells, pa.Array):
        cells = pa.array(cells, pa.string())
    if not values.null_count:
        return cells
    is_null = values.is_null().to_numpy(zero_copy_only=False)
    places = np.cumsum(~is_null) - 1
    return cells.take(pa.array(places, mask=is_null)).fill_null("null")


def _list_cells(values: pa.Array, element_type: str, name: str, digits: int | None) -> list[str]:
    import numpy as np
    import pyarrow.compute as pc

    flat = _cells(values.flatten(), element_type, name, digits).to_pylist()
    ends = np.cumsum(pc.list_value_length(values).to_numpy(zero_copy_only=False)).astype(np.int64).tolist()
    return [f"[{','.join(flat[start:end])}]" for start, end in zip([0, *ends], ends, strict=False)]


def _float_cells(values: pa.Array, digits: int | None) -> pa.Array:
    import numpy as np

    # Adding zero turns -0 into 0 and leaves every other value as it is.
    numbers = values.to_numpy(zero_copy_only=False).astype(np.float64) + 0.0
    if digits is not None:
        numbers = np.array([float(f"{number:.{digits - 1}e}") for number in numbers.tolist()], dtype=np.float64)
    return _hex_texts(numbers)


@cache
def _hex_ends() -> tuple[pa.Array, pa.Array]:
    """Return what stands before the mantissa, by 2 * sign + whether the number is subnormal, and what stands behind it,
    by biased exponent."""
    import pyarrow as pa

    heads = ['"0x1.', '"0x0.', '"-0x1.', '"-0x0.']
    return pa.array(heads), pa.array(['p-1022"', *(f'p{biased - 1023:+d}"' for biased in range(1, 0x800))])


def _hex_texts(numbers: NDArray[Any]) -> pa.Array:
    """Return the quoted `float.hex()` of (n,) doubles without -0, put together from their bits."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    bits = numbers.view(np.uint64)
    exponent = ((bits >> np.uint64(52)) & np.uint64(0x7FF)).astype(np.int64)
    # Sixteen hexadecimal digits a number: three of sign and exponent, thirteen of the mantissa.
    digits = np.frombuffer(bits.astype(">u8").tobytes().hex().encode(), dtype=np.uint8).reshape(-1, 16)
    letters = np.ascontiguousarray(digits[:, 3:])
    ends = np.arange(0, letters.size + 1, 13, dtype=np.int32)
    mantissa = pa.StringArray.from_buffers(numbers.size, pa.py_buffer(ends), pa.py_buffer(letters))
    heads, tails = _hex_ends()
    head = heads.take(pa.array((bits >> np.uint64(63)).astype(np.int64) * 2 + (exponent == 0)))
    texts = pc.binary_join_element_wise(head, mantissa, tails.take(pa.array(exponent)), "")
    if not (exponent == 0x7FF).any() and numbers.all():
        return texts
    for is_special, text in (
        (numbers == 0.0, '"0x0.0p+0"'),
        (np.isnan(numbers), '"nan"'),
        (numbers == np.inf, '"inf"'),
        (numbers == -np.inf, '"-inf"'),
    ):
        texts = pc.if_else(pa.array(is_special), text, texts)
    return texts


def _integer_cells(values: pa.Array, name: str) -> list[str]:
    import pyarrow as pa

    if pa.types.is_decimal(values.type):
        return [str(int(number)) for number in values.to_pylist()]
    return list(map(str, values.to_numpy(zero_copy_only=False).tolist()))


def _boolean_cells(values: pa.Array, name: str) -> list[str]:
    return ["true" if flag else "false" for flag in values.to_numpy(zero_copy_only=False).tolist()]


def _text_cells(values: pa.Array, name: str) -> pa.Array:
    import pyarrow as pa

    return _once_each(values.cast(pa.string()), lambda distinct: list(map(_ENCODER.encode, distinct.to_pylist())))


def _date_cells(values: pa.Array, name: str) -> pa.Array:
    import pyarrow as pa

    return _once_each(
        values.cast(pa.date32()), lambda distinct: [f'"{text}"' for text in _calendar_texts(distinct, name)]
    )


def _once_each(values: pa.Array, render: Callable[[pa.Array], list[str]]) -> pa.Array:
    """Return the text of each of `values`, rendering equal ones once: ids, symbols and dates repeat a lot."""
    import pyarrow as pa

    encoded = values.dictionary_encode()
    return pa.array(render(encoded.dictionary), pa.string()).take(encoded.indices)


def _timestamp_cells(values: pa.Array, name: str) -> list[str]:
    import pyarrow as pa

    try:
        # The cast of a zoned timestamp to one without a zone keeps the UTC reading.
        texts = _calendar_texts(values.cast(pa.timestamp("us")), name)
    except pa.ArrowInvalid as error:
        raise DataContractError(
            f"column {name} of the frame does not fit into microseconds: {error}",
            remedy="cast the column to TIMESTAMP",
            column=name,
        ) from error
    return [f'"{text.removesuffix(".000000")}"' for text in texts]


def _time_cells(values: pa.Array, name: str) -> list[str]:
    import pyarrow as pa

    texts = values.cast(pa.time64("us")).cast(pa.string()).to_numpy(zero_copy_only=False).tolist()
    return [f'"{text.removesuffix(".000000")}"' for text in texts]


def _calendar_texts(values: pa.Array, name: str) -> list[str]:
    import pyarrow as pa

    texts: list[str] = values.cast(pa.string()).to_numpy(zero_copy_only=False).tolist()
    # Arrow writes a date that no calendar has (DuckDB's infinity) as "<value out of range: ...>".
    beyond = next((text for text in texts if text[0] == "<"), None)
    if beyond is not None:
        raise DataContractError(
            f"column {name} of the frame holds a date outside the calendar: {beyond}",
            remedy="store NULL instead of an infinite date",
            column=name,
        )
    return texts


def _decimal_cells(values: pa.Array, name: str) -> list[str]:
    return [f'"{number:f}"' for number in values.to_pylist()]


def _blob_cells(values: pa.Array, name: str) -> list[str]:
    return [f'"{blob.hex()}"' for blob in values.to_pylist()]


_RENDERERS: dict[str, Callable[[pa.Array, str], list[str] | pa.Array]] = {
    "integer": _integer_cells,
    "boolean": _boolean_cells,
    "text": _text_cells,
    "date": _date_cells,
    "timestamp": _timestamp_cells,
    "time": _time_cells,
    "decimal": _decimal_cells,
    "blob": _blob_cells,
}


# Records


@dataclass(frozen=True)
class Entry:
    """What a writer says; the ledger adds run, sequence, time and hashes.

    `context`, `params`, `input_hashes`, `output_hashes` and `outcome` hold scalars (text, numbers, true,
    false, null); `data` holds any JSON tree.
    """

    action: str
    step: str
    status: str
    context: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    input_hashes: Mapping[str, Any] = field(default_factory=dict)
    output_hashes: Mapping[str, Any] = field(default_factory=dict)
    outcome: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """One record of the chain under its JSON field names; `ts` is UTC ISO-8601 with six decimals and `Z`."""

    schema_version: int
    run_id: str
    seq: int
    ts: str
    action: str
    step: str
    status: str
    context: dict[str, Any]
    params: dict[str, Any]
    input_hashes: dict[str, Any]
    output_hashes: dict[str, Any]
    outcome: dict[str, Any]
    data: dict[str, Any]
    prev_hash: str
    hash: str

    def line(self) -> bytes:
        """Return the record as its line of the ledger file: canonical JSON and one line feed."""
        return f"{canonical_json(vars(self))}\n".encode()


def record_hash(fields: Mapping[str, Any]) -> str:
    """Return the SHA-256 (64 hex digits) of the canonical JSON of a record's `fields` without `hash`."""
    return _sha256(canonical_json({name: value for name, value in fields.items() if name != "hash"}))


def seal_record(entry: Entry, *, run_id: str, seq: int, ts: str, prev_hash: str) -> Record:
    """Return `entry` as the record number `seq` of the ledger of `run_id`, hashed onto `prev_hash`.

    Raises `DataContractError` for an unknown action or status, for a status that the action does not take,
    for a value that JSON cannot carry, and for a list or object where only scalars belong.
    """
    _require_words(entry)
    objects = {name: dict(getattr(entry, name)) for name in _OBJECTS}
    for name in _SCALAR_OBJECTS:
        for key, value in objects[name].items():
            if isinstance(value, Mapping | list | tuple):
                raise DataContractError(
                    f"{name}.{key} of a {entry.action} record is a {type(value).__name__}; it takes a scalar",
                    remedy="put lists and objects into data",
                    place=f"$.{name}.{key}",
                )
    fields = {
        "schema_version": SCHEMA_VERSION,
        "run_id": run_id,
        "seq": seq,
        "ts": ts,
        "action": entry.action,
        "step": entry.step,
        "status": entry.status,
        **objects,
        "prev_hash": prev_hash,
    }
    if _moment(ts) is None:
        raise DataContractError(
            f"a ledger record has the time {ts!r}", remedy="write times with quantmill.ledger.utc_text"
        )
    text = canonical_json(fields)
    # Read back, so that the record shares nothing with the caller and equals what its line says.
    return Record(**json.loads(text), hash=_sha256(text))


def _require_words(entry: Entry) -> None:
    for name, words in (("action", ACTIONS), ("status", STATUSES)):
        if getattr(entry, name) not in words:
            raise DataContractError(
                f"a ledger record has {name} {getattr(entry, name)!r}",
                remedy=f"use one of {', '.join(words)}",
            )
    allowed = _STATUS_OF_ACTION.get(entry.action, STATUSES)
    if entry.status not in allowed:
        raise DataContractError(
            f"a {entry.action} record has status {entry.status!r}",
            remedy=f"use one of {', '.join(allowed)}",
        )


def read_record(line: bytes) -> Record:
    """Return the record that `line` (with its line feed) holds.

    Raises `LedgerError` where the line is not byte for byte the canonical JSON of a record, or its hash is
    not its own.
    """
    try:
        fields = json.loads(line.decode())
        exact = isinstance(fields, dict) and f"{_ENCODER.encode(fields)}\n".encode() == line
    except (ValueError, RecursionError) as error:
        raise _bad_line(f"is not JSON in UTF-8 ({error})") from error
    if not exact:
        raise _bad_line("is not byte for byte canonical JSON ended by one line feed")
    _require_shape(fields)
    found = fields.pop("hash")
    computed = _sha256(_ENCODER.encode(fields))
    if found != computed:
        raise _bad_line(f"says hash {found[:12]}… but its content hashes to {computed[:12]}…")
    return Record(**fields, hash=found)


def _require_shape(fields: dict[str, Any]) -> None:
    if fields.keys() != _FIELDS:
        raise _bad_line(f"has other fields than a record: {', '.join(sorted(fields.keys() ^ _FIELDS))}")
    for names, kind in ((_INTEGERS, int), (_TEXTS, str), (_OBJECTS, dict)):
        for name in names:
            if type(fields[name]) is not kind:
                raise _bad_line(f"has a {type(fields[name]).__name__} in {name}")
    if fields["schema_version"] != SCHEMA_VERSION:
        raise _bad_line(f"has schema version {fields['schema_version']}; this code reads {SCHEMA_VERSION}")
    if fields["action"] not in ACTIONS:
        raise _bad_line(f"has the unknown action {fields['action']!r}")
    if _moment(fields["ts"]) is None:
        raise _bad_line(f"has the time {fields['ts']!r}, not UTC ISO-8601 with six decimals and Z")


def _bad_line(what: str) -> LedgerError:
    return LedgerError(f"the line {what}", remedy="compare it with the table tournaments.audit_ledger")


def _moment(ts: str) -> datetime | None:
    """Return the time that `ts` writes, without a zone, or None where it is not in the form of a record."""
    try:
        moment = datetime.fromisoformat(ts.removesuffix("Z"))
    except ValueError:
        return None
    written = moment.tzinfo is None and moment.isoformat(timespec="microseconds") + "Z" == ts
    return moment if written else None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# Verification


@dataclass(frozen=True)
class Verification:
    """The result of a verification; `code` is its exit code.

    0 ok, 2 hash mismatch, 3 broken link or sequence gap, 4 missing genesis or seal, 5 intents without
    outcome, 6 table or artifact hash differs, 7 lines and table differ. `first_bad_sequence` is the place in
    the file, counted from 0, where the first break shows; None where all is well or no single record is at
    fault. `record_count` and `head` (hash of the last record, None without one) describe the records read up
    to there; `seal` is the SEAL that ends an unbroken ledger.
    """

    code: int
    reason: str
    first_bad_sequence: int | None = None
    record_count: int = 0
    head: str | None = None
    seal: Record | None = None


@dataclass
class Chain:
    """The state of a chain after its last record: what the next one must continue.

    Of earlier records it keeps the open INTENTs (key: digest; value: sequence, step, context) and, for each
    (step, context), a digest with the highest attempt.
    """

    count: int = 0
    head: str = ZERO_HASH
    run_id: str = ""
    last_ts: str = ""
    seal: Record | None = None
    open_intents: dict[bytes, tuple[int, str, dict[str, Any]]] = field(default_factory=dict)
    attempts: dict[bytes, int] = field(default_factory=dict)

    def link(self, record: Record) -> Verification | None:
        """Continue the chain with `record`; return None, or what breaks and leave the chain where it was."""
        if self.count == 0 and record.action != "GENESIS":
            return self._breach(NO_GENESIS_OR_SEAL, f"the first record is a {record.action}, not a GENESIS")
        if (broken := self._broken_link(record)) is not None:
            return self._breach(BROKEN_CHAIN, broken)
        if record.action in ("INTENT", "OUTCOME") and (broken := self._broken_pair(record)) is not None:
            return self._breach(OPEN_INTENTS, broken)
        if record.action == "SEAL" and (breach := self._bad_seal(record)) is not None:
            return breach
        self.count += 1
        self.head = record.hash
        self.run_id = record.run_id
        self.last_ts = record.ts
        self.seal = record if record.action == "SEAL" else None
        return None

    def _broken_link(self, record: Record) -> str | None:
        if record.seq != self.count:
            return f"found sequence {record.seq} where {self.count} was due"
        if record.prev_hash != self.head:
            return "previous_hash is not the hash of the record before it"
        if self.count and record.action == "GENESIS":
            return "a second GENESIS stands inside the ledger"
        if self.count and record.run_id != self.run_id:
            return f"the record belongs to run {record.run_id}, the ledger to {self.run_id}"
        if record.ts < self.last_ts:
            return f"its time {record.ts} is before {self.last_ts}, the time of the record before it"
        if self.seal is not None and record.action != "RESUME":
            return f"a {record.action} follows a SEAL; only a RESUME may"
        return None

    def _broken_pair(self, record: Record) -> str | None:
        """Enter an INTENT or take out the one that an OUTCOME answers; return why that is not possible."""
        exact = intent_key(record.step, record.context)
        if record.action == "OUTCOME":
            if self.open_intents.pop(exact, None) is None:
                return f"the OUTCOME of step {record.step} answers no open INTENT"
            return None
        attempt = record.context.get("attempt", 0)
        if type(attempt) is not int:
            return f"the INTENT of step {record.step} has attempt {attempt!r}, not a whole number"
        key = attempt_key(record.step, record.context)
        if key in self.attempts and attempt <= self.attempts[key]:
            return f"the INTENT of step {record.step} repeats attempt {attempt} of its context"
        self.attempts[key] = attempt
        self.open_intents[exact] = (record.seq, record.step, record.context)
        return None

    def _bad_seal(self, seal: Record) -> Verification | None:
        if seal.data.get("record_count") != self.count + 1:
            return self._breach(
                BROKEN_CHAIN,
                f"the SEAL counts {seal.data.get('record_count')} records where there are {self.count + 1}",
            )
        if _sealed_tables(seal) is None:
            return self._breach(NO_GENESIS_OR_SEAL, "the SEAL does not give rows and hash of each table")
        return None

    def finish(self, chain_head: str | None = None) -> Verification:
        """Return the verification of a ledger that ends here."""
        if self.count == 0:
            return self._breach(NO_GENESIS_OR_SEAL, "the ledger has no records, so no GENESIS")
        if self.seal is None:
            return self._breach(
                NO_GENESIS_OR_SEAL,
                "the ledger ends without a SEAL: the run is unfinished or cut off",
            )
        if self.open_intents:
            first, step, _ = min(self.open_intents.values(), key=operator.itemgetter(0))
            count = len(self.open_intents)
            return self._breach(OPEN_INTENTS, f"{count} INTENT(s) have no OUTCOME, the first of step {step}", first)
        if chain_head is not None and chain_head != self.head:
            return self._breach(
                BROKEN_CHAIN, f"the last record hashes to {self.head[:12]}…, the run has {chain_head[:12]}…"
            )
        return Verification(OK, f"{self.count} records verified", None, self.count, self.head, self.seal)

    def _breach(self, code: int, reason: str, sequence: int | None = None) -> Verification:
        place = self.count if sequence is None else sequence
        return Verification(code, reason, place, self.count, self.head if self.count else None)


def intent_key(step: str, context: Mapping[str, Any]) -> bytes:
    """Return a digest of what an OUTCOME shares with its INTENT: step and context, attempt included."""
    return hashlib.blake2b(canonical_json([step, dict(context)]).encode(), digest_size=16).digest()


def attempt_key(step: str, context: Mapping[str, Any]) -> bytes:
    """Return a digest of what the attempts at one piece of work share: step and context without attempt."""
    return intent_key(step, {name: value for name, value in context.items() if name != "attempt"})


def verify_lines(lines: Iterable[bytes], *, chain_head: str | None = None) -> Verification:
    """Verify a ledger from its lines, each with its line feed, reading them once and keeping none.

    `chain_head` is the hash of the last record as the run keeps it elsewhere: a chain alone cannot show that
    it was cut back to an earlier SEAL. What breaks first decides the code; an unsealed ledger is 4, whatever
    intents are open.
    """
    chain = Chain()
    for line in lines:
        if (breach := follow(chain, line)) is not None:
            return breach
    return chain.finish(chain_head)


def follow(chain: Chain, line: bytes) -> Verification | None:
    """Continue `chain` with `line`; return None, or what breaks (code 2 where the line itself does)."""
    try:
        record = read_record(line)
    except LedgerError as error:
        return Verification(HASH_MISMATCH, error.message, chain.count, chain.count, chain.head if chain.count else None)
    return chain.link(record)


def verify_tables(seal: Record, hashes: Mapping[str, tuple[int, str]]) -> Verification:
    """Compare the tables of a run with its SEAL; `hashes` gives rows and frame hash of each as it is now.

    Code 6 names the first table, by name, that differs, that is gone, or that the SEAL does not know; code 4
    where `seal` is not a SEAL with tables.
    """
    sealed = _sealed_tables(seal) if seal.action == "SEAL" else None
    if sealed is None:
        return Verification(NO_GENESIS_OR_SEAL, "the record is not a SEAL with rows and hash of each table", seal.seq)
    for name in sorted(sealed.keys() | hashes.keys()):
        reason = None
        if name not in hashes:
            reason = f"table {name} is missing"
        elif name not in sealed:
            reason = f"table {name} is not in the SEAL"
        elif hashes[name][0] != sealed[name][0]:
            reason = f"table {name} has {hashes[name][0]} rows; the SEAL has {sealed[name][0]}"
        elif hashes[name][1] != sealed[name][1]:
            reason = f"table {name} hashes to {hashes[name][1][:12]}…; the SEAL has {sealed[name][1][:12]}…"
        if reason is not None:
            return Verification(TABLE_DIFFERS, reason, seal.seq, seal.seq + 1, seal.hash, seal)
    return Verification(OK, f"{len(sealed)} tables verified", None, seal.seq + 1, seal.hash, seal)


def _sealed_tables(seal: Record) -> dict[str, tuple[int, str]] | None:
    """Return rows and hash per table from the data of a SEAL, or None where it does not give them."""
    tables = seal.data.get("tables")
    if not isinstance(tables, dict):
        return None
    for entry in tables.values():
        if not isinstance(entry, dict) or type(entry.get("rows")) is not int:
            return None
        if not isinstance(entry.get("hash"), str):
            return None
    return {name: (entry["rows"], entry["hash"]) for name, entry in tables.items()}


# The table tournaments.audit_ledger


_COLUMN_OF_FIELD = {"seq": "sequence", "prev_hash": "previous_hash"}
_JSON_COLUMNS = _OBJECTS


def record_to_row(record: Record) -> dict[str, Any]:
    """Return `record` as a row of `tournaments.audit_ledger`, the inverse of `row_to_line`.

    `recorded_at_utc` is a time without zone, in UTC; the six objects are canonical JSON text.
    """
    row = {_COLUMN_OF_FIELD.get(name, name): value for name, value in vars(record).items() if name != "ts"}
    row["recorded_at_utc"] = datetime.fromisoformat(record.ts.removesuffix("Z"))
    for name in _JSON_COLUMNS:
        row[name] = canonical_json(row[name])
    return row


def row_to_line(row: Mapping[str, Any]) -> bytes:
    """Return the line that a row of `tournaments.audit_ledger` stands for, the inverse of `record_to_row`.

    Columns that a record does not have are not read.

    Raises `DataContractError` where a column is missing or holds what `record_to_row` never writes. Whether
    the hashes are right is for `verify_lines`.
    """
    fields: dict[str, Any] = {}
    for name in _INTEGERS:
        column = _COLUMN_OF_FIELD.get(name, name)
        try:
            fields[name] = operator.index(_column(row, column))
        except TypeError as error:
            raise _bad_row(column, row[column], "a whole number") from error
    for name in _TEXTS:
        if name == "ts":
            continue
        column = _COLUMN_OF_FIELD.get(name, name)
        fields[name] = _column(row, column)
        if not isinstance(fields[name], str):
            raise _bad_row(column, row[column], "text")
    moment = _column(row, "recorded_at_utc")
    if not isinstance(moment, datetime) or moment.tzinfo is not None:
        raise _bad_row("recorded_at_utc", moment, "a time in UTC without zone")
    fields["ts"] = moment.isoformat(timespec="microseconds") + "Z"
    for name in _JSON_COLUMNS:
        fields[name] = _canonical_object(name, _column(row, name))
    return f"{canonical_json(fields)}\n".encode()


def _column(row: Mapping[str, Any], column: str) -> Any:
    if column not in row:
        raise DataContractError(
            f"a row of the ledger has no column {column}; it has {', '.join(map(str, row))}",
            remedy="select all columns of tournaments.audit_ledger",
            column=column,
        )
    return row[column]


def _canonical_object(column: str, text: object) -> dict[str, Any]:
    """Return the object that `text` writes; anything but its canonical text is an edited table."""
    try:
        value = json.loads(text) if isinstance(text, str) else None
        if isinstance(value, dict) and _ENCODER.encode(value) == text:
            return value
    except (ValueError, RecursionError) as error:
        raise _bad_row(column, text, "the canonical JSON text of an object") from error
    raise _bad_row(column, text, "the canonical JSON text of an object")


def _bad_row(column: str, found: object, needed: str) -> DataContractError:
    shown = repr(found)
    return DataContractError(
        f"{column} of a ledger row is {shown[:80]}{'…' if len(shown) > 80 else ''}; needed {needed}",
        remedy="the table was not written by the ledger: compare it with audit.jsonl",
        column=column,
    )


def verify_table_equals_lines(table_rows: Iterable[Mapping[str, Any]], lines: Iterable[bytes]) -> Verification:
    """Compare rows of `tournaments.audit_ledger`, ordered by `sequence`, with the lines of the ledger file.

    Code 7 gives the first sequence at which they differ, or where one of them ends before the other.
    """
    count = 0
    for sequence, (row, line) in enumerate(zip_longest(table_rows, lines)):
        reason = None
        if row is None:
            reason = f"the table ends after {sequence} records; the file goes on"
        elif line is None:
            reason = f"the file ends after {sequence} records; the table goes on"
        else:
            try:
                if row_to_line(row) != line:
                    reason = f"row and line of record {sequence} differ"
            except DataContractError as error:
                reason = error.message
        if reason is not None:
            return Verification(LINES_DIFFER, reason, sequence, sequence)
        count = sequence + 1
    return Verification(OK, f"{count} rows equal their lines", None, count)
