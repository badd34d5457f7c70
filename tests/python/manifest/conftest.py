"""A copy of the manifest that a test may change, and small manifests of blocks written in the test."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from quantmill.manifest.composition import Library, load_library
from support import ROOT

Writer = Callable[..., Path]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A copy of the manifest that a test may add files to."""
    return Path(shutil.copytree(ROOT / "manifest", tmp_path / "manifest"))


@pytest.fixture(scope="session")
def library() -> Library:
    """The blocks and scanners of the project."""
    return load_library(ROOT / "manifest")


@pytest.fixture
def small(tmp_path: Path) -> Writer:
    """Write a manifest of a few blocks: texts of YAML by layer, each the mapping of names in that layer.

    Below them stands a bare `every_scanner`, so that only what the test writes is merged.
    """
    folders = {
        "universes": "universes",
        "hygiene": "blocks/hygiene",
        "templates": "blocks/templates",
        "strategies": "blocks/strategies",
        "scanners": "scanners",
    }

    def write(*, root: str = "{ranks: [{field: name, order: asc}], prefilter_limit: 10}", **layers: str) -> Path:
        manifest = tmp_path / "manifest"
        for folder in folders.values():
            (manifest / folder).mkdir(parents=True, exist_ok=True)
        for name in ("exclusions.yml", "listings.yml", "fields.yml"):
            shutil.copy(ROOT / "manifest" / name, manifest / name)
        (manifest / "blocks" / "hygiene" / "root.yml").write_text(f"blocks:\n  every_scanner: {root}\n")
        for layer, text in layers.items():
            key = "scanners" if layer == "scanners" else "blocks"
            indented = "".join(f"  {line}\n" for line in text.strip("\n").splitlines())
            (manifest / folders[layer] / "test.yml").write_text(f"{key}:\n{indented}", encoding="utf-8")
        return manifest

    return write
