"""The store is the only door: nothing outside it reads a layout or a manifest, or imports zarr or h5py."""

import ast
from pathlib import Path

import facelime_cli

PACKAGE = Path(facelime_cli.__file__).parent
INNER = {"layout", "manifest"}
DOORS = {"zarr": "store/arrays.py", "h5py": "store/hdf5.py"}


def reads(text):
    """Return the attributes `.layout` and `.manifest` that a source reads, with their lines.

    A method of the same name is another thing: it is called, or given by keyword as a plan's `prepare=job.layout`.
    """
    nodes = list(ast.walk(ast.parse(text)))
    methods = {node.func for node in nodes if isinstance(node, ast.Call)}
    methods |= {node.value for node in nodes if isinstance(node, ast.keyword) and node.arg == "prepare"}
    attributes = [node for node in nodes if isinstance(node, ast.Attribute) and node.attr in INNER]
    return sorted((node.lineno, node.attr) for node in attributes if node not in methods)


def imports(text):
    """Return the packages that a source imports, for type checking too."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def sources():
    return {path.relative_to(PACKAGE).as_posix(): path.read_text() for path in sorted(PACKAGE.rglob("*.py"))}


def test_no_layout_and_no_manifest_is_read_outside_the_store():
    outside = {name: reads(text) for name, text in sources().items() if not name.startswith("store/")}
    assert len(outside) > 50
    assert {name: found for name, found in outside.items() if found} == {}


def test_the_test_above_can_fail():
    text = """
n = artifact.layout["n"]
facts = artifact.manifest["facts"].get("x")
same = "n" in artifact.layout and dict(artifact.manifest)
plan = Plan(prepare=job.layout, parameters=artifact.layout)
"""
    assert reads(text) == [(2, "layout"), (3, "manifest"), (4, "layout"), (4, "manifest"), (5, "layout")]
    assert reads(sources()["store/artifacts.py"]) != []


def test_zarr_and_h5py_have_one_door_each():
    importing = {name: imports(text) for name, text in sources().items()}
    for package, door in DOORS.items():
        assert [name for name, found in importing.items() if package in found] == [door]
