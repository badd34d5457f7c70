"""Who is listed on the simulated market, from when to when, and what a listing says about itself.

Names are those of real assets where a name is part of the test (identity traps, static baskets, quote variants); every
price is invented. `level` is the price on `ANCHOR_DAY`; `turnover` a usual day's turnover in the quote currency.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cache

FIRST_DAY = date(2017, 8, 17)
LAST_DAY = date(2026, 1, 31)
US_FIRST_DAY = date(2019, 1, 2)
ANCHOR_DAY = date(2025, 12, 31)


@dataclass(frozen=True)
class Split:
    """A share split: from `day` on, one old share is `ratio` new ones. Not announced: no source but Yahoo knows of it."""

    day: date
    ratio: float
    is_announced: bool = True


@dataclass(frozen=True)
class Listing:
    """One listing. `path` names the price path it follows, `multiple` how many units of it one contract has."""

    symbol: str
    market: str
    type: str
    subtype: str
    typespecs: tuple[str, ...]
    description: str
    path: str
    level: float
    turnover: float
    listed: date
    delisted: date | None = None
    base: str | None = None
    quote: str = "USD"
    multiple: float = 1.0
    anchor_day: date = ANCHOR_DAY
    sector: str | None = None
    industry: str | None = None
    country: str | None = None
    category: int | None = None
    aum: float | None = None
    expense_ratio: float | None = None
    brand: str | None = None
    issuer: str | None = None
    dividend_yield: float = 0.0
    dividends_per_year: int = 0
    splits: tuple[Split, ...] = field(default=())
    has_volume_in_bars: bool = True

    @property
    def exchange(self) -> str:
        return self.symbol.split(":", 1)[0]

    @property
    def name(self) -> str:
        return self.symbol.split(":", 1)[1]

    @property
    def is_perpetual(self) -> bool:
        return self.type == "swap"

    @property
    def is_coin_margined(self) -> bool:
        return self.is_perpetual and self.quote == "USD"

    @property
    def venue_name(self) -> str:
        """The name on the exchange's own interface: BTCUSDT, BTCUSD_PERP."""
        plain = self.name.removesuffix(".P")
        return f"{plain}_PERP" if self.is_coin_margined else plain


@dataclass(frozen=True)
class Coin:
    """A crypto asset: sector, level in USD, usual turnover of its USDT pair, volatility a day, where it is listed."""

    name: str
    sector: str
    level: float
    turnover: float
    volatility: float
    quotes: tuple[str, ...]
    perpetuals: tuple[str, ...]
    listed: date
    delisted: date | None = None
    full_name: str = ""


# name, sector, level in USD, spot turnover in million USD, volatility %/day, quotes beside USDT (C: USDC, F: FDUSD,
# E: EUR, T: TRY, B: BTC), perpetuals (U: USDT, C: USDC, D: coin-margined), listed, delisted
_COINS = """
BTC layer1 87650 1900 2.4 CFETD UCD 2017-08-17
ETH layer1 2971 1300 3.2 CFETB UCD 2017-08-17
XRP payment 1.842 620 3.6 CFT UCD 2018-05-04
SOL layer1 124.6 540 4.0 CFTB UCD 2020-08-11
BNB layer1 863.2 310 2.6 CFTB UCD 2017-11-06
DOGE meme 0.1172 260 4.2 CFT UCD 2019-07-05
ADA layer1 0.3335 150 4.0 CFB UCD 2018-04-17
TRX payment 0.2841 75 2.4 CF U 2018-06-11
LINK defi 12.24 120 4.1 CFB UCD 2019-01-16
SUI layer1 1.412 130 4.8 CFT UC 2023-05-03
AVAX layer1 12.31 95 4.3 CF UCD 2020-09-22
LTC payment 76.93 88 3.2 CFB UCD 2017-12-13
BCH payment 526.06 64 3.4 CF UCD 2019-11-28
DOT layer1 1.762 58 4.2 CF UD 2020-08-18
HBAR layer1 0.1093 52 4.6 CF UC 2019-09-29
XLM payment 0.2041 46 3.9 CF U 2018-05-31
UNI defi 5.803 60 4.5 CF UC 2020-09-17
NEAR layer1 1.511 49 4.7 CF UC 2020-10-14
AAVE defi 146.4 51 4.3 CF UC 2020-10-15
PEPE meme 0.00000403 92 5.2 CF UC 2023-05-05
SHIB meme 0.00000692 55 4.1 CF U 2021-05-10
WIF meme 0.2712 47 5.6 CF UC 2024-03-05
BONK meme 0.00000752 42 5.4 CF UC 2023-12-15
ENA defi 0.2013 66 5.5 CF UC 2024-04-02
TAO ai 219.4 44 4.7 CF UC 2024-04-11
FET ai 0.2041 33 5.0 CF U 2019-03-02
ARB layer2 0.1887 41 4.6 CF UC 2023-03-23
OP layer2 0.2689 30 4.8 CF U 2022-06-01
APT layer1 1.663 27 4.7 CF U 2022-10-19
ATOM layer1 1.971 24 4.1 C U 2019-04-29
FIL storage 1.287 26 4.4 CF UD 2020-10-15
ETC payment 11.52 22 3.6 C UD 2018-06-12
ICP layer1 2.981 25 4.6 C U 2021-05-11
INJ defi 4.503 21 4.7 C U 2020-10-21
TIA layer1 0.4741 29 5.1 C U 2023-10-31
SEI layer1 0.1094 23 4.9 CF U 2023-08-15
RENDER ai 1.302 20 4.7 C U 2024-07-26
WLD ai 0.4868 38 5.3 CF UC 2023-07-24
ONDO defi 0.3741 28 4.7 C U 2025-02-04
JUP defi 0.1893 16 4.9 CF U 2024-01-31
ORDI meme 3.871 18 5.4 CF U 2023-11-07
CRV defi 0.3621 32 4.9 C U 2020-08-15
LDO defi 0.5613 19 4.8 C U 2022-05-10
PENDLE defi 1.821 17 4.8 C U 2023-07-03
GALA gaming 0.00602 15 4.7 C U 2021-09-13
SAND gaming 0.1121 12 4.4 C U 2020-08-14
MANA gaming 0.1172 9.5 4.2 C U 2020-08-06
AXS gaming 0.8231 8.8 4.6 C U 2020-11-04
IMX gaming 0.2261 8.1 4.7 - U 2021-12-30
GRT ai 0.03621 7.4 4.4 C U 2020-12-17
ALGO layer1 0.1143 11 4.0 C U 2019-06-22
VET layer1 0.01052 9.1 3.9 - U 2018-07-25
THETA media 0.2721 4.6 4.2 - U 2019-03-18
EOS layer1 0.5121 6.2 3.9 - U 2018-05-28 2025-05-26
XTZ layer1 0.4711 5.8 3.7 - UD 2019-09-24
NEO layer1 3.651 5.2 3.7 - U 2017-11-20
IOTA payment 0.08413 4.9 4.1 - U 2018-05-31
ZEC payment 512.3 135 5.0 CF UC 2019-03-21
DASH payment 38.41 31 4.8 C U 2019-03-28
ZEN payment 8.214 10.4 4.9 - U 2020-06-04
QTUM layer1 1.331 3.6 3.8 - U 2018-03-29
KAVA defi 0.07721 3.1 4.2 - U 2019-10-23
RUNE defi 0.5871 6.6 4.9 C U 2020-09-04
SNX defi 0.4421 5.5 5.0 - U 2020-07-09
COMP defi 25.83 7.8 4.3 - U 2020-06-23
MKR defi 1521 12 3.9 - U 2020-07-22 2025-09-15
YFI defi 3411 4.1 3.9 - U 2020-08-10
1INCH defi 0.1482 4.4 4.3 - U 2020-12-25
SUSHI defi 0.2901 6.1 4.8 - U 2020-09-01
ZRX defi 0.1212 2.1 4.4 - U 2019-03-12
BAT media 0.2051 3.4 4.0 - U 2019-03-08
ENJ gaming 0.02752 1.9 4.5 - U 2019-04-19
CHZ media 0.04022 13 4.4 C U 2019-05-10
FLOW layer1 0.1662 4.7 4.4 - U 2021-07-29
EGLD layer1 6.371 5.1 4.3 - U 2020-09-03
KSM layer1 7.121 1.8 4.3 - U 2020-09-03
C98 defi 0.02132 1.4 4.7 - U 2021-07-23
T privacy 0.00891 1.6 4.3 - U 2022-01-26
STX layer2 0.2511 6.9 4.7 C U 2019-10-25
ARKM ai 0.1871 4.0 5.2 - U 2023-07-18
PYTH ai 0.05731 5.4 5.0 C U 2024-02-02
JTO defi 0.3721 4.3 5.1 - U 2023-12-07
STRK layer2 0.07741 6.4 5.2 C U 2024-02-20
ZK layer2 0.02713 5.6 5.2 C U 2024-06-17
EIGEN defi 0.3842 9.8 5.3 C U 2024-10-01
ETHFI defi 0.6971 8.4 5.3 C U 2024-03-18
NOT meme 0.000521 6.0 5.4 F U 2024-05-16
DOGS meme 0.0000401 3.0 5.3 F U 2024-08-26
HMSTR gaming 0.000231 2.2 5.1 F - 2024-09-26
NEIRO meme 0.000114 7.2 5.6 F U 2024-09-16
PNUT meme 0.06831 14 5.8 C U 2024-11-11
ACT meme 0.02281 5.0 5.9 - U 2024-11-11
MOVE layer1 0.03511 4.2 5.6 C U 2024-12-09
VIRTUAL ai 0.6511 19 5.9 C U 2025-04-11
TRUMP meme 4.851 43 5.5 C UC 2025-01-19
KAITO ai 0.5421 8.6 5.7 C U 2025-02-20
PLUME defi 0.01691 5.3 5.5 - U 2025-08-18
SIGN ai 0.02931 4.8 5.4 - U 2025-04-28
0G ai 0.8121 7.7 5.9 C U 2025-09-22
XPL layer1 0.1582 34 5.8 CF UC 2025-09-25
ASTER defi 0.6921 53 5.8 CF UC 2025-10-06
KITE ai 0.09041 12 6.0 C U 2025-11-03
MET defi 0.2512 3.9 5.9 - U 2025-11-20
ALLO ai 0.1121 5.9 6.2 - U 2025-11-11
BREV ai 0.3621 14 6.2 - U 2026-01-06
FOGO layer1 0.03221 8.0 6.4 - U 2026-01-15
ZAMA privacy 0.0511 3.3 6.3 - - 2026-01-26
POL layer2 0.1042 13 4.5 CF U 2024-09-13
MATIC layer2 0.3781 34 4.3 C U 2019-04-26 2024-09-10
BTT storage 0.0018 6.5 4.5 - U 2019-01-31 2022-01-19
BTTC storage 0.00000041 2.4 4.2 - U 2022-01-19
XVG payment 0.00581 0.42 4.5 - - 2018-06-08
DATA ai 0.00412 0.31 4.6 - - 2019-01-12
FIO payment 0.01151 0.55 4.6 - - 2020-06-18
PIVX payment 0.1271 0.24 4.4 - - 2020-11-27
VIB media 0.0412 0.2 4.5 - - 2018-03-01 2024-12-18
WRX defi 0.0951 1.1 4.4 - - 2020-02-05 2024-12-18
TROY defi 0.00052 0.5 4.8 - U 2019-12-31 2025-05-02
OMG layer2 0.2612 3.2 4.2 - U 2018-06-05 2024-12-10
REN defi 0.0281 2.0 4.5 - U 2019-10-28 2024-12-10
LIT media 0.6911 2.6 5.0 - - 2021-02-04 2025-04-16
SLF ai 0.0312 0.9 5.6 - - 2024-10-18 2025-12-17
FLM defi 0.0132 1.3 4.8 - U 2020-09-28 2026-01-14
"""

