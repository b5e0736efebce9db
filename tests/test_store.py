"""The store: references, digests, units, sealing, broken bytes, claims."""

import json
import os
import subprocess
import sys
import time
from multiprocessing import get_context

import h5py
import numpy as np
import pytest

from facelime_cli.errors import (
    AmbiguousError,
    BrokenError,
    BusyError,
    FacelimeError,
    IncompleteError,
    NotFoundError,
    WrongKindError,
)
from facelime_cli.store import claims, digests, files
from facelime_cli.store.arrays import PART_BYTES, ArraySpec, Layout
from facelime_cli.store.artifacts import Identity
from facelime_cli.store.references import Store, check_name, name_from

N = 70


@pytest.fixture
def store(tmp_path):
    said = []
    store = Store(tmp_path / "store", said.append)
    store.said = said
    return store


def layout(n=N, **more):
    constants = {"id": (np.array([f"picture {i}" for i in range(n)], dtype=object), ("picture",))}
    return Layout(
        n,
        {
            "values": ArraySpec("float32", (n, 5, 2), ("picture", "sample", "class"), float("nan"), "probability"),
            **more,
        },
        constants,
        {"classes": ["a", "b"]},
    )


def create(store, name="thing", seed=0, kind="predictions", inputs=None, n=N, **more):
    return store.create(kind, name, Identity("predict", 1, {"seed": seed}, {}), inputs or {}, layout(n, **more))


def fill(artifact, units=None, value=0.5):
    for unit in range(artifact.n_units) if units is None else units:
        with artifact.work_on(unit, print) as work:
            work.finish({"values": np.full((work.n, 5, 2), value, np.float32)})


def complete(store, *args, **kwargs):
    artifact = create(store, *args, **kwargs)
    fill(artifact)
    artifact.seal({})
    return artifact


class TestReferences:
    def test_in_their_order(self, store):
        first, second = complete(store, "a"), complete(store, "b", seed=1)
        assert store.resolve(first.id).id == first.id
        assert store.resolve("b").id == second.id
        assert store.resolve(second.id[:-3]).id == second.id
        assert store.resolve(str(second.path)).id == second.id
        assert store.resolve(f"predictions/{first.id}").id == first.id

    def test_an_exact_name_wins_over_a_prefix(self, store):
        complete(store, "a-long")
        short = complete(store, "a", seed=1)
        assert store.resolve("a").id == short.id

    def test_the_newest_complete_one_of_a_name(self, store):
        complete(store, "a")
        newest = complete(store, "a", seed=1)
        create(store, "a", seed=2)
        assert store.resolve("a").id == newest.id
        assert any("2 complete artifacts are called a" in line for line in store.said)

    def test_an_ambiguous_prefix_lists_the_candidates(self, store):
        both = {complete(store, "abc").id, complete(store, "abd", seed=1).id}
        with pytest.raises(AmbiguousError) as why:
            store.resolve("ab")
        assert all(each in str(why.value) for each in both)

    def test_a_path_is_forced(self, store, monkeypatch):
        artifact = complete(store, "a")
        monkeypatch.chdir(artifact.path.parent)
        assert store.resolve(f"./{artifact.id}").id == artifact.id
        with pytest.raises(NotFoundError):
            store.resolve("./a")

    def test_a_path_into_another_store_is_refused(self, store, tmp_path):
        other = complete(Store(tmp_path / "elsewhere"), "a")
        with pytest.raises(NotFoundError, match="--store"):
            store.resolve(str(other.path))

    def test_an_exact_name_of_another_kind_is_not_the_beginning_of_an_id(self, store):
        complete(store, "xray", kind="datasets")
        complete(store, "xray-slic", seed=1, kind="masks")
        with pytest.raises(WrongKindError, match="datasets"):
            store.resolve("xray", ("masks",))

    def test_a_wrong_kind_is_named(self, store):
        artifact = complete(store, "a")
        for reference in ("a", f"predictions/{artifact.id}", str(artifact.path)):
            with pytest.raises(WrongKindError, match="predictions"):
                store.resolve(reference, ("models",))

    def test_names_are_checked(self):
        assert check_name("Rosacea_2-b.c+d") == "Rosacea_2-b.c+d"
        for bad in ("", "../a", "a/b", ".a", "a b", "a" * 101, "-a"):
            with pytest.raises(FacelimeError):
                check_name(bad)
        assert name_from("my faces (2)!") == "my-faces-2"
        assert name_from("...") == "artifact"


