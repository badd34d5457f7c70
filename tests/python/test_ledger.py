from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quantmill.errors import DataContractError, LedgerError
from quantmill.ledger import (
    ZERO_HASH,
    Entry,
    Record,
    canonical_json,
    decimal_text,
    frame_hash,
    read_record,
    record_hash,
    record_to_row,
    row_to_line,
    seal_record,
    utc_text,
    verify_lines,
    verify_table_equals_lines,
    verify_tables,
)

RUN = "sample-20221228-0a1b2c3d"
TABLES = {"tournaments.targets": (3, "a" * 64), "tournaments.scoreboard": (0, "b" * 64)}

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
trees = st.recursive(
    scalars | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)
flat_objects = st.dictionaries(texts, scalars | texts, max_size=3)


def stamp(second: int) -> str:
    return utc_text(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second))


def chained(entries: list[Entry], times: list[int] | None = None) -> list[Record]:
    records: list[Record] = []
    for seq, entry in enumerate(entries):
        previous = records[-1].hash if records else ZERO_HASH
        ts = stamp(times[seq] if times else seq)
        records.append(seal_record(entry, run_id=RUN, seq=seq, ts=ts, prev_hash=previous))
    return records


def lines_of(records: list[Record]) -> list[bytes]:
    return [record.line() for record in records]


def rewritten(record: Record, **changes: Any) -> Record:
    """A forger's record: changed, and with its own hash computed again."""
    fields = {**vars(record), **changes}
    return Record(**{**fields, "hash": record_hash(fields)})


def intent(window: int, attempt: int = 1) -> Entry:
    return Entry("INTENT", "optimize", "open", {"window_index": window, "attempt": attempt})


def outcome(window: int, attempt: int = 1, status: str = "success") -> Entry:
    return Entry("OUTCOME", "optimize", status, {"window_index": window, "attempt": attempt}, outcome={"assets": 3})


def seal(record_count: int, tables: Mapping[str, tuple[int, str]] = TABLES) -> Entry:
    sealed = {name: {"rows": rows, "hash": digest} for name, (rows, digest) in tables.items()}
    return Entry("SEAL", "run", "success", data={"record_count": record_count, "tables": sealed})


GENESIS = Entry("GENESIS", "run", "success", data={"profile": "sample", "seed": 7})
RESUME = Entry("RESUME", "run", "success", data={"reason": "the ledger was unfinished", "torn_bytes": 0})
WHOLE = [
    GENESIS,
    intent(0),
    intent(1),
    outcome(0),
    Entry("VETO", "select", "fail", {"window_index": 1, "symbol": "NASDAQ:AAPL"}, outcome={"value": 0.5}),
    outcome(1),
    seal(7),
]


# The worked example


def example_records() -> list[dict[str, Any]]:
    empty: dict[str, Any] = {
        name: {} for name in ("context", "data", "input_hashes", "outcome", "output_hashes", "params")
    }
    base = {**empty, "run_id": "20260101-000000-demo", "schema_version": 1}
    context = {"engine": "skfolio", "profile": "hrp", "window_index": 0}
    genesis = {**base, "action": "GENESIS", "seq": 0, "status": "ok", "step": "run", "prev_hash": ZERO_HASH}
    genesis["ts"] = "2026-01-01T00:00:00.000000Z"
    opened = {**base, "action": "INTENT", "seq": 1, "status": "open", "step": "backtest_optimize"}
    opened |= {"ts": "2026-01-01T00:00:01.000000Z", "context": context, "prev_hash": record_hash(genesis)}
    closed = {**opened, "action": "OUTCOME", "seq": 2, "status": "success"}
    closed |= {"ts": "2026-01-01T00:00:02.000000Z", "data": {"weights": {"A": "0.6", "B": "0.4"}}}
    closed["prev_hash"] = record_hash(opened)
    return [genesis, opened, closed]


def test_the_worked_example_has_its_three_record_hashes() -> None:
    assert [record_hash(fields) for fields in example_records()] == [
        "d65d39d88d55c4bccebd60853b6053f08f88647c86152b4c36e0e2d2baf31f9a",
        "526f114834b3bccc8617b37fb9bb561df141d60cec6a229dc616fb0df2511826",
        "1d2639785cb3752f4f2848b6d7b65260b6bb01e1f445044bf82bed5a4c31c927",
    ]


def test_sealing_an_entry_gives_the_record_of_the_worked_example() -> None:
    _, opened, closed = example_records()
    for fields in (opened, closed):
        said = {name: fields[name] for name in ("action", "step", "status", "context", "data")}
        place = {name: fields[name] for name in ("run_id", "seq", "ts", "prev_hash")}
        record = seal_record(Entry(**said), **place)
        assert record.hash == record_hash(fields)
        assert json.loads(record.line()) == {**fields, "hash": record.hash}


EXAMPLE_TYPES = {"bar_date": "DATE", "ret": "DOUBLE", "symbol": "VARCHAR"}


