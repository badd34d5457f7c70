"""Read the manifest, merge its layers and validate the result.

Layers, highest first: command line, environment (`QUANTMILL_SET_A__B` sets `a.b`), profile (its `extends`
chain, nearest first), universe file, defaults. A mapping merges key by key; any other value replaces the one
below.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from quantmill.errors import BadValue, UnknownKey, UnknownProfile, UsageError
from quantmill.manifest.settings import Settings

# Names become parts of run ids and of paths.
NAME = re.compile(r"[a-z][a-z0-9_]*")
ENVIRONMENT_PREFIX = "QUANTMILL_SET_"
# Layers that a person sets over the files.
_OVER = ("environment", "command_line")


@dataclass(frozen=True)
class SettingRow:
    """One resolved key: dotted name, value as JSON text, and the layer it came from."""

    key: str
    value: str
    source_layer: str


@dataclass(frozen=True)
class ResolvedSettings:
    """The settings of one run and where each of them came from."""

    settings: Settings
    rows: tuple[SettingRow, ...]

    @property
    def canonical(self) -> dict[str, Any]:
        """The settings as plain JSON values, without their sources: what the run id hashes."""
        return self.settings.model_dump(mode="json")


@dataclass(frozen=True)
class _Layer:
    name: str
    place: str
    content: dict[str, Any]


def list_profiles(manifest: Path) -> list[str]:
    """Return the names of the profiles in the manifest, in order."""
    return sorted(path.stem for path in (manifest / "profiles").glob("*.yml"))


def resolve(
    manifest: Path, profile: str, *, overrides: Mapping[str, Any], environment: Mapping[str, str]
) -> ResolvedSettings:
    """Compose and validate the settings of `profile`.

    `overrides` are command-line settings by dotted key; `environment` is searched for `QUANTMILL_SET_*`.
    Raises `UnknownProfile`, `UnknownKey` or `BadValue`, each naming the file, the key and what is valid.
    """
    layers = [
        *_profile_layers(manifest, profile),
        _Layer("environment", "the environment", _environment_tree(environment)),
        _Layer("command_line", "the command line", _tree(overrides, "the command line")),
    ]
    merged: dict[str, Any] = {}
    origins: dict[str, _Layer] = {}
    for layer in layers:
        _merge(merged, layer.content, layer, origins, ())
    merged["profile"] = profile
    origins["profile"] = layers[0]
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        raise _explain(error, origins) from None
    return ResolvedSettings(settings=settings, rows=tuple(_rows(settings, origins, profile)))


def settings_from_rows(rows: Mapping[str, str]) -> Settings:
    """Return the settings that `rows` (dotted key to JSON text, as in `selection.run_settings`) describe."""
    return Settings.model_validate(_tree({key: json.loads(value) for key, value in rows.items()}, "run_settings"))


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a profile file, for editors. Every key is optional: defaults fill in."""
    schema = Settings.model_json_schema()
    for definition in (schema, *schema.get("$defs", {}).values()):
        definition.pop("required", None)
    schema["properties"]["universe"] = {
        "type": "string",
        "description": "name of a file under manifest/universes",
    }
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "profile whose settings come below these",
    }
    schema["properties"]["alias"] = {"type": "string", "description": "profile that this name stands for"}
    schema["title"] = "quantmill profile"
    return schema


def _profile_layers(manifest: Path, profile: str) -> list[_Layer]:
    """Return defaults, universe and the chain of profiles, lowest first."""
    chain: list[_Layer] = []
    seen: list[str] = []
    name: str | None = profile
    while name is not None:
        if name in seen:
            raise UsageError(
                f"profiles extend each other in a circle: {' → '.join([*seen, name])}",
                remedy="remove one of the 'extends' or 'alias' keys",
            )
        seen.append(name)
        path = manifest / "profiles" / f"{name}.yml"
        content = _read_named(path.parent, name, kind="profile")
        parent = content.pop("extends", None) or content.pop("alias", None)
        if parent is not None and not isinstance(parent, str):
            raise BadValue(
                f"{_short(path)}: 'extends' is {parent!r}; the name of one profile was needed", file=str(path)
            )
        chain.append(_Layer("profile", _short(path), content))
        name = parent
    universe_name = next((layer.content["universe"] for layer in chain if "universe" in layer.content), None)
    layers = [_Layer("defaults", "manifest/defaults.yml", _read(manifest / "defaults.yml"))]
    if isinstance(universe_name, str):
        path = manifest / "universes" / f"{universe_name}.yml"
        universe = _read_named(path.parent, universe_name, kind="universe")
        layers.append(_Layer("universe", _short(path), {"universe": {"id": universe_name, **universe}}))
        for layer in chain:
            layer.content.pop("universe", None)
    return [*layers, *reversed(chain)]


def _short(path: Path) -> str:
    """Return the path as the manifest's reader knows it."""
    return "/".join(path.parts[-3:])


def _read_named(folder: Path, name: str, *, kind: str) -> dict[str, Any]:
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
        raise UnknownProfile(f"no {kind} '{path.stem}' ({_short(path)} is not there)", remedy=hint, found=path.stem)
    return _read(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path} is not there", remedy="restore it from version control") from None
    except yaml.YAMLError as error:
        raise BadValue(f"{_short(path)} is not valid YAML: {error}", remedy="mend the line it names") from None
    if not isinstance(content, dict):
        raise BadValue(f"{_short(path)} holds {type(content).__name__}; a mapping of settings was needed")
    return content


