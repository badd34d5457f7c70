"""Loops over flat arrays of many series, compiled once. Import them only inside a function.

Every series stands in one flat array, series after series; `offsets` (series + 1) says where each begins. Row t of an
output reads the rows of its own series up to t alone, and sums in the order of time or of value: rows that come later
change nothing before them, to the last bit. NaN means: not defined there. With `wanted` (rows), only those rows of an
output are filled.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, types

# What lies below this share of the largest value of its own block or window is rounding, not movement.
ROUNDING = 1e-12

_READ_F1 = types.Array(types.float64, 1, "C", readonly=True)
_READ_I1 = types.Array(types.int64, 1, "C", readonly=True)
_READ_B1 = types.Array(types.boolean, 1, "C", readonly=True)
_F1, _F2, _I1, _I2 = types.float64[::1], types.float64[:, ::1], types.int64[::1], types.int64[:, ::1]


@njit(types.boolean(_READ_F1, types.int64, types.int64), cache=True, nogil=True)
def _is_constant(values, start, end):  # type: ignore[no-untyped-def]
    low, high = values[start], values[start]
    for i in range(start, end + 1):
        low = min(low, values[i])
        high = max(high, values[i])
    return high - low <= ROUNDING * max(abs(low), abs(high))


@njit(types.void(_READ_F1, types.int64, types.int64, types.int64, _F1), cache=True, nogil=True)
def _rescaled_ranges(values, first, end, lag, out):  # type: ignore[no-untyped-def]
    """Fill out[i] with the range of the summed deviations over the population deviation of the `lag` values that end at
    first + i; NaN where nothing moves or where there are fewer. Eight neighbours run abreast, each summed in its own
    order: no sum waits for another.
    """
    totals, largest = np.empty(8), np.empty(8)
    walks, lows, highs, squares = np.empty(8), np.empty(8), np.empty(8), np.empty(8)
    for i in range(min(lag - 1, end - first)):
        out[i] = math.nan
    for t in range(first + lag - 1, end, 8):
        many = min(8, end - t)
        start = t - lag + 1
        totals[:] = 0.0
        largest[:] = 0.0
        walks[:] = 0.0
        lows[:] = 0.0
        highs[:] = 0.0
        squares[:] = 0.0
        if many == 8:
            for i in range(start, start + lag):
                for k in range(8):
                    value = values[i + k]
                    totals[k] += value
                    size = abs(value)
                    largest[k] = size if size > largest[k] else largest[k]
            for k in range(8):
                totals[k] /= lag
            for i in range(start, start + lag):
                for k in range(8):
                    d = values[i + k] - totals[k]
                    squares[k] += d * d
                    walk = walks[k] + d
                    walks[k] = walk
                    lows[k] = walk if walk < lows[k] else lows[k]
                    highs[k] = walk if walk > highs[k] else highs[k]
        else:
            for k in range(many):
                for i in range(start + k, start + k + lag):
                    totals[k] += values[i]
                    largest[k] = max(largest[k], abs(values[i]))
                totals[k] /= lag
                for i in range(start + k, start + k + lag):
                    d = values[i] - totals[k]
                    squares[k] += d * d
                    walks[k] += d
                    lows[k] = min(lows[k], walks[k])
                    highs[k] = max(highs[k], walks[k])
        for k in range(many):
            deviation = math.sqrt(squares[k] / lag)
            moves = deviation > ROUNDING * largest[k]
            out[t + k - first] = (highs[k] - lows[k]) / deviation if moves else math.nan


@njit(types.float64(_F1, types.int64), cache=True, nogil=True)
def _shortfall(ascending, n):  # type: ignore[no-untyped-def]
    """Weighted mean of the worst n / 20 values: whole ones, and the next by the fraction that is left."""
    whole = n // 20
    total = 0.0
    for i in range(whole):
        total += ascending[i]
    total += (n % 20) / 20.0 * ascending[whole]
    return total / (n / 20.0)


@njit(types.float64(_F1, types.int64), cache=True, nogil=True)
def _gain(ascending, n):  # type: ignore[no-untyped-def]
    """Mean above the 95 % quantile (linear interpolation); the quantile itself where ties leave nothing."""
    place = (n - 1) * 19 // 20
    fraction = ((n - 1) * 19 % 20) / 20.0
    quantile = ascending[place]
    if fraction > 0.0:
        quantile += fraction * (ascending[place + 1] - ascending[place])
    total, count = 0.0, 0
    for i in range(place, n):
        if ascending[i] > quantile:
            total += ascending[i]
            count += 1
    return total / count if count else quantile


@njit(types.void(_READ_F1, _READ_I1, _READ_B1, types.int64, _F2), cache=True, nogil=True)
def moments(values, offsets, wanted, window, out):  # type: ignore[no-untyped-def]
    """Fill `out` (rows, 9): mean, deviation, skew and excess kurtosis of the last `window` rows; mean and skew of the
    short side; the largest absolute value; lag-1 autocorrelation of absolute values, at least 0; count.
    """
    for series in range(offsets.shape[0] - 1):
        first = offsets[series]
        for t in range(first, offsets[series + 1]):
            if not wanted[t]:
                continue
            start = max(first, t - window + 1)
            n = t - start + 1
            total, short_total, size_total, largest = 0.0, 0.0, 0.0, 0.0
            for i in range(start, t + 1):
                total += values[i]
                short_total -= min(values[i], 1.0)
                size_total += abs(values[i])
                largest = max(largest, abs(values[i]))
            mean, short_mean, size_mean = total / n, short_total / n, size_total / n
            m2, m3, m4, s2, s3, a2, a11 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            previous = 0.0
            for i in range(start, t + 1):
                d = values[i] - mean
                m2 += d * d
                m3 += d * d * d
                m4 += d * d * d * d
                s = -min(values[i], 1.0) - short_mean
                s2 += s * s
                s3 += s * s * s
                a = abs(values[i]) - size_mean
                a2 += a * a
                if i > start:
                    a11 += a * previous
                previous = a
            m2, m3, m4, s2, s3 = m2 / n, m3 / n, m4 / n, s2 / n, s3 / n
            floor = (ROUNDING * largest) ** 2
            out[t, 0] = mean
            out[t, 1] = math.sqrt(m2 * n / (n - 1)) if n > 1 else math.nan
            out[t, 2] = m3 / m2**1.5 if m2 > floor else math.nan
            out[t, 3] = m4 / (m2 * m2) - 3.0 if m2 > floor else math.nan
            out[t, 4] = short_mean
            out[t, 5] = s3 / s2**1.5 if s2 > floor else math.nan
            out[t, 6] = largest
            if n < 3:
                out[t, 7] = math.nan
            else:
                out[t, 7] = max(0.0, a11 / a2) if a2 / n > floor else 0.0
            out[t, 8] = n


@njit(types.int64(_F1, types.int64, types.float64), cache=True, nogil=True)
def _first_not_below(ascending, n, value):  # type: ignore[no-untyped-def]
    """Place of the first of n ascending values that is not below `value`; numpy's search takes a second to compile."""
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        if ascending[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@njit(types.void(_READ_F1, _READ_I1, _READ_B1, types.int64, types.int64, _F2), cache=True, nogil=True)
def tails(values, offsets, wanted, window, least, out):  # type: ignore[no-untyped-def]
    """Fill `out` (rows, 4) from the sorted last `window` rows: expected shortfall 95 % and mean above the 95 %
    quantile, each of the long and then of the short side; NaN below `least` rows.
    """
    held = np.empty(window)
    mirrored = np.empty(window)
    for series in range(offsets.shape[0] - 1):
        first = offsets[series]
        size = 0
        for t in range(first, offsets[series + 1]):
            if size == window:
                place = _first_not_below(held, size, values[t - window])
                for i in range(place, size - 1):
                    held[i] = held[i + 1]
                size -= 1
            place = _first_not_below(held, size, values[t])
            for i in range(size, place, -1):
                held[i] = held[i - 1]
            held[place] = values[t]
            size += 1
            if not wanted[t]:
                continue
            if size < least:
                out[t, :] = math.nan
                continue
            for i in range(size):
                mirrored[i] = -min(held[size - 1 - i], 1.0)
            out[t, 0] = _shortfall(held, size)
            out[t, 1] = _shortfall(mirrored, size)
            out[t, 2] = _gain(held, size)
            out[t, 3] = _gain(mirrored, size)


@njit(types.void(_READ_F1, _READ_I1, _READ_B1, types.int64, types.int64, _F1), cache=True, nogil=True)
def efficiency(values, offsets, wanted, window, least, out):  # type: ignore[no-untyped-def]
    """Fill `out` (rows) with |sum| over sum of absolute values of the last `window` rows; NaN below `least` rows."""
    for series in range(offsets.shape[0] - 1):
        first = offsets[series]
        for t in range(first, offsets[series + 1]):
            if not wanted[t]:
                continue
            start = max(first, t - window + 1)
            total, path = 0.0, 0.0
            for i in range(start, t + 1):
                total += values[i]
                path += abs(values[i])
            if t - start + 1 < least:
                out[t] = math.nan
            else:
                out[t] = min(1.0, abs(total) / path) if path > 1e-12 else 0.0


@njit(types.void(_READ_F1, _READ_I1, _READ_B1, types.int64, _F2), cache=True, nogil=True)
def compounded(values, offsets, wanted, window, out):  # type: ignore[no-untyped-def]
    """Fill `out` (rows, 2) with the compounded return of the last `window` rows, long and short."""
    for series in range(offsets.shape[0] - 1):
        first = offsets[series]
        for t in range(first, offsets[series + 1]):
            if not wanted[t]:
                continue
            growth, short_growth = 1.0, 1.0
            for i in range(max(first, t - window + 1), t + 1):
                growth *= 1.0 + values[i]
                short_growth *= 1.0 - min(values[i], 1.0)
            out[t, 0] = growth - 1.0
            out[t, 1] = short_growth - 1.0


@njit(types.void(_READ_F1, _READ_I1, types.int64, types.int64, _F1), cache=True, nogil=True)
def permutation_entropy(values, offsets, window, least, out):  # type: ignore[no-untyped-def]
    """Fill `out` (rows) with the entropy of the order-3 patterns of the last `window` rows over ln 6; of two equal
    values the earlier counts as the smaller. NaN below `least` rows. The sum runs over ascending counts: which pattern
    came how often changes no bit, so a series and its mirror rank as equals.
    """
    codes = np.zeros(values.shape[0], dtype=np.int64)
    counts = np.zeros(8, dtype=np.int64)
    for series in range(offsets.shape[0] - 1):
        first = offsets[series]
        counts[:] = 0
        pattern_count = 0
        for t in range(first + 2, offsets[series + 1]):
            a, b, c = values[t - 2], values[t - 1], values[t]
            codes[t] = 4 * (a <= b) + 2 * (b <= c) + (a <= c)
            counts[codes[t]] += 1
            pattern_count += 1
            if pattern_count > window - 2:
                counts[codes[t - window + 2]] -= 1
                pattern_count -= 1
            if pattern_count + 2 >= least:
                total = 0.0
                for count in np.sort(counts):
                    if count:
                        share = count / pattern_count
                        total -= share * math.log(share)
                out[t] = max(0.0, total / math.log(6.0))
            else:
                out[t] = math.nan
        for t in range(first, min(first + 2, offsets[series + 1])):
            out[t] = math.nan


@njit(types.void(_READ_F1, _READ_I1, _READ_B1, types.int64, types.int64, _F1), cache=True, nogil=True)
def ljung_box_statistic(values, offsets, wanted, window, least, out):  # type: ignore[no-untyped-def]
    """Fill `out` (rows) with n (n + 2) * the sum over five lags of squared autocorrelation over n - lag, of the last
    `window` rows; NaN below `least` rows, which are more than five, or where nothing moves.
    """
    centred = np.empty(window)
    for series in range(offsets.shape[0] - 1):
        first = offsets[series]
        for t in range(first, offsets[series + 1]):
            start = max(first, t - window + 1)
            n = t - start + 1
            out[t] = math.nan
            if n < least or not wanted[t]:
                continue
            total, largest = 0.0, 0.0
            for i in range(n):
                total += values[start + i]
                largest = max(largest, abs(values[start + i]))
            squares = 0.0
            for i in range(n):
                centred[i] = values[start + i] - total / n
                squares += centred[i] * centred[i]
            if squares / n <= (ROUNDING * largest) ** 2:
                continue
            # five sums that do not wait for each other, each in the order of time
            one, two, three, four, five = 0.0, 0.0, 0.0, 0.0, 0.0
            a, b, c, d, e = 0.0, 0.0, 0.0, 0.0, 0.0
            for i in range(n):
                value = centred[i]
                one += value * a
                two += value * b
                three += value * c
                four += value * d
                five += value * e
                a, b, c, d, e = value, a, b, c, d
            statistic = (one / squares) ** 2 / (n - 1)
            statistic += (two / squares) ** 2 / (n - 2)
            statistic += (three / squares) ** 2 / (n - 3)
            statistic += (four / squares) ** 2 / (n - 4)
            statistic += (five / squares) ** 2 / (n - 5)
            out[t] = n * (n + 2.0) * statistic


@njit(types.void(_READ_F1, _READ_I1, types.int64, types.int64, _READ_I1, _READ_F1, _F1), cache=True, nogil=True)
def hurst(values, offsets, window, least, lags, expected, out):  # type: ignore[no-untyped-def]
    """Fill `out` (rows) with 0.5 + the slope of ln(R/S) - ln(expected R/S) on ln(lag) over the last `window` rows.

    The R/S of a block depends on where it ends alone, so each is computed once; blocks are counted from the newest row.
    """
    longest = 0
    for series in range(offsets.shape[0] - 1):
        longest = max(longest, offsets[series + 1] - offsets[series])
    ratios = np.empty((lags.shape[0], longest))
    for series in range(offsets.shape[0] - 1):
        first = offsets[series]
        for place in range(lags.shape[0]):
            lag = lags[place]
            if 2 * lag > window:
                break
            _rescaled_ranges(values, first, offsets[series + 1], lag, ratios[place])
        for t in range(first, offsets[series + 1]):
            start = max(first, t - window + 1)
            n = t - start + 1
            if n < least:
                out[t] = math.nan
                continue
            used, sum_x, sum_y, sum_xx, sum_xy = 0, 0.0, 0.0, 0.0, 0.0
            for place in range(lags.shape[0]):
                lag = lags[place]
                if 2 * lag > n:
                    break
                total, blocks = 0.0, 0
                for block in range(n // lag):
                    ratio = ratios[place, t - first - block * lag]
                    if not math.isnan(ratio):
                        total += ratio
                        blocks += 1
                if blocks:
                    x = math.log(lag)
                    y = math.log(total / blocks) - math.log(expected[place])
                    used += 1
                    sum_x += x
                    sum_y += y
                    sum_xx += x * x
                    sum_xy += x * y
            if used >= 2:
                slope = (used * sum_xy - sum_x * sum_y) / (used * sum_xx - sum_x * sum_x)
                out[t] = min(1.0, max(0.0, 0.5 + slope))
            else:
                out[t] = 0.5 if _is_constant(values, start, t) else math.nan


@njit(types.void(_READ_F1, _READ_F1, _READ_F1, _READ_I1, types.int64, _F1), cache=True, nogil=True)
def average_directional_index(high, low, close, offsets, length, out):  # type: ignore[no-untyped-def]
    """Fill `out` (rows) with Wilder's ADX; a bar without high or low ends a run, and the next one starts anew.

    Smoothing starts from the mean of the first `length` values; a flat range leaves the ADX as it was.
    """
    for series in range(offsets.shape[0] - 1):
        true_range, up, down, index = 0.0, 0.0, 0.0, 0.0
        moves, strengths = 0, 0
        for t in range(offsets[series], offsets[series + 1]):
            out[t] = math.nan
            if math.isnan(high[t]) or math.isnan(low[t]):
                moves, strengths = 0, 0
                true_range, up, down, index = 0.0, 0.0, 0.0, 0.0
                continue
            if t == offsets[series] or math.isnan(high[t - 1]) or math.isnan(low[t - 1]):
                continue
            reach = max(high[t], close[t - 1]) - min(low[t], close[t - 1])
            rise, fall = high[t] - high[t - 1], low[t - 1] - low[t]
            plus = rise if rise > fall and rise > 0.0 else 0.0
            minus = fall if fall > rise and fall > 0.0 else 0.0
            moves += 1
            if moves <= length:
                true_range += reach / length
                up += plus / length
                down += minus / length
            else:
                true_range += (reach - true_range) / length
                up += (plus - up) / length
                down += (minus - down) / length
            if moves < length:
                continue
            if true_range > 0.0 and up + down > 0.0:
                strength = 100.0 * abs(up - down) / (up + down)
                strengths += 1
                if strengths <= length:
                    index += strength / length
                else:
                    index += (strength - index) / length
            if strengths >= length:
                out[t] = index


@njit(types.void(_READ_F1, _READ_F1, _READ_F1, _READ_I1, types.int64, types.int64, _F1), cache=True, nogil=True)
def high_low_spread(high, low, close, offsets, window, least, out):  # type: ignore[no-untyped-def]
    """Fill `out` (rows) with the mean Corwin-Schultz spread of the pairs that end in the last `window` bars."""
    spreads = np.full(high.shape[0], math.nan)
    root = 3.0 - 2.0 * math.sqrt(2.0)
    for series in range(offsets.shape[0] - 1):
        first = offsets[series]
        for t in range(first, offsets[series + 1]):
            out[t] = math.nan
            # a comparison with NaN is false
            if t > first and high[t - 1] >= low[t - 1] > 0.0 and high[t] >= low[t] > 0.0:
                shift = max(0.0, low[t] - close[t - 1]) - max(0.0, close[t - 1] - high[t])
                top, bottom = high[t] - shift, low[t] - shift
                beta = math.log(high[t - 1] / low[t - 1]) ** 2 + math.log(top / bottom) ** 2
                gamma = math.log(max(high[t - 1], top) / min(low[t - 1], bottom)) ** 2
                alpha = (math.sqrt(2.0 * beta) - math.sqrt(beta)) / root - math.sqrt(gamma / root)
                spreads[t] = max(0.0, 2.0 * (math.exp(alpha) - 1.0) / (1.0 + math.exp(alpha)))
            total, count = 0.0, 0
            for i in range(max(first, t - window + 1), t + 1):
                if not math.isnan(spreads[i]):
                    total += spreads[i]
                    count += 1
            if count >= least:
                out[t] = total / count


@njit(types.void(_READ_F1, _READ_F1, _READ_I1, types.int64, types.float64, _F1, _I1), cache=True, nogil=True)
def capped_means(values, liquidity, offsets, least, cap, out, basis):  # type: ignore[no-untyped-def]
    """Fill `out` (groups) with the mean of each group, weighted by liquidity up to max(cap, 1 / n) each.

    `basis` is 0 below `least` values, 1 for equal weights (fewer than `least` values with liquidity), 2 for weights by
    liquidity, of which a value without liquidity gets none.
    """
    weights = np.empty(values.shape[0])
    for group in range(offsets.shape[0] - 1):
        start, end = offsets[group], offsets[group + 1]
        liquid = 0
        for i in range(start, end):
            if liquidity[i] > 0.0:
                liquid += 1
        if end - start < least:
            basis[group] = 0
            out[group] = math.nan
            continue
        basis[group] = 2 if liquid >= least else 1
        members = liquid if liquid >= least else end - start
        limit = max(cap, 1.0 / members)
        # the excess over the limit goes to the others in proportion, until nobody is above it
        free, left = 0.0, 1.0
        for i in range(start, end):
            weights[i] = 1.0 if basis[group] == 1 else (liquidity[i] if liquidity[i] > 0.0 else 0.0)
            free += weights[i]
        is_capped = np.zeros(end - start, dtype=np.bool_)
        is_done = False
        while not is_done:
            is_done = True
            newly, freed = 0, 0.0
            for i in range(start, end):
                if not is_capped[i - start] and weights[i] / free * left > limit * (1.0 + ROUNDING):
                    is_capped[i - start] = True
                    newly += 1
                    freed += weights[i]
            if newly:
                is_done = False
                left -= newly * limit
                free -= freed
                if free <= 0.0 or left <= 0.0:
                    is_done = True
        total, mean = 0.0, 0.0
        for i in range(start, end):
            share = limit
            if not is_capped[i - start]:
                share = weights[i] / free * left if free > 0.0 and left > 0.0 else 0.0
            total += share
            mean += share * values[i]
        out[group] = mean / total


@njit(types.void(_READ_F1, _READ_I1, types.int64, _F1), cache=True, nogil=True)
def haar_turbulence(values, offsets, window, out):  # type: ignore[no-untyped-def]
    """Fill `out` (rows) with the share of the energy of the last `window` rows in the details of three Haar steps.

    Fewer rows are cut to a multiple of eight, the oldest left out; 0.5 without eight rows or without energy.
    """
    work = np.empty(window)
    root = math.sqrt(2.0)
    for series in range(offsets.shape[0] - 1):
        first = offsets[series]
        for t in range(first, offsets[series + 1]):
            n = min(window, t - first + 1) // 8 * 8
            detail, energy = 0.0, 0.0
            for i in range(n):
                work[i] = values[t - n + 1 + i]
            length = n
            for _ in range(3):
                length //= 2
                for i in range(length):
                    difference = (work[2 * i] - work[2 * i + 1]) / root
                    work[i] = (work[2 * i] + work[2 * i + 1]) / root
                    detail += difference * difference
            for i in range(length):
                energy += work[i] * work[i]
            out[t] = detail / (detail + energy) if detail + energy > 0.0 else 0.5


@njit(types.void(_READ_F1, _READ_I1, types.int64, types.int64, _F1), cache=True, nogil=True)
def variance_ratio(values, offsets, window, length, out):  # type: ignore[no-untyped-def]
    """Fill `out` (rows) with the unbiased overlapping variance ratio of `length` rows to one, over the last `window`
    rows; NaN below 2 * `length` rows or where nothing moves.
    """
    for series in range(offsets.shape[0] - 1):
        first = offsets[series]
        for t in range(first, offsets[series + 1]):
            start = max(first, t - window + 1)
            n = t - start + 1
            out[t] = math.nan
            if n < 2 * length:
                continue
            total, largest = 0.0, 0.0
            for i in range(start, t + 1):
                total += values[i]
                largest = max(largest, abs(values[i]))
            mean = total / n
            single, summed = 0.0, 0.0
            for i in range(start, t + 1):
                single += (values[i] - mean) ** 2
                if i - start + 1 >= length:
                    block = 0.0
                    for j in range(i - length + 1, i + 1):
                        block += values[j] - mean
                    summed += block * block
            single /= n - 1
            summed /= length * (n - length + 1) * (1.0 - length / n)
            if single > (ROUNDING * largest) ** 2:
                out[t] = summed / single


@njit(types.void(_READ_F1, _READ_I1, types.int64, _READ_F1, _F2), cache=True, nogil=True)
def expanding_quantiles(values, offsets, least, shares, out):  # type: ignore[no-untyped-def]
    """Fill `out` (rows, shares) with quantiles (linear interpolation) of the values of a series up to the row.

    NaN is no value; NaN before `least` values stand.
    """
    for series in range(offsets.shape[0] - 1):
        first, end = offsets[series], offsets[series + 1]
        ascending = np.empty(end - first)
        n = 0
        for t in range(first, end):
            if not math.isnan(values[t]):
                place = _first_not_below(ascending, n, values[t])
                for i in range(n, place, -1):
                    ascending[i] = ascending[i - 1]
                ascending[place] = values[t]
                n += 1
            for k in range(shares.shape[0]):
                out[t, k] = math.nan
                if n >= least:
                    position = (n - 1) * shares[k]
                    below = int(position)
                    above = min(below + 1, n - 1)
                    out[t, k] = ascending[below] + (position - below) * (ascending[above] - ascending[below])


@njit(types.void(_READ_F1, _READ_I1, types.int64, types.int64, _F1), cache=True, nogil=True)
def trailing_median(values, offsets, window, lag, out):  # type: ignore[no-untyped-def]
    """Fill `out` (rows) with the median of the `window` rows that end `lag` rows before each; NaN among them is left
    out, and where nothing is left the median is NaN.
    """
    held = np.empty(window)
    for series in range(offsets.shape[0] - 1):
        first = offsets[series]
        size = 0
        for t in range(first, offsets[series + 1]):
            leaving, coming = t - lag - window, t - lag
            if leaving >= first and not math.isnan(values[leaving]):
                place = _first_not_below(held, size, values[leaving])
                for i in range(place, size - 1):
                    held[i] = held[i + 1]
                size -= 1
            if coming >= first and not math.isnan(values[coming]):
                place = _first_not_below(held, size, values[coming])
                for i in range(size, place, -1):
                    held[i] = held[i - 1]
                held[place] = values[coming]
                size += 1
            if size == 0:
                out[t] = math.nan
            elif size % 2:
                out[t] = held[size // 2]
            else:
                out[t] = 0.5 * held[size // 2 - 1] + 0.5 * held[size // 2]


@njit(types.void(_READ_F1, _READ_I1, types.int64, _F2), cache=True, nogil=True)
def earlier_moments(values, offsets, window, out):  # type: ignore[no-untyped-def]
    """Fill `out` (rows, 3) with count, mean and deviation (n - 1) of the values, NaN left out, of the `window` rows
    before each; a mean of none and a deviation of fewer than two are NaN.
    """
    for series in range(offsets.shape[0] - 1):
        first = offsets[series]
        for t in range(first, offsets[series + 1]):
            total, count = 0.0, 0
            for i in range(max(first, t - window), t):
                if not math.isnan(values[i]):
                    total += values[i]
                    count += 1
            out[t, 0] = count
            out[t, 1], out[t, 2] = math.nan, math.nan
            if count:
                mean, squares = total / count, 0.0
                for i in range(max(first, t - window), t):
                    if not math.isnan(values[i]):
                        squares += (values[i] - mean) ** 2
                out[t, 1] = mean
                if count > 1:
                    out[t, 2] = math.sqrt(squares / (count - 1))


@njit(types.void(_READ_F1, _READ_I1, _I1), cache=True, nogil=True)
def equal_runs(values, offsets, out):  # type: ignore[no-untyped-def]
    """Fill `out` (rows) with the number of rows in a row, this one among them, whose value is the same."""
    for series in range(offsets.shape[0] - 1):
        for t in range(offsets[series], offsets[series + 1]):
            is_same = t > offsets[series] and values[t] == values[t - 1]
            out[t] = out[t - 1] + 1 if is_same else 1


@njit(types.void(_READ_F1, _READ_B1, _READ_I1, types.int64, _I2), cache=True, nogil=True)
def session_counts(closes, is_suspect, offsets, window, out):  # type: ignore[no-untyped-def]
    """Fill `out` (rows, 6) for series of consecutive sessions; a NaN close is a missing session.

    Columns: sessions since the last close; and of the last `window` rows: how many, how many missing, how many missing
    as second or later in a row, how many suspect, and the longest run of closes that did not move. A missing session
    does not end such a run.
    """
    runs = np.empty(window + 1, dtype=np.int64)
    places = np.empty(window + 1, dtype=np.int64)
    for series in range(offsets.shape[0] - 1):
        first = offsets[series]
        behind, missing, repeated, suspect, unmoved = 0, 0, 0, 0, 0
        previous = math.nan
        # the largest of the window stands at `head`, what could follow it behind it (a monotonic queue)
        head, tail = 0, 0
        for t in range(first, offsets[series + 1]):
            if math.isnan(closes[t]):
                behind += 1
            else:
                behind = 0
                unmoved = unmoved + 1 if closes[t] == previous else 0
                previous = closes[t]
            out[t, 0] = behind
            missing += behind > 0
            repeated += behind > 1
            suspect += is_suspect[t]
            old = t - window
            if old >= first:
                missing -= out[old, 0] > 0
                repeated -= out[old, 0] > 1
                suspect -= is_suspect[old]
            while tail > head and runs[(tail - 1) % (window + 1)] <= unmoved:
                tail -= 1
            runs[tail % (window + 1)] = unmoved
            places[tail % (window + 1)] = t
            tail += 1
            if places[head % (window + 1)] <= old:
                head += 1
            out[t, 1] = min(window, t - first + 1)
            out[t, 2] = missing
            out[t, 3] = repeated
            out[t, 4] = suspect
            out[t, 5] = runs[head % (window + 1)]