# What a directional scanner has to leave out: name, kind, level, turnover in millions, listed, delisted.
_PEGGED = """
USDC stable 1.0 820 2018-12-15
FDUSD stable 0.9985 180 2023-07-26
TUSD stable 0.9991 24 2019-05-16
DAI stable 0.9997 2.2 2023-10-01
USDP stable 0.9996 1.2 2021-09-10
USD1 stable 0.9993 96 2025-05-22
XUSD stable 0.9994 6.1 2024-11-01
USDE stable 0.9992 41 2025-09-09
RLUSD stable 0.9998 12 2026-01-21
BUSD stable 0.9999 140 2019-09-20 2023-12-15
EUR euro 1.174 31 2020-01-03
EURI euro 1.172 9.0 2024-08-27
AEUR euro 1.171 1.6 2023-12-04
PAXG gold 4330.5 72 2020-08-26
XAUT gold 4327.1 38 2025-11-18
"""

_LEVERAGED = """
BTCUP BTC 2 8.4 14.5
BTCDOWN BTC -2 0.0021 6.1
ETHUP ETH 2 4.6 3.2
ETHDOWN ETH -2 0.0007 2.8
BNBUP BNB 2 11.2 0.9
"""

# Perpetuals alone: no spot pair beside them.
_PERPETUALS_ALONE = """
FHE ai 0.0412 95 6.2 2025-04-30
BULLA meme 0.0713 58 6.8 2025-07-04
POWER ai 0.3012 41 6.5 2025-12-05
LAB defi 0.1312 33 6.4 2025-10-14
1000000MOG meme 0.2311 12 5.4 2024-06-05
"""
# Contracts that count a thousand or more coins, by base and contract name.
MULTIPLES = {"PEPE": 1000, "SHIB": 1000, "BONK": 1000}

