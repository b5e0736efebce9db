"""What killed commands leave is found and removed; what anybody may still use stays."""

import json
import os
import subprocess
import sys

import pytest

from facelime_cli.errors import BusyError, FacelimeError
from facelime_cli.store import cleaning, presence, temporary
from facelime_cli.store.processes import process_start, this_host
from tests.store.making import complete, create, fill
from tests.store.test_temporary import make_old, of_another


def found(store, **options):
    """Return what would be removed: what it is, by its path in the store."""
    every = cleaning.found_in(store, **options)
    return {str(each.path.relative_to(store.root)): each.kind for each in every if each.removable}


def kept(store, **options):
    every = cleaning.found_in(store, **options)
    return {str(each.path.relative_to(store.root)): (each.kind, each.why) for each in every if not each.removable}


def remove_all(store, **options):
    for each in cleaning.found_in(store, **options):
        if each.removable:
            cleaning.remove(store, each)


def files_of(store):
    return sorted(str(path.relative_to(store.root)) for path in store.root.rglob("*"))


def claim_of(artifact, unit=0, **changed):
    """Write a claim as a process does, by default as this one does."""
    me = {"host": this_host(), "pid": os.getpid(), "start": process_start(os.getpid()), "counter": 0}
    path = artifact.path / "claims" / f"{unit:05d}.17"
    path.write_text(json.dumps(me | changed))
    return path


@pytest.fixture
def left(store):
    """An artifact as a killed process leaves it: laid out, with a mark of that process."""

    def make(*args, **kwargs):
        artifact = create(store, *args, **kwargs)
        for mark in (artifact.path / "claims").iterdir():
            mark.rename(of_another(artifact.path / "claims" / "at-work", start="00000000"))
        return artifact

    return make


def test_a_whole_store_has_nothing_to_clean(store):
    assert cleaning.found_in(store) == []
    with presence.attended(complete(store).path):
        pass
    before = files_of(store)
    assert cleaning.found_in(store) == []
    assert files_of(store) == before


def test_everything_that_a_dead_process_leaves_is_found_and_removed(store, left):
    artifact = complete(store)
    with presence.attended(artifact.path):
        pass
    clean = files_of(store)
    never = left(seed=1)
    place, dead = artifact.path.parent, {"start": "00000000"}
    of_another(place / "laying", **dead).mkdir()
    of_another(place / "removing-thing-12345678", **dead).mkdir()
    of_another(place / ".ids" / "agreed", **dead).touch()
    of_another(store.root / ".salt", **dead).touch()
    of_another(artifact.path / "layout.json", **dead).touch()
    (artifact.path / "arrays.zarr" / "values" / f"c.0.{'a' * 32}.partial").touch()
    (artifact.path / "kept").mkdir()
    of_another(artifact.path / "kept" / ("b" * 64), **dead).mkdir()
    claim_of(artifact, start="before")
    for name in ("begun", "units"):
        (artifact.path / name / "00000").mkdir(parents=True)
    (place / ".ids" / ("f" * 64)).write_text("thing-ffffffff")
    kinds = set(found(store).values())
    assert kinds == {
        "temporary",
        "half-removed artifact",
        "claim",
        "scratch",
        "agreed id",
        "never-finished artifact",
    }
    assert found(store)[f"predictions/{never.id}"] == "never-finished artifact"
    remove_all(store)
    (artifact.path / "kept").rmdir()
    assert files_of(store) == clean


def test_what_this_process_uses_stays(store):
    artifact = create(store)
    with presence.attended(artifact.path), artifact.work_on(0, print) as unit:
        unit.scratch("state.npz").touch()
        (artifact.path / "arrays.zarr" / f"c.0.{'a' * 32}.partial").touch()
        temporary.beside(artifact.path.parent / "laying").mkdir()
        (artifact.path.parent / ".ids" / ("f" * 64)).write_text("thing-ffffffff")
        assert found(store) == {}


