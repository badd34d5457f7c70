"""Turning a validation error of a manifest record into one that names file, key, what was found and what is valid."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from quantmill.errors import BadValue, UnknownKey, UsageError


def explain(
    error: ValidationError, model: type[BaseModel], place_of: Callable[[list[str]], str], *, prefix: str = ""
) -> UsageError:
    """Return the first problem of `error`, an unknown key before others, as an error for people.

    `model` is the record that was validated, `place_of` gives the file (or layer) that a location came from, and
    `prefix` stands before the key, such as the name of the block that was validated.
    """
    problems = error.errors()
    # a misspelt key is also a missing one, and its name says more
    problem = next((one for one in problems if one["type"] == "extra_forbidden"), problems[0])
    location = [str(part) for part in problem["loc"]]
    key = prefix + ".".join(location)
    place = place_of(location)
    if problem["type"] == "extra_forbidden":
        valid = siblings(location[:-1], model)
        hint = nearest(location[-1], valid, prefix + "".join(f"{part}." for part in location[:-1]))
        return UnknownKey(f"{place}: unknown key '{key}'", remedy=hint, key=key, file=place)
    if problem["type"] == "missing":
        return BadValue(f"{place}: '{key}' is not set and has no default", remedy=f"set {key}", key=key, file=place)
    if problem["type"] == "literal_error":
        return _unknown_word(problem, location, place, prefix)
    message = problem["msg"].removeprefix("Value error, ")
    # a check across the fields of a mapping has all of them as its input, and names in its message those that it means
    found = problem["input"]
    where = "" if not key else f"'{key.removesuffix('.')}': " if isinstance(found, dict) else f"'{key}' is {found!r}: "
    return BadValue(f"{place}: {where}{message}", remedy="correct the value", key=key, file=place)


def nearest(found: str, valid: Iterable[str], prefix: str = "") -> str:
    """Return the remedy for an unknown word: the nearest valid one, or all of them."""
    known = sorted(valid)
    close = difflib.get_close_matches(found, known, n=1, cutoff=0.4)
    return f"did you mean '{prefix}{close[0]}'?" if close else f"valid: {', '.join(known)}"


def _unknown_word(problem: Any, location: list[str], place: str, prefix: str) -> UsageError:
    """Return the error for a word that is none of the valid ones, naming the nearest; it may stand as a key."""
    is_key = location[-1] == "[key]"
    key = prefix + ".".join(location[:-2] if is_key else location)
    valid = re.findall(r"'([^']*)'", problem["ctx"]["expected"])
    found = str(problem["input"])
    close = difflib.get_close_matches(found, valid, n=1, cutoff=0.4)
    hint = f"did you mean '{close[0]}'?" if close else f"valid: {', '.join(valid)}"
    what = f"'{key}' has the unknown key" if is_key else f"'{key}' is"
    needed = ", ".join(f"'{word}'" for word in valid)
    return BadValue(f"{place}: {what} {found!r}; one of {needed} was needed", remedy=hint, key=key, file=place)


def siblings(path: list[str], model: type[BaseModel]) -> list[str]:
    """Return the valid keys of the record at `path` below `model`; a mapping or list of records is passed through."""
    kind: Any = model
    for part in path:
        kind = _without_none(kind)
        if get_origin(kind) in (dict, tuple):
            kind = get_args(kind)[1 if get_origin(kind) is dict else 0]
        elif isinstance(kind, type) and issubclass(kind, BaseModel) and part in kind.model_fields:
            kind = kind.model_fields[part].annotation
        else:
            return []
    kind = _without_none(kind)
    return sorted(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []


def _without_none(kind: Any) -> Any:
    """Return the one other member of a type that may also be None."""
    members = [member for member in get_args(kind) if member is not type(None)]
    is_optional = type(None) in get_args(kind) and len(members) == 1
    return members[0] if is_optional else kind