class TestUnits:
    def test_pending_is_nan_until_written(self, store):
        artifact = create(store)
        assert np.isnan(artifact.read("values")).all()
        fill(artifact, [1])
        values = artifact.read("values")
        assert np.isnan(values[:32]).all()
        assert (values[32:64] == 0.5).all()
        assert artifact.done() == {1}
        assert artifact.progress == "1 of 3 units done"

    def test_incomplete_is_refused(self, store):
        artifact = create(store)
        with pytest.raises(IncompleteError, match="0 of 3 units"):
            _ = artifact.manifest
        with pytest.raises(IncompleteError):
            artifact.seal({})

    def test_a_unit_is_one_file_per_array_and_few_inodes(self, store):
        artifact = create(store, images=ArraySpec("uint8", (N, 80, 80, 3), ("picture", "y", "x", "channel")))
        for unit in range(3):
            with artifact.work_on(unit, print) as work:
                work.finish(
                    {"values": np.zeros((work.n, 5, 2), np.float32), "images": np.zeros((work.n, 80, 80, 3), np.uint8)}
                )
        artifact.seal({})
        names = sorted(path.name for path in (artifact.path / "arrays.zarr" / "images").iterdir())
        assert names == ["c.0.0.0.0", "c.1.0.0.0", "c.2.0.0.0", "zarr.json"]
        assert not (artifact.path / "units").exists()

    def test_units_keep_every_part_under_the_limit(self, store):
        wide = create(store, n=40, wide=ArraySpec("float32", (40, 1000, 1000), ("picture", "sample", "class")))
        assert wide.rows(0) == slice(0, PART_BYTES // 4_000_000)
        huge = create(store, seed=1, n=2, huge=ArraySpec("float32", (2, 40000, 1000), ("picture", "sample", "class")))
        chunks = huge._group("r")["huge"].shards
        assert huge.rows(1) == slice(1, 2)
        assert chunks[0] == 1
        assert chunks[1] * 4000 <= PART_BYTES

    @pytest.mark.parametrize("count", [1, 2, 3, 5])
    def test_shards_are_contiguous_whole_units(self, store, count):
        artifact = create(store)
        units = [unit for i in range(1, count + 1) for unit in artifact.shard(i, count)]
        assert units == [0, 1, 2]

    def test_missing_shards(self, store):
        artifact = create(store)
        fill(artifact, [0, 2])
        assert artifact.missing_shards(3) == [2]
        assert artifact.missing_shards(1) == [1]
        fill(artifact, [1])
        assert artifact.missing_shards(3) == []

    def test_commits_outlive_the_process_and_broken_ones_do_not_count(self, store):
        artifact = create(store)
        with artifact.work_on(0, print) as work:
            work.commit(np.array([0, 1, 5, 7]), np.ones((4, 2), np.float32))
            work.commit(np.array([8, 9]), np.full((2, 2), 2, np.float32))
            broken = next(work._folder.glob("000000008-*"))
        broken.write_bytes(broken.read_bytes()[:-3])
        with artifact.work_on(0, print) as work:
            kept = list(work.committed())
        assert [(places.tolist(), values.tolist()) for places, values in kept] == [([0, 1, 5, 7], [[1.0, 1.0]] * 4)]


class TestDigests:
    def test_independent_of_unit_and_of_layout(self, store):
        values = np.arange(N * 10, dtype=np.float32).reshape(N, 5, 2)
        found = set()
        for seed, unit in enumerate((32, 7, 1)):
            artifact = store.create(
                "predictions",
                "a",
                Identity("predict", 1, {"seed": seed}, {}),
                {},
                Layout(N, layout().arrays, layout().constants, {}, unit),
            )
            for index in range(artifact.n_units):
                with artifact.work_on(index, print) as work:
                    work.finish({"values": values[work.rows]})
            artifact.seal({})
            found.add((artifact.manifest["arrays"]["values"]["digest"], artifact.content))
        assert len(found) == 1
        assert next(iter(found))[0] == digests.of_array(values)

    def test_dtype_shape_and_order_count(self):
        base = np.arange(6, dtype=np.int32).reshape(2, 3)
        assert (
            digests.of_array(base) == digests.of_array(np.asfortranarray(base)) == digests.of_array(base.astype(">i4"))
        )
        others = [base.astype(np.int64), base.reshape(2, 1, 3), base[::-1], base.astype(np.uint32)]
        assert len({digests.of_array(each) for each in [base, *others]}) == 5

    def test_texts_do_not_run_together(self):
        assert digests.of_array(np.array([["ab", "c"]], dtype=object)) != digests.of_array(
            np.array([["a", "bc"]], dtype=object)
        )

    def test_fingerprint(self):
        base = Identity("segment", 1, {"a": 1, "b": None}, {"dataset": "00"})
        assert base.fingerprint == Identity("segment", 1, {"b": None, "a": 1}, {"dataset": "00"}).fingerprint
        others = [
            Identity("perturb", 1, base.parameters, base.inputs),
            Identity("segment", 2, base.parameters, base.inputs),
            Identity("segment", 1, {"a": 2, "b": None}, base.inputs),
            Identity("segment", 1, base.parameters, {"dataset": "01"}),
        ]
        assert len({each.fingerprint for each in [base, *others]}) == 5


class TestBroken:
    @pytest.fixture
    def artifact(self, store):
        return complete(store)

    def chunk(self, artifact, unit=1):
        return artifact.path / "arrays.zarr" / "values" / f"c.{unit}.0.0"

    def test_sound(self, artifact):
        assert list(artifact.faults()) == []

    @pytest.mark.parametrize("harm", ["flip", "cut", "empty", "missing"])
    def test_a_broken_chunk_is_named_and_mended_by_unit(self, artifact, harm):
        path = self.chunk(artifact)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        if harm == "missing":
            path.unlink()
        else:
            path.write_bytes({"flip": bytes(data), "cut": bytes(data[:-6]), "empty": b""}[harm])
        faults = list(artifact.faults())
        assert [(fault.unit, "values" in fault.what) for fault in faults] == [(1, True)]
        before = artifact.content
        artifact.reopen({1})
        assert not artifact.complete
        assert artifact.done() == {0, 2}
        fill(artifact, [1])
        artifact.seal({})
        assert artifact.content == before
        assert list(artifact.faults()) == []

    def test_reading_a_flipped_bit_is_a_sentence(self, artifact):
        path = self.chunk(artifact)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes(bytes(data))
        with pytest.raises(BrokenError, match=r"`values` of predictions/.*facelime verify"):
            artifact.read("values")

    def test_a_missing_file_is_never_read_as_the_fill_value(self, artifact):
        self.chunk(artifact).unlink()
        assert artifact.read("values", slice(0, 32)).shape == (32, 5, 2)
        for rows in (None, slice(30, 40), [0, 63]):
            with pytest.raises(BrokenError, match=r"c\.1\.0\.0 is missing"):
                artifact.read("values", rows)

    @pytest.mark.parametrize("rows", [[], [5], [0, 1, 2], [31, 32], [69, 3, 4, 4, 40], list(range(N))])
    def test_chosen_pictures_are_read_in_their_order(self, store, rows):
        artifact = create(store, "chosen", large=ArraySpec("uint8", (N, 150, 150), ("picture", "y", "x")))
        values = {
            "values": np.arange(N * 10, dtype=np.float32).reshape(N, 5, 2),
            "large": np.arange(N * 150 * 150, dtype=np.uint32).astype(np.uint8).reshape(N, 150, 150),
        }
        for unit in range(artifact.n_units):
            with artifact.work_on(unit, print) as work:
                work.finish({name: each[work.rows] for name, each in values.items()})
        artifact.seal({})
        for name, each in values.items():
            found = artifact.read(name, rows)
            assert found.dtype == each.dtype
            assert np.array_equal(found, each[rows])
        assert artifact.read("id", rows).tolist() == [f"picture {row}" for row in rows]

    @pytest.mark.parametrize("text", [None, "{", "{}", "[]"])
    def test_a_broken_layout_hides_and_blocks_nothing(self, store, artifact, text):
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

    def test_a_changed_layout_is_noticed(self, store, artifact):
        path = artifact.path / "layout.json"
        changed = json.loads(path.read_text()) | {"unit_pictures": 16}
        path.write_text(json.dumps(changed))
        with pytest.raises(BrokenError, match="sealed with"):
            _ = store.resolve("thing").layout

    def test_a_broken_record_is_work_to_do_again(self, store):
        artifact = create(store, "half", seed=5)
        fill(artifact, [0, 1])
        (artifact.path / "units" / "00000.json").write_text("{")
        assert artifact.done() == {1}
        fill(artifact, [0, 2])
        artifact.seal({})
        assert list(artifact.faults()) == []

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"digest": "00"}'])
    def test_a_broken_manifest_is_a_sentence(self, store, artifact, text):
        (artifact.path / "manifest.json").write_text(text)
        with pytest.raises(BrokenError):
            _ = store.resolve("thing").manifest

    def test_a_changed_manifest_is_noticed(self, store, artifact):
        path = artifact.path / "manifest.json"
        manifest = json.loads(path.read_text())
        manifest["parameters"]["seed"] = 1
        path.write_text(json.dumps(manifest))
        with pytest.raises(BrokenError, match="own digest"):
            _ = store.resolve("thing").manifest

    def test_broken_array_metadata_is_a_sentence(self, artifact):
        (artifact.path / "arrays.zarr" / "values" / "zarr.json").write_text("{")
        with pytest.raises(BrokenError):
            artifact.read("values")


