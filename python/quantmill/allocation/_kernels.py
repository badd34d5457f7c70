"""Small loops over one window, compiled once. Import them only inside a function: numba takes most of a second."""

from __future__ import annotations

import numpy as np
from numba import njit, types

# One signature for every caller; all inputs may be read-only.
_READ_F1 = types.Array(types.float64, 1, "C", readonly=True)
_READ_F2 = types.Array(types.float64, 2, "C", readonly=True)


@njit(types.int64[::1](_READ_F1, types.int64, types.float64, types.int64), cache=True, nogil=True)
def ward_labels(condensed, count, cut, max_clusters):  # type: ignore[no-untyped-def]
    """Cluster `count` units by Ward linkage along nearest-neighbour chains, as scipy does, and cut flat.

    Mullner 2011, "Modern hierarchical, agglomerative clustering algorithms"; the distances to a merged pair
    follow Lance and Williams. Labels count from 0 by the smallest position of their members.
    """
    distance = np.empty((count, count))
    place = 0
    for i in range(count):
        for j in range(i + 1, count):
            distance[i, j] = distance[j, i] = condensed[place]
            place += 1

    size = np.ones(count)
    left, right = np.empty(count - 1, dtype=np.int64), np.empty(count - 1, dtype=np.int64)
    height = np.empty(count - 1)
    chain = np.empty(count, dtype=np.int64)
    length = 0
    for merge in range(count - 1):
        if length == 0:
            length = 1
            chain[0] = 0
            while size[chain[0]] == 0:
                chain[0] += 1
        while True:
            tip = chain[length - 1]
            near, nearest = -1, np.inf
            # On a tie the chain turns back, or it could go round for ever.
            if length > 1:
                near = chain[length - 2]
                nearest = distance[tip, near]
            for i in range(count):
                if size[i] > 0 and i != tip and distance[tip, i] < nearest:
                    near, nearest = i, distance[tip, i]
            if length > 1 and near == chain[length - 2]:
                break
            chain[length] = near
            length += 1
        length -= 2
        # The merged pair lives on in the place of its later member.
        gone, stays = min(tip, near), max(tip, near)
        left[merge], right[merge], height[merge] = gone, stays, nearest
        members, size[gone] = size[gone], 0.0
        for i in range(count):
            if size[i] > 0 and i != stays:
                share = 1.0 / (members + size[stays] + size[i])
                distance[i, stays] = distance[stays, i] = np.sqrt(
                    (size[i] + members) * share * distance[i, gone] * distance[i, gone]
                    + (size[i] + size[stays]) * share * distance[i, stays] * distance[i, stays]
                    - size[i] * share * nearest * nearest
                )
        size[stays] += members

    # Chains find merges out of order, and Ward heights never fall, so a flat cut keeps the lowest merges.
    # Sorted by hand: numpy's own sort takes longer to compile than all the rest of this file.
    order = np.empty(count - 1, dtype=np.int64)
    for merge in range(count - 1):
        step = merge
        while step > 0 and height[order[step - 1]] > height[merge]:
            order[step] = order[step - 1]
            step -= 1
        order[step] = merge
    group = np.arange(count)
    for step in range(count - 1):
        merge = order[step]
        if height[merge] > cut and step >= count - max_clusters:
            break
        first, second = group[left[merge]], group[right[merge]]
        for i in range(count):
            if group[i] == max(first, second):
                group[i] = min(first, second)
    labels = np.empty(count, dtype=np.int64)
    found = 0
    for i in range(count):
        if group[i] == i:
            labels[i] = found
            found += 1
        else:
            labels[i] = labels[group[i]]
    return labels


@njit(
    types.float64(_READ_F2, _READ_F1, _READ_F2, _READ_F1, _READ_F1, _READ_F1, _READ_F1),
    cache=True,
    nogil=True,
)
def optimality_gap(hessian, gradient, matrix, point, multipliers, lower, upper):  # type: ignore[no-untyped-def]
    """Largest scaled violation of the conditions of Karush, Kuhn and Tucker; NaN if anything in them is.

    The program is min x'Hx/2 + f'x with lower <= (x, matrix x) <= upper; multipliers are positive at upper
    bounds.
    """
    units = len(point)
    stationarity, steepest, complement, outside = 0.0, 0.0, 0.0, 0.0
    # max() may lose a NaN; a sum of everything that is compared cannot.
    everything = 0.0
    for i in range(units):
        slope = gradient[i]
        for j in range(units):
            slope += hessian[i, j] * point[j]
        pull = slope + multipliers[i]
        for row in range(len(matrix)):
            pull += multipliers[units + row] * matrix[row, i]
        steepest, stationarity = max(steepest, abs(slope)), max(stationarity, abs(pull))
        everything += pull
    for place in range(units + len(matrix)):
        value = 0.0
        if place < units:
            value = point[place]
        else:
            for j in range(units):
                value += matrix[place - units, j] * point[j]
        above, below = upper[place] - value, value - lower[place]
        # The product of a zero multiplier and an unbounded side is zero, as it should be.
        slack = max(multipliers[place], 0.0) * above - min(multipliers[place], 0.0) * below
        complement, outside = max(complement, abs(slack)), max(outside, -above, -below)
        everything += slack + above + below
    scale = 1.0 + steepest
    if np.isnan(everything):
        return np.nan
    return max(stationarity / scale, complement / scale, outside)