def _environment_tree(environment: Mapping[str, str]) -> dict[str, Any]:
    found = {
        name.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", "."): yaml.safe_load(value)
        for name, value in sorted(environment.items())
        if name.startswith(ENVIRONMENT_PREFIX)
    }
    return _tree(found, "the environment")


def _tree(flat: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return nested mappings for dotted keys."""
    tree: dict[str, Any] = {}
    for key in sorted(flat):
        *parents, last = key.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise BadValue(f"{place}: '{key}' reaches below a value", remedy="set one of the two keys", key=key)
        node[last] = flat[key]
    return tree


def _merge(
    target: dict[str, Any],
    source: Mapping[str, Any],
    layer: _Layer,
    origins: dict[str, _Layer],
    path: tuple[str, ...],
) -> None:
    for key, value in source.items():
        here = (*path, str(key))
        origins[".".join(here)] = layer
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value, layer, origins, here)
        elif isinstance(value, dict):
            target[key] = {}
            _merge(target[key], value, layer, origins, here)
        else:
            target[key] = value


def _rows(settings: Settings, origins: Mapping[str, _Layer], profile: str) -> Iterator[SettingRow]:
    for key, value in _leaves(settings.model_dump(mode="json"), ()):
        parts = key.split(".")
        layer = next(
            (origins[name].name for n in range(len(parts), 0, -1) if (name := ".".join(parts[:n])) in origins),
            "defaults",
        )
        yield SettingRow(key=key, value=json.dumps(value, ensure_ascii=False), source_layer=layer)


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key in sorted(value):
            yield from _leaves(value[key], (*path, key))
    else:
        yield ".".join(path), value


def _explain(error: ValidationError, origins: Mapping[str, _Layer]) -> UsageError:
    """Turn the first validation error into one that names file, key and what would be valid."""
    # a misspelt key is unknown and missing at once: the former says what to mend
    problem = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location)
    layer = next(
        (origins[name] for n in range(len(location), 0, -1) if (name := ".".join(location[:n])) in origins),
        None,
    )
    place = layer.place if layer else _all_places(origins)
    if problem["type"] == "extra_forbidden":
        valid = _siblings(location[:-1])
        elsewhere = sorted({name for name in origins if name.split(".")[-1] == location[-1] and name != key})
        close = difflib.get_close_matches(location[-1], valid, n=1, cutoff=0.4)
        nearest = elsewhere[0] if elsewhere else ".".join([*location[:-1], close[0]]) if close else None
        hint = f"did you mean '{nearest}'?" if nearest else f"valid: {', '.join(valid)}"
        return UnknownKey(f"{place}: unknown key '{key}'", remedy=hint, key=key, file=place)
    if problem["type"] == "missing":
        return BadValue(f"{place}: '{key}' is not set and has no default", remedy=f"set {key}", key=key, file=place)
    if problem["type"] == "literal_error":
        return _unknown_word(problem, location, place)
    message = problem["msg"].removeprefix("Value error, ")
    # a check across the fields of a mapping has all of them as its input, and names in its message those that it means
    found = problem["input"]
    where = "" if not location else f"'{key}': " if isinstance(found, dict) else f"'{key}' is {found!r}: "
    return BadValue(f"{place}: {where}{message}", remedy="correct the value", key=key, file=place)


def _all_places(origins: Mapping[str, _Layer]) -> str:
    """Return where to look when a check spans several keys: the manifest, and what was set over it."""
    over = sorted(
        f"{key} of {layer.place}"
        for key, layer in origins.items()
        if layer.name in _OVER and not any(other.startswith(f"{key}.") for other in origins)
    )
    return f"the manifest with {', '.join(over)}" if over else "the manifest"


def _unknown_word(problem: Any, location: list[str], place: str) -> UsageError:
    """Return the error for a word that is none of the valid ones, naming the nearest; it may stand as a key."""
    is_key = location[-1] == "[key]"
    key = ".".join(location[:-2] if is_key else location)
    valid = re.findall(r"'([^']*)'", problem["ctx"]["expected"])
    found = str(problem["input"])
    close = difflib.get_close_matches(found, valid, n=1, cutoff=0.4)
    hint = f"did you mean '{close[0]}'?" if close else f"valid: {', '.join(valid)}"
    what = f"'{key}' has the unknown key" if is_key else f"'{key}' is"
    needed = ", ".join(f"'{word}'" for word in valid)
    return BadValue(f"{place}: {what} {found!r}; one of {needed} was needed", remedy=hint, key=key, file=place)


def _siblings(path: list[str]) -> list[str]:
    """Return the valid keys of the record at `path`; a mapping or list of records is passed through."""
    kind: Any = Settings
    for part in path:
        if get_origin(kind) in (dict, tuple):
            kind = get_args(kind)[1 if get_origin(kind) is dict else 0]
        elif isinstance(kind, type) and issubclass(kind, BaseModel) and part in kind.model_fields:
            kind = kind.model_fields[part].annotation
        else:
            return []
    return sorted(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []
