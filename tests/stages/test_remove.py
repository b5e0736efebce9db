"""Remove: it asks first, and keeps what others need."""

from facelime_cli.store.references import Store
from tests.store.making import complete, create, made_from
from tests.support import Facelime


def test_remove_asks_and_keeps_what_others_need(facelime, faces):
    data = facelime.artifact("preprocess", faces / "normal", "--size", 24)
    segments = facelime.artifact("segment", data.id, "--method", "slic", "--first", 1)
    assert segments.id in facelime.fails("remove", data.id, "--yes")
    assert "kept" in facelime.fails("remove", segments.id, stdin="y\n")
    assert facelime.json("remove", segments.id, "--yes")["removed"] == segments.id
    assert not segments.path.exists()
    assert facelime.json("remove", data.id, "--yes")["removed"] == data.id


def line_of_three(folder):
    """Return a store with segments, masks of them, and unfinished predictions of these."""
    store = Store(folder / "store")
    segments = complete(store, "parts", kind="segments")
    masks = complete(store, "chances", kind="masks", inputs=made_from(segments))
    return store, segments, masks, create(store, "answers", inputs=made_from(masks))


def test_children_go_with_it_where_that_is_asked_for(tmp_path):
    store, segments, masks, predictions = line_of_three(tmp_path)
    other = complete(store, "other", 3, kind="segments")
    run = Facelime(tmp_path / "store")
    assert "--with-children" in run.fails("remove", "parts", "--yes")
    # Nobody answers: everything is named, and kept.
    asked = run("remove", "parts", "--with-children")
    assert "was kept" in asked.stderr
    assert masks.reference in asked.stderr
    assert predictions.path.exists()
    size = sum(each.n_bytes for each in (segments, masks, predictions))
    answer = run.json("remove", "parts", "--with-children", "--yes")
    # What was made from another goes first, so that a kill leaves nothing without its inputs.
    assert answer["artifacts"] == [each.reference for each in (predictions, masks, segments)]
    assert answer["bytes"] == size
    assert [each.id for each in store.artifacts()] == [other.id]


def test_nothing_goes_while_somebody_works_on_a_child(tmp_path, worker):
    _, segments, masks, predictions = line_of_three(tmp_path)
    run = Facelime(tmp_path / "store")
    with worker(predictions.path):
        assert "works on" in run.fails("remove", "parts", "--with-children", "--yes")
    assert all(each.path.exists() for each in (segments, masks, predictions))
    assert run("remove", "parts", "--with-children", "--yes").exit_code == 0


def test_what_is_laid_out_while_it_is_removed_keeps_it(tmp_path, monkeypatch):
    """A shard begins between the look and the removal: the artifact is put back."""
    store, segments, masks, predictions = line_of_three(tmp_path)
    store.remove(predictions)
    begin = Store.remove

    def late(self, artifact, check):
        create(store, "late", 9, inputs=made_from(masks))
        begin(self, artifact, check)

    monkeypatch.setattr(Store, "remove", late)
    assert "was made from" in Facelime(tmp_path / "store").fails("remove", "chances", "--yes")
    assert masks.path.exists()
    assert masks.read("values").shape == (70, 5, 2)
    assert segments.path.exists()
    assert not list(masks.path.parent.glob(".removing*"))


def test_who_begins_while_it_is_removed_keeps_it(tmp_path, worker, monkeypatch):
    store, _, _, predictions = line_of_three(tmp_path)
    begun = []

    def late(folder):
        if not begun:
            begun.append(worker(folder))
            begun[0].__enter__()

    monkeypatch.setattr("facelime_cli.store.presence.refuse_if_attended", _after_first(late))
    try:
        assert "has just begun to work on" in Facelime(store.root).fails("remove", predictions.id, "--yes")
        assert predictions.path.exists()
    finally:
        begun[0].__exit__(None, None, None)


def _after_first(late):
    """Return what looks who works, and lets somebody begin after it has looked twice and found nobody."""
    from facelime_cli.store import presence

    looks, true = [], presence.refuse_if_attended

    def look(folder):
        true(folder)
        looks.append(folder)
        if len(looks) == 2:
            late(folder)

    return look
