"""The store is the only door: nothing outside it reads a layout or a manifest, or imports zarr or h5py."""

import ast
from pathlib import Path

import facelime_cli

PACKAGE = Path(facelime_cli.__file__).parent
INNER = {"layout", "manifest"}
DOORS = {"zarr": "store/arrays.py", "h5py": "store/hdf5.py"}


def reads(text):
    """Return the attributes `.layout` and `.manifest` that a source reads, with their lines."""
    attributes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)]
    return sorted((node.lineno, node.attr) for node in attributes if node.attr in INNER)


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
    text = 'n = artifact.layout["n"]\nfacts = artifact.manifest["facts"].get("x")\nsame = artifact.layout.keys()\n'
    assert reads(text) == [(1, "layout"), (2, "manifest"), (3, "layout")]
    assert reads(sources()["store/artifacts.py"]) != []


def test_zarr_and_h5py_have_one_door_each():
    importing = {name: imports(text) for name, text in sources().items()}
    for package, door in DOORS.items():
        assert [name for name, found in importing.items() if package in found] == [door]