# ticker, exchange, path, level, turnover in million USD, category, AUM in billion USD, expense ratio %, yield %,
# payments a year, listed, issuer, description
_FUNDS = """
SPY AMEX index:market*1.0 682.1 36000 26 690 0.0945 1.06 4 2019-01-02 State Street|SPDR S&P 500 ETF Trust
QQQ NASDAQ index:market*1.2,sector:technology*0.6 615.3 27000 26 410 0.2 0.45 4 2019-01-02 Invesco|Invesco QQQ Trust Series I
IWM AMEX index:market*1.15,factor:small*1.0 247.2 9100 26 72 0.19 1.02 4 2019-01-02 BlackRock|iShares Russell 2000 ETF
DIA AMEX index:market*0.92,sector:industrials*0.3 481.5 3100 26 44 0.16 1.4 12 2019-01-02 State Street|SPDR Dow Jones Industrial Average ETF
VTI AMEX index:market*1.01,factor:small*0.1 336.4 1250 26 560 0.03 1.1 4 2019-01-02 Vanguard|Vanguard Total Stock Market ETF
VEU AMEX index:market*0.8,factor:abroad*1.0 73.9 150 26 54 0.04 2.6 4 2019-01-02 Vanguard|Vanguard FTSE All-World ex-US ETF
EEM AMEX index:market*0.8,factor:emerging*1.0 54.6 1600 26 21 0.72 2.2 2 2019-01-02 BlackRock|iShares MSCI Emerging Markets ETF
XLK AMEX sector:technology*1.0,index:market*1.15 144.2 1700 27 91 0.08 0.55 4 2019-01-02 State Street|Technology Select Sector SPDR Fund
XLF AMEX sector:finance*1.0,index:market*1.0 54.7 2100 27 54 0.08 1.3 4 2019-01-02 State Street|Financial Select Sector SPDR Fund
XLV AMEX sector:health*1.0,index:market*0.75 154.8 1500 27 39 0.08 1.6 4 2019-01-02 State Street|Health Care Select Sector SPDR Fund
XLY AMEX sector:consumer*1.0,index:market*1.15 119.4 830 27 24 0.08 0.8 4 2019-01-02 State Street|Consumer Discretionary Select Sector SPDR Fund
XLI AMEX sector:industrials*1.0,index:market*1.0 155.4 1300 27 25 0.08 1.3 4 2019-01-02 State Street|Industrial Select Sector SPDR Fund
XLP AMEX sector:staples*1.0,index:market*0.55 77.6 1200 27 15 0.08 2.7 4 2019-01-02 State Street|Consumer Staples Select Sector SPDR Fund
XLE AMEX sector:energy*1.0,index:market*0.8,commodity:oil*0.5 44.7 1450 27 27 0.08 3.3 4 2019-01-02 State Street|Energy Select Sector SPDR Fund
XLU AMEX sector:utilities*1.0,index:market*0.5,bond:rates*3.0 42.7 980 27 21 0.08 2.8 4 2019-01-02 State Street|Utilities Select Sector SPDR Fund
XLB AMEX sector:materials*1.0,index:market*1.0 45.4 420 27 5.6 0.08 1.9 4 2019-01-02 State Street|Materials Select Sector SPDR Fund
XLRE AMEX sector:property*1.0,index:market*0.9,bond:rates*3.0 40.4 260 27 7.4 0.08 3.4 4 2019-01-02 State Street|Real Estate Select Sector SPDR Fund
XLC AMEX sector:communication*1.0,index:market*1.1 117.4 640 27 26 0.08 1.1 4 2019-01-02 State Street|Communication Services Select Sector SPDR Fund
ITA AMEX sector:defence*1.0,index:market*0.9 214.8 160 27 12 0.38 0.7 4 2019-01-02 BlackRock|iShares U.S. Aerospace & Defense ETF
AGG AMEX bond:rates*6.0 99.9 820 61 135 0.03 3.9 12 2019-01-02 BlackRock|iShares Core U.S. Aggregate Bond ETF
BND NASDAQ bond:rates*6.1 74.1 470 61 140 0.03 3.8 12 2019-01-02 Vanguard|Vanguard Total Bond Market ETF
TLT NASDAQ bond:rates*16.5 87.2 3300 58 49 0.15 4.3 12 2019-01-02 BlackRock|iShares 20+ Year Treasury Bond ETF
LQD AMEX bond:rates*8.2,bond:credit*1.0 110.2 2300 56 31 0.14 4.4 12 2019-01-02 BlackRock|iShares iBoxx $ Investment Grade Corporate Bond ETF
HYG AMEX bond:rates*3.0,bond:credit*3.0 80.6 3100 68 18 0.49 5.8 12 2019-01-02 BlackRock|iShares iBoxx $ High Yield Corporate Bond ETF
IEF NASDAQ bond:rates*7.3 96.3 760 58 46 0.15 3.7 12 2019-01-02 BlackRock|iShares 7-10 Year Treasury Bond ETF
SHY NASDAQ bond:rates*1.85 82.9 340 58 24 0.15 3.9 12 2019-01-02 BlackRock|iShares 1-3 Year Treasury Bond ETF
TIP AMEX bond:rates*6.4 110.1 210 58 14 0.18 3.2 12 2019-01-02 BlackRock|iShares TIPS Bond ETF
MBB NASDAQ bond:rates*5.9 95.3 240 63 40 0.04 4.1 12 2019-01-02 BlackRock|iShares MBS ETF
BIV AMEX bond:rates*6.2 78.1 120 61 27 0.03 3.9 12 2019-01-02 Vanguard|Vanguard Intermediate-Term Bond ETF
EMLC AMEX bond:rates*5.0,bond:emerging*2.0 25.9 42 70 4.2 0.3 6.1 12 2019-01-02 VanEck|VanEck J.P. Morgan EM Local Currency Bond ETF
IBDV AMEX bond:rates*3.2,bond:credit*0.6 22.1 12 56 2.1 0.1 4.3 12 2020-06-25 BlackRock|iShares iBonds Dec 2030 Term Corporate ETF
DBC AMEX commodity:broad*1.0 22.6 21 4 1.2 0.87 3.2 1 2019-01-02 Invesco|Invesco DB Commodity Index Tracking Fund
GSG AMEX commodity:broad*1.0,commodity:oil*0.4 22.9 9.4 4 0.9 0.75 0 0 2019-01-02 BlackRock|iShares S&P GSCI Commodity-Indexed Trust
GLD AMEX metal:gold*1.0 398.2 4600 8 140 0.4 0 0 2019-01-02 State Street|SPDR Gold Shares
IAU AMEX metal:gold*1.0 81.4 720 8 66 0.25 0 0 2019-01-02 BlackRock|iShares Gold Trust
SLV AMEX metal:silver*1.0,metal:gold*1.1 64.7 3900 8 36 0.5 0 0 2019-01-02 BlackRock|iShares Silver Trust
USO AMEX commodity:oil*1.0 68.6 310 5 1.0 0.6 0 0 2019-01-02 USCF|United States Oil Fund LP
BNO AMEX commodity:oil*0.95 28.3 16 5 0.09 1.0 0 0 2019-01-02 USCF|United States Brent Oil Fund LP
UNG AMEX commodity:gas*1.0 12.3 140 5 0.4 1.24 0 0 2019-01-02 USCF|United States Natural Gas Fund LP
DBB AMEX commodity:base*1.0 22.4 4.2 6 0.14 0.77 2.4 1 2019-01-02 Invesco|Invesco DB Base Metals Fund
CPER AMEX commodity:base*1.3 34.1 24 6 0.3 0.88 0 0 2019-01-02 USCF|United States Copper Index Fund
DBA AMEX commodity:grains*1.0 26.1 7.1 7 0.75 0.85 3.0 1 2019-01-02 Invesco|Invesco DB Agriculture Fund
PALL AMEX metal:platinum*1.3 149.2 21 8 0.7 0.6 0 0 2019-01-02 abrdn|abrdn Physical Palladium Shares ETF
PPLT AMEX metal:platinum*1.0 186.3 61 8 2.4 0.6 0 0 2019-01-02 abrdn|abrdn Physical Platinum Shares ETF
URA AMEX commodity:uranium*1.0,index:market*0.9 47.2 230 27 5.2 0.69 2.1 2 2019-01-02 Global X|Global X Uranium ETF
LIT AMEX commodity:lithium*1.0,index:market*0.9 65.4 31 27 1.5 0.75 0.6 2 2019-01-02 Global X|Global X Lithium & Battery Tech ETF
MOO AMEX commodity:grains*0.5,index:market*0.8 73.6 5.1 27 0.6 0.55 2.9 1 2019-01-02 VanEck|VanEck Agribusiness ETF
VOO AMEX index:market*1.0 627.1 5200 26 800 0.03 1.1 4 2019-01-02 Vanguard|Vanguard S&P 500 ETF
RSP AMEX index:market*0.95,factor:small*0.3 192.6 1900 26 76 0.2 1.6 4 2019-01-02 Invesco|Invesco S&P 500 Equal Weight ETF
SMH NASDAQ sector:semis*1.0,index:market*1.3 360.1 3000 27 37 0.35 0.4 1 2019-01-02 VanEck|VanEck Semiconductor ETF
SOXX NASDAQ sector:semis*1.0,index:market*1.25 301.4 1300 27 17 0.34 0.6 4 2019-01-02 BlackRock|iShares Semiconductor ETF
ARKK CBOE sector:technology*1.6,index:market*1.5 77.0 620 27 7.1 0.75 0 0 2019-01-02 ARK|ARK Innovation ETF
XBI AMEX sector:health*2.0,index:market*1.0 121.9 1100 27 7.8 0.35 0.3 4 2019-01-02 State Street|SPDR S&P Biotech ETF
KRE AMEX sector:finance*1.7,index:market*1.1 64.6 790 27 4.1 0.35 2.4 4 2019-01-02 State Street|SPDR S&P Regional Banking ETF
XOP AMEX sector:energy*1.6,commodity:oil*0.7,index:market*0.9 125.8 390 27 1.9 0.35 2.6 4 2019-01-02 State Street|SPDR S&P Oil & Gas Exploration ETF
GDX AMEX metal:gold*2.0,index:market*0.3 85.8 1900 27 26 0.51 0.6 1 2019-01-02 VanEck|VanEck Gold Miners ETF
GDXJ AMEX metal:gold*2.2,index:market*0.4 114.3 560 27 10 0.51 0.7 1 2019-01-02 VanEck|VanEck Junior Gold Miners ETF
SIL AMEX metal:silver*1.5,metal:gold*1.5 83.4 140 27 5.0 0.65 0.9 2 2019-01-02 Global X|Global X Silver Miners ETF
SHLD AMEX sector:defence*1.3,index:market*0.8 71.94 33 27 5.3 0.5 0.4 2 2023-09-13 Global X|Global X Defense Tech ETF
PAVE CBOE sector:industrials*1.2,index:market*1.1 47.9 74 27 11 0.47 0.5 2 2019-01-02 Global X|Global X U.S. Infrastructure Development ETF
KWEB AMEX factor:emerging*1.8,index:market*0.7 34.4 690 27 8.9 0.7 1.6 1 2019-01-02 KraneShares|KraneShares CSI China Internet ETF
FXI AMEX factor:emerging*1.4,index:market*0.6 38.1 1400 26 6.9 0.74 2.3 2 2019-01-02 BlackRock|iShares China Large-Cap ETF
INDA CBOE factor:emerging*0.8,index:market*0.5 53.4 290 26 9.6 0.61 0.7 2 2019-01-02 BlackRock|iShares MSCI India ETF
EWZ AMEX factor:emerging*1.6,index:market*0.7 31.8 940 26 5.1 0.59 5.6 2 2019-01-02 BlackRock|iShares MSCI Brazil ETF
EWJ AMEX factor:abroad*1.1,index:market*0.7 80.8 420 26 15 0.49 2.1 2 2019-01-02 BlackRock|iShares MSCI Japan ETF
TAN AMEX sector:utilities*2.2,index:market*1.2 47.6 46 27 0.8 0.7 0.5 1 2019-01-02 Invesco|Invesco Solar ETF
JETS AMEX sector:industrials*1.8,index:market*1.2 27.9 52 27 0.7 0.6 0 0 2019-01-02 U.S. Global|U.S. Global Jets ETF
NLR AMEX commodity:uranium*0.7,index:market*0.8 126.1 38 27 3.6 0.52 0.8 1 2019-01-02 VanEck|VanEck Uranium and Nuclear ETF
REMX AMEX commodity:lithium*1.3,index:market*0.9 74.1 29 27 1.6 0.58 1.4 1 2019-01-02 VanEck|VanEck Rare Earth and Strategic Metals ETF
BOTZ NASDAQ sector:technology*1.0,index:market*1.1 36.2 19 27 3.1 0.68 0.2 2 2019-01-02 Global X|Global X Robotics & Artificial Intelligence ETF
QTUM NASDAQ sector:semis*1.0,index:market*1.2 109.4 14 27 3.0 0.4 0.4 4 2019-01-02 Defiance|Defiance Quantum ETF
NUKZ AMEX commodity:uranium*0.6,index:market*0.9 62.7 6.1 27 0.7 0.85 0.3 1 2024-01-24 Exchange Traded Concepts|Range Nuclear Renaissance Index ETF
WGMI NASDAQ crypto:market*1.1,index:market*1.0 41.2 8.2 27 0.35 0.75 0 0 2022-02-08 Valkyrie|CoinShares Valkyrie Bitcoin Miners ETF
EUAD CBOE sector:defence*1.2,factor:abroad*1.0 43.8 9.8 27 1.3 0.5 0.2 1 2024-10-22 Tidal|Select STOXX Europe Aerospace & Defense ETF
DRAM AMEX sector:semis*1.6,index:market*1.3 28.4 3.4 27 0.12 0.65 0 0 2025-12-01 Roundhill|Roundhill Memory ETF
TQQQ NASDAQ lever:QQQ*3 54.9 4200 27 29 0.82 0.6 4 2019-01-02 ProShares|ProShares UltraPro QQQ
SQQQ NASDAQ lever:QQQ*-3 67.3 2700 27 3.1 0.95 6.4 4 2019-01-02 ProShares|ProShares UltraPro Short QQQ
SPXL AMEX lever:SPY*3 224.8 560 27 6.1 0.87 0.8 4 2019-01-02 Direxion|Direxion Daily S&P 500 Bull 3X Shares
SPXS AMEX lever:SPY*-3 37.1 290 27 0.4 1.02 4.4 4 2019-01-02 Direxion|Direxion Daily S&P 500 Bear 3X Shares
SOXL AMEX lever:SOXX*3 44.2 3300 27 13 0.75 0.5 4 2019-01-02 Direxion|Direxion Daily Semiconductor Bull 3X Shares
SOXS AMEX lever:SOXX*-3 31.6 1100 27 0.9 0.97 5.1 4 2019-01-02 Direxion|Direxion Daily Semiconductor Bear 3X Shares
TNA AMEX lever:IWM*3 48.3 610 27 2.0 1.03 1.0 4 2019-01-02 Direxion|Direxion Daily Small Cap Bull 3X Shares
TZA AMEX lever:IWM*-3 71.9 380 27 0.3 1.01 4.6 4 2019-01-02 Direxion|Direxion Daily Small Cap Bear 3X Shares
NUGT AMEX lever:GDX*2 186.2 190 27 1.1 1.13 0.3 4 2019-01-02 Direxion|Direxion Daily Gold Miners Index Bull 2X Shares
TMF AMEX lever:TLT*3 37.9 250 27 3.5 1.06 3.0 4 2019-01-02 Direxion|Direxion Daily 20+ Year Treasury Bull 3X Shares
RKLX NASDAQ lever:RKLB*2 63.4 33 27 0.5 1.05 0 0 2025-01-28 Defiance|Defiance Daily Target 2X Long RKLB ETF
ASTX CBOE lever:ASTS*2 58.2 71 27 0.3 1.05 0 0 2025-07-10 Tradr|Tradr 2X Long ASTS Daily ETF
NVDL NASDAQ lever:NVDA*2 88.9 740 27 4.3 1.05 0 0 2022-12-13 GraniteShares|GraniteShares 2x Long NVDA Daily ETF
TSLL NASDAQ lever:TSLA*2 18.7 1500 27 6.6 0.94 2.4 4 2022-08-09 Direxion|Direxion Daily TSLA Bull 2X Shares
BRZX AMEX lever:EWZ*2 64.1 0.7 27 0.08 1.26 1.0 4 2019-01-02 Direxion|Daily MSCI Brazil Bull 2X Shares
UVXY CBOE vol:short*1.5 37.6 410 35 0.6 0.95 0 0 2019-01-02 ProShares|ProShares Ultra VIX Short-Term Futures ETF
SVXY CBOE vol:short*-0.5 54.2 74 35 0.3 0.95 0 0 2019-01-02 ProShares|ProShares Short VIX Short-Term Futures ETF
VIXY CBOE vol:short*1.0 26.4 62 35 0.25 0.85 0 0 2019-01-02 ProShares|ProShares VIX Short-Term Futures ETF
SCHD AMEX index:market*0.8,sector:staples*0.5 27.6 490 44 72 0.06 3.8 4 2019-01-02 Schwab|Schwab U.S. Dividend Equity ETF
VYM AMEX index:market*0.85,sector:finance*0.3 144.1 210 44 68 0.06 2.5 4 2019-01-02 Vanguard|Vanguard High Dividend Yield Index ETF
DVY NASDAQ index:market*0.8,sector:utilities*0.5 142.3 44 44 21 0.38 3.6 4 2019-01-02 BlackRock|iShares Select Dividend ETF
JEPI AMEX index:market*0.6 57.3 330 44 41 0.35 8.2 12 2020-05-21 J.P. Morgan|JPMorgan Equity Premium Income ETF
QYLD NASDAQ index:market*0.7,sector:technology*0.3 17.6 130 44 8.2 0.6 11.6 12 2019-01-02 Global X|Global X NASDAQ 100 Covered Call ETF
JNK AMEX bond:rates*2.8,bond:credit*3.1 97.2 640 68 7.6 0.4 6.5 12 2019-01-02 State Street|SPDR Bloomberg High Yield Bond ETF
USHY CBOE bond:rates*2.9,bond:credit*3.0 37.4 380 68 25 0.08 6.7 12 2019-01-02 BlackRock|iShares Broad USD High Yield Corporate Bond ETF
BKLN AMEX bond:credit*1.3 20.9 290 69 6.8 0.65 7.0 12 2019-01-02 Invesco|Invesco Senior Loan ETF
SRLN AMEX bond:credit*1.4 41.3 84 69 6.9 0.7 7.6 12 2019-01-02 State Street|SPDR Blackstone Senior Loan ETF
EMB NASDAQ bond:rates*6.8,bond:emerging*1.6 96.1 560 70 15 0.39 5.0 12 2019-01-02 BlackRock|iShares J.P. Morgan USD Emerging Markets Bond ETF
VCIT NASDAQ bond:rates*6.0,bond:credit*0.9 83.8 640 56 60 0.03 4.5 12 2019-01-02 Vanguard|Vanguard Intermediate-Term Corporate Bond ETF
VCSH NASDAQ bond:rates*2.6,bond:credit*0.5 79.7 380 57 47 0.03 4.2 12 2019-01-02 Vanguard|Vanguard Short-Term Corporate Bond ETF
MUB AMEX bond:rates*5.6 107.1 520 59 41 0.05 3.1 12 2019-01-02 BlackRock|iShares National Muni Bond ETF
VTEB AMEX bond:rates*5.7 50.2 290 59 42 0.03 3.3 12 2019-01-02 Vanguard|Vanguard Tax-Exempt Bond ETF
GOVT CBOE bond:rates*5.8 23.0 160 62 34 0.05 3.4 12 2019-01-02 BlackRock|iShares U.S. Treasury Bond ETF
SGOV AMEX bond:rates*0.1 100.5 1400 64 64 0.09 4.2 12 2020-05-28 BlackRock|iShares 0-3 Month Treasury Bond ETF
BNDX NASDAQ bond:rates*5.0,factor:abroad*0.05 48.6 210 61 74 0.07 4.3 12 2019-01-02 Vanguard|Vanguard Total International Bond ETF
IBIT NASDAQ crypto:market*0.95 49.6 2900 71 68 0.25 0 0 2024-01-11 BlackRock|iShares Bitcoin Trust ETF
ETHA NASDAQ crypto:market*1.3 22.5 720 71 10 0.25 0 0 2024-07-23 BlackRock|iShares Ethereum Trust ETF
BITO AMEX crypto:market*0.95 12.2 410 71 2.2 0.95 40 12 2021-10-19 ProShares|ProShares Bitcoin ETF
AOR AMEX index:market*0.6,bond:rates*2.4 65.4 16 3 3.2 0.15 2.5 4 2019-01-02 BlackRock|iShares Core 60/40 Balanced Allocation ETF
DBMF AMEX factor:abroad*-0.3,commodity:broad*0.3 28.2 24 1 2.1 0.85 5.5 4 2019-05-08 iMGP|iMGP DBi Managed Futures Strategy ETF
CORN AMEX commodity:grains*1.4 17.9 1.6 7 0.06 1.0 0 0 2019-01-02 Teucrium|Teucrium Corn Fund
WEAT AMEX commodity:grains*1.6 4.02 3.3 7 0.12 1.0 0 0 2019-01-02 Teucrium|Teucrium Wheat Fund
KRBN AMEX commodity:base*0.8 33.4 1.2 4 0.17 0.79 4.0 1 2020-07-30 KraneShares|KraneShares Global Carbon Strategy ETF
GLDM AMEX metal:gold*1.0 85.9 390 8 25 0.1 0 0 2019-01-02 State Street|SPDR Gold MiniShares Trust
SIVR AMEX metal:silver*1.0,metal:gold*1.1 68.3 120 8 5.2 0.3 0 0 2019-01-02 abrdn|abrdn Physical Silver Shares ETF
UCO AMEX lever:USO*2 20.1 78 5 0.4 0.95 0 0 2019-01-02 ProShares|ProShares Ultra Bloomberg Crude Oil
"""

