"""The layout and the manifest: digests that do not depend on units, and files that were changed or broken."""

import json

import numpy as np
import pytest

from facelime_cli.errors import BrokenError
from facelime_cli.store import digests
from tests.store.making import N, complete, create, fill, finish


def test_independent_of_unit_and_of_layout(store):
    values = np.arange(N * 10, dtype=np.float32).reshape(N, 5, 2)
    found = set()
    for seed, unit_pictures in enumerate((32, 7, 1)):
        artifact = finish(create(store, seed=seed, unit_pictures=unit_pictures), {"values": values})
        assert artifact.n_units == -(-N // unit_pictures)
        found.add((artifact.manifest["arrays"]["values"]["digest"], artifact.content))
    assert len(found) == 1
    assert next(iter(found))[0] == digests.of_array(values)


@pytest.mark.parametrize("text", [None, "{", "{}", "[]"])
def test_a_broken_layout_hides_and_blocks_nothing(store, artifact, text):
    other = complete(store, "other", seed=9)
    path = artifact.path / "layout.json"
    path.unlink()
    if text is not None:
        path.write_text(text)
    broken = store.stored("predictions", artifact.id)
    with pytest.raises(BrokenError, match="facelime remove"):
        _ = broken.layout
    assert store.resolve("other").manifest
    store.remove(other)
    store.remove(broken)
    assert store.artifacts() == []


def test_a_changed_layout_is_noticed(store, artifact):
    path = artifact.path / "layout.json"
    changed = json.loads(path.read_text()) | {"unit_pictures": 16}
    path.write_text(json.dumps(changed))
    with pytest.raises(BrokenError, match="own digest"):
        _ = store.resolve("thing").layout
    # Whoever writes the digest anew too is found out by the manifest.
    del changed["digest"]
    path.write_text(json.dumps(changed | {"digest": digests.of_value(changed)}))
    with pytest.raises(BrokenError, match="sealed with"):
        _ = store.resolve("thing").layout


@pytest.mark.parametrize("text", ["", "{", "[]", '{"digest": "00"}'])
def test_a_broken_manifest_is_a_sentence(store, artifact, text):
    (artifact.path / "manifest.json").write_text(text)
    with pytest.raises(BrokenError):
        _ = store.resolve("thing").manifest


def test_a_changed_manifest_is_noticed(store, artifact):
    path = artifact.path / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["parameters"]["seed"] = 1
    path.write_text(json.dumps(manifest))
    with pytest.raises(BrokenError, match="own digest"):
        _ = store.resolve("thing").manifest


def test_the_manifest_tells_what_units_and_stage_noted(store):
    artifact = create(store)
    for unit in range(artifact.n_units):
        with artifact.work_on(unit, print) as work:
            artifact.file(f"figures/{unit}.txt").write_text("drawn")
            parts = {"values": np.zeros((work.n, 5, 2), np.float32)}
            work.finish(parts, made=[f"figures/{unit}.txt"], facts={"number": unit})
    artifact.file("whole.txt").write_text("all")
    artifact.seal({"classes": ["c"], "more": 1}, ["whole.txt"])
    manifest = artifact.manifest
    assert [unit["facts"] for unit in manifest["units"]] == [{"number": 0}, {"number": 1}, {"number": 2}]
    assert artifact.unit_facts(40) == {"number": 1}
    assert set(manifest["files"]) == {"figures/0.txt", "figures/1.txt", "figures/2.txt", "whole.txt"}
    assert manifest["files"]["whole.txt"] == digests.of_bytes(b"all")
    assert artifact.facts == {"classes": ["c"], "more": 1}
    assert manifest["seed"] == 0


def test_classes_count_as_content_and_other_facts_do_not(store):
    contents = []
    for seed, facts in enumerate(({}, {"more": 1}, {"classes": ["b", "a"]})):
        artifact = create(store, seed=seed)
        fill(artifact)
        artifact.seal(facts)
        contents.append(artifact.content)
    assert contents[0] == contents[1] != contents[2]
