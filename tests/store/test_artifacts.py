"""An artifact: its fingerprint, what it was made from, and that it is refused while it is not complete."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from facelime_cli.errors import BrokenError, IncompleteError, NotFoundError
from facelime_cli.store import arrays
from facelime_cli.store.artifacts import lineage, standing
from facelime_cli.store.manifests import Identity
from facelime_cli.store.references import Store
from tests.store.making import complete, create, fill


def test_fingerprint():
    base = Identity("segment", 1, {"a": 1, "b": None}, {"dataset": "00"})
    assert base.fingerprint == Identity("segment", 1, {"b": None, "a": 1}, {"dataset": "00"}).fingerprint
    others = [
        Identity("perturb", 1, base.parameters, base.inputs),
        Identity("segment", 2, base.parameters, base.inputs),
        Identity("segment", 1, {"a": 2, "b": None}, base.inputs),
        Identity("segment", 1, base.parameters, {"dataset": "01"}),
    ]
    assert len({each.fingerprint for each in [base, *others]}) == 5


def test_incomplete_is_refused(store):
    artifact = create(store)
    with pytest.raises(IncompleteError, match="0 of 3 units"):
        _ = artifact.manifest
    with pytest.raises(IncompleteError):
        artifact.seal({})


def origin(artifact):
    return {"kind": artifact.kind, "id": artifact.id, "digest": artifact.content}


@pytest.fixture
def family(store):
    """A dataset, a model of another dataset, segments and masks of the first, and predictions of both."""
    dataset = complete(store, "faces", kind="datasets")
    other = complete(store, "xrays", seed=1, kind="datasets")
    model = complete(store, "net", kind="models", inputs={"dataset": origin(other)})
    segments = complete(store, "parts", kind="segments", inputs={"dataset": origin(dataset)})
    masks = complete(store, "masks", kind="masks", inputs={"segments": origin(segments), "file": {"digest": "00"}})
    predictions = complete(store, "answers", inputs={"masks": origin(masks), "model": origin(model)})
    return {each.name: each for each in (dataset, other, model, segments, masks, predictions)}


def test_the_nearest_input_of_a_kind(family):
    predictions = family["answers"]
    assert predictions.input("segments").id == family["parts"].id
    assert predictions.input("segments").input("datasets").id == family["faces"].id
    assert family["masks"].input("datasets").id == family["faces"].id
    # The model's dataset is nearer than the masks'.
    assert predictions.input("datasets").id == family["xrays"].id
    with pytest.raises(NotFoundError, match="not made from any of surrogates"):
        predictions.input("surrogates")


def test_two_inputs_of_a_kind_at_one_distance_are_refused(family, store):
    both = {name: origin(family[name]) for name in ("faces", "xrays")}
    with pytest.raises(BrokenError, match="several datasets"):
        complete(store, "both", seed=7, inputs=both).input("datasets")


def test_parents_and_lineage(family, store):
    predictions = family["answers"]
    assert [each.id for each in predictions.parents()] == [family["masks"].id, family["net"].id]
    # The file from outside the store is no parent.
    assert [each.id for each in family["masks"].parents()] == [family["parts"].id]
    wanted = ["masks", "net", "parts", "xrays", "faces"]
    assert [each.name for each in lineage(predictions)] == wanted
    store.remove(family["xrays"])
    with pytest.raises(NotFoundError, match="is gone"):
        lineage(predictions)


def test_what_a_process_keeps_beside_is_made_once_and_whole(artifact):
    made = []

    def make(folder):
        made.append(folder)
        (folder / "converted").write_text("x")

    def broken(folder):
        (folder / "half").write_text("x")
        raise ValueError("no space")

    with pytest.raises(ValueError, match="no space"):
        artifact.kept({"runtime": "onnx"}, broken)
    first = artifact.kept({"runtime": "onnx"}, make)
    assert sorted(path.name for path in first.iterdir()) == ["converted", "digests.json"]
    assert artifact.kept({"runtime": "onnx"}, make) == first
    assert artifact.kept({"runtime": "openvino"}, make) != first
    assert len(made) == 2


def keep_slowly(root, artifact_id, start):
    """Keep something of an artifact as a process of its own, which notes who made it."""

    def make(folder):
        with (root / "made").open("a") as stream:
            stream.write(f"{os.getpid()}\n")
        time.sleep(0.3)
        (folder / "converted").write_text("x")

    start.wait(60)
    said = []
    Store(root).stored("predictions", artifact_id).kept({"measured": "x"}, make, say=said.append)
    with (root / "said").open("a") as stream:
        stream.write(f"{len(said)}\n")


@pytest.mark.long
def test_of_many_processes_one_makes_what_is_kept(store):
    made = complete(store)
    context = get_context("spawn")
    start = context.Event()
    processes = [context.Process(target=keep_slowly, args=(store.root, made.id, start)) for _ in range(4)]
    for each in processes:
        each.start()
    start.set()
    for each in processes:
        each.join(120)
    assert [each.exitcode for each in processes] == [0] * 4
    assert len((store.root / "made").read_text().splitlines()) == 1
    assert len((store.root / "said").read_text().splitlines()) == 4
    assert not list((made.path / "claims").glob("[0-9]*"))


def test_of_many_threads_one_makes_what_is_kept_and_the_others_say_that_they_wait(store):
    complete(store, "one")
    made, said, begun = [], [], threading.Event()

    def make(folder):
        made.append(folder)
        begun.set()
        time.sleep(0.2)
        (folder / "converted").write_text("x")

    def keep(number):
        if number:
            begun.wait(30)
        return store.resolve("one").kept({"measured": "x"}, make, say=said.append)

    with ThreadPoolExecutor(3) as threads:
        found = set(threads.map(keep, range(3)))
    assert len(found) == len(made) == 1
    assert said == ["another process is making what this one needs too; waiting for it."] * 2


def test_who_waits_makes_it_when_the_first_fails(store):
    complete(store, "one")
    begun = threading.Event()

    def broken(_folder):
        begun.set()
        time.sleep(0.1)
        raise ValueError("no space")

    def keep(make):
        if make is not broken:
            begun.wait(30)
        return store.resolve("one").kept({"measured": "x"}, make)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(keep, broken)
        second = threads.submit(keep, lambda folder: (folder / "converted").write_text("x"))
        with pytest.raises(ValueError, match="no space"):
            first.result()
    assert (second.result() / "converted").read_text() == "x"


def test_short_arrays_are_read_once_and_nobody_can_change_them(store, monkeypatch):
    artifact = complete(store)
    opened = []
    whole = arrays.read_array
    monkeypatch.setattr(arrays, "read_array", lambda *given: opened.append(given[0].name) or whole(*given))
    for unit in range(artifact.n_units):
        assert artifact.texts("id", artifact.rows(unit))[0] == f"picture {32 * unit}"
        artifact.read("values", artifact.rows(unit))
    assert opened.count("id") == 1
    assert opened.count("values") == artifact.n_units
    artifact.read("id")[:] = "changed"
    artifact.read("id", slice(0, 3))[:] = "changed"
    assert artifact.texts("id", [3, 1]) == ["picture 3", "picture 1"]
    assert artifact.texts("id", [69, 0])[1] == "picture 0"
    assert len(artifact.read("id", [])) == 0
    assert artifact.read("id", []).dtype == artifact.read("id").dtype
    assert np.array_equal(artifact.read("id"), [f"picture {row}" for row in range(70)])


def test_it_answers_for_itself(store):
    artifact = create(store)
    assert artifact.untouched
    assert artifact.reference == f"predictions/{artifact.id}"
    assert (artifact.stage, artifact.version, artifact.parameters) == ("predict", 1, {"seed": 0})
    assert artifact.arrays == ["id", "values"]
    assert artifact.filled_by_units() == ["values"]
    assert artifact.has("values")
    assert not artifact.has("nothing")
    assert artifact.shape("values") == (70, 5, 2)
    assert artifact.unit_facts(0) == {}
    before = artifact.n_bytes
    artifact.file("notes/a.txt").write_text("seven b")
    assert artifact.n_bytes == before + 7
    fill(artifact, [0])
    assert not artifact.untouched
    assert artifact.facts_of_units() == [{}]


def test_how_it_stands_in_words(store):
    artifact = create(store)
    fill(artifact, [0])
    assert standing(artifact)["state"] == "1 of 3 units done"
    fill(artifact, [1, 2])
    artifact.seal({})
    told = standing(store.resolve("thing"))
    assert told["state"] == "complete"
    assert told["pictures"] == 70
    assert told["bytes"] == artifact.n_bytes
    (artifact.path / "manifest.json").write_text("{}")
    told = standing(store.resolve("thing"))
    assert told["state"].startswith("damaged: ")
    assert told["complete"] is False