def example_frame() -> pa.Table:
    return pa.table(
        {
            "bar_date": [date(2025, 1, 1), date(2025, 1, 1), date(2025, 1, 2)],
            "ret": pa.array([0.02, -0.01, None], pa.float64()),
            "symbol": ["A", "B", "A"],
        }
    )


def test_the_worked_example_has_its_frame_hash() -> None:
    expected = "16ec3f881ca0d93bc7ac5ca55b0b657da9f83fbebaa4fa1799142bee9c000530"
    assert frame_hash(example_frame(), EXAMPLE_TYPES, ["bar_date", "symbol"]) == expected


# Canonical text


def test_canonical_json_sorts_keys_keeps_unicode_and_wastes_no_space() -> None:
    assert canonical_json({"é": [1, 2.0, None], "a": {"z": True, "b": "€"}}) == (
        '{"a":{"b":"€","z":true},"é":[1,2.0,null]}'
    )
    assert canonical_json([0.1, 1e-7, np.float64(0.3), (1, 2)]) == "[0.1,1e-07,0.3,[1,2]]"


@given(trees)
def test_canonical_json_reads_back_as_what_was_written(tree: Any) -> None:
    text = canonical_json(tree)
    assert json.loads(text) == tree
    assert canonical_json(json.loads(text)) == text


@given(st.dictionaries(texts, scalars, min_size=2, max_size=6), st.randoms())
def test_canonical_json_does_not_depend_on_the_order_of_keys(tree: dict[str, Any], random: Any) -> None:
    items = list(tree.items())
    random.shuffle(items)
    assert canonical_json(dict(items)) == canonical_json(tree)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (float("nan"), "$"),
        ({"a": [1, {"b": float("inf")}]}, "$.a[1].b"),
        ({"a": {3: 1}}, "$.a"),
        ({"a": date(2026, 1, 1)}, "$.a"),
        ({"a": np.int64(3)}, "$.a"),
        (["x", "\ud800"], "$[1]"),
        ({"\ud800": 1}, "$"),
    ],
)
def test_a_value_without_json_text_is_named_with_its_place(value: Any, place: str) -> None:
    with pytest.raises(DataContractError) as caught:
        canonical_json(value)
    assert caught.value.facts["place"] == place
    assert caught.value.message.startswith(f"{place} holds ")


def test_a_list_that_contains_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(DataContractError, match="cannot be written as JSON"):
        canonical_json(endless)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_decimal_text_reads_back_and_has_no_exponent(x: float) -> None:
    text = decimal_text(x)
    assert float(text) == x
    assert set(text) <= set("-0123456789.")


@pytest.mark.parametrize(
    ("x", "text"),
    [(0.6, "0.6"), (1.0, "1"), (-0.0, "0"), (1e-7, "0.0000001"), (1e22, "1" + "0" * 22), (-120.50, "-120.5")],
)
def test_decimal_text_is_the_shortest(x: float, text: str) -> None:
    assert decimal_text(x) == text


@pytest.mark.parametrize("x", [math.nan, math.inf, -math.inf])
def test_decimal_text_refuses_what_is_not_finite(x: float) -> None:
    with pytest.raises(DataContractError, match="finite"):
        decimal_text(x)


def test_utc_text_converts_zones_and_refuses_a_naive_time() -> None:
    noon = datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=timezone(timedelta(hours=2)))
    assert utc_text(noon) == "2026-01-01T10:00:00.000005Z"
    with pytest.raises(DataContractError, match="no time zone"):
        utc_text(datetime(2026, 1, 1))


# Frame hash


FRAME_TYPES = {"name": "VARCHAR", "day": "DATE", "value": "DOUBLE", "count": "BIGINT"}
rows = st.lists(
    st.tuples(
        st.none() | texts,
        st.none() | st.dates(),
        st.none() | st.floats(),
        st.none() | st.integers(-(2**63), 2**63 - 1),
    ),
    max_size=12,
    unique_by=lambda row: row[:2],
)
ARROW_TYPES = {"name": pa.string(), "day": pa.date32(), "value": pa.float64(), "count": pa.int64()}


def frame_of(content: list[tuple[Any, ...]]) -> pa.Table:
    columns = list(zip(*content, strict=True)) if content else [()] * len(ARROW_TYPES)
    return pa.table(
        {name: pa.array(cells, kind) for (name, kind), cells in zip(ARROW_TYPES.items(), columns, strict=True)}
    )


def hash_of(content: list[tuple[Any, ...]]) -> str:
    return frame_hash(frame_of(content), FRAME_TYPES, ["name", "day"])


