"""Windows and smoothings over flat arrays of many series, compiled once. Import them only inside a function.

Every series stands in one flat array, series after series; `offsets` (series + 1) says where each begins. A window is
summed afresh at each row, so that its result depends on its own rows alone: a running sum would carry what a higher
price left behind. NaN means: not defined there; a NaN in a window makes that window NaN, and no other.
"""

from __future__ import annotations

import math

from numba import njit, types

_READ_F1 = types.Array(types.float64, 1, "C", readonly=True)
_READ_I1 = types.Array(types.int64, 1, "C", readonly=True)
_F1, _F2 = types.float64[::1], types.float64[:, ::1]


@njit(types.void(_READ_F1, _READ_I1, _READ_I1, _F2), cache=True, nogil=True)
def means(values, offsets, lengths, out):  # type: ignore[no-untyped-def]
    """Fill `out` (lengths, rows) with the mean of the last rows, for each of the ascending `lengths`."""
    for series in range(offsets.shape[0] - 1):
        first = offsets[series]
        for t in range(first, offsets[series + 1]):
            total = 0.0
            newest = t
            for place in range(lengths.shape[0]):
                oldest = t - lengths[place] + 1
                if oldest < first:
                    out[place, t] = math.nan
                    continue
                for i in range(newest, oldest - 1, -1):
                    total += values[i]
                newest = oldest - 1
                out[place, t] = total / lengths[place]


@njit(types.void(_READ_F1, _READ_F1, _READ_I1, _READ_I1, _F2, _F2), cache=True, nogil=True)
def extremes(upper, lower, offsets, lengths, highest, lowest):  # type: ignore[no-untyped-def]
    """Fill (lengths, rows) with the largest `upper` and the smallest `lower` of the last rows, lengths ascending."""
    for series in range(offsets.shape[0] - 1):
        first = offsets[series]
        for t in range(first, offsets[series + 1]):
            high, low = -math.inf, math.inf
            newest = t
            for place in range(lengths.shape[0]):
                oldest = t - lengths[place] + 1
                if oldest < first:
                    highest[place, t] = math.nan
                    lowest[place, t] = math.nan
                    continue
                # a comparison with NaN is false, so a NaN that is held stays
                for i in range(newest, oldest - 1, -1):
                    if upper[i] > high or math.isnan(upper[i]):
                        high = upper[i]
                    if lower[i] < low or math.isnan(lower[i]):
                        low = lower[i]
                newest = oldest - 1
                highest[place, t] = high
                lowest[place, t] = low


@njit(types.void(_READ_F1, _READ_I1, types.int64, _F1), cache=True, nogil=True)
def weighted_means(values, offsets, length, out):  # type: ignore[no-untyped-def]
    """Fill `out` (rows) with the mean of the last `length` rows under the weights 1, 2, ... from the oldest on."""
    for series in range(offsets.shape[0] - 1):
        first = offsets[series]
        for t in range(first, offsets[series + 1]):
            if t - first + 1 < length:
                out[t] = math.nan
                continue
            total = 0.0
            for place in range(length):
                total += (place + 1) * values[t - length + 1 + place]
            out[t] = total / (length * (length + 1) / 2)


@njit(types.void(_READ_F1, _READ_F1, _READ_I1, types.int64, _F1), cache=True, nogil=True)
def mean_deviations(values, centres, offsets, length, out):  # type: ignore[no-untyped-def]
    """Fill `out` (rows) with the mean distance of the last `length` rows from the centre of the newest."""
    for series in range(offsets.shape[0] - 1):
        first = offsets[series]
        for t in range(first, offsets[series + 1]):
            if t - first + 1 < length:
                out[t] = math.nan
                continue
            total = 0.0
            for i in range(t - length + 1, t + 1):
                total += abs(values[i] - centres[t])
            out[t] = total / length


@njit(types.void(_READ_F1, _READ_I1, types.int64, types.float64, _F1), cache=True, nogil=True)
def smoothed(values, offsets, length, share, out):  # type: ignore[no-untyped-def]
    """Fill `out` (rows) with s + share * (value - s), from the mean of the first `length` values on.

    A NaN is passed over: NaN in its own row, and the smoothing goes on with the next value.
    """
    for series in range(offsets.shape[0] - 1):
        seen, state = 0, 0.0
        for t in range(offsets[series], offsets[series + 1]):
            out[t] = math.nan
            value = values[t]
            if math.isnan(value):
                continue
            seen += 1
            if seen < length:
                state += value
                continue
            state = (state + value) / length if seen == length else state + share * (value - state)
            out[t] = state
