"""One changed bit, anywhere: never another value, never a block for good, and mended where it can be."""

import json
import random
import shutil

import numpy as np
import pytest

from facelime_cli.errors import BrokenError, FacelimeError
from facelime_cli.store import claims
from facelime_cli.store.verifying import faults
from tests.store.making import create, fill
from tests.support import Facelime


def flip(path, number):
    """Flip one bit of a file, counted from its start."""
    data = bytearray(path.read_bytes())
    data[number // 8 % len(data)] ^= 1 << number % 8
    path.write_bytes(bytes(data))


def reads(artifact):
    """Return every array that can be read, and how many cannot."""
    values, refused = {}, 0
    for name in ("id", "values"):
        try:
            values[name] = artifact.read(name)
        except FacelimeError:
            refused += 1
    return values, refused


@pytest.mark.parametrize("file", ["zarr.json", "values/zarr.json", "id/zarr.json"])
def test_a_flipped_bit_of_the_metadata_is_refused(store, artifact, file):
    path = artifact.path / "arrays.zarr" / file
    kept = path.read_bytes()
    for number in random.Random(7).sample(range(len(kept) * 8), 40):
        flip(path, number)
        _, refused = reads(store.stored(artifact.kind, artifact.id))
        assert refused == (2 if file == "zarr.json" else 1)
        path.write_bytes(kept)
    assert reads(artifact)[1] == 0


def test_metadata_of_a_unit_in_work_is_refused_before_it_is_written_to(store):
    artifact = create(store)
    fill(artifact, [0])
    flip(artifact.path / "arrays.zarr" / "values" / "zarr.json", 900)
    with pytest.raises(BrokenError):
        fill(store.stored(artifact.kind, artifact.id), [1])


@pytest.mark.parametrize("harm", ["flip", "remove", "all gone"])
def test_metadata_is_mended(store, artifact, harm):
    before = artifact.read("values")
    folder = artifact.path / "arrays.zarr"
    path = folder / "values" / "zarr.json"
    if harm == "flip":
        flip(path, 1234)
    else:
        path.unlink()
    if harm == "all gone":
        for other in folder.rglob("zarr.json"):
            other.unlink()
    run = Facelime(store.root)
    assert run("verify").exit_code == 1
    answer = run.json("repair", artifact.id)
    assert answer["reopened"] == []
    assert "arrays.zarr/values/zarr.json is not what was written" in answer["mended"]
    assert run.json("verify")["faults"] == []
    assert np.array_equal(store.stored(artifact.kind, artifact.id).read("values"), before)


def without_metadata(artifact):
    """Make an artifact one of an earlier version, which kept no digest of its small files."""
    path = artifact.path / "layout.json"
    layout = json.loads(path.read_text())
    del layout["metadata"], layout["digest"]
    path.write_text(json.dumps(layout))
    return artifact.store.stored(artifact.kind, artifact.id)


def test_metadata_of_an_earlier_version_is_compared_with_its_layout(store):
    artifact = without_metadata(create(store))
    fill(artifact)
    artifact.seal({})
    assert faults(artifact) == []
    path = artifact.path / "arrays.zarr" / "values" / "zarr.json"
    kept = path.read_text()
    for old, new in (('"separator": "."', '"separator": "/"'), ("70", "71"), ("32", "33"), ("sample", "semple")):
        path.write_text(kept.replace(old, new, 1))
        with pytest.raises(BrokenError):
            store.stored(artifact.kind, artifact.id).read("values")
        assert faults(store.stored(artifact.kind, artifact.id))


def test_a_flipped_bit_of_a_record_opens_its_unit_and_seals_nothing_wrong(store):
    artifact = create(store)
    fill(artifact)
    path = artifact.path / "units" / "00001.json"
    kept = path.read_bytes()
    for number in random.Random(8).sample(range(len(kept) * 8), 60):
        flip(path, number)
        again = store.stored(artifact.kind, artifact.id)
        # Spaces between values say nothing: then the record holds what it held.
        if again.done() == {0, 1, 2}:
            assert json.loads(path.read_bytes()) == json.loads(kept)
        else:
            assert again.done() == {0, 2}
            with pytest.raises(FacelimeError, match="2 of 3 units done"):
                again.seal({})
        path.write_bytes(kept)
    flip(path, 2000)
    again = store.stored(artifact.kind, artifact.id)
    fill(again, [1])
    again.seal({})
    assert faults(again) == []


def test_a_damaged_claim_blocks_nobody_for_good(store, monkeypatch):
    monkeypatch.setattr(claims, "DAMAGED_SECONDS", 0.2)
    artifact = create(store)
    folder = artifact.path / "claims"
    for number, content in enumerate([b"", b"{", b"[]", b'{"host": 1}', b"\xff" * 100]):
        (folder / f"00000.{number + 1}").write_bytes(content)
    (folder / "00001.word").write_text("no claim")
    (folder / "1.1").write_text("no claim")
    (folder / ("9" * 200 + ".1")).write_text("no claim")
    (folder / "00002.7").mkdir()
    said = []
    for unit in range(3):
        with artifact.work_on(unit, said.append) as work:
            work.finish({"values": np.zeros((work.n, 5, 2), np.float32)})
    assert sum("cannot be read" in text for text in said) == 2
    artifact.refuse_if_busy()
    artifact.seal({})
    run = Facelime(store.root)
    assert run("verify").exit_code == 1
    run.json("repair", artifact.id)
    assert run.json("verify")["faults"] == []
    assert list(folder.glob("[0-9]*")) == []


def test_a_flipped_digit_of_a_claim_is_no_other_process(artifact):
    with claims.Claim.take(artifact.path / "claims", 0, print) as claim:
        assert claims.live_holder(artifact.path / "claims", 0)
        kept = claim.path.read_bytes()
        pid = str(json.loads(kept)["pid"]).encode()
        claim.path.write_bytes(kept.replace(pid, pid[:-1] + bytes([pid[-1] ^ 1]), 1))
        assert claims.read(claim.path) is None


def test_a_lost_manifest_is_seen_and_mended(store, artifact):
    before = artifact.content
    run = Facelime(store.root)
    lines = run("verify").stdout
    assert lines == "1 folder verified, 0 of them unfinished; every digest holds.\n"
    (artifact.path / "manifest.json").unlink()
    verified = run("verify")
    assert verified.exit_code == 1
    assert "was complete, but its manifest.json is gone" in verified.stderr
    assert "lost its manifest" in run.fails("export", artifact.id, "--to", store.root / "x.h5")
    assert "not complete" in run("repair", artifact.id).stdout
    again = store.stored(artifact.kind, artifact.id)
    assert again.done() == set()
    fill(again)
    again.seal({})
    assert again.content == before


@pytest.mark.usefixtures("artifact")
def test_an_unfinished_artifact_is_counted_and_no_fault(store):
    create(store, "begun", 3)
    answer = Facelime(store.root).json("verify")
    assert (answer["verified"], answer["unfinished"], answer["faults"]) == (2, 1, [])


@pytest.mark.parametrize("lost", ["names", "logs", "claims", "begun"])
def test_a_folder_that_a_copy_left_out_blocks_nobody(store, lost):
    artifact = create(store)
    shutil.rmtree(artifact.path / lost)
    fill(artifact)
    artifact.seal({})
    store.name(artifact, "again")
    assert "again" in artifact.names


def test_what_is_kept_beside_an_artifact_is_made_again_when_it_was_changed(artifact):
    made = []

    def make(folder):
        made.append(folder)
        (folder / "rates.json").write_text("{}")

    for _ in range(2):
        folder = artifact.kept({"measured": "rates"}, make)
    assert len(made) == 1
    flip(folder / "rates.json", 3)
    assert (artifact.kept({"measured": "rates"}, make) / "rates.json").read_text() == "{}"
    assert len(made) == 2