# ticker, exchange, sector path, beta, level, turnover in million USD, volatility %/day, yield %, indices, listed, name
_STOCKS = """
AAPL NASDAQ technology 1.1 271.9 12400 1.3 0.4 SND 2019-01-02 Apple Inc.
MSFT NASDAQ technology 1.0 483.6 10800 1.2 0.7 SND 2019-01-02 Microsoft Corporation
NVDA NASDAQ semis 1.6 186.5 31000 2.0 0.02 SND 2019-01-02 NVIDIA Corporation
AMZN NASDAQ consumer 1.2 230.8 8900 1.5 0 SND 2019-01-02 Amazon.com, Inc.
GOOGL NASDAQ communication 1.1 313.0 9700 1.5 0.3 SN 2019-01-02 Alphabet Inc. Class A
META NASDAQ communication 1.2 660.1 8600 1.7 0.3 SN 2019-01-02 Meta Platforms, Inc.
AVGO NASDAQ semis 1.4 346.1 8100 2.0 0.7 SN 2019-01-02 Broadcom Inc.
TSLA NASDAQ consumer 1.7 449.7 29000 2.6 0 SN 2019-01-02 Tesla, Inc.
COST NASDAQ staples 0.8 862.3 2100 1.1 0.6 SN 2019-01-02 Costco Wholesale Corporation
NFLX NASDAQ communication 1.0 93.8 3300 1.8 0 SN 2019-01-02 Netflix, Inc.
AMD NASDAQ semis 1.7 214.2 6500 2.5 0 SN 2019-01-02 Advanced Micro Devices, Inc.
INTC NASDAQ semis 1.2 36.9 3400 2.2 0 SN 2019-01-02 Intel Corporation
CSCO NASDAQ technology 0.9 77.0 1500 1.1 2.1 SND 2019-01-02 Cisco Systems, Inc.
PEP NASDAQ staples 0.5 143.5 990 0.9 3.9 SN 2019-01-02 PepsiCo, Inc.
AMGN NASDAQ health 0.6 327.3 800 1.2 2.9 SND 2019-01-02 Amgen Inc.
GILD NASDAQ health 0.5 122.7 760 1.2 2.6 SN 2019-01-02 Gilead Sciences, Inc.
PYPL NASDAQ finance 1.4 58.4 820 2.0 0 SN 2019-01-02 PayPal Holdings, Inc.
MRNA NASDAQ health 1.2 29.5 330 3.3 0 - 2019-01-02 Moderna, Inc.
PLTR NASDAQ technology 1.7 177.7 7600 3.0 0 SN 2020-09-30 Palantir Technologies Inc.
COIN NASDAQ finance 1.9 226.1 2100 3.3 0 S 2021-04-14 Coinbase Global, Inc.
HOOD NASDAQ finance 1.9 113.1 2700 3.4 0 S 2021-07-29 Robinhood Markets, Inc.
MSTR NASDAQ technology 2.0 152.0 2800 3.9 0 N 2019-01-02 Strategy Inc.
RKLB NASDAQ defence 1.9 69.8 1600 4.0 0 - 2021-08-25 Rocket Lab Corporation
ASTS NASDAQ communication 2.0 72.6 1100 4.6 0 - 2021-04-07 AST SpaceMobile, Inc.
JPM NYSE finance 1.1 322.2 2900 1.2 1.8 SD 2019-01-02 JPMorgan Chase & Co.
BAC NYSE finance 1.2 55.0 1900 1.3 2.0 S 2019-01-02 Bank of America Corporation
GS NYSE finance 1.2 879.0 1800 1.4 1.7 SD 2019-01-02 Goldman Sachs Group, Inc.
V NYSE finance 0.9 350.7 2200 1.0 0.7 SD 2019-01-02 Visa Inc.
BRK.B NYSE finance 0.7 502.7 2400 0.9 0 S 2019-01-02 Berkshire Hathaway Inc. Class B
UNH NYSE health 0.7 330.1 2300 1.6 2.6 SD 2019-01-02 UnitedHealth Group Incorporated
JNJ NYSE health 0.4 207.0 1700 0.9 2.5 SD 2019-01-02 Johnson & Johnson
LLY NYSE health 0.7 1074.7 3100 1.7 0.6 S 2019-01-02 Eli Lilly and Company
PFE NYSE health 0.5 24.9 1000 1.2 6.9 S 2019-01-02 Pfizer Inc.
MRK NYSE health 0.4 105.3 1100 1.1 3.2 SD 2019-01-02 Merck & Co., Inc.
XOM NYSE energy 0.8 120.3 1900 1.3 3.4 S 2019-01-02 Exxon Mobil Corporation
CVX NYSE energy 0.8 152.4 1400 1.3 4.5 SD 2019-01-02 Chevron Corporation
OXY NYSE energy 1.2 41.1 420 1.9 2.3 S 2019-01-02 Occidental Petroleum Corporation
CAT NYSE industrials 1.2 572.9 1900 1.5 1.1 SD 2019-01-02 Caterpillar Inc.
BA NYSE defence 1.4 217.1 1500 2.0 0 SD 2019-01-02 Boeing Company
GE NYSE defence 1.2 308.0 1400 1.7 0.5 S 2019-01-02 GE Aerospace
LMT NYSE defence 0.5 483.7 700 1.2 2.8 S 2019-01-02 Lockheed Martin Corporation
RTX NYSE defence 0.7 183.4 900 1.3 1.5 S 2019-01-02 RTX Corporation
HON NASDAQ industrials 0.9 195.1 700 1.1 2.4 SND 2019-01-02 Honeywell International Inc.
UPS NYSE industrials 0.9 99.2 620 1.4 6.6 S 2019-01-02 United Parcel Service, Inc.
KO NYSE staples 0.4 69.9 1000 0.8 2.9 SD 2019-01-02 Coca-Cola Company
PG NYSE staples 0.4 143.3 1200 0.9 2.9 SD 2019-01-02 Procter & Gamble Company
WMT NASDAQ staples 0.6 111.4 1900 1.0 0.8 SND 2019-01-02 Walmart Inc.
MCD NYSE consumer 0.6 305.6 950 0.9 2.4 SD 2019-01-02 McDonald's Corporation
NKE NYSE consumer 1.0 63.7 1300 1.6 2.6 SD 2019-01-02 NIKE, Inc.
DIS NYSE communication 1.1 113.8 1000 1.4 1.3 SD 2019-01-02 Walt Disney Company
HD NYSE consumer 1.0 344.1 1300 1.1 2.7 SD 2019-01-02 Home Depot, Inc.
T NYSE communication 0.6 24.8 920 1.1 4.5 S 2019-01-02 AT&T Inc.
VZ NYSE communication 0.4 40.7 870 1.0 6.8 S 2019-01-02 Verizon Communications Inc.
NEE NYSE utilities 0.6 80.3 720 1.3 2.8 S 2019-01-02 NextEra Energy, Inc.
FCX NYSE materials 1.4 50.8 900 2.1 0.6 S 2019-01-02 Freeport-McMoRan Inc.
NEM NYSE materials 0.6 99.9 950 1.9 1.0 S 2019-01-02 Newmont Corporation
AMT NYSE property 0.7 175.6 470 1.3 3.9 S 2019-01-02 American Tower Corporation
CVNA NYSE consumer 2.2 422.0 1300 4.2 0 S 2019-01-02 Carvana Co.
GME NYSE consumer 1.5 20.1 160 3.8 0 - 2019-01-02 GameStop Corp.
WBA NASDAQ staples 0.8 11.98 140 2.0 8.0 SN 2019-01-02 Walgreens Boots Alliance, Inc.
SIVB NASDAQ finance 1.4 106.0 260 2.2 0 S 2019-01-02 SVB Financial Group
TWTR NYSE communication 1.0 53.7 720 2.4 0 S 2019-01-02 Twitter, Inc.
ACMR NASDAQ semis 1.5 39.5 38 3.4 0 - 2019-01-02 ACM Research, Inc.
MVIS NASDAQ technology 1.9 0.91 2.2 4.4 0 - 2019-01-02 MicroVision, Inc.
CMP NYSE materials 1.1 19.4 8.1 2.6 0 - 2019-01-02 Compass Minerals International, Inc.
"""
_STOCK_ENDS = {"SIVB": date(2023, 3, 9), "TWTR": date(2022, 10, 27), "WBA": date(2025, 8, 27)}
_SPLITS = {
    "AAPL": (Split(date(2020, 8, 31), 4),),
    "TSLA": (Split(date(2020, 8, 31), 5), Split(date(2022, 8, 25), 3)),
    "NVDA": (Split(date(2021, 7, 20), 4), Split(date(2024, 6, 10), 10)),
    "AMZN": (Split(date(2022, 6, 6), 20),),
    "GOOGL": (Split(date(2022, 7, 18), 20),),
    "AVGO": (Split(date(2024, 7, 15), 10),),
    "WMT": (Split(date(2024, 2, 26), 3),),
    "NFLX": (Split(date(2025, 11, 17), 10),),
    "TQQQ": (Split(date(2021, 1, 21), 2), Split(date(2022, 1, 13), 2), Split(date(2025, 11, 20), 2)),
    "SQQQ": (Split(date(2022, 1, 13), 0.2), Split(date(2024, 11, 7), 0.2), Split(date(2025, 11, 20), 0.2)),
    "SOXS": (Split(date(2021, 4, 1), 1 / 15), Split(date(2024, 4, 15), 0.1)),
    "SPXS": (Split(date(2022, 3, 28), 0.1),),
    "UVXY": (Split(date(2021, 5, 26), 0.1), Split(date(2023, 6, 23), 0.1), Split(date(2024, 4, 11), 0.2)),
    # missed by the bars of TradingView; the fund is below every floor, so no scanner picks it up by itself
    "BRZX": (Split(date(2024, 5, 20), 2, is_announced=False),),
}
SECTORS = {
    "technology": ("Electronic Technology", "Packaged Software"),
    "semis": ("Electronic Technology", "Semiconductors"),
    "finance": ("Finance", "Major Banks"),
    "health": ("Health Technology", "Pharmaceuticals: Major"),
    "consumer": ("Retail Trade", "Internet Retail"),
    "staples": ("Consumer Non-Durables", "Food: Major Diversified"),
    "industrials": ("Producer Manufacturing", "Industrial Conglomerates"),
    "defence": ("Electronic Technology", "Aerospace & Defense"),
    "energy": ("Energy Minerals", "Integrated Oil"),
    "utilities": ("Utilities", "Electric Utilities"),
    "materials": ("Non-Energy Minerals", "Other Metals/Minerals"),
    "property": ("Finance", "Real Estate Investment Trusts"),
    "communication": ("Communications", "Major Telecommunications"),
}
INDICES = {"S": "SP:SPX", "N": "NASDAQ:NDX", "D": "DJ:DJI"}
INDEX_NAMES = {"SP:SPX": "sp500", "NASDAQ:NDX": "nasdaq100", "DJ:DJI": "dw30"}
# Days on which a membership that did not always hold began or ended.
_INDEX_CHANGES = {
    ("TSLA", "S"): (date(2020, 12, 21), None),
    ("PLTR", "S"): (date(2024, 9, 23), None),
    ("PLTR", "N"): (date(2024, 12, 23), None),
    ("MSTR", "N"): (date(2024, 12, 23), None),
    ("COIN", "S"): (date(2025, 5, 19), None),
    ("HOOD", "S"): (date(2025, 9, 22), None),
    ("CVNA", "S"): (date(2025, 12, 22), None),
    ("NVDA", "D"): (date(2024, 11, 8), None),
    ("AMZN", "D"): (date(2024, 2, 26), None),
    ("AMGN", "D"): (date(2020, 8, 31), None),
    ("HON", "D"): (date(2020, 8, 31), None),
    ("WMT", "N"): (date(2026, 1, 20), None),
    ("XOM", "D"): (None, date(2020, 8, 31)),
    ("INTC", "D"): (None, date(2024, 11, 8)),
    ("WBA", "D"): (None, date(2024, 2, 26)),
    ("WBA", "N"): (None, date(2024, 11, 18)),
}

