"""Units: shards of whole units, commits that outlive a process, records."""

import json

import numpy as np
import pytest

from facelime_cli.errors import BusyError
from facelime_cli.store.artifacts import Artifact
from facelime_cli.store.units import runs, shard_of
from facelime_cli.store.verifying import faults
from tests.store.making import create, fill


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_shards_are_contiguous_whole_units(store, count):
    artifact = create(store)
    units = [unit for i in range(1, count + 1) for unit in artifact.shard(i, count)]
    assert units == [0, 1, 2]


def test_missing_shards(store):
    artifact = create(store)
    fill(artifact, [0, 2])
    assert artifact.missing_shards(3) == [2]
    assert artifact.missing_shards(1) == [1]
    fill(artifact, [1])
    # Nobody has sealed it: one shard has that left to do.
    assert artifact.missing_shards(3) == [3]
    assert artifact.missing_shards(9) == [9]
    artifact.seal({})
    assert artifact.missing_shards(3) == []


def test_a_shard_reads_no_record_but_its_own(store, monkeypatch):
    artifact = create(store)
    fill(artifact)
    read = []
    monkeypatch.setattr("facelime_cli.store.files.read_small", lambda path, *_: read.append(path.name) or b"{}")
    fresh = Artifact(store, artifact.path)
    fresh._layout = artifact.layout
    assert fresh.done_among([1]) == set()
    assert read == ["00001.json"]
    assert fresh.n_done == 3
    assert read == ["00001.json"]


def test_what_is_lacking_in_words(store):
    artifact = create(store, n=320)
    assert artifact.lacking([4]) == "unit 4 is missing"
    artifact.file("logs/1of5.jsonl").touch()
    assert artifact.lacking([0, 1, 4]) == "units 0 to 1, 4 are missing, of shards 1, 3 of 5"
    # Who divided the work otherwise makes the number of a shard ambiguous.
    artifact.file("logs/1of2.jsonl").touch()
    assert artifact.lacking([0]) == "unit 0 is missing"
    assert runs(range(0, 40, 2)) == "0, 2, 4, 6, 8, 10, 12, 14 and 12 more"


def test_how_many_shards_have_nothing_to_do(store):
    artifact = create(store)
    assert artifact.idle(3) == ""
    assert artifact.idle(4) == "1 of 4 shards has nothing to do, since there are 3 units of up to 32 pictures"
    assert artifact.idle(64).startswith("61 of 64 shards have nothing to do")


def test_commits_outlive_the_process_and_broken_ones_do_not_count(store):
    artifact = create(store)
    with artifact.work_on(0, print) as work:
        work.commit(np.array([0, 1, 5, 7]), np.ones((4, 2), np.float32))
        work.commit(np.array([8, 9]), np.full((2, 2), 2, np.float32))
        broken = next(work._folder.glob("000000008-*"))
    broken.write_bytes(broken.read_bytes()[:-3])
    with artifact.work_on(0, print) as work:
        kept = list(work.committed())
    assert [(places.tolist(), values.tolist()) for places, values in kept] == [([0, 1, 5, 7], [[1.0, 1.0]] * 4)]


def test_a_broken_record_is_work_to_do_again(store):
    artifact = create(store, "half", seed=5)
    fill(artifact, [0, 1])
    (artifact.path / "units" / "00000.json").write_text("{")
    assert artifact.done() == {1}
    fill(artifact, [0, 2])
    artifact.seal({})
    assert faults(artifact) == []


@pytest.mark.parametrize(("n_units", "count"), [(0, 3), (2, 5), (10, 3), (10, 10)])
def test_every_unit_is_in_one_shard_and_shards_are_even(n_units, count):
    shards = [shard_of(n_units, index, count) for index in range(1, count + 1)]
    assert [unit for shard in shards for unit in shard] == list(range(n_units))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_a_record_tells_rows_digests_and_facts(store):
    artifact = create(store)
    with artifact.work_on(2, print) as work:
        assert work.n == 6
        assert work.rows == slice(64, 70)
        work.finish({"values": np.zeros((6, 5, 2), np.float32)}, facts={"batch_size": 8})
        assert work.finished
    record = artifact.record(2)
    assert record["rows"] == [64, 70]
    assert len(record["pictures"]["values"]) == 6
    assert record["facts"] == {"batch_size": 8}
    assert artifact.record(0) is None


def test_a_finished_unit_keeps_no_commits_and_no_scratch(store):
    artifact = create(store)
    with artifact.work_on(0, print) as work:
        work.commit(np.array([0]), np.zeros((1, 2), np.float32))
        work.scratch("checkpoint").write_text("x")
        assert artifact.progress == "0 of 3 units done, 1 begun"
        work.finish({"values": np.zeros((32, 5, 2), np.float32)})
    assert list(artifact.committed(0)) == []
    assert artifact.progress == "1 of 3 units done"


def test_who_was_replaced_writes_nothing_more(store):
    artifact = create(store)
    with artifact.work_on(0, print) as work:
        held = work._claim.path
        later = held.with_suffix(f".{int(held.suffix[1:]) + 1}")
        later.write_text(json.dumps({"host": "node7", "pid": 1, "start": "1", "counter": 0}))
        with pytest.raises(BusyError):
            work.commit(np.array([0]), np.zeros((1, 2), np.float32))
        with pytest.raises(BusyError):
            work.finish({"values": np.zeros((32, 5, 2), np.float32)})
    assert artifact.done() == set()
    assert np.isnan(artifact.read("values")).all()


def test_a_unit_that_another_process_finished_is_not_handed_out(store):
    artifact = create(store)
    fill(artifact, [1])
    with artifact.work_on(1, print) as work:
        assert work is None
