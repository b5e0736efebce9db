"""Rename: one name goes, another comes; the id, the work and what was made from it stay."""

import pytest

from facelime_cli.store.references import Store
from tests.store.making import complete, create, fill, made_from
from tests.support import Facelime


@pytest.fixture
def run(tmp_path):
    return Facelime(tmp_path / "store")


@pytest.fixture
def store(run):
    return Store(run.store)


def test_a_name_is_replaced_and_the_id_stays(run, store):
    parts = complete(store, "parts", kind="segments")
    masks = complete(store, "chances", kind="masks", inputs=made_from(parts))
    answer = run.json("rename", "parts", "regions")
    assert (answer["artifact"], answer["replaced"], answer["names"]) == (parts.id, "parts", ["regions"])
    assert run("rename", "regions", "areas").stdout == f"{parts.id}\n"
    assert run.json("show", "areas")["artifact"] == parts.id
    assert "nothing called" in run.fails("show", "regions")
    assert [each.reference for each in masks.parents()] == [parts.reference]
    assert run("verify").exit_code == 0
    # Further artifacts take their names from the new one.
    assert store.stored("segments", parts.id).name == "areas"


def test_of_several_names_one_goes(run, store):
    parts = complete(store, "parts", kind="segments")
    store.name(parts, "regions")
    assert "several names, parts, regions" in run.fails("rename", parts.id, "areas")
    assert run.json("rename", "parts", "areas")["names"] == ["areas", "regions"]
    assert run.json("rename", parts.id, "cells", "--old", "regions")["names"] == ["areas", "cells"]
    assert run.json("rename", "areas", "zones", "--keep")["names"] == ["areas", "cells", "zones"]
    assert run.json("rename", "areas", "areas")["names"] == ["areas", "cells", "zones"]


def test_a_name_that_means_another_is_refused_or_told(run, store):
    parts, others = (complete(store, name, seed, kind="segments") for seed, name in enumerate(("parts", "others")))
    assert f"is the id of {others.reference}" in run.fails("rename", "parts", others.id)
    assert parts.names == ["parts"]
    said = run("rename", "parts", "others")
    assert (said.exit_code, said.stdout) == (0, f"{parts.id}\n")
    assert f"others is the name of {others.reference} too" in said.stderr


def test_work_goes_on_under_the_new_name(run, store, worker):
    """A shard holds the artifact: its folder stays where it is, and nothing of it is lost."""
    masks = create(store, "chances", kind="masks")
    with worker(masks.path), masks.work_on(0, print) as unit:
        assert run.json("rename", "chances", "better")["names"] == ["better"]
        unit.finish({"values": unit_values(unit)})
    fill(masks, [1, 2])
    masks.seal({})
    found = store.resolve("better")
    assert found.complete
    assert found.reference == masks.reference
    assert run("verify").exit_code == 0


def unit_values(unit):
    import numpy as np

    return np.full((unit.n, 5, 2), 0.5, np.float32)


def test_a_kill_between_leaves_both_names(run, store, monkeypatch):
    parts = complete(store, "parts", kind="segments")
    from facelime_cli.store import files

    def killed(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files, "sync", killed)
        with pytest.raises(KeyboardInterrupt):
            store.rename(parts, "parts", "regions")
    assert parts.names == ["parts", "regions"]
    assert run.json("rename", "parts", "regions")["names"] == ["regions"]
