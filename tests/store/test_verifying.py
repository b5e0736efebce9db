"""Verifying finds what is broken, and only the broken units are made again."""

import pytest

from facelime_cli.store.verifying import faults, reopen
from tests.store.making import chunk, create, fill, flip_a_bit


def test_sound(artifact):
    assert faults(artifact) == []


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "missing"])
def test_a_broken_chunk_is_named_and_mended_by_unit(artifact, harm):
    path = chunk(artifact)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes({"flip": bytes(data), "cut": bytes(data[:-6]), "empty": b""}[harm])
    found = faults(artifact)
    assert [(fault.unit, "values" in fault.what) for fault in found] == [(1, True)]
    before = artifact.content
    reopen(artifact, {1})
    assert not artifact.complete
    assert artifact.done() == {0, 2}
    fill(artifact, [1])
    artifact.seal({})
    assert artifact.content == before
    assert faults(artifact) == []


def test_a_known_array_and_files_are_checked_too(store):
    artifact = create(store)
    fill(artifact)
    for name in ("gone.txt", "changed.txt", "sound.txt"):
        artifact.file(name).write_text("before")
    artifact.seal({}, ["gone.txt", "changed.txt", "sound.txt"])
    artifact.file("gone.txt").unlink()
    artifact.file("changed.txt").write_text("after")
    flip_a_bit(artifact.path / "arrays.zarr" / "id" / "c.0")
    found = faults(artifact)
    assert [fault.unit for fault in found] == [None, None, None]
    assert [fault.what.split(" cannot")[0] for fault in found] == [
        "array id",
        "file gone.txt is missing",
        "file changed.txt differs from its digest",
    ]
    assert {fault.artifact for fault in found} == {artifact.reference}


def test_finished_units_of_an_unfinished_artifact_are_checked(store):
    artifact = create(store)
    fill(artifact, [0, 1])
    assert faults(artifact) == []
    flip_a_bit(chunk(artifact, 0))
    assert [fault.unit for fault in faults(artifact)] == [0]
    reopen(artifact, {0})
    assert artifact.done() == {1}


@pytest.mark.parametrize("name", ["layout.json", "manifest.json"])
def test_a_file_that_cannot_be_read_is_a_fault_too(store, artifact, name):
    (artifact.path / name).write_text("{")
    found = faults(store.resolve("thing"))
    assert [(fault.artifact, fault.unit) for fault in found] == [(artifact.reference, None)]
    assert name.split(".")[0] in found[0].what