# pair, level, volatility %/day
_PAIRS = """
EURUSD 1.1745 0.45
GBPUSD 1.3471 0.5
AUDUSD 0.6671 0.6
NZDUSD 0.5761 0.6
USDJPY 156.71 0.55
USDCHF 0.7921 0.45
USDCAD 1.3721 0.4
EURGBP 0.8718 0.35
EURJPY 184.05 0.6
GBPJPY 211.11 0.65
"""
_OANDA = ("EURUSD", "USDJPY", "GBPUSD", "USDCHF", "USDCAD", "AUDUSD", "EURJPY", "GBPJPY")


@dataclass(frozen=True)
class Membership:
    """A symbol is in an index from `valid_from` to the day before `valid_to` (None: still)."""

    symbol: str
    index: str
    valid_from: date
    valid_to: date | None


def _spread(name: str, low: float, high: float) -> float:
    """Return a factor between low and high that depends on nothing but the name."""
    return low * (high / low) ** (zlib.crc32(name.encode()) % 10_000 / 10_000)


def _lines(table: str) -> list[list[str]]:
    return [line.split() for line in table.strip().splitlines()]


@cache
def coins() -> tuple[Coin, ...]:
    """Return the crypto assets that are neither pegged nor leveraged."""
    found = []
    quotes = {"C": "USDC", "F": "FDUSD", "E": "EUR", "T": "TRY", "B": "BTC", "D": "DAI"}
    perpetuals = {"U": "USDT", "C": "USDC", "D": "USD"}
    for name, sector, level, turnover, volatility, spot, contracts, listed, *end in _lines(_COINS):
        found.append(
            Coin(
                name=name,
                sector=sector,
                level=float(level),
                turnover=float(turnover) * 1e6,
                volatility=float(volatility) / 100,
                quotes=("USDT", *(quotes[q] for q in spot if q != "-")),
                perpetuals=tuple(perpetuals[p] for p in contracts if p != "-"),
                listed=date.fromisoformat(listed),
                delisted=date.fromisoformat(end[0]) if end else None,
            )
        )
    for name, sector, level, turnover, volatility, listed in _lines(_PERPETUALS_ALONE):
        found.append(
            Coin(
                name=name,
                sector=sector,
                level=float(level),
                turnover=float(turnover) * 1e6 / 4,
                volatility=float(volatility) / 100,
                quotes=(),
                perpetuals=("USDT",),
                listed=date.fromisoformat(listed),
            )
        )
    return tuple(found)


