"""Random numbers by address: the same place always has the same number, whatever else was asked for before.

A draw is a hash of (key, index), so a market of three symbols and one of four hundred agree on those three, and a
longer market agrees with a shorter one.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def key(seed: int, *names: str) -> int:
    """Return a 64-bit key for a seed and names."""
    text = "\0".join(names).encode()
    return (zlib.crc32(text) << 32 | zlib.crc32(text[::-1] + b"+")) ^ (seed * 0x9E3779B97F4A7C15 & (2**64 - 1))


def bits(keys: NDArray[np.uint64], index: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return 64 random bits per (index, key); the two arrays broadcast against each other (splitmix64)."""
    with np.errstate(over="ignore"):
        x = keys + (index.astype(np.uint64) + np.uint64(1)) * _GOLDEN
        x = (x ^ (x >> np.uint64(30))) * _FIRST
        x = (x ^ (x >> np.uint64(27))) * _SECOND
        return x ^ (x >> np.uint64(31))


def uniform(keys: NDArray[np.uint64], index: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return uniform draws on [0, 1)."""
    return (bits(keys, index) >> np.uint64(11)) * (1.0 / (1 << 53))


def bell(keys: NDArray[np.uint64], index: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return draws of mean 0 and variance 1, bounded by ±3.47: the sum of four uniform ones."""
    x = bits(keys, index)
    low = np.uint64(0xFFFF)
    total = (x & low).astype(np.float64)
    for shift in (16, 32, 48):
        total += (x >> np.uint64(shift)) & low
    return (total / 65536.0 - 2.0) * np.sqrt(3.0)


def generator(seed: int, *names: str) -> np.random.Generator:
    """Return a generator of its own for a named path."""
    return np.random.default_rng(key(seed, *names))