def plain_frame_hash(content: list[tuple[Any, ...]]) -> str:
    """The definition of the frame hash, value by value, for rows without NaN in the key."""

    def cell(value: Any) -> Any:
        if isinstance(value, float):
            return (value + 0.0).hex()
        return value.isoformat() if isinstance(value, date) else value

    def place(row: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple((value is None, value if value is not None else "") for value in row[:2])

    columns = sorted([name, kind] for name, kind in FRAME_TYPES.items())
    order = [list(FRAME_TYPES).index(name) for name, _ in columns]
    ordered = sorted(content, key=lambda row: tuple((null, str(value).encode()) for null, value in place(row)))
    text = ["FH1", canonical_json(columns)]
    text += [canonical_json([cell(row[index]) for index in order]) for row in ordered]
    return hashlib.sha256("".join(f"{line}\n" for line in text).encode()).hexdigest()


def test_doubles_of_every_exponent_have_the_text_of_their_hex() -> None:
    mantissas = np.random.default_rng(0).integers(0, 2**52, 0x800, dtype=np.uint64)
    mantissas[::7] = 0
    mantissas[-1] = 2**51
    for sign in (0, 1):
        bits = (np.uint64(sign) << np.uint64(63)) | (np.arange(0x800, dtype=np.uint64) << np.uint64(52)) | mantissas
        numbers = bits.view(np.float64)
        assert np.isnan(numbers[-1])
        table = pa.table({"key": pa.array(range(0x800)), "value": pa.array(numbers, from_pandas=False)})
        lines = "".join(f'[{key},"{(number + 0.0).hex()}"]\n' for key, number in enumerate(numbers.tolist()))
        expected = hashlib.sha256(f'FH1\n[["key","BIGINT"],["value","DOUBLE"]]\n{lines}'.encode()).hexdigest()
        assert frame_hash(table, {"key": "BIGINT", "value": "DOUBLE"}, ["key"]) == expected


@given(rows)
def test_the_frame_hash_equals_its_definition_value_by_value(content: list[tuple[Any, ...]]) -> None:
    assert hash_of(content) == plain_frame_hash(content)


@given(rows, st.randoms())
def test_the_frame_hash_does_not_depend_on_the_order_of_rows_or_columns(
    content: list[tuple[Any, ...]], random: Any
) -> None:
    shuffled = list(content)
    random.shuffle(shuffled)
    names = list(FRAME_TYPES)
    random.shuffle(names)
    table = frame_of(shuffled).select(names)
    assert frame_hash(table, FRAME_TYPES, ["name", "day"]) == hash_of(content)


@given(rows.filter(bool), st.data())
def test_the_frame_hash_changes_with_any_value(content: list[tuple[Any, ...]], data: Any) -> None:
    row = data.draw(st.integers(0, len(content) - 1))
    old = content[row]
    column = data.draw(st.integers(2, 3))
    drawn = st.none() | (st.floats(allow_nan=False) if column == 2 else st.integers(-(2**63), 2**63 - 1))
    new = data.draw(drawn.filter(lambda value: value != old[column]))
    changed = list(content)
    changed[row] = (*old[:column], new, *old[column + 1 :])
    assert hash_of(changed) != hash_of(content)


@pytest.mark.parametrize(
    ("other", "types"),
    [
        (lambda t: t.rename_columns(["bar_date", "return", "symbol"]), {"return": "DOUBLE"}),
        (lambda t: t.set_column(1, "ret", t["ret"].cast(pa.float32(), safe=False)), {"ret": "FLOAT"}),
        (lambda t: t, {"ret": "FLOAT"}),
        (lambda t: t.slice(0, 2), {"ret": "DOUBLE"}),
        (lambda t: t.append_column("extra", pa.nulls(3, pa.string())), {"ret": "DOUBLE", "extra": "VARCHAR"}),
    ],
)
def test_the_frame_hash_sees_column_names_types_and_missing_rows(
    other: Callable[[pa.Table], pa.Table], types: dict[str, str]
) -> None:
    before = frame_hash(example_frame(), EXAMPLE_TYPES, ["bar_date", "symbol"])
    declared = {"bar_date": "DATE", "symbol": "VARCHAR", **types}
    assert frame_hash(other(example_frame()), declared, ["bar_date", "symbol"]) != before


def test_the_frame_hash_does_not_depend_on_how_arrow_holds_the_rows() -> None:
    table = example_frame()
    before = frame_hash(table, EXAMPLE_TYPES, ["bar_date", "symbol"])
    encoded = table.set_column(2, "symbol", table["symbol"].dictionary_encode())
    chunked = pa.concat_tables([encoded.slice(2), encoded.slice(0, 2)])
    assert frame_hash(chunked, EXAMPLE_TYPES, ["bar_date", "symbol"]) == before


def one_cell(value: Any, kind: pa.DataType, sql_type: str) -> str:
    return frame_hash(pa.table({"k": [1], "v": pa.array([value], kind)}), {"k": "BIGINT", "v": sql_type}, ["k"])


def text_hash(sql_type: str, cell: str) -> str:
    header = canonical_json([["k", "BIGINT"], ["v", sql_type]])
    return hashlib.sha256(f"FH1\n{header}\n[1,{cell}]\n".encode()).hexdigest()


@pytest.mark.parametrize(
    ("value", "kind", "sql_type", "cell"),
    [
        (-0.0, pa.float64(), "DOUBLE", '"0x0.0p+0"'),
        (math.nan, pa.float64(), "DOUBLE", '"nan"'),
        (-math.inf, pa.float64(), "DOUBLE", '"-inf"'),
        (0.5, pa.float32(), "FLOAT", '"0x1.0000000000000p-1"'),
        (2**64 - 1, pa.uint64(), "UBIGINT", "18446744073709551615"),
        (Decimal(10) ** 30, pa.decimal128(38, 0), "HUGEINT", "1" + "0" * 30),
        (Decimal("0.00000010"), pa.decimal128(18, 8), "DECIMAL(18,8)", '"0.00000010"'),
        (True, pa.bool_(), "BOOLEAN", "true"),
        ('say "é"\n', pa.large_string(), "VARCHAR", '"say \\"é\\"\\n"'),
        (datetime(2026, 1, 2, 3, 4, 5), pa.timestamp("s"), "TIMESTAMP_S", '"2026-01-02 03:04:05"'),
        (datetime(2026, 1, 2, 3, 4, 5), pa.timestamp("us"), "TIMESTAMP", '"2026-01-02 03:04:05"'),
        (datetime(2026, 1, 2, 3, 4, 5, 60), pa.timestamp("us"), "TIMESTAMP", '"2026-01-02 03:04:05.000060"'),
        (
            datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
            pa.timestamp("us", "America/New_York"),
            "TIMESTAMP WITH TIME ZONE",
            '"2026-01-02 03:04:05"',
        ),
        (time(9, 30), pa.time64("us"), "TIME", '"09:30:00"'),
        (b"\x00\xff", pa.binary(), "BLOB", '"00ff"'),
        ([1.0, None, -0.0], pa.list_(pa.float64()), "DOUBLE[]", '["0x1.0000000000000p+0",null,"0x0.0p+0"]'),
        ([["a"], [], None], pa.list_(pa.list_(pa.string())), "VARCHAR[][]", '[["a"],[],null]'),
        ([1, 2], pa.list_(pa.int32(), 2), "INTEGER[2]", "[1,2]"),
        (None, pa.list_(pa.int32(), 2), "INTEGER[2]", "null"),
    ],
)
def test_each_type_has_its_canonical_text(value: Any, kind: pa.DataType, sql_type: str, cell: str) -> None:
    assert one_cell(value, kind, sql_type) == text_hash(sql_type, cell)


def test_nulls_sort_last_and_nan_keys_do_not_disturb_the_order() -> None:
    keys = [(a, b) for a in (math.nan, None, 0.0, math.inf) for b in (None, True, False)]

    def hash_in(order: np.ndarray[Any, Any]) -> str:
        taken = [keys[index] for index in order]
        table = pa.table(
            {
                "a": pa.array([a for a, _ in taken], pa.float64(), from_pandas=False),
                "b": pa.array([b for _, b in taken], pa.bool_()),
            }
        )
        return frame_hash(table, {"a": "DOUBLE", "b": "BOOLEAN"}, ["a", "b"])

    generator = np.random.default_rng(5)
    assert len({hash_in(generator.permutation(len(keys))) for _ in range(50)}) == 1
    table = pa.table({"a": pa.array([None, 2], pa.int64())})
    expected = hashlib.sha256(b'FH1\n[["a","BIGINT"]]\n[2]\n[null]\n').hexdigest()
    assert frame_hash(table, {"a": "BIGINT"}, ["a"]) == expected


def test_a_frame_longer_than_one_chunk_hashes_as_one_text() -> None:
    count = 70_000
    table = pa.table({"k": np.arange(count)[::-1].copy()})
    expected = hashlib.sha256(('FH1\n[["k","BIGINT"]]\n' + "".join(f"[{k}]\n" for k in range(count))).encode())
    assert frame_hash(table, {"k": "BIGINT"}, ["k"]) == expected.hexdigest()


def test_two_rows_with_one_key_are_refused_even_across_chunks() -> None:
    keys = np.arange(70_000)
    keys[65_536] = 65_535
    with pytest.raises(DataContractError, match="share the key k 65535"):
        frame_hash(pa.table({"k": keys}), {"k": "BIGINT"}, ["k"])
    minus_zero = pa.table({"k": [0.0, -0.0]})
    with pytest.raises(DataContractError, match="share the key"):
        frame_hash(minus_zero, {"k": "DOUBLE"}, ["k"])


def test_an_empty_frame_has_a_hash_and_a_missing_frame_has_none() -> None:
    empty = example_frame().slice(0, 0)
    header = b'FH1\n[["bar_date","DATE"],["ret","DOUBLE"],["symbol","VARCHAR"]]\n'
    assert frame_hash(empty, EXAMPLE_TYPES, ["symbol"]) == hashlib.sha256(header).hexdigest()
    with pytest.raises(DataContractError, match="missing"):
        frame_hash(None, EXAMPLE_TYPES, ["symbol"])


def test_rounding_gives_the_frame_hash_of_the_rounded_frame() -> None:
    exact = pa.table({"k": [1, 2], "v": [1 / 3, 1e-9]})
    near = pa.table({"k": [1, 2], "v": [1 / 3 + 1e-16, 1e-9]})
    rounded = pa.table({"k": [1, 2], "v": [0.333333333333, 1e-9]})
    types = {"k": "BIGINT", "v": "DOUBLE"}
    assert frame_hash(exact, types, ["k"]) != frame_hash(near, types, ["k"])
    assert (
        frame_hash(exact, types, ["k"], significant_digits=12)
        == frame_hash(near, types, ["k"], significant_digits=12)
        == frame_hash(rounded, types, ["k"])
    )
    with pytest.raises(DataContractError, match="at least 1"):
        frame_hash(exact, types, ["k"], significant_digits=0)


@pytest.mark.parametrize(
    ("table", "types", "key", "message"),
    [
        (pa.table({"a": [1]}), {}, ["a"], "do not share column a"),
        (pa.table({"a": [1]}), {"a": "BIGINT", "b": "DATE"}, ["a"], "do not share column b"),
        (pa.table([[1], [2]], names=["a", "a"]), {"a": "BIGINT"}, ["a"], "repeats column a"),
        (pa.table({"a": [1]}), {"a": "BIGINT"}, ["b"], "names b"),
        (pa.table({"a": [1]}), {"a": "BIGINT"}, [], "is empty"),
        (pa.table({"a": [1]}), {"a": "DOUBLE"}, ["a"], "declared DOUBLE but arrived as Arrow int64"),
        (pa.table({"a": [1]}), {"a": "INT8"}, ["a"], "SQL type INT8, which has no canonical text"),
        (pa.table({"a": [[1]]}), {"a": "BIGINT[]"}, ["a"], "a list cannot identify a row"),
        (pa.table({"a": [["x"]]}), {"a": "BIGINT[]"}, ["a"], "declared BIGINT but arrived as Arrow string"),
        (pa.table({"a": pa.array([2**31 - 1], pa.date32())}), {"a": "DATE"}, ["a"], "outside the calendar"),
        (
            pa.table({"a": pa.array([1], pa.timestamp("ns"))}),
            {"a": "TIMESTAMP_NS"},
            ["a"],
            "does not fit into microseconds",
        ),
    ],
)
def test_a_frame_that_breaks_the_contract_is_refused(
    table: pa.Table, types: dict[str, str], key: list[str], message: str
) -> None:
    with pytest.raises(DataContractError, match=message):
        frame_hash(table, types, key)


def test_a_frame_from_duckdb_hashes_under_the_types_that_describe_gives() -> None:
    duckdb = pytest.importorskip("duckdb")
    relation = duckdb.connect().sql(
        """
        select
            i as k, i::hugeint as huge, uuid() as id, 'a'::enum('a', 'b') as word, '{"a":1}'::json as tree,
            timestamptz '2026-01-01 00:00:00+01' as at, (i / 7)::decimal(9, 3) as price, [i, null] as list,
            [1.0::double, 2.0]::double[2] as pair
        from range(3) as numbers (i)
        """
    )
    types = dict(zip(relation.columns, map(str, relation.types), strict=True))
    assert len(frame_hash(relation.to_arrow_table(), types, ["k"])) == 64


# Records


def test_a_record_shares_nothing_with_the_caller() -> None:
    data = {"weights": {"A": "0.6"}, "pair": (1, 2)}
    record = seal_record(
        Entry("ARTIFACT", "report", "success", data=data), run_id=RUN, seq=1, ts=stamp(1), prev_hash=ZERO_HASH
    )
    data["weights"]["A"] = "0.7"  # type: ignore[index]
    assert record.data == {"weights": {"A": "0.6"}, "pair": [1, 2]}
    assert record_hash(vars(record)) == record.hash


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (Entry("START", "run", "success"), "action 'START'"),
        (Entry("GATE", "score", "ok"), "status 'ok'"),
        (Entry("INTENT", "optimize", "success"), "a INTENT record has status 'success'"),
        (Entry("OUTCOME", "optimize", "open"), "a OUTCOME record has status 'open'"),
        (Entry("GENESIS", "run", "open"), "a GENESIS record has status 'open'"),
        (Entry("GATE", "score", "pass", params={"names": ["a"]}), "params.names of a GATE record is a list"),
        (Entry("GATE", "score", "pass", outcome={"value": math.nan}), "outcome.value holds nan"),
    ],
)
def test_an_entry_with_unknown_words_or_values_is_refused(entry: Entry, message: str) -> None:
    with pytest.raises(DataContractError, match=message):
        seal_record(entry, run_id=RUN, seq=0, ts=stamp(0), prev_hash=ZERO_HASH)


