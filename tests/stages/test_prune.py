"""Prune: it lists first, goes by age, number and use, and never takes what something that stays was made from."""

import time

import pytest

from facelime_cli.store.references import Store
from tests.store.making import complete, create, fill, made_from
from tests.support import Facelime

DAY = 86400


@pytest.fixture
def run(tmp_path):
    return Facelime(tmp_path / "store")


@pytest.fixture
def store(run):
    return Store(run.store)


@pytest.fixture
def at_day(monkeypatch):
    """Return what sets the day on which an artifact is completed."""
    now = time.time()

    def on(day):
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - day * DAY))
        monkeypatch.setattr("facelime_cli.store.manifests.now", lambda: stamp)

    return on


def going(run, *words):
    return [each["artifact"] for each in run.json("prune", *words)["found"]]


def test_nothing_is_removed_before_it_was_listed(run, store):
    masks = complete(store, "chances", kind="masks")
    listed = run("prune", "--unused")
    assert listed.stdout.splitlines()[0].endswith(masks.reference)
    assert "--yes removes it" in listed.stdout
    assert masks.path.exists()
    value = run.json("prune", "--unused", "--yes")
    assert (value["removed"], value["found"][0]["removed"]) == (1, True)
    assert value["bytes"] > 1000
    assert not masks.path.exists()
    assert run("prune", "--unused", "--yes").stdout == "nothing is to be removed\n"


def test_unused_is_what_led_to_nothing_that_stays(run, store):
    segments = complete(store, "parts", kind="segments")
    masks = complete(store, "chances", kind="masks", inputs=made_from(segments))
    predictions = complete(store, "answers", inputs=made_from(masks))
    read = complete(store, "read", 1, kind="masks", inputs=made_from(segments))
    report = complete(store, "page", kind="reports", inputs=made_from(read))
    # What was made from another goes first.
    assert going(run, "--unused") == [predictions.reference, masks.reference]
    run.json("prune", "--unused", "--yes")
    assert {each.id for each in store.artifacts()} == {segments.id, read.id, report.id}


def test_all_that_is_asked_for_must_be_true(run, store, at_day):
    at_day(40)
    old = [complete(store, "same", seed, kind="masks") for seed in range(3)]
    at_day(1)
    new = complete(store, "same", 9, kind="masks")
    assert set(going(run, "--older-than", "30d")) == {each.reference for each in old}
    assert len(going(run, "--older-than", "30d", "--keep-last", "2")) == 2
    assert going(run, "--keep-last", "1", "--newer-than", "2d") == []
    assert new.reference not in going(run, "--keep-last", "1")
    assert len(going(run, "--keep-last", "1")) == 3
    assert going(run, "--keep-last", "1", "--kind", "models") == []
    assert len(going(run, "--unused", "--older-than", "30d", "--named", "same*")) == 3


def test_the_last_are_counted_by_kind_and_name(run, store, at_day):
    at_day(5)
    first = complete(store, "one", 1, kind="masks")
    other = complete(store, "two", 2, kind="masks")
    at_day(1)
    complete(store, "one", 3, kind="masks")
    assert going(run, "--keep-last", "1") == [first.reference]
    # A second name under which it is the last one keeps it.
    store.name(first, "best")
    assert going(run, "--keep-last", "1") == []
    assert other.path.exists()


def test_what_an_artifact_that_stays_was_made_from_stays(run, store, at_day):
    at_day(50)
    segments = complete(store, "parts", kind="segments")
    masks = complete(store, "chances", kind="masks", inputs=made_from(segments))
    at_day(1)
    # Unfinished: a shard of it may still come.
    predictions = create(store, "answers", inputs=made_from(masks))
    fill(predictions, [0])
    value = run.json("prune", "--older-than", "30d", "--yes")
    assert value["found"] == []
    assert {each["why"] for each in value["kept"]} == {"others were made from it"}
    assert segments.path.exists()
    assert masks.path.exists()


def test_what_is_unfinished_or_damaged_stays(run, store):
    begun = create(store, "begun", kind="masks")
    broken = complete(store, "broken", 1, kind="masks")
    (broken.path / "manifest.json").write_text("{}")
    value = run.json("prune", "--unused", "--yes")
    assert value["found"] == []
    assert {each["artifact"]: each["why"] for each in value["kept"]} == {
        begun.reference: "it is unfinished",
        broken.reference: "it is damaged",
    }


def test_what_a_running_process_reads_stays(run, store, worker):
    masks = complete(store, "chances", kind="masks")
    with worker(masks.path) as process:
        value = run.json("prune", "--unused", "--yes")
        assert value["removed"] == 0
        assert f"process {process.pid}" in value["kept"][0]["why"]
    assert going(run, "--unused") == [masks.reference]


def test_one_that_cannot_go_keeps_no_other(run, store, monkeypatch):
    first, second = (complete(store, name, seed, kind="masks") for seed, name in enumerate(("one", "two")))
    remove = Store.remove

    def refuse(self, artifact, check):
        if artifact.id == first.id:
            raise PermissionError(13, "Permission denied")
        remove(self, artifact, check)

    monkeypatch.setattr(Store, "remove", refuse)
    done = run("prune", "--unused", "--yes")
    assert done.exit_code == 1
    assert f"{first.reference} was not removed: Permission denied." in done.stderr
    assert "removed 1 of 2 artifacts" in done.stdout
    assert not second.path.exists()


def test_a_stage_shows_what_it_reads_while_it_works(many, monkeypatch):
    """Its input is busy for other processes, before the artifact that names it is laid out and while it is made."""
    from facelime_cli.stages import perturb
    from facelime_cli.store import presence

    seen = []
    before = Store.create

    def looking(self, *args):
        (parts,) = (each for each in self.artifacts(["segments"]) if "parts" in each.names)
        seen.append(list((parts.path / presence.CLAIMS).glob(f".{presence.AT_WORK}*")))
        return before(self, *args)

    monkeypatch.setattr(Store, "create", looking)
    many.artifact(perturb.STAGE.name, "parts", "--samples", 8, "--name", "read-by")
    assert len(seen[0]) == 1
    (parts,) = (each for each in Store(many.store).artifacts(["segments"]) if "parts" in each.names)
    assert not list((parts.path / presence.CLAIMS).glob(f".{presence.AT_WORK}*"))
