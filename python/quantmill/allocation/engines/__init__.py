"""The engines of the allocation: each solves profiles on the same moments and the same feasible set.

To add one, write a module with an `ENGINE` and name it here and in `manifest.settings.MatrixSettings`.
"""

from __future__ import annotations

import importlib

from quantmill.allocation.engines import custom, skfolio
from quantmill.allocation.engines.contract import Engine
from quantmill.errors import BadValue

ENGINES: dict[str, Engine] = {module.ENGINE.name: module.ENGINE for module in (custom, skfolio)}


def find_engine(name: str) -> Engine:
    """Return the engine of that name. Raises `BadValue` for an unknown one."""
    if name not in ENGINES:
        raise BadValue(
            f"there is no engine {name!r}; there are {', '.join(ENGINES)}",
            remedy="choose one of them in matrix.engines",
            engine=name,
        )
    return ENGINES[name]


def absence(engine: Engine) -> str:
    """Return why the engine cannot be used on this machine, empty where it can. Imports its library."""
    if not engine.package:
        return ""
    try:
        importlib.import_module(engine.package)
    except Exception as error:  # a library that fails to import is absent, whatever it raised
        return f"ENGINE_UNAVAILABLE: {engine.package} cannot be imported: {type(error).__name__}: {error}"
    return ""