_QUOTE_LISTED = {
    "USDT": FIRST_DAY,
    "USDC": date(2019, 6, 1),
    "FDUSD": date(2023, 8, 4),
    "EUR": date(2020, 1, 3),
    "TRY": date(2020, 6, 1),
    "BTC": FIRST_DAY,
    "DAI": date(2020, 4, 1),
    "USD": date(2020, 8, 11),
}
# the usual level of a quote currency in USD, and its path
QUOTE_PATHS = {
    "USDT": ("one", 1.0),
    "USDC": ("peg:USDC", 1.0),
    "FDUSD": ("peg:FDUSD", 0.9985),
    "EUR": ("forex:EURUSD", 1.1745),
    "TRY": ("fiat:TRY", 0.0233),
    "BTC": ("coin:BTC", 87650.0),
    "DAI": ("peg:DAI", 0.9997),
    "USD": ("one", 1.0),
}
_QUOTE_SHARE = {
    "USDC": (0.04, 0.65),
    "FDUSD": (0.02, 0.5),
    "EUR": (0.01, 0.05),
    "TRY": (0.01, 0.06),
    "BTC": (0.01, 0.05),
    "DAI": (0.001, 0.003),
}


def _later(first: date, second: date) -> date:
    return max(first, second)


def _crypto() -> list[Listing]:
    found: list[Listing] = []
    for coin in coins():
        for quote in coin.quotes:
            if quote == "USDC" and coin.turnover < 1.5e7:
                continue
            symbol = f"BINANCE:{coin.name}{quote}"
            share = 1.0 if quote == "USDT" else _spread(symbol, *_QUOTE_SHARE[quote])
            listed = _later(coin.listed, _QUOTE_LISTED[quote])
            if quote not in ("USDT", "BTC") and listed == coin.listed:
                listed += timedelta(days=int(_spread(symbol, 1, 200)))
            if listed > LAST_DAY or (coin.delisted and listed >= coin.delisted):
                continue
            path, level = QUOTE_PATHS[quote]
            found.append(
                Listing(
                    symbol=symbol,
                    market="crypto",
                    type="spot",
                    subtype="crypto",
                    typespecs=("crypto",),
                    description=f"{coin.name} / {_quote_name(quote)}",
                    path=f"coin:{coin.name}/{path}",
                    level=coin.level / level,
                    turnover=coin.turnover * share / level,
                    listed=listed,
                    delisted=coin.delisted,
                    base=coin.name,
                    quote=quote,
                )
            )
        for quote in coin.perpetuals:
            if coin.turnover < 4.5e6:
                continue
            multiple = float(MULTIPLES.get(coin.name, 1)) if quote != "USD" else 1.0
            prefix = f"{multiple:.0f}" if multiple > 1 else ""
            symbol = f"BINANCE:{prefix}{coin.name}{quote}.P"
            share = _spread(symbol, 2.5, 7.0) * {"USDT": 1.0, "USDC": 0.06, "USD": 0.04}[quote]
            first = {"USDT": date(2019, 9, 8), "USDC": date(2024, 1, 4), "USD": date(2020, 8, 11)}[quote]
            listed = _later(coin.listed + timedelta(days=int(_spread(symbol, 1, 40)) - 1), first)
            if listed > LAST_DAY or (coin.delisted and listed >= coin.delisted):
                continue
            known = coin.name.lstrip("0123456789") if coin.name.startswith("1000000") else coin.name
            found.append(
                Listing(
                    symbol=symbol,
                    market="crypto",
                    type="swap",
                    subtype="perpetual",
                    typespecs=("crypto", "perpetual"),
                    description=f"{known} / {_quote_name(quote)} Perpetual",
                    path=f"coin:{coin.name}/{QUOTE_PATHS[quote][0]}",
                    level=coin.level * multiple,
                    turnover=coin.turnover * share,
                    listed=listed,
                    delisted=coin.delisted,
                    base=f"{prefix}{coin.name}",
                    quote=quote,
                    multiple=multiple,
                )
            )
    for name, kind, level, turnover, listed, *end in _lines(_PEGGED):
        path = {"stable": f"peg:{name}", "euro": f"euro:{name}", "gold": f"gold:{name}"}[kind]
        base = Listing(
            symbol=f"BINANCE:{name}USDT",
            market="crypto",
            type="spot",
            subtype="crypto",
            typespecs=("crypto", "stablecoin") if kind == "stable" else ("crypto",),
            description=f"{name} / TetherUS",
            path=f"{path}/one",
            level=float(level),
            turnover=float(turnover) * 1e6,
            listed=date.fromisoformat(listed),
            delisted=date.fromisoformat(end[0]) if end else None,
            base=name,
            quote="USDT",
        )
        found.append(base)
        if name == "PAXG":
            found.append(
                replace(
                    base,
                    symbol="BINANCE:PAXGUSDT.P",
                    type="swap",
                    subtype="perpetual",
                    typespecs=("crypto", "perpetual"),
                    description="PAXG / TetherUS Perpetual",
                    turnover=2.1e8,
                    listed=date(2025, 3, 27),
                )
            )
    for name, of, multiple, level, turnover in _lines(_LEVERAGED):
        found.append(
            Listing(
                symbol=f"BINANCE:{name}USDT",
                market="crypto",
                type="spot",
                subtype="leveraged",
                typespecs=("crypto", "leveraged"),
                description=f"{name} / TetherUS, leveraged token",
                path=f"token:{name}:{of}:{multiple}/one",
                level=float(level),
                turnover=float(turnover) * 1e6,
                listed=date(2020, 5, 15),
                base=name,
                quote="USDT",
            )
        )
    for base_name, level in (("BTC", 87650.0), ("ETH", 2971.0)):
        found.append(
            Listing(
                symbol=f"BINANCE:{base_name}USDH2026",
                market="crypto",
                type="futures",
                subtype="future",
                typespecs=("crypto",),
                description=f"{base_name} / U.S. Dollar futures, March 2026",
                path=f"coin:{base_name}/one",
                level=level * 1.01,
                turnover=3.2e7,
                listed=date(2025, 9, 26),
                base=base_name,
                quote="USD",
            )
        )
    return found