def test_a_record_takes_only_the_written_form_of_a_time() -> None:
    for ts in ("2026-01-01T00:00:00Z", "2026-01-01 00:00:00.000000Z", "2026-02-30T00:00:00.000000Z", ""):
        with pytest.raises(DataContractError, match="has the time"):
            seal_record(GENESIS, run_id=RUN, seq=0, ts=ts, prev_hash=ZERO_HASH)


entries = st.builds(
    Entry,
    action=st.sampled_from(["VETO", "GATE", "ARTIFACT"]),
    step=texts,
    status=st.sampled_from(["pass", "fail", "success"]),
    context=flat_objects,
    params=flat_objects,
    input_hashes=flat_objects,
    output_hashes=flat_objects,
    outcome=flat_objects,
    data=st.dictionaries(texts, trees, max_size=3),
)
moments = st.datetimes(timezones=st.just(UTC))


@given(entries, moments, st.integers(0, 10**9))
def test_record_line_and_row_are_exact_inverses(entry: Entry, moment: datetime, seq: int) -> None:
    record = seal_record(entry, run_id=RUN, seq=seq, ts=utc_text(moment), prev_hash=ZERO_HASH)
    assert read_record(record.line()) == record
    row = record_to_row(record)
    assert row_to_line(row) == record.line()
    assert record_to_row(read_record(row_to_line(row))) == row


