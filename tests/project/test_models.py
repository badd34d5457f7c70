"""What every dbt model keeps to, read from the manifest that dbt makes of the project."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

from project.sources import DbtProject
from quantmill.features.health import CODES
from quantmill.quality.rules import RELATIONS, load_rules
from quantmill.stages.sealing import TABLE_KEYS
from support import ROOT

DIRECTION = ("staging", "features", "selection", "tournaments")
# Outside the SEAL: the row of the run itself, which sealing updates, and the ledger that holds the seal.
UNSEALED = {"selection.runs", "tournaments.audit_ledger"}


def _folder(node: dict[str, Any]) -> str:
    return PurePosixPath(node["original_file_path"]).parts[1]


def test_no_model_reads_a_later_part_of_the_flow(project: DbtProject) -> None:
    found = [
        f"{_folder(model)}.{name} reads {_folder(parent)}.{parent['name']}"
        for name, model in project.models.items()
        for parent in project.parents(model)
        if parent["resource_type"] == "model" and DIRECTION.index(_folder(parent)) > DIRECTION.index(_folder(model))
    ]
    assert found == []


def test_only_staging_reads_raw_and_only_the_run_reads_ops(project: DbtProject) -> None:
    found = [
        f"{_folder(model)}.{name} reads {parent['schema']}.{parent['name']}"
        for name, model in project.models.items()
        for parent in project.parents(model)
        if parent["resource_type"] == "source"
        and not (_folder(model) == "staging" or (parent["schema"] == "ops" and name == "calc_run"))
    ]
    assert found == []


def test_staging_reads_nothing_but_sources(project: DbtProject) -> None:
    found = [
        f"{name} reads {parent['name']}"
        for name, model in project.models.items()
        if _folder(model) == "staging"
        for parent in project.parents(model)
        if parent["resource_type"] != "source"
    ]
    assert found == []


def test_no_model_names_a_table_past_dbt(project: DbtProject) -> None:
    named = re.compile(r"\b(?:from|join)\s+(?:raw|ops|staging|features|selection|tournaments|work)\.\w+", re.I)
    found = [
        name for name, model in project.models.items() if model["language"] == "sql" and named.search(model["raw_code"])
    ]
    assert found == []


def test_every_model_has_its_own_yml_beside_it(project: DbtProject) -> None:
    found = {
        name: model["patch_path"]
        for name, model in project.models.items()
        if (model["patch_path"] or "").removeprefix("quantmill://")
        != str(PurePosixPath(model["original_file_path"]).with_suffix(".yml"))
    }
    assert found == {}


def test_every_model_says_first_what_one_row_is(project: DbtProject) -> None:
    described = [n for n, m in project.models.items() if not m["description"].startswith("One row")]
    commented = [
        n
        for n, m in project.models.items()
        if not m["raw_code"].startswith("-- One row" if m["language"] == "sql" else "# One row")
    ]
    assert (described, commented) == ([], [])


def test_every_sql_model_ends_by_selecting_its_final_rows(project: DbtProject) -> None:
    ending = re.compile(r"\nselect\s+\*(?: replace \([^;]*\))?\s+from final(?:\norder by [\w, ]+)?\s*$")
    found = [n for n, m in project.models.items() if m["language"] == "sql" and not ending.search(m["raw_code"])]
    assert found == []


def test_every_python_model_is_private(project: DbtProject) -> None:
    python = {name: model for name, model in project.models.items() if model["language"] == "python"}
    assert python
    assert [name for name, model in python.items() if model["schema"] != "work" or name[:5] != "calc_"] == []


def test_the_schema_of_a_public_model_is_its_folder(project: DbtProject) -> None:
    found = [name for name, model in project.public().items() if name.split(".")[0] != _folder(model)]
    assert found == []


def test_every_public_model_has_an_enforced_contract_that_describes_each_column(project: DbtProject) -> None:
    found = [name for name, model in project.public().items() if not model["contract"]["enforced"]]
    found += [
        f"{name}.{column['name']}"
        for name, model in project.public().items()
        for column in model["columns"].values()
        if not column["description"].strip() or not column["data_type"]
    ]
    assert found == []


def test_every_public_table_has_a_key_test(project: DbtProject) -> None:
    found = [
        name
        for name, model in project.public().items()
        if _folder(model) != "staging" and len(project.keys(model)) != 1
    ]
    assert found == []


def test_no_contract_carries_a_foreign_key(project: DbtProject) -> None:
    found = [
        name
        for name, model in project.models.items()
        for constraint in [
            *model["constraints"],
            *(one for column in model["columns"].values() for one in column["constraints"]),
        ]
        if constraint["type"] == "foreign_key"
    ]
    assert found == []


def test_tables_of_the_alpha_cycle_keep_history_that_no_full_refresh_erases(
    project: DbtProject,
) -> None:
    tables = {
        name: model
        for name, model in project.public().items()
        if _folder(model) in ("selection", "tournaments") and not name.endswith("_latest")
    }
    found = [
        name
        for name, model in tables.items()
        if model["config"]["materialized"] != "incremental"
        or model["config"]["incremental_strategy"] != "append"
        or "run_id" not in model["columns"]
    ]
    found += [
        name
        for name, model in project.models.items()
        if model["config"]["materialized"] == "incremental"
        and model["config"]["full_refresh"] is not False
        # these follow what was landed: from that they can be made again
        and not (name == "bar_changes" or model["config"]["meta"].get("follows_changes"))
    ]
    assert tables and found == []


def test_the_quality_gate_waits_for_every_table_that_rules_may_read(project: DbtProject) -> None:
    parents = {parent["name"] for parent in project.parents(project.models["calc_quality"])}
    assert parents == set(RELATIONS)


def test_no_run_begins_before_the_quality_gate(project: DbtProject) -> None:
    assert "calc_quality_gate" in {parent["name"] for parent in project.parents(project.models["calc_run"])}


def test_the_seal_hashes_every_table_of_the_run_by_the_key_that_is_tested(project: DbtProject) -> None:
    public = project.public()
    sealed = {name: [["run_id", *keys]] for name, keys in TABLE_KEYS.items()}
    assert {name: project.keys(public[name]) for name in sealed} == sealed
    history = {name for name in public if _folder(public[name]) in ("selection", "tournaments")}
    assert {name for name in history if not name.endswith("_latest")} - UNSEALED == set(sealed)


def test_the_ledger_model_hands_the_seal_exactly_its_tables(project: DbtProject) -> None:
    code = (ROOT / project.models["calc_audit_ledger"]["original_file_path"]).read_text(encoding="utf-8")
    handed = dict(re.findall(r'"(\w+\.\w+)": dbt\.ref\("(\w+)"\)', code))
    assert handed == {name: name.split(".")[1] for name in TABLE_KEYS}


def test_the_gate_looks_for_the_spikes_that_the_model_leaves_open_and_for_no_other(project: DbtProject) -> None:
    model = project.models["bar_spikes"]["raw_code"]
    emitted = set(CODES)
    harmless = set(re.findall(r"'([A-Z_]+)'", re.findall(r"code in \(([^)]*)\)", model)[-1]))
    [rule] = [one for one in load_rules(ROOT / "manifest") if one.name == "spikes.no_open_spike"]
    listed = set(re.findall(r"'([A-Z_]+)'", re.findall(r"code in \(([^)]*)\)", rule.failing_rows or "")[-1]))
    assert listed == emitted - harmless
    assert listed and harmless < emitted
