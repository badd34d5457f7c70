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


def register(connection: duckdb.DuckDBPyConnection) -> None:
    """Register every function of this module on `connection`."""
    from duckdb.func import PythonUDFType

    connection.create_function("normal_cdf", normal_cdf, ["DOUBLE"], "DOUBLE", type=PythonUDFType.ARROW)