def test_a_row_has_the_columns_of_the_table() -> None:
    record = chained(WHOLE)[1]
    row = record_to_row(record)
    assert set(row) == {
        *("run_id", "sequence", "schema_version", "action", "step", "status", "recorded_at_utc", "context"),
        *("params", "input_hashes", "output_hashes", "outcome", "data", "previous_hash", "hash"),
    }
    assert row["recorded_at_utc"] == datetime(2026, 1, 1, 0, 0, 1)
    assert row["context"] == '{"attempt":1,"window_index":0}'


def test_rows_that_went_through_duckdb_export_byte_for_byte() -> None:
    duckdb = pytest.importorskip("duckdb")
    records = chained(WHOLE)
    objects = ("context", "params", "input_hashes", "output_hashes", "outcome", "data")
    schema = dict.fromkeys(objects, "json") | {"recorded_at_utc": "timestamp", "sequence": "bigint"}
    first = record_to_row(records[0])
    columns = ", ".join(f"{name} {schema.get(name, 'varchar')}" for name in first)
    connection = duckdb.connect()
    connection.sql(f"create table audit_ledger ({columns.replace('schema_version varchar', 'schema_version int')})")
    marks = ", ".join("?" for _ in first)
    for record in records:
        connection.execute(f"insert into audit_ledger values ({marks})", list(record_to_row(record).values()))
    stored = connection.sql("from audit_ledger order by sequence").to_arrow_table().to_pylist()
    assert [row_to_line(row) for row in stored] == lines_of(records)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("context", '{"window_index": 0,"attempt":1}'),
        ("context", '{"window_index":0,"attempt":1}'),
        ("context", "[]"),
        ("context", "{"),
        ("context", None),
        ("data", '{"a":NaN}'),
        ("sequence", "1"),
        ("sequence", 1.0),
        ("step", None),
        ("recorded_at_utc", "2026-01-01T00:00:01.000000Z"),
        ("recorded_at_utc", datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_row_that_no_record_makes_is_refused(column: str, value: Any) -> None:
    row = {**record_to_row(chained(WHOLE)[1]), column: value}
    with pytest.raises(DataContractError, match=f"{column} of a ledger row"):
        row_to_line(row)
    del row[column]
    with pytest.raises(DataContractError, match=f"no column {column}"):
        row_to_line(row)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ts": "2026-01-01T00:00:00Z"}, "has the time"),
        ({"action": "intent"}, "unknown action"),
        ({"schema_version": 2}, "schema version 2"),
        ({"seq": True}, "a bool in seq"),
        ({"context": []}, "a list in context"),
    ],
)
def test_a_line_with_a_right_hash_is_still_not_a_record_of_another_form(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(LedgerError, match=message):
        read_record(rewritten(chained(WHOLE)[1], **changes).line())


# Verification


def test_a_whole_sealed_ledger_verifies() -> None:
    records = chained(WHOLE)
    found = verify_lines(lines_of(records))
    assert (found.code, found.first_bad_sequence, found.record_count) == (0, None, 7)
    assert found.head == records[-1].hash
    assert found.seal == records[-1]


def test_verification_reads_a_stream_once() -> None:
    assert verify_lines(iter(lines_of(chained(WHOLE)))).code == 0


def changed_value(lines: list[bytes]) -> list[bytes]:
    return [line.replace(b'"assets":3', b'"assets":4', 1) if seq == 3 else line for seq, line in enumerate(lines)]


def edited_genesis(lines: list[bytes]) -> list[bytes]:
    return [lines[0].replace(b'"seed":7', b'"seed":8'), *lines[1:]]


def forged_genesis(lines: list[bytes]) -> list[bytes]:
    return [rewritten(read_record(lines[0]), data={"profile": "sample", "seed": 8}).line(), *lines[1:]]


def inserted_forgery(lines: list[bytes]) -> list[bytes]:
    before = read_record(lines[2])
    forged = rewritten(before, seq=3, action="GATE", status="pass", prev_hash=before.hash)
    return [*lines[:3], forged.line(), *lines[3:]]


def replaced_forgery(lines: list[bytes]) -> list[bytes]:
    return [*lines[:4], rewritten(read_record(lines[4]), outcome={"value": 0.1}).line(), *lines[5:]]


def forged_tail(lines: list[bytes]) -> list[bytes]:
    """Cut after the first outcome and seal what is left."""
    last = read_record(lines[3])
    forged = seal_record(seal(5), run_id=RUN, seq=4, ts=last.ts, prev_hash=last.hash)
    return [*lines[:4], forged.line()]


TAMPERED: dict[str, tuple[Callable[[list[bytes]], list[bytes]], int, int]] = {
    "a changed value": (changed_value, 2, 3),
    "a dropped middle record": (lambda lines: [*lines[:3], *lines[4:]], 3, 3),
    "a dropped tail": (lambda lines: lines[:-1], 4, 6),
    "a dropped tail of three": (lambda lines: lines[:-3], 4, 4),
    "a dropped genesis": (lambda lines: lines[1:], 4, 0),
    "nothing left": (lambda lines: [], 4, 0),
    "two swapped records": (lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], 3, 2),
    "a duplicated record": (lambda lines: [*lines[:4], lines[3], *lines[4:]], 3, 4),
    "an inserted forgery with its own hash": (inserted_forgery, 3, 4),
    "a replaced record with its own hash": (replaced_forgery, 3, 5),
    "an edited genesis": (edited_genesis, 2, 0),
    "an edited genesis with its own hash": (forged_genesis, 3, 1),
    "a cut and sealed tail": (forged_tail, 5, 2),
    "spaces after commas": (
        lambda lines: [*lines[:2], json.dumps(json.loads(lines[2])).encode() + b"\n", *lines[3:]],
        2,
        2,
    ),
    "carriage returns": (lambda lines: [line.replace(b"\n", b"\r\n") for line in lines], 2, 0),
    "a missing last line feed": (lambda lines: [*lines[:-1], lines[-1].rstrip()], 2, 6),
    "escaped unicode": (lambda lines: [lines[0].replace(b"sample", b"s\\u0061mple"), *lines[1:]], 2, 0),
    "a key given twice": (
        lambda lines: [lines[0].replace(b'{"action"', b'{"action":"GENESIS","action"')],
        2,
        0,
    ),
    "bytes that are no text": (lambda lines: [lines[0], b"\xff\xfe\n"], 2, 1),
    "an empty line": (lambda lines: [lines[0], b"\n", *lines[1:]], 2, 1),
    "another tree than an object": (lambda lines: [b"[]\n"], 2, 0),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_tampering_is_found_with_its_code_and_first_bad_sequence(name: str) -> None:
    tamper, code, sequence = TAMPERED[name]
    found = verify_lines(tamper(lines_of(chained(WHOLE))))
    assert (found.code, found.first_bad_sequence) == (code, sequence), found.reason
    assert found.reason
    assert found.seal is None


@settings(max_examples=200)
@given(st.data())
def test_no_single_changed_byte_verifies(data: Any) -> None:
    content = bytearray(b"".join(lines_of(chained(WHOLE))))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[place]))
    assert verify_lines(bytes(content).splitlines(keepends=True)).code != 0