class TestMaking:
    def test_who_loses_the_race_uses_the_winners(self, store):
        winner = create(store)
        fill(winner, [0])
        assert create(store).done() == {0}
        assert [path.name for path in (store.root / "predictions").iterdir() if not path.name.startswith(".")] == [
            winner.id
        ]

    def test_one_fingerprint_is_one_artifact_whatever_it_is_called(self, store):
        first, second = create(store, "a"), create(store, "b")
        assert first.id == second.id
        store.remove(first)
        assert create(store, "b").id.startswith("b-")

    def test_an_existing_root_keeps_its_mode_with_a_warning(self, store):
        store.root.mkdir(mode=0o755)
        store.root.chmod(0o755)
        create(store)
        assert store.root.stat().st_mode & 0o777 == 0o755
        assert any("chmod 700" in line for line in store.said)

    def test_a_store_that_cannot_be_written_is_a_sentence(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(FacelimeError, match="cannot be written"):
            create(Store(tmp_path / "file"))

    def test_removing_is_refused_to_nobody_but_dependents_are_known(self, store):
        base = complete(store, "a")
        later = complete(
            store, "b", seed=1, inputs={"masks": {"kind": base.kind, "id": base.id, "digest": base.content}}
        )
        assert [each.id for each in store.dependents(base)] == [later.id]
        assert store.dependents(later) == []
        store.remove(later)
        assert not later.path.exists()


def take(folder, done, release):
    with claims.Claim.take(folder, 0, lambda _: None):
        done.set()
        release.wait(30)


def holder(folder):
    """Start a process that holds unit 0; the event makes it let go."""
    context = get_context("spawn")
    done, release = context.Event(), context.Event()
    process = context.Process(target=take, args=(folder, done, release))
    process.start()
    assert done.wait(30)
    return process, release


class TestClaims:
    @pytest.fixture
    def folder(self, tmp_path):
        (tmp_path / "claims").mkdir()
        return tmp_path / "claims"

    def test_a_live_process_is_named(self, folder):
        other, release = holder(folder)
        try:
            with pytest.raises(BusyError, match=f"process {other.pid}"):
                claims.Claim.take(folder, 0, lambda _: None)
            assert claims.live_holder(folder, 0)["pid"] == other.pid
        finally:
            release.set()
            other.join()
        with claims.Claim.take(folder, 0, lambda _: None):
            assert len(list(folder.iterdir())) == 1
        assert list(folder.iterdir()) == []

    def test_a_killed_process_is_taken_over_at_once(self, folder):
        other, _ = holder(folder)
        other.kill()
        other.join()
        begun = time.monotonic()
        with claims.Claim.take(folder, 0, lambda _: None) as claim:
            assert [path.name for path in folder.iterdir()] == [claim.path.name]
        assert time.monotonic() - begun < 5

    def test_a_process_number_used_again_is_not_the_same_process(self, folder):
        files.write_json(
            folder / "00000.1",
            {"host": claims.this_host(), "pid": os.getpid(), "start": "before this one", "counter": 0},
        )
        with claims.Claim.take(folder, 0, lambda _: None):
            pass

    def elsewhere(self, folder, counter):
        files.write_json(
            folder / "00000.1", {"host": "node7/x", "pid": 1, "start": "1", "counter": counter}, durable=False
        )

    def test_a_silent_other_host_is_taken_over_after_listening(self, folder):
        self.elsewhere(folder, 3)
        said = []
        with claims.Claim.take(folder, 0, said.append, silence_seconds=0.4):
            pass
        assert "node7" in said[0]

    def test_a_beating_other_host_is_refused(self, folder):
        self.elsewhere(folder, 3)
        code = f"""
import time, pathlib
from facelime_cli import files
for counter in range(4, 40):
    time.sleep(0.2)
    files.write_json(pathlib.Path({str(folder / "00000.1")!r}), {{"host": "node7/x", "pid": 1, "start": "1", "counter": counter}}, durable=False)
"""
        beating = subprocess.Popen([sys.executable, "-c", code])
        try:
            with pytest.raises(BusyError, match="process 1 on node7"):
                claims.Claim.take(folder, 0, lambda _: None, silence_seconds=20)
        finally:
            beating.kill()
            beating.wait()

    def test_who_was_taken_over_notices(self, folder):
        with claims.Claim.take(folder, 0, lambda _: None) as claim:
            files.write_json(
                claim.path.with_suffix(f".{int(claim.path.suffix[1:]) + 1}"),
                {"host": "node7", "pid": 1, "start": "1", "counter": 0},
            )
            with pytest.raises(BusyError, match="taken over"):
                claim.check()


@pytest.mark.parametrize(
    "stage", ["preprocess", "finetune", "segment", "perturb", "predict", "fit-surrogate", "render"]
)
def test_every_kind_exports_to_hdf5(chain, tmp_path, stage):
    chain.facelime.json("export", chain.reference(stage), "--to", tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as out:
        for name, spec in chain[stage].layout["arrays"].items():
            stored = chain[stage].read(name)
            found = out[name].asstr()[:] if spec["dtype"] == "string" else out[name][:]
            assert np.array_equal(
                found,
                stored.astype(object) if spec["dtype"] == "string" else stored,
                **({} if spec["dtype"] == "string" else {"equal_nan": True}),
            )


def test_hdf5_is_self_describing(chain, tmp_path):
    artifact = chain["predict"]
    chain.facelime.json("export", chain.reference("predict"), "--to", tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as out:
        assert np.array_equal(out["probabilities"][:], artifact.read("probabilities"), equal_nan=True)
        assert [each.label for each in out["probabilities"].dims] == ["picture", "sample", "class"]
        assert out["probabilities"].dims[1][0].shape == (90,)
        assert [text.decode() for text in out["id"][:]] == artifact.texts("id")
        assert json.loads(out["manifest"][()])["content"] == artifact.content
        kinds = {each["stage"] for each in json.loads(out["lineage"][()])}
        assert kinds == {"preprocess", "finetune", "segment", "perturb"}


def test_a_model_exports_too(chain, tmp_path):
    chain.facelime.json("export", "models/small", "--to", tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as out:
        assert bytes(out["files/model.keras"][:]) == (chain["finetune"].path / "model.keras").read_bytes()
