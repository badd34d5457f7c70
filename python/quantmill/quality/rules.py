"""The rules of the quality gate as frozen records, read from `manifest/quality` and strictly validated.

One file holds one suite, named like the file. A rule either lists its failing rows with a query (`failing_rows`) or
names an expectation of Great Expectations on columns of one relation (`expectation` and `arguments`).
"""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import Field, ValidationError, model_validator

from quantmill.errors import BadValue, UnknownKey, UsageError
from quantmill.ledger import canonical_json
from quantmill.manifest.settings import Record

# What a query may read, each restricted to the symbols of the profile and to what was known at its as_of.
Relation = Literal[
    "bar_gaps",
    "bar_spikes",
    "bar_verdicts",
    "daily_returns",
    "execution_limits",
    "factor_history",
    "market_calendar",
    "metadata_coverage",
    "scan_candidates",
    "session_bars",
    "symbol_health",
    "symbols",
    "vendor_features",
]
RELATIONS: tuple[str, ...] = get_args(Relation)
# Beside them: the rule's own relation, the symbols of the profile, and the sessions that any landed symbol has.
OTHERS = ("batch", "profile", "traded_sessions")
# The expectations a rule may name, each with the arguments that hold columns.
EXPECTATIONS: dict[str, tuple[str, ...]] = {
    "ExpectColumnPairValuesAToBeGreaterThanB": ("column_A", "column_B"),
    "ExpectColumnValuesToBeBetween": ("column",),
    "ExpectColumnValuesToBeInSet": ("column",),
    "ExpectColumnValuesToMatchRegex": ("column",),
    "ExpectColumnValuesToNotBeInSet": ("column",),
    "ExpectColumnValuesToNotBeNull": ("column",),
    "ExpectCompoundColumnsToBeUnique": ("column_list",),
}
Severity = Literal["stop", "quarantine", "warn"]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Text = Annotated[str, Field(min_length=1)]