def test_a_wholly_rewritten_or_cut_back_chain_shows_against_the_chain_head() -> None:
    resumed = chained([GENESIS, seal(2), RESUME, seal(4)])
    head = resumed[-1].hash
    assert verify_lines(lines_of(resumed), chain_head=head).code == 0
    cut = lines_of(resumed[:2])
    assert verify_lines(cut).code == 0
    found = verify_lines(cut, chain_head=head)
    assert (found.code, found.first_bad_sequence) == (3, 2)


def test_times_may_stand_still_but_not_decrease() -> None:
    entries = [GENESIS, RESUME, seal(3)]
    assert verify_lines(lines_of(chained(entries, [5, 5, 5]))).code == 0
    found = verify_lines(lines_of(chained(entries, [5, 4, 6])))
    assert (found.code, found.first_bad_sequence) == (3, 1)
    assert "before" in found.reason


@pytest.mark.parametrize(
    ("body", "code", "sequence"),
    [
        ([intent(0)], 5, 1),
        ([intent(0), intent(1), outcome(0)], 5, 2),
        ([outcome(0)], 5, 1),
        ([intent(0), outcome(0), outcome(0)], 5, 3),
        ([intent(0), intent(0), outcome(0)], 5, 2),
        ([intent(0), outcome(0), intent(0), outcome(0)], 5, 3),
        ([intent(0, 2), outcome(0, 2), intent(0, 1), outcome(0, 1)], 5, 3),
        ([intent(0, 1), outcome(0, 2)], 5, 2),
        ([intent(0), outcome(0, status="error"), intent(0, 2), outcome(0, 2)], 0, None),
        ([Entry("INTENT", "optimize", "open", {"attempt": "1"})], 5, 1),
        ([Entry("INTENT", "report", "open"), Entry("OUTCOME", "report", "success")], 0, None),
        ([intent(0), Entry("OUTCOME", "simulate", "success", {"window_index": 0, "attempt": 1})], 5, 2),
    ],
)
def test_each_intent_has_exactly_one_outcome(body: list[Entry], code: int, sequence: int | None) -> None:
    found = verify_lines(lines_of(chained([GENESIS, *body, seal(len(body) + 2)])))
    assert (found.code, found.first_bad_sequence) == (code, sequence), found.reason


