"""Read the manifest, merge its layers and validate the result.

Layers, highest first: command line, environment (`QUANTMILL_SET_A__B` sets `a.b`), profile (its `extends`
chain, nearest first), universe file, defaults. A mapping merges key by key; any other value replaces the one
below.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from quantmill.errors import BadValue, UsageError
from quantmill.manifest.explaining import explain
from quantmill.manifest.files import read_mapping, read_named, short
from quantmill.manifest.settings import Settings

ENVIRONMENT_PREFIX = "QUANTMILL_SET_"


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
        content = read_named(path.parent, name, kind="profile")
        parent = content.pop("extends", None) or content.pop("alias", None)
        if parent is not None and not isinstance(parent, str):
            raise BadValue(
                f"{short(path)}: 'extends' is {parent!r}; the name of one profile was needed", file=str(path)
            )
        chain.append(_Layer("profile", short(path), content))
        name = parent
    universe_name = next((layer.content["universe"] for layer in chain if "universe" in layer.content), None)
    layers = [_Layer("defaults", "manifest/defaults.yml", read_mapping(manifest / "defaults.yml"))]
    if isinstance(universe_name, str):
        path = manifest / "universes" / f"{universe_name}.yml"
        universe = read_named(path.parent, universe_name, kind="universe")
        layers.append(_Layer("universe", short(path), {"universe": {"id": universe_name, **universe}}))
        for layer in chain:
            layer.content.pop("universe", None)
    return [*layers, *reversed(chain)]


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
