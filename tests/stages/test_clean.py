"""Clean: it lists first, removes with --yes, and says what it cannot remove."""

import json
import os

from tests.store.test_temporary import of_another


def leave(artifact):
    """Leave a temporary file as a killed process does."""
    path = of_another(artifact.path / "logs" / "x.json", start="00000000")
    path.write_bytes(b"12345")
    return path


def test_it_lists_and_removes_only_when_that_is_asked_for(facelime, faces):
    data = facelime.artifact("preprocess", faces / "normal", "--size", 24)
    assert facelime.json("clean") == {"store": str(facelime.store), "found": [], "bytes": 0, "removed": 0}
    assert "nothing is left over" in facelime("clean").output
    left = leave(data)
    place = left.relative_to(facelime.store).as_posix()
    row = {
        "kind": "temporary",
        "path": place,
        "bytes": 5,
        "why": "its process is gone",
        "removable": True,
        "removed": False,
    }
    assert facelime.json("clean")["found"] == [row]
    listed = facelime("clean").output
    assert place in listed
    assert "5 B" in listed
    assert "clean --yes" in listed
    assert left.exists()
    answer = facelime.json("clean", "--yes")
    assert (answer["found"], answer["bytes"], answer["removed"]) == ([row | {"removed": True}], 5, 1)
    assert not left.exists()
    assert data.complete


def test_a_store_that_is_not_there_has_nothing_left_over(facelime):
    assert facelime.json("clean", "--yes")["found"] == []
    assert not facelime.store.exists()


def test_names_that_are_no_utf8_are_listed(facelime, faces):
    data = facelime.artifact("preprocess", faces / "normal", "--size", 24)
    (data.path / os.fsdecode(b"\xff")).symlink_to("nowhere")
    found = facelime.json("clean", "--yes")["found"]
    assert [(each["kind"], each["removed"]) for each in found] == [("symbolic link", False)]
    assert json.dumps(found).isascii()
    assert "kept" in facelime("clean").output


def test_an_artifact_that_lost_its_manifest_is_named_and_kept(facelime, faces):
    data = facelime.artifact("preprocess", faces / "normal", "--size", 24)
    (data.path / "manifest.json").unlink()
    (found,) = facelime.json("clean", "--yes", "--unfinished")["found"]
    assert (found["kind"], found["removed"]) == ("damaged artifact", False)
    assert "manifest.json is gone" in found["why"]
    assert data.path.exists()
