"""A hidden Markov model of two states per row, compiled once. Import it only inside a function.

As in `_kernels`: series stand one after the other in one flat array, and row t reads rows up to t of its own series.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange, types

_READ_F1 = types.Array(types.float64, 1, "C", readonly=True)
_READ_I1 = types.Array(types.int64, 1, "C", readonly=True)
_F1 = types.float64[::1]

# What begins the fit: how surely a state stays, and the least share of the variance that one state keeps.
STAYS = 0.9
LEAST_VARIANCE = 0.01
LEAST_DENSITY = 1e-300
# What lies below this share of the largest move is rounding, not movement.
ROUNDING = 1e-12


@njit(cache=True, nogil=True)
def _quantile(ascending, share):  # type: ignore[no-untyped-def]
    """Quantile of sorted values, linear between two of them."""
    place = (len(ascending) - 1) * share
    below = int(place)
    above = min(below + 1, len(ascending) - 1)
    return ascending[below] + (place - below) * (ascending[above] - ascending[below])


@njit(cache=True, nogil=True)
def _forward(z, mean, variance, start, stay, density, forward, scale):  # type: ignore[no-untyped-def]
    """Fill densities, scaled forward probabilities and scales of every row; return the log-likelihood."""
    likelihood = 0.0
    factor_0, factor_1 = 1.0 / math.sqrt(2 * math.pi * variance[0]), 1.0 / math.sqrt(2 * math.pi * variance[1])
    for i in range(len(z)):
        density[i, 0] = factor_0 * math.exp(-0.5 * (z[i] - mean[0]) ** 2 / variance[0]) + LEAST_DENSITY
        density[i, 1] = factor_1 * math.exp(-0.5 * (z[i] - mean[1]) ** 2 / variance[1]) + LEAST_DENSITY
        low, high = start[0], start[1]
        if i > 0:
            low = forward[i - 1, 0] * stay[0] + forward[i - 1, 1] * (1.0 - stay[1])
            high = forward[i - 1, 0] * (1.0 - stay[0]) + forward[i - 1, 1] * stay[1]
        low *= density[i, 0]
        high *= density[i, 1]
        scale[i] = low + high
        forward[i, 0], forward[i, 1] = low / scale[i], high / scale[i]
        likelihood += math.log(scale[i])
    return likelihood


@njit(cache=True, nogil=True)
def _fit(z, iterations, tolerance):  # type: ignore[no-untyped-def]
    """Return the filtered probability of the state with the larger mean at the last row, and both means, low first.

    Expectation maximisation from means at the quartiles; NaN where a state holds less than one row.
    """
    n = len(z)
    ascending = np.sort(z)
    mean = np.array([_quantile(ascending, 0.25), _quantile(ascending, 0.75)])
    variance, start, stay = np.ones(2), np.full(2, 0.5), np.full(2, STAYS)
    density, forward, scale = np.empty((n, 2)), np.empty((n, 2)), np.empty(n)
    previous = -math.inf
    for _ in range(iterations):
        likelihood = _forward(z, mean, variance, start, stay, density, forward, scale)
        if abs(likelihood - previous) < tolerance * n:
            break
        previous = likelihood
        weight, stayed = np.zeros(2), np.zeros(2)
        first, second = np.zeros(2), np.zeros(2)
        last = np.zeros(2)
        back_low, back_high = 1.0, 1.0
        for i in range(n - 1, -1, -1):
            share = forward[i, 0] * back_low / (forward[i, 0] * back_low + forward[i, 1] * back_high)
            for k in range(2):
                held = share if k == 0 else 1.0 - share
                weight[k] += held
                first[k] += held * z[i]
                second[k] += held * z[i] * z[i]
                if i == n - 1:
                    last[k] = held
                if i == 0:
                    start[k] = held
            if i > 0:
                ahead_low = density[i, 0] * back_low / scale[i]
                ahead_high = density[i, 1] * back_high / scale[i]
                stayed[0] += forward[i - 1, 0] * stay[0] * ahead_low
                stayed[1] += forward[i - 1, 1] * stay[1] * ahead_high
                back_low = stay[0] * ahead_low + (1.0 - stay[0]) * ahead_high
                back_high = (1.0 - stay[1]) * ahead_low + stay[1] * ahead_high
        if min(weight[0], weight[1]) < 1.0:
            return math.nan, math.nan, math.nan
        for k in range(2):
            mean[k] = first[k] / weight[k]
            variance[k] = max(second[k] / weight[k] - mean[k] ** 2, LEAST_VARIANCE)
            left = weight[k] - last[k]
            stay[k] = min(max(stayed[k] / left, 0.0), 1.0) if left > 0.0 else STAYS
    _forward(z, mean, variance, start, stay, density, forward, scale)
    high = 0 if mean[0] > mean[1] else 1
    return forward[n - 1, high], mean[1 - high], mean[high]


@njit(
    types.void(_READ_F1, _READ_I1, types.int64, types.int64, types.int64, types.float64, _F1, _F1),
    cache=True,
    nogil=True,
    parallel=True,
)
def high_volatility(values, firsts, window, least, iterations, tolerance, probability, ratio):  # type: ignore[no-untyped-def]
    """Fill the filtered probability of the state of large moves, and how much larger its moves are on average.

    `firsts` (rows) says where the series of each row begins. Fitted to the size of the last `window` rows, in units of
    its deviation from its mean; NaN below `least` rows, where nothing moves, or where the fit fails.
    """
    for t in prange(len(values)):
        probability[t], ratio[t] = math.nan, math.nan
        begin = max(firsts[t], t - window + 1)
        n = t - begin + 1
        if n < least:
            continue
        z = np.empty(n)
        total, largest = 0.0, 0.0
        for i in range(n):
            z[i] = abs(values[begin + i])
            total += z[i]
            largest = max(largest, z[i])
        average = total / n
        squares = 0.0
        for i in range(n):
            squares += (z[i] - average) ** 2
        deviation = math.sqrt(squares / n)
        if deviation <= ROUNDING * largest:
            continue
        for i in range(n):
            z[i] = (z[i] - average) / deviation
        found, low, high = _fit(z, iterations, tolerance)
        probability[t] = found
        ratio[t] = (average + deviation * high) / (average + deviation * low)
