"""Imports run one way: stages, then predicting and reporting, then models, store and drawing, then core."""

import ast
from pathlib import Path

import pytest

from facelime_cli.stages import INDEX

PACKAGE = Path(__file__).parent.parent / "facelime_cli"
WINGS = (
    "core",
    "store",
    "models",
    "answering",
    "importing",
    "training",
    "drawing",
    "exporting",
    "preparing",
    "predicting",
    "reporting",
    "stages",
    "jobs",
)
GROUND = {
    "errors",
    "choices",
    "columns",
    "machine",
    "names",
    "plain",
    "hearing",
    "console",
    "stopping",
    "terminals",
    "workers",
}
"""Modules that know nothing of pictures, models or the store."""
MAY = {
    "core": {"core", "errors", "choices"},
    "drawing": {"drawing", "core", "errors", "choices", "terminals"},
    "store": {"store", "core", "errors", "machine", "plain"},
    "models": {"models", "store", "core", "errors", "choices", "machine", "names", "plain", "stopping", "trust"},
    "answering": {
        "answering",
        "models",
        "store",
        "core",
        "errors",
        "choices",
        "machine",
        "plain",
        "stopping",
        "trust",
        "workers",
    },
    "importing": {"importing", "answering", "models", "store", "core", "errors", "choices", "plain", "trust"},
    "training": {"training", "models", "store", "core", "errors", "choices", "names", "plain"},
    "preparing": {"preparing", "store", "core", "sources", "tables", "pseudonyms", "engine", *GROUND},
    "predicting": {
        "predicting",
        "answering",
        "models",
        "store",
        "drawing",
        "core",
        "sources",
        "presets",
        "options",
        "engine",
        *GROUND,
        "trust",
    },
    "reporting": {
        "reporting",
        "answering",
        "models",
        "store",
        "drawing",
        "core",
        "sources",
        "presets",
        "options",
        "engine",
        *GROUND,
    },
    "exporting": {"exporting", "reporting", "store", "drawing", "core", *GROUND},
    "jobs": {"jobs", "stages", "predicting", "answering", "store", "presets", "options", "engine", *GROUND},
}
"""Which rooms a wing may import. A file of `stages/` whose name begins with `jobs` only names a command of `jobs/`."""
RUNS_STAGES = {"explain", "demo", "sensitivity", "stability", "compare_models"}
"""Subcommands that run stages: no other may import a stage."""


def imports_of(path):
    """Return the modules of the package that a file imports, wherever in the file, as parts below `facelime_cli`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "facelime_cli":
            parts = tuple(node.module.split(".")[1:])
            found |= {(*parts, alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {tuple(a.name.split(".")[1:]) for a in node.names if a.name.startswith("facelime_cli.")}
    return found


def rooms_of(path):
    return {parts[0] for parts in imports_of(path) if parts and not parts[0].startswith("_")}


@pytest.mark.parametrize("wing", MAY)
def test_a_wing_imports_only_what_stands_below_it(wing):
    for path in sorted((PACKAGE / wing).rglob("*.py")):
        assert rooms_of(path) - MAY[wing] == set(), path.relative_to(PACKAGE)


def test_no_stage_imports_another_but_those_that_run_stages():
    subcommands = {listed.module for listed in INDEX}
    for path in sorted((PACKAGE / "stages").glob("*.py")):
        others = {parts[1] for parts in imports_of(path) if parts[:1] == ("stages",)} & subcommands
        assert not others or path.stem in RUNS_STAGES, path.stem


def test_what_stands_on_the_ground_imports_nothing_above():
    for name in GROUND:
        assert rooms_of(PACKAGE / f"{name}.py") <= GROUND, name


def test_the_tests_above_can_fail(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text("def f():\n    from facelime_cli.stages import segment\n    import facelime_cli.store.files\n")
    assert rooms_of(wrong) == {"stages", "store"}


def test_there_is_no_circle():
    """Follow imports at the head of files alone: what stands inside a function is loaded later."""
    graph = {}
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).with_suffix("").parts
        name = name[:-1] if name[-1] == "__init__" else name
        heads = set()
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("facelime_cli"):
                parts = tuple(node.module.split(".")[1:])
                for alias in node.names:
                    whole = (*parts, alias.name)
                    is_module = (
                        PACKAGE.joinpath(*whole).with_suffix(".py").exists() or PACKAGE.joinpath(*whole).is_dir()
                    )
                    heads.add(whole if is_module else parts)
        graph[name] = heads - {name, ()}
    done, path = set(), []

    def visit(name):
        assert name not in path, " → ".join(".".join(each) for each in [*path[path.index(name) :], name])
        if name in done:
            return
        path.append(name)
        for each in sorted(graph.get(name, ())):
            visit(each)
        done.add(path.pop())

    for name in sorted(graph):
        visit(name)
    assert len(done) > 50


@pytest.mark.parametrize("listed", INDEX, ids=lambda listed: listed.name)
def test_the_light_index_says_what_the_modules_say(listed):
    command = listed.load()
    assert command.name == listed.name
    assert command.help.strip().splitlines()[0] == listed.summary


def test_the_index_has_every_subcommand():
    modules = {path.stem for path in (PACKAGE / "stages").glob("*.py")} - {"__init__"}
    assert modules == {listed.module for listed in INDEX}
