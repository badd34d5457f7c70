"""What the repository holds, and what it must never hold."""

from __future__ import annotations

import json
import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from project.sources import kept_files
from quantmill.manifest.compose import json_schema, list_profiles, resolve
from support import ROOT

LARGEST_FILE = 1_000_000
MACHINE_PATH = re.compile(r"(?<![\w.}*/])/(?:work|root|home|Users)/\w")
INDEX_HOST = re.compile(
    r"pypi\.(?:org|python)|pythonhosted\.|(?:--|_|\b)(?:extra-)?index[-_]url\b|--find-links|--trusted-host|"
    r"\bdevpi\b|\bartifactory\b",
    re.I,
)
SECRET = re.compile(
    r"\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_\w{36}|\bxox[abp]-\w{10}|\bsk-[A-Za-z0-9]{32}|"
    r"BEGIN (?:\w+ )?PRIVATE KEY|"
    r"\b(?:password|passwd|secret|api_?key|auth_?token)\b['\"]?\s*[:=]\s*['\"][^'\"\s{}$<]{8,}['\"]",
    re.I,
)
PINNED = re.compile(r"(?P<name>[a-z0-9][a-z0-9.-]*)==(?P<version>[\w.!+]+)(?: ; [\w\s.<>=!'()]+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")
# The extras that the set-up of the README installs, and the groups beside them.
INSTALLED_EXTRAS = ("cvxportfolio", "nautilus", "vectorbt", "live")
INSTALLED_GROUPS = ("dev",)
THIS_FILE = "tests/project/test_files.py"


def _texts() -> list[tuple[str, str]]:
    """Return path and text of every kept text file but this one, which spells the patterns out."""
    found = []
    for name in kept_files():
        if name != THIS_FILE:
            content = (ROOT / name).read_bytes()
            if b"\0" not in content:
                found.append((name, content.decode("utf-8")))
    return found


def _hits(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1} {match.group(0)}"
        for name, text in _texts()
        for match in pattern.finditer(text)
    ]


def test_no_file_names_a_path_of_one_machine() -> None:
    assert _hits(MACHINE_PATH) == []


def test_no_file_names_a_package_index() -> None:
    assert _hits(INDEX_HOST) == []


def test_no_file_holds_a_secret() -> None:
    assert _hits(SECRET) == []


def test_no_file_is_larger_than_a_megabyte() -> None:
    assert [name for name in kept_files() if (ROOT / name).stat().st_size > LARGEST_FILE] == []


def test_precious_state_and_output_are_never_kept() -> None:
    state = ("data/", "runs/", "reports/", "target/", "logs/", ".venv/", ".tools/")
    assert [name for name in kept_files() if name.startswith(state) or name.endswith(".duckdb")] == []


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-bootstrap.txt"])
def test_a_lock_file_holds_pinned_names_and_hashes_alone(lock: str) -> None:
    lines = (ROOT / lock).read_text(encoding="utf-8").splitlines()
    found = [
        f"{lock}:{n} {line}" for n, line in enumerate(lines, 1) if not (PINNED.fullmatch(line) or HASH.fullmatch(line))
    ]
    unhashed = [
        line
        for line, after in zip(lines, [*lines[1:], ""], strict=True)
        if PINNED.fullmatch(line) and not HASH.fullmatch(after)
    ]
    assert lines and (found, unhashed) == ([], [])


def test_every_direct_dependency_is_pinned_in_the_lock() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    direct = [*asked["project"]["dependencies"]]
    for extra in INSTALLED_EXTRAS:
        direct += asked["project"]["optional-dependencies"][extra]
    for group in INSTALLED_GROUPS:
        direct += asked["dependency-groups"][group]
    locked: dict[str, list[str]] = {}
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines():
        if match := PINNED.fullmatch(line):
            locked.setdefault(canonicalize_name(match["name"]), []).append(match["version"])
    found = []
    for text in direct:
        wanted = Requirement(text)
        versions = locked.get(canonicalize_name(wanted.name), [])
        # one version per Python version is possible; each of them must be one that was asked for
        if not versions or not all(wanted.specifier.contains(version) for version in versions):
            found.append(f"{text} is locked at {versions}")
    assert found == []


def test_nothing_reports_home() -> None:
    flags = yaml.safe_load((ROOT / "dbt_project.yml").read_text(encoding="utf-8"))["flags"]
    assert flags["send_anonymous_usage_stats"] is False
    assert flags["version_check"] is False
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    exported = dict(re.findall(r"^export (\w+) :?= (\S+)$", makefile, re.M))
    assert {
        "DO_NOT_TRACK": "1",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "GX_ANALYTICS_ENABLED": "false",
        "RAY_USAGE_STATS_ENABLED": "0",
    }.items() <= exported.items()


def test_the_schema_that_editors_use_is_that_of_the_settings() -> None:
    written = json.loads((ROOT / "manifest" / "schema.json").read_text(encoding="utf-8"))
    assert written == json_schema(), "run 'python -m quantmill schema' and keep manifest/schema.json"


@pytest.mark.parametrize("profile", list_profiles(ROOT / "manifest"))
def test_every_profile_resolves(profile: str) -> None:
    resolved = resolve(ROOT / "manifest", profile, overrides={}, environment={})
    assert resolved.settings.profile == profile
    assert {row.key for row in resolved.rows} >= {"profile", "as_of"}


def test_every_yaml_file_of_a_profile_is_listed() -> None:
    files = [path for path in (ROOT / "manifest" / "profiles").iterdir() if not path.name.startswith(".")]
    assert sorted(path.name for path in files) == [f"{name}.yml" for name in list_profiles(ROOT / "manifest")]