class Rule(Record):
    """One rule. It fails when it has failing rows, whether its own query or Great Expectations finds them."""

    id: Name
    suite: Name
    relation: Relation = Field(description="table of the schema features that is judged")
    severity: Severity = Field(
        description="stop: a broken contract; quarantine: selection leaves the symbol out, strict stops; warn: recorded"
    )
    expects: Text = Field(description="what good rows are like; what the gate prints as expected")
    remedy: Text = Field(description="command or step that mends a failing row")
    failing_rows: str | None = Field(
        default=None, description="query: symbol, session_date, detail and, if any, expected"
    )
    expectation: str | None = Field(default=None, description="class of Great Expectations")
    arguments: dict[str, Any] = Field(default_factory=dict, description="arguments of the expectation")

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Rule:
        if (self.failing_rows is None) == (self.expectation is None):
            raise ValueError("needs either failing_rows or expectation, and not both")
        if self.failing_rows is not None:
            if self.arguments:
                raise ValueError("arguments belong to an expectation; a query has none")
            self._require_known_names(self.failing_rows)
        elif self.expectation not in EXPECTATIONS:
            raise ValueError(f"expectation '{self.expectation}' is unknown; known: {', '.join(sorted(EXPECTATIONS))}")
        else:
            missing = [name for name in EXPECTATIONS[self.expectation] if name not in self.arguments]
            if missing:
                raise ValueError(f"arguments lack {', '.join(missing)}, which {self.expectation} needs")
        return self

    @staticmethod
    def _require_known_names(query: str) -> None:
        try:
            names = [name for _, name, _, _ in Formatter().parse(query) if name is not None]
        except ValueError as error:
            raise ValueError(f"failing_rows has a brace without its partner ({error}); write {{{{ and }}}}") from None
        unknown = sorted(set(names) - set(RELATIONS) - set(OTHERS))
        if unknown:
            raise ValueError(
                f"failing_rows reads {{{unknown[0]}}}; it may read {', '.join(sorted((*RELATIONS, *OTHERS)))}"
            )
        if "batch" not in names:
            raise ValueError("failing_rows never reads {batch}, the relation that is judged")

    @property
    def name(self) -> str:
        """The rule as people refer to it: `suite.id`."""
        return f"{self.suite}.{self.id}"

    @property
    def digest(self) -> str:
        """SHA-256 of the rule's canonical JSON."""
        return hashlib.sha256(canonical_json(self.model_dump(mode="json")).encode()).hexdigest()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that an expectation judges; none for a query."""
        found: list[str] = []
        for name in EXPECTATIONS.get(self.expectation or "", ()):
            value = self.arguments[name]
            found += value if isinstance(value, list) else [value]
        return tuple(found)

    @property
    def reads(self) -> tuple[str, ...]:
        """The relations whose rows decide the rule, in order of their names."""
        found: set[str] = {self.relation}
        if self.failing_rows is not None:
            found |= {name for _, name, _, _ in Formatter().parse(self.failing_rows) if name is not None}
        return tuple(sorted(found - {"batch", "profile"}))


def load_rules(manifest: Path) -> tuple[Rule, ...]:
    """Return the rules of all suites under `manifest/quality`, ordered by suite and place in its file.

    Raises `UsageError` without a suite, `UnknownKey` or `BadValue` naming the file and the key that is wrong.
    """
    folder = manifest / "quality"
    rules: list[Rule] = []
    for path in sorted(folder.glob("*.yml")):
        rules += _read_suite(path)
    if not rules:
        raise UsageError(f"{folder} holds no rule", remedy="restore manifest/quality from version control")
    return tuple(rules)


def _read_suite(path: Path) -> list[Rule]:
    place = f"manifest/quality/{path.name}"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise BadValue(f"{place} is not valid YAML: {error}", remedy="mend the line it names", file=place) from None
    if not isinstance(content, dict) or not isinstance(content.get("rules"), list) or not content["rules"]:
        raise BadValue(f"{place}: a mapping with a list 'rules' was needed", remedy="see docs/quality.md", file=place)
    extra = sorted(set(content) - {"rules", "description"})
    if extra:
        raise UnknownKey(f"{place}: unknown key '{extra[0]}'", remedy="valid: description, rules", file=place)
    rules = [_rule(place, path.stem, number, entry) for number, entry in enumerate(content["rules"], start=1)]
    names = [rule.id for rule in rules]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise BadValue(f"{place}: rule '{repeated[0]}' stands there twice", remedy="give each its own id", file=place)
    return rules


def _rule(place: str, suite: str, number: int, entry: Any) -> Rule:
    if not isinstance(entry, dict):
        raise BadValue(f"{place}: rule {number} is no mapping", remedy="see docs/quality.md", file=place)
    label = f"rule '{entry['id']}'" if isinstance(entry.get("id"), str) else f"rule {number}"
    if "suite" in entry:
        raise UnknownKey(
            f"{place}: {label}: unknown key 'suite'",
            remedy="the name of the file is the suite",
            file=place,
            key="suite",
        )
    try:
        return Rule.model_validate({"suite": suite, **entry})
    except ValidationError as error:
        # a misspelt key is unknown and missing at once: the former says what to mend
        problem = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            valid = sorted(set(Rule.model_fields) - {"suite"})
            close = difflib.get_close_matches(key, valid, n=1, cutoff=0.4)
            hint = f"did you mean '{close[0]}'?" if close else f"valid: {', '.join(valid)}"
            raise UnknownKey(f"{place}: {label}: unknown key '{key}'", remedy=hint, file=place, key=key) from None
        message = problem["msg"].removeprefix("Value error, ")
        where = (
            f"'{key}' is {problem['input']!r}: "
            if key and problem["type"] != "missing"
            else f"'{key}': "
            if key
            else ""
        )
        raise BadValue(f"{place}: {label}: {where}{message}", remedy="correct the rule", file=place, key=key) from None