def test_what_a_process_that_has_claimed_nothing_yet_is_about_to_use_stays(store):
    words = "import sys, time; from pathlib import Path; from facelime_cli.store import presence;"
    words += "presence.show(Path(sys.argv[1])); print('ready', flush=True); sys.stdin.read()"
    artifact = create(store)
    with presence.attended(artifact.path):
        pass
    command = [sys.executable, "-c", words, str(artifact.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "ready\n"
        assert found(store) == {}
        with pytest.raises(BusyError, match=f"process {other.pid} works on"):
            store.remove(artifact)
        other.kill()
        other.wait()
    assert found(store) == {f"predictions/{artifact.id}": "never-finished artifact"}


def test_another_machine_counts_as_alive_for_a_day(store, left):
    artifact = left()
    claim = claim_of(artifact, host="elsewhere")
    # Its mark is of a dead process of this machine; its claim is not.
    assert list(found(store).values()) == ["temporary"]
    make_old(claim)
    assert found(store) == {f"predictions/{artifact.id}": "never-finished artifact"}


def test_finished_work_is_removed_only_when_that_is_asked_for(store, left):
    artifact = left()
    fill(artifact, [0])
    (artifact.path / "begun" / "00000").mkdir()
    place = f"predictions/{artifact.id}"
    assert kept(store)[place][0] == "unfinished artifact"
    assert "1 of 3 units done, 1 begun" in kept(store)[place][1]
    assert found(store)[f"{place}/begun/00000"] == "scratch"
    remove_all(store)
    assert artifact.done() == {0}
    assert found(store, unfinished=True) == {place: "unfinished artifact"}
    remove_all(store, unfinished=True)
    assert not artifact.path.exists()


def test_what_another_was_made_from_stays(store):
    base = complete(store, "a")
    with presence.attended(base.path):
        pass
    complete(store, "b", seed=1, inputs={"masks": {"kind": base.kind, "id": base.id, "digest": base.content}})
    # As `repair` opens it again, when every unit is broken.
    base.unseal()
    (base.path / "units").mkdir(exist_ok=True)
    assert base.untouched
    for options in ({}, {"unfinished": True}):
        assert f"predictions/{base.id}" not in found(store, **options)
        assert "others were made from it" in kept(store, **options)[f"predictions/{base.id}"][1]


@pytest.mark.parametrize("age", ["new", "old"])
def test_shared_scratch_survives_a_kill_for_a_day(store, age):
    scratch = store.scratch("predictions", "key")
    (scratch / "measures").touch()
    if age == "old":
        make_old(scratch)
    assert found(store) == ({"predictions/.before-key": "scratch"} if age == "old" else {})


def test_links_are_named_and_not_followed(store, tmp_path):
    artifact = complete(store)
    with presence.attended(artifact.path):
        pass
    outside = tmp_path / "outside"
    (outside / "00000").mkdir(parents=True)
    dead = of_another(outside / "x", start="00000000")
    dead.touch()
    (artifact.path.parent / "linked").symlink_to(outside)
    (artifact.path / "begun").symlink_to(outside)
    (store.root / "masks").symlink_to(outside)
    ours = of_another(artifact.path / "file", start="00000000")
    ours.symlink_to(dead)
    named = kept(store)
    assert {kind for kind, _ in named.values()} == {"symbolic link", "damaged artifact"}
    own = f"predictions/{artifact.id}"
    assert set(named) == {"masks", "predictions/linked", own, f"{own}/begun"}
    remove_all(store)
    assert dead.exists()
    assert (outside / "00000").is_dir()
    assert not ours.is_symlink()


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"n": "x"}', "[" * 100_000, '{"inputs": 3}', '{"inputs": {"a": 1}}', "null", "\xff"]
)
def test_a_malformed_artifact_is_named_and_keeps_nothing_from_being_cleaned(store, left, text):
    broken, never = left(), left(seed=1)
    if text.startswith('{"'):
        layout = json.loads((broken.path / "layout.json").read_text())
        text = json.dumps(layout | json.loads(text))
    (broken.path / "layout.json").write_text(text, encoding="latin-1")
    kinds = {each.path.name: each.kind for each in cleaning.found_in(store)}
    assert kinds[never.id] == "never-finished artifact"
    assert kinds[broken.id] in {"damaged artifact", "never-finished artifact"}
    remove_all(store)
    assert not never.path.exists()


def test_an_artifact_that_is_a_link_is_not_removed(store, tmp_path):
    real = complete(store)
    moved = tmp_path / real.id
    real.path.rename(moved)
    real.path.symlink_to(moved)
    before = sorted(moved.rglob("*"))
    with pytest.raises(FacelimeError, match="symbolic link"):
        store.remove(real)
    assert sorted(moved.rglob("*")) == before
    assert real.path.is_symlink()


def test_a_claim_that_cannot_be_read_counts_by_its_age(store):
    artifact = complete(store)
    with presence.attended(artifact.path):
        pass
    claim = artifact.path / "claims" / "00000.17"
    for content in (b"", b"\xff", b"3", b"[" * 100_000, b'{"host": 1}'):
        claim.write_bytes(content)
        assert found(store) == {}
        make_old(claim)
        assert found(store) == {f"predictions/{artifact.id}/claims/00000.17": "claim"}


def test_what_starts_on_an_artifact_cleans_up_after_dead_ones(store, left):
    artifact = left()
    dead = of_another(artifact.path / "begun" / "00000" / "1.npz", start="00000000")
    dead.parent.mkdir(parents=True)
    dead.touch()
    partial = artifact.path / "arrays.zarr" / f"c.0.{'a' * 32}.partial"
    partial.touch()
    laying = of_another(artifact.path.parent / "laying", start="00000000")
    laying.mkdir()
    with presence.attended(artifact.path):
        assert len(list((artifact.path / "claims").iterdir())) == 1
    assert list((artifact.path / "claims").iterdir()) == []
    assert not dead.exists()
    assert not partial.exists()
    create(store, seed=1)
    assert not laying.exists()
