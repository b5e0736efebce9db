"""Units: shards of whole units, commits that outlive a process, records."""

import json

import numpy as np
import pytest

from facelime_cli.errors import BusyError
from facelime_cli.store.units import shard_of
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
    assert artifact.missing_shards(3) == []


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