@pytest.mark.parametrize(
    ("entries", "code", "sequence"),
    [
        ([GENESIS, seal(2), RESUME, seal(4)], 0, None),
        ([GENESIS, seal(2), RESUME], 4, 3),
        ([GENESIS, seal(2), Entry("GATE", "score", "pass"), seal(4)], 3, 2),
        ([GENESIS, seal(2), seal(3)], 3, 2),
        ([GENESIS, seal(3)], 3, 1),
        ([GENESIS, seal(1)], 3, 1),
        ([GENESIS, Entry("SEAL", "run", "success", data={"tables": {}})], 3, 1),
        ([GENESIS, Entry("SEAL", "run", "success", data={"record_count": 2})], 4, 1),
        ([GENESIS, Entry("SEAL", "run", "success", data={"record_count": 2, "tables": {"a": 3}})], 4, 1),
        ([GENESIS, GENESIS, seal(3)], 3, 1),
        ([RESUME, seal(2)], 4, 0),
    ],
)
def test_genesis_and_seal_stand_where_they_belong(entries: list[Entry], code: int, sequence: int | None) -> None:
    found = verify_lines(lines_of(chained(entries)))
    assert (found.code, found.first_bad_sequence) == (code, sequence), found.reason


def test_a_gap_in_the_sequence_shows_even_where_every_link_holds() -> None:
    first = chained([GENESIS])[0]
    last = seal_record(seal(2), run_id=RUN, seq=2, ts=stamp(1), prev_hash=first.hash)
    found = verify_lines(lines_of([first, last]))
    assert (found.code, found.first_bad_sequence) == (3, 1)
    assert "found sequence 2 where 1 was due" in found.reason


