"""Functions that SQL lacks, registered on a DuckDB connection under their own names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb


def normal_cdf(scores: Any) -> Any:
    """Return the standard normal distribution function of an Arrow array of doubles; NULL for NULL.

    The types stand here in words: DuckDB evaluates annotations when a function is registered.
    """
    import numpy as np
    import pyarrow as pa
    from scipy.special import ndtr

    values = np.asarray(scores.to_numpy(zero_copy_only=False), dtype=np.float64)
    return pa.array(ndtr(values), pa.float64(), mask=np.isnan(values))


def permutation_entropy(series: Any) -> Any:
    """Return the order-3 permutation entropy of each list of an Arrow array over ln 6, in [0, 1]; NULL below 32 values.

    NULLs within a list are left out. As in `features.factor_history`, of equal values the earlier counts as smaller.
    """
    from quantmill.features.factors import permutation_entropies

    return _of_whole_lists(
        series, lambda values, offsets, longest: permutation_entropies(values, offsets, window=longest)
    )


def hurst_exponent(series: Any) -> Any:
    """Return the corrected Hurst exponent by rescaled range of each list of an Arrow array, in [0, 1].

    NULL below 32 values; 0.5 where nothing moves. NULLs within a list are left out.
    """
    from quantmill.features.factors import hurst_exponents

    return _of_whole_lists(series, lambda values, offsets, longest: hurst_exponents(values, offsets, window=longest))


def haar_energy(series: Any) -> Any:
    """Return the share of the energy of each list of an Arrow array in the details of three Haar steps, in [0, 1].

    Read is the longest end of the list whose length is a multiple of eight; 0.5 below eight values or where all are
    zero. NULLs within a list are left out.
    """
    from quantmill.features.regimes import haar_shares

    return _of_whole_lists(series, lambda values, offsets, longest: haar_shares(values, offsets, window=longest))


def _of_whole_lists(series: Any, measure: Any) -> Any:
    """Return what `measure` says of each list as a whole: its value at the last element; NULL for NULL and for none."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    series = series.combine_chunks() if isinstance(series, pa.ChunkedArray) else series
    flat = pc.list_flatten(series)
    places = pc.list_parent_indices(series)
    is_value = flat.is_valid()
    values = np.asarray(flat.filter(is_value).to_numpy(zero_copy_only=False), dtype=np.float64)
    counts = np.bincount(places.filter(is_value).to_numpy().astype(np.int64), minlength=len(series))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    found = np.full(len(series), np.nan)
    if len(values):
        found[counts > 0] = measure(values, offsets, max(8, int(counts.max())))[offsets[1:][counts > 0] - 1]
    return pa.array(found, pa.float64(), mask=np.isnan(found))


def register(connection: duckdb.DuckDBPyConnection) -> None:
    """Register every function of this module on `connection`."""
    from duckdb.func import FunctionNullHandling, PythonUDFType

    connection.create_function("normal_cdf", normal_cdf, ["DOUBLE"], "DOUBLE", type=PythonUDFType.ARROW)
    for function in (permutation_entropy, hurst_exponent, haar_energy):
        connection.create_function(
            function.__name__,
            function,
            ["DOUBLE[]"],
            "DOUBLE",
            type=PythonUDFType.ARROW,
            null_handling=FunctionNullHandling.SPECIAL,
        )
