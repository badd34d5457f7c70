"""Symbols that are written under another exchange than the one that lists them, such as AMEX:MBB, a NASDAQ listing.

The table `listings` of the manifest is what a run is made of. Whom it lacks, and the market does not answer for, is
looked up one by one (`GET /symbol`, which resolves a prefix; unconfirmed): where the answer names another exchange of
the same country and the same ticker, that is landed as a word (`raw.symbol_aliases`, code ALIAS_LISTING) whose proof is
the load of the answer, and the data cycle asks for the listing in place of what was written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ingest.exchanges import EXCHANGES, SYMBOL

if TYPE_CHECKING:
    import duckdb

LISTING = "ALIAS_LISTING"


def is_prefix_loose(symbol: str) -> bool:
    """Return whether the ticker of a symbol may be listed under another prefix: exchanges of the United States."""
    exchange = EXCHANGES.get(symbol.split(":", maxsplit=1)[0])
    return exchange is not None and exchange.asset_class == "equity" and exchange.region == "US"


def known_listings(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return where written symbols really list, by the newest word on each.

    A fund that moves on, or back, earns a word on its former listing: the words are followed as long as each is newer
    than the one before it, so that an old one never leads back.
    """
    words = {
        symbol: (new_symbol, number)
        for number, (symbol, new_symbol) in enumerate(
            connection.execute(
                """
                select symbol, payload ->> 'new_symbol' from raw.symbol_aliases where payload ->> 'code' = ?
                qualify row_number() over (partition by symbol order by received_at_utc desc, load_id desc) = 1
                order by received_at_utc, load_id
                """,
                [LISTING],
            ).fetchall()
        )
    }
    found = {}
    for symbol, first in words.items():
        word = first
        while (later := words.get(word[0], word))[1] > word[1]:
            word = later
        found[symbol] = word[0]
    return found


def listed(symbols: Sequence[str], listings: Mapping[str, str]) -> list[str]:
    """Return symbols under the prefix that lists them, sorted and once each."""
    return sorted({listings.get(symbol, symbol) for symbol in symbols})


def judge_listings(connection: duckdb.DuckDBPyConnection, load_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return a word on each symbol of some looked-up descriptions whose exchange is another than the written one.

    An answer without name or exchange, or one that names another ticker, proves nothing and gives no word.
    """
    found = connection.execute(
        """
        select distinct on (symbol) symbol, payload ->> 'exchange', payload ->> 'name', load_id
        from raw.symbol_metadata where list_contains(?::varchar[], load_id)
        order by symbol, received_at_utc desc, load_id desc
        """,
        [list(load_ids)],
    ).fetchall()
    rows = []
    for symbol, exchange, name, load_id in found:
        new = f"{exchange}:{name}"
        is_other = new != symbol and name == symbol.split(":")[1] and SYMBOL.fullmatch(new)
        if is_other and is_prefix_loose(new):
            rows.append(
                {
                    "symbol": symbol,
                    "new_symbol": new,
                    "renamed_on": None,
                    "verdict": "LISTED_AS",
                    "code": LISTING,
                    "adjustments": [],
                    "is_renamed": False,
                    "detail": f"the service describes {symbol} with the exchange {exchange}, see load {load_id}",
                }
            )
    return rows