def test_a_record_of_another_run_breaks_the_chain() -> None:
    first = chained([GENESIS])[0]
    other = seal_record(seal(2), run_id="other", seq=1, ts=stamp(1), prev_hash=first.hash)
    found = verify_lines(lines_of([first, other]))
    assert (found.code, found.first_bad_sequence) == (3, 1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"tournaments.targets": (3, "c" * 64)}, "tournaments.targets hashes to"),
        ({"tournaments.targets": (4, "a" * 64)}, "tournaments.targets has 4 rows"),
        ({"tournaments.targets": None}, "tournaments.targets is missing"),
        ({"tournaments.trades": (1, "c" * 64)}, "tournaments.trades is not in the SEAL"),
    ],
)
def test_a_table_edited_under_an_intact_chain_has_code_6(changes: dict[str, Any], reason: str | None) -> None:
    found = verify_lines(lines_of(chained(WHOLE)))
    assert found.seal is not None
    now = {name: value for name, value in {**TABLES, **changes}.items() if value is not None}
    compared = verify_tables(found.seal, now)
    assert compared.code == (6 if reason else 0)
    assert (reason or "2 tables verified") in compared.reason
    assert compared.first_bad_sequence == (6 if reason else None)


def test_one_edited_weight_changes_the_table_against_its_seal() -> None:
    weights = pa.table({"symbol": ["A", "B"], "weight": [0.6, 0.4]})
    types = {"symbol": "VARCHAR", "weight": "DOUBLE"}
    sealed = {"tournaments.targets": (2, frame_hash(weights, types, ["symbol"]))}
    record = chained([GENESIS, seal(2, sealed)])[1]
    assert verify_tables(record, sealed).code == 0
    edited = pa.table({"symbol": ["A", "B"], "weight": [0.6, np.nextafter(0.4, 1)]})
    found = verify_tables(record, {"tournaments.targets": (2, frame_hash(edited, types, ["symbol"]))})
    assert found.code == 6


def test_tables_are_compared_with_a_seal_only() -> None:
    assert verify_tables(chained(WHOLE)[0], TABLES).code == 4


def edited(rows: list[dict[str, Any]], seq: int, column: str, value: Any) -> list[dict[str, Any]]:
    return [{**row, column: value} if row["sequence"] == seq else row for row in rows]


@pytest.mark.parametrize(
    ("change", "sequence"),
    [
        (lambda rows: edited(rows, 3, "outcome", '{"assets":4}'), 3),
        (lambda rows: edited(rows, 3, "outcome", '{"assets": 3}'), 3),
        (lambda rows: edited(rows, 3, "outcome", None), 3),
        (lambda rows: edited(rows, 2, "recorded_at_utc", datetime(2026, 1, 1, 0, 0, 2, 1)), 2),
        (lambda rows: edited(rows, 6, "hash", "0" * 64), 6),
        (lambda rows: rows[:-1], 6),
        (lambda rows: [*rows, rows[-1]], 7),
        (lambda rows: [*rows[:2], *rows[3:]], 2),
        (lambda rows: [], 0),
    ],
)
def test_a_table_that_differs_from_the_file_has_code_7(
    change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], sequence: int
) -> None:
    records = chained(WHOLE)
    rows = [record_to_row(record) for record in records]
    assert verify_table_equals_lines(rows, lines_of(records)).code == 0
    found = verify_table_equals_lines(change(rows), lines_of(records))
    assert (found.code, found.first_bad_sequence) == (7, sequence), found.reason