def _quote_name(quote: str) -> str:
    return {
        "USDT": "TetherUS",
        "USDC": "USD Coin",
        "FDUSD": "First Digital USD",
        "EUR": "Euro",
        "TRY": "Turkish Lira",
        "BTC": "Bitcoin",
        "DAI": "Dai",
        "USD": "U.S. Dollar",
    }[quote]


def _funds() -> list[Listing]:
    found = []
    for line in _FUNDS.strip().splitlines():
        front, description = line.split("|")
        ticker, exchange, path, level, turnover, category, aum, fee, rate, payments, listed, *issuer = front.split()
        found.append(
            Listing(
                symbol=f"{exchange}:{ticker}",
                market="america",
                type="fund",
                subtype="etf",
                typespecs=("etf",),
                description=description,
                path=f"fund:{ticker}:{path}",
                level=float(level),
                turnover=float(turnover) * 1e6,
                listed=date.fromisoformat(listed),
                sector="Miscellaneous",
                industry="Investment Trusts/Mutual Funds",
                country="United States",
                category=int(category),
                aum=float(aum) * 1e9,
                expense_ratio=float(fee),
                brand=" ".join(issuer),
                issuer=f"{' '.join(issuer)} Fund Advisors",
                dividend_yield=float(rate) / 100,
                dividends_per_year=int(payments),
                splits=_SPLITS.get(ticker, ()),
            )
        )
    return found


