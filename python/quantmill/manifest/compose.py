"""Read the manifest, merge its layers and validate the result.

Layers, highest first: command line, environment (`QUANTMILL_SET_A__B` sets `a.b`), profile (its `extends`
chain, nearest first), universe file, defaults. A mapping merges key by key; any other value replaces the one
below. What a profile lists under `locked` neither environment nor command line can change.

A profile's `universe` is the name of a static list under manifest/universes, or names scanners, which are resolved
here. Its `acquisition` is validated with it and kept apart: how data are fetched is no part of a run.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from quantmill.errors import BadValue, LockedKey, UnknownKey, UsageError
from quantmill.manifest.composition import ResolvedScanner
from quantmill.manifest.explaining import explain, nearest
from quantmill.manifest.files import read_mapping, read_named, short
from quantmill.manifest.scanned import ScannedUniverse, expand, is_scanned, require_agreement
from quantmill.manifest.settings import AcquisitionSettings, Settings

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
    acquisition: AcquisitionSettings
    scanners: tuple[ResolvedScanner, ...] = ()

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
    merged: dict[str, Any] = {}
    origins: dict[str, _Layer] = {}
    written = _profile_layers(manifest, profile)
    for layer in written:
        _merge(merged, layer.content, layer, origins, ())
    locks = _Locks(merged)
    for layer in (
        _Layer("environment", "the environment", _environment_tree(environment)),
        _Layer("command_line", "the command line", _tree(overrides, "the command line")),
    ):
        _merge(merged, layer.content, layer, origins, ())
        locks.hold(merged, layer)
    merged["profile"] = profile
    origins["profile"] = written[0]

    def place_of(key: str | list[str]) -> str:
        parts = key.split(".") if isinstance(key, str) else key
        names = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
        return next((origins[name].place for name in names if name in origins), "the manifest")

    acquisition = _acquisition(merged.pop("acquisition", {}), place_of)
    scanned = None
    if is_scanned(merged.get("universe")):
        stated_by = next(
            (Path(layer.place).stem for layer in reversed(written) if "universe" in layer.content), profile
        )
        scanned = expand(manifest, merged["universe"], profile=stated_by, place_of=place_of)
        merged["universe"] = scanned.universe
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        raise explain(error, Settings, place_of) from None
    if scanned:
        require_agreement(scanned, settings, place_of("universe"))
    rows = tuple(_rows(settings, origins, profile))
    locks.require_existing([*(row.key for row in rows), *AcquisitionSettings.model_fields])
    scanners = tuple(scanned.scanners.values()) if scanned else ()
    return ResolvedSettings(settings=settings, rows=rows, acquisition=acquisition, scanners=scanners)


class _Locks:
    """The keys that a profile locks, with the values that its files give them."""

    def __init__(self, merged: Mapping[str, Any]) -> None:
        self.keys = list(merged.get("locked") or ())
        held = [*self.keys, "locked"] if self.keys else []
        self.values = {key: copy.deepcopy(_at(merged, key)) for key in held}

    def hold(self, merged: Mapping[str, Any], layer: _Layer) -> None:
        """Raise `LockedKey` where `layer` changed one of them."""
        for key, value in self.values.items():
            now = _at(merged, key)
            if now != value:
                raise LockedKey(
                    f"{layer.place} sets '{key}' to {now!r}, but the profile locks it at {value!r}",
                    remedy="leave it out; what a production profile holds itself to is changed in its file alone",
                    key=key,
                )

    def require_existing(self, keys: list[str]) -> None:
        """Raise `UnknownKey` for a locked key that is no setting: it would lock nothing."""
        for key in self.keys:
            name = str(key).removeprefix("acquisition.")
            if not any(one == name or one.startswith(f"{name}.") for one in keys):
                raise UnknownKey(f"locked names '{key}', which is no setting", remedy=nearest(str(key), keys), key=key)


def _at(tree: Mapping[str, Any], key: str) -> Any:
    node: Any = tree
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node


def _acquisition(content: Any, place_of: Callable[[str | list[str]], str]) -> AcquisitionSettings:
    try:
        return AcquisitionSettings.model_validate(content)
    except ValidationError as error:
        raise explain(
            error, AcquisitionSettings, lambda path: place_of(["acquisition", *path]), prefix="acquisition."
        ) from None


def settings_from_rows(rows: Mapping[str, str]) -> Settings:
    """Return the settings that `rows` (dotted key to JSON text, as in `selection.run_settings`) describe."""
    return Settings.model_validate(_tree({key: json.loads(value) for key, value in rows.items()}, "run_settings"))


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a profile file, for editors. Every key is optional: defaults fill in."""
    schema = Settings.model_json_schema()
    for definition in (schema, *schema.get("$defs", {}).values()):
        definition.pop("required", None)
    for record in (ScannedUniverse, AcquisitionSettings):
        described = record.model_json_schema()
        definitions = {**described.pop("$defs", {}), record.__name__: described}
        for definition in definitions.values():
            definition.pop("required", None)
        schema["$defs"].update(definitions)
    schema["properties"]["universe"] = {
        "anyOf": [
            {"type": "string", "description": "name of a file under manifest/universes"},
            {"$ref": "#/$defs/ScannedUniverse"},
        ],
    }
    schema["properties"]["acquisition"] = {"$ref": "#/$defs/AcquisitionSettings"}
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
        if "alias" in content and len(content) > 1:
            raise BadValue(
                f"{short(path)}: 'alias' stands beside {', '.join(sorted(set(content) - {'alias'}))}; an alias states"
                " nothing else",
                remedy="write 'extends' to change the other profile",
                file=str(path),
            )
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
