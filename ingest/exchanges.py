"""What a listing prefix says about a symbol: time zone, calendar, asset class."""

from __future__ import annotations

import re
from dataclasses import dataclass

SYMBOL_PATTERN = r"^[A-Z0-9_]+:[A-Z0-9!._&-]+$"
SYMBOL = re.compile(SYMBOL_PATTERN)


@dataclass(frozen=True)
class Exchange:
    """Defaults of one exchange; `timezone` is IANA, `calendar_id` a name of `exchange_calendars`."""

    timezone: str
    calendar_id: str
    asset_class: str
    region: str
    country: str | None = None


_US = Exchange("America/New_York", "XNYS", "equity", "US", "US")
_CRYPTO = Exchange("UTC", "24/7", "crypto", "GLOBAL")
_CME = Exchange("America/Chicago", "CMES", "futures", "US")
_ICE = Exchange("America/New_York", "IEPA", "futures", "US")
_FOREX = Exchange("America/New_York", "24/5", "forex", "GLOBAL")

EXCHANGES: dict[str, Exchange] = {
    **dict.fromkeys(("BINANCE", "OKX", "BYBIT", "BITGET"), _CRYPTO),
    **dict.fromkeys(("NASDAQ", "NYSE", "AMEX", "ARCA", "CBOE", "BATS"), _US),
    **dict.fromkeys(("CME", "CME_MINI", "CBOT", "COMEX", "NYMEX"), _CME),
    **dict.fromkeys(("ICE", "ICEUS"), _ICE),
    "EUREX": Exchange("Europe/Berlin", "XFRA", "futures", "EU"),
    "NSE": Exchange("Asia/Kolkata", "XBOM", "equity", "IN", "IN"),
    **dict.fromkeys(("OANDA", "FOREX", "THINKMARKETS", "FX_IDC"), _FOREX),
}
