"""The numbers of the checks before acceptance and of the sync rules.

`features.bar_spikes` applies those of moves to stored bars: a test compares.
"""

from __future__ import annotations

# a simple return beyond this, up or down, cannot be a market's: all of the load is rejected
TOXIC_RETURN = 5.0
# a simple return beyond this is kept and listed
EXTREME_RETURN = 1.0
# below this, or this many times off the median of the bars before, a close waits for a second source
SUSPECT_RETURN = -0.99
SUSPECT_LEVEL = 6
# bars before the judged one that its median, mean and deviation are over
BARS_BEFORE = 20
# deviations above the mean, or means where nothing deviates, that make a volume a spike
VOLUME_DEVIATIONS = 10
VOLUME_MEANS = 2

# overlapping final bars that are compared, the share that has to be equal, and the fewest that can tell
OVERLAP_BARS = 50
OVERLAP_SHARE = 0.9
OVERLAP_LEAST = 10
OVERLAP_TOLERANCE = 1e-6
# relative spread within which the ratios of all overlapping bars are one constant: prices are rounded
RATIO_SPREAD = 2e-3

# days for which a person's release of a series holds
RELEASE_DAYS = 7

# a donor's close lies within this share, at the same time, in a load received within these minutes
DONOR_SHARE = 0.005
DONOR_MINUTES = 15
# equal bars of two symbols that make a pair; a bar that did move counts for all of them
EQUAL_FLAT_BARS = 3

# a gap longer than this many sessions after at most so many bars makes them strays
STRAY_GAP = 20
STRAY_BARS = 5

# close ratios of common splits, either way, and how close to one a ratio has to be
SPLIT_FACTORS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50, 100)
SPLIT_TOLERANCE = 0.01

# relative difference of two sources' final closes that corroborates: one venue, exchange-listed, venues of crypto
SAME_VENUE_SHARE = 1e-4
LISTED_SHARE = 0.005
CROSS_VENUE_SHARE = 0.02

# sessions of the sync rules
DEPTH_BEYOND_LOOKBACK = 300
RATING_DEPTH = 1600
OVERLAP_DEPTH = 50
FORCE_DEPTH = 2000
MAX_BARS = 20_000
MAX_GAP_FILLS = 15
MAX_SYMBOL_SECONDS = 60
# time of a whole repair of symbols that are named without a profile
REPAIR_SECONDS = 1800
FRESH_HOURS = 12
LOCK_MINUTES = 15
DELISTED_SESSIONS = 10
MAX_CYCLES = 2
HEALTH_SESSIONS = 500
# Closes of a dollar coin are within this share of one dollar (D2.7); such a series may stand still.
PEG_SHARE = 0.005
