"""Lineage: what is above and below, in an order in which removing leaves nothing without its inputs."""

from facelime_cli.store import lineage, removing
from facelime_cli.store.lineage import Lineage
from tests.store.making import complete, made_from


def test_what_was_made_from_another_stands_before_it(store):
    """A diamond: a report of predictions and of masks, and the predictions are made from these masks."""
    parts = complete(store, "parts", kind="segments")
    masks = complete(store, "chances", kind="masks", inputs=made_from(parts))
    answers = complete(store, "answers", inputs=made_from(masks))
    page = complete(store, "page", kind="reports", inputs=made_from(answers, masks))
    alone = complete(store, "alone", 7, kind="models")
    found = Lineage(store)
    assert found.below(parts.reference) == [page.reference, answers.reference, masks.reference]
    assert found.above(page.reference) == {answers.reference, masks.reference, parts.reference}
    assert found.below(alone.reference) == []
    assert found.depths() == {
        alone.reference: 1,
        parts.reference: 1,
        masks.reference: 2,
        answers.reference: 3,
        page.reference: 4,
    }
    assert removing.in_order(found, [parts.reference, page.reference, masks.reference]) == [
        page.reference,
        masks.reference,
        parts.reference,
    ]


def test_a_second_look_sees_what_came_and_went(store):
    parts = complete(store, "parts", kind="segments")
    found = Lineage(store)
    masks = complete(store, "chances", kind="masks", inputs=made_from(parts))
    assert found.children(parts.reference) == []
    found.look()
    assert found.children(parts.reference) == [masks.reference]
    store.remove(masks)
    found.look()
    assert found.children(parts.reference) == []


def test_artifacts_that_were_made_from_each_other_end(store, monkeypatch):
    """No command makes them; a damaged store may tell it."""
    first, second = (complete(store, name, seed, kind="masks") for seed, name in enumerate(("first", "second")))
    third = complete(store, "third", 3, kind="masks")
    told = {first.id: [second.reference], second.id: [first.reference], third.id: [first.reference]}
    monkeypatch.setattr(lineage, "origins", lambda artifact: told[artifact.id])
    found = Lineage(store)
    assert found.below(first.reference) == [third.reference]
    assert found.above(first.reference) == {first.reference, second.reference}
    assert set(found.depths()) == set(found.artifacts)
