"""An HTTP answer before it goes on the wire."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Reply:
    """Status, body and headers of an answer. `symbols` are those the request is about, for the log."""

    status: int
    body: bytes
    content_type: str = "application/json; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """An HTTP request taken apart: query values are the first of each name, `moment` is epoch seconds of its clock."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    moment: int


def as_json(value: Any, status: int = 200, **headers: str) -> Reply:
    """Return a JSON answer."""
    return Reply(status, json.dumps(value, separators=(",", ":"), allow_nan=True).encode(), headers=dict(headers))


def number_text(value: float, digits: int) -> str:
    """Return a number with fixed digits, as exchanges write prices."""
    return f"{value:.{digits}f}"
