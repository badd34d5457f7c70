"""Reading the files of the manifest: strict YAML mappings and small tables, with errors that name the file."""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from quantmill.errors import BadValue, UnknownProfile, UsageError

# Names become parts of run ids and of paths.
NAME = re.compile(r"[a-z][a-z0-9_]*")


# The parser in C where the library was built with it: a tenth of the time.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _StrictLoader(_Loader):  # type: ignore[misc]
    """YAML in which a key that stands twice in one mapping is an error: the first would be ignored in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str | int | float | bool):
                if key in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key '{key}' stands there twice", key_node.start_mark
                    )
                seen.add(key)
        found: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return found


def short(path: Path) -> str:
    """Return the path as the manifest's reader knows it: from `manifest/` on."""
    parts = path.parts
    starts = [n for n, part in enumerate(parts) if part == "manifest"]
    return "/".join(parts[starts[-1] :] if starts else parts[-3:])


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds.

    Raises `UsageError` where the file is missing, `BadValue` where it is not valid YAML, repeats a key or holds
    something other than a mapping.
    """
    try:
        # the loader is a subclass of SafeLoader
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except FileNotFoundError:
        raise UsageError(f"{path} is not there", remedy="restore it from version control") from None
    except yaml.YAMLError as error:
        raise BadValue(f"{short(path)} is not valid YAML: {error}", remedy="mend the line it names") from None
    if not isinstance(content, dict):
        raise BadValue(f"{short(path)} holds {type(content).__name__}; a mapping of settings was needed")
    return content


def read_named(folder: Path, name: str, *, kind: str) -> dict[str, Any]:
    """Return the mapping in `folder/name.yml`; `kind` says in errors what the name is one of.

    Raises `UnknownProfile` with the nearest name where there is no such file.
    """
    known = sorted(found.stem for found in folder.glob("*.yml"))
    path = folder / f"{name}.yml"
    if not NAME.fullmatch(name):
        raise UnknownProfile(
            f"{name!r} is no name of a {kind}: lower-case letters, digits and underscores were needed",
            remedy=f"known are: {', '.join(known)}",
            found=name,
        )
    if not path.is_file():
        close = difflib.get_close_matches(path.stem, known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known are: {', '.join(known)}"
        raise UnknownProfile(f"no {kind} '{path.stem}' ({short(path)} is not there)", remedy=hint, found=path.stem)
    return read_mapping(path)


def read_table(path: Path, columns: tuple[str, ...]) -> list[Mapping[str, str]]:
    """Return the rows of a CSV file with exactly these columns, as text.

    Raises `UsageError` where the file is missing, `BadValue` where its header or the width of a row differs.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{path} is not there", remedy="restore it from version control") from None
    header, *rows = list(csv.reader(text.splitlines())) or [[]]
    if tuple(header) != columns:
        raise BadValue(
            f"{short(path)} has the columns {', '.join(header) or 'none'}; {', '.join(columns)} were needed",
            remedy="give it this header",
            file=str(path),
        )
    for number, row in enumerate(rows, 2):
        if len(row) != len(columns):
            raise BadValue(
                f"{short(path)} line {number} has {len(row)} values; {len(columns)} were needed",
                remedy=f"write {','.join(columns)}",
                file=str(path),
            )
    return [dict(zip(columns, row, strict=True)) for row in rows]