def _stocks() -> list[Listing]:
    found = []
    for line in _STOCKS.strip().splitlines():
        ticker, exchange, sector, beta, level, turnover, volatility, rate, _, listed, *words = line.split()
        end = _STOCK_ENDS.get(ticker)
        found.append(
            Listing(
                symbol=f"{exchange}:{ticker}",
                market="america",
                type="stock",
                subtype="common",
                typespecs=("common",),
                description=" ".join(words),
                path=f"stock:{ticker}:{sector}:{beta}:{volatility}",
                level=float(level),
                turnover=float(turnover) * 1e6,
                listed=date.fromisoformat(listed),
                delisted=end,
                anchor_day=end or ANCHOR_DAY,
                sector=SECTORS[sector][0],
                industry=SECTORS[sector][1],
                country="United States",
                dividend_yield=float(rate) / 100,
                dividends_per_year=4 if float(rate) > 0 else 0,
                splits=_SPLITS.get(ticker, ()),
            )
        )
    return found


def _forex() -> list[Listing]:
    found = []
    for pair, level, _ in _lines(_PAIRS):
        for exchange in ("FX_IDC", "OANDA"):
            if exchange == "OANDA" and pair not in _OANDA:
                continue
            found.append(
                Listing(
                    symbol=f"{exchange}:{pair}",
                    market="forex",
                    type="forex",
                    subtype="forex",
                    typespecs=("forex",),
                    description=f"{pair[:3]} / {pair[3:]}",
                    path=f"forex:{pair}",
                    level=float(level),
                    turnover=_spread(pair, 4e7, 6e8),
                    listed=US_FIRST_DAY,
                    base=pair[:3],
                    quote=pair[3:],
                    has_volume_in_bars=exchange == "OANDA",
                )
            )
    return found


PAIR_VOLATILITY = {pair: float(volatility) / 100 for pair, _, volatility in _lines(_PAIRS)}
# A fund that is often written under another exchange: the name is known and leads to the real listing.
ALIASES = {"AMEX:MBB": "NASDAQ:MBB", "AMEX:TLT": "NASDAQ:TLT", "NYSEARCA:SPY": "AMEX:SPY"}


@cache
def all_listings() -> tuple[Listing, ...]:
    """Return every listing there is or was, by symbol."""
    found = [*_crypto(), *_funds(), *_stocks(), *_forex()]
    return tuple(sorted(found, key=lambda one: one.symbol))


@cache
def memberships() -> tuple[Membership, ...]:
    """Return who was in which index when."""
    found = []
    for line in _STOCKS.strip().splitlines():
        ticker, exchange, *rest = line.split()
        letters, listed = rest[6], date.fromisoformat(rest[7])
        changed = {letter for name, letter in _INDEX_CHANGES if name == ticker}
        for letter in sorted({*letters.replace("-", ""), *changed}):
            begin, end = _INDEX_CHANGES.get((ticker, letter), (None, None))
            gone = end or (_STOCK_ENDS[ticker] + timedelta(days=1) if ticker in _STOCK_ENDS else None)
            found.append(Membership(f"{exchange}:{ticker}", INDICES[letter], begin or listed, gone))
    return tuple(sorted(found, key=lambda one: (one.index, one.symbol)))
