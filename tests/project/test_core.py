"""The core is pure: the same arguments give the same answer, whenever and wherever it is asked."""

from __future__ import annotations

import ast

from project.sources import FILE_READERS, calls, core_modules, modules

CLOCKS = (
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "Path.cwd",
    "Path.home",
    "Timestamp.now",
)
FILE_CALLS = ("open", "read_text", "read_bytes", "write_text", "write_bytes", "mkdir", "unlink", "memmap")
# What makes a generator from a seed; everything else in numpy.random draws from the hidden global one.
SEEDED = ("default_rng", "Generator", "SeedSequence", "PCG64", "Philox", "BitGenerator")


def test_the_core_reads_no_clock_and_no_working_directory() -> None:
    found = [
        f"{module.at(call)} calls {name}"
        for module in core_modules()
        if module.name not in FILE_READERS
        for name, call in calls(module.tree)
        if name.endswith(CLOCKS)
    ]
    assert found == []


def test_the_core_opens_no_file() -> None:
    found = [
        f"{module.at(call)} calls {name}"
        for module in core_modules()
        if module.name not in FILE_READERS
        for name, call in calls(module.tree)
        if name.split(".")[-1] in FILE_CALLS
    ]
    assert found == []


def test_randomness_comes_from_a_seeded_generator() -> None:
    found = [
        f"{module.at(node)} uses {ast.unparse(node)}"
        for module in modules("python", "ingest", "models")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute)
        and ast.unparse(node.value) in ("np.random", "numpy.random")
        and node.attr not in SEEDED
    ]
    found += [
        f"{module.at(call)} makes a generator without a seed"
        for module in modules("python", "ingest", "models")
        for name, call in calls(module.tree)
        if name.split(".")[-1] in ("default_rng", "SeedSequence") and not (call.args or call.keywords)
    ]
    found += [
        f"{module.at(one.line)} imports {one.module}"
        for module in modules("python", "ingest", "models")
        for one in module.imports()
        if one.module.split(".")[0] == "random"
        or (one.module.startswith("numpy.random.") and one.module.split(".")[-1] not in SEEDED)
    ]
    assert found == []


def test_a_broad_handler_raises_again_or_says_why_it_does_not() -> None:
    found = []
    for module in modules("python", "ingest", "models"):
        lines = module.text.splitlines()
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.ExceptHandler):
                continue
            names = ast.walk(node.type) if node.type else ()
            is_broad = node.type is None or any(
                isinstance(name, ast.Name) and name.id in ("Exception", "BaseException") for name in names
            )
            raises = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
            if is_broad and not raises and "#" not in lines[node.lineno - 1]:
                found.append(module.at(node))
    assert found == []
