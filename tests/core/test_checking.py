"""Asking the model: which sets, what effect, and p values that are uniform where nothing is true."""

import numpy as np
import pytest

from facelime_cli.core import checking
from facelime_cli.core.masks import key_of

SEGMENTS, SETS, NUMBERS = 40, 39, (1, 3)
SIMULATIONS = 500


def asked(order, number=0, numbers=NUMBERS):
    return checking.questions({0: np.asarray(order)}, len(order), numbers, SETS, key_of(number, "p", "check"))


def test_the_first_question_is_the_picture_itself_and_the_next_are_single_segments():
    masks = asked(np.arange(6)).masks
    assert masks[0].all()
    assert (masks[1:7] == ~np.eye(6, dtype=bool)).all()


def test_sets_are_disjoint_from_the_strongest_and_all_different():
    order = np.random.default_rng(0).permutation(SEGMENTS)
    found = asked(order)
    off = ~found.masks[found.places[0, 3]]
    assert set(np.flatnonzero(off[0])) == set(order[:3])
    assert off.shape == (1 + SETS, SEGMENTS)
    assert (off.sum(axis=1) == 3).all()
    assert not (off[1:] & off[0]).any()
    assert len(np.unique(off, axis=0)) == 1 + SETS


def test_the_same_key_gives_the_same_sets_and_another_key_others():
    order = np.arange(SEGMENTS)
    assert (asked(order, 1).masks == asked(order, 1).masks).all()
    assert (asked(order, 1).masks != asked(order, 2).masks).any()


@pytest.mark.parametrize(("n_segments", "sets"), [(7, 4), (6, 1), (5, 0), (3, None)])
def test_few_segments_have_few_sets(n_segments, sets):
    found = asked(np.arange(n_segments))
    rows = found.places.get((0, 3))
    assert (None if rows is None else len(rows) - 1) == sets


def test_curves_remove_and_keep_shares_of_the_segments():
    found = asked(np.arange(10))
    without, alone = found.masks[found.curves[0]]
    assert without.sum(axis=1).tolist() == [9, 8, 6, 4, 2, 0]
    assert alone.sum(axis=1).tolist() == [1, 2, 4, 6, 8, 10]
    assert (without ^ alone).all()


def test_a_model_that_looks_at_the_strongest_is_confirmed():
    effects = np.zeros(SEGMENTS)
    effects[[4, 9, 30]] = 2.0
    found = asked(np.argsort(-effects, kind="stable"))
    effect, p = checking.judged(found, (found.masks @ effects)[None], 0, NUMBERS)
    assert p[:, 0] == pytest.approx([3 / 40, 1 / 40])
    assert effect[1, 0] == pytest.approx(6.0)


def test_p_values_are_uniform_on_a_model_that_ignores_the_regions():
    """500 simulated pictures: the answers are noise, whatever is switched off."""
    rng = np.random.default_rng(0)
    found = {1: [], 3: []}
    for number in range(SIMULATIONS):
        questions = asked(rng.permutation(SEGMENTS), number)
        _, p = checking.judged(questions, rng.normal(size=(1, len(questions.masks))), 0, NUMBERS)
        for k, each in zip(NUMBERS, p[:, 0], strict=True):
            found[k].append(each)
    for values in map(np.array, found.values()):
        assert (values <= 0.05).mean() <= 0.08
        for level in (0.25, 0.5, 0.75):
            assert (values <= level).mean() == pytest.approx(level, abs=0.07)


def test_a_cohort_of_noise_holds_no_discovery_and_a_clear_one_does():
    rng = np.random.default_rng(1)
    noise = rng.random(200)
    assert checking.combined(noise) > 0.01
    assert checking.discoveries(noise, 0.05).sum() <= 2
    clear = np.concatenate([np.full(20, 1e-4), noise, [np.nan]])
    assert checking.discoveries(clear, 0.05)[:20].all()
    assert not checking.discoveries(clear, 0.05)[-1]
    assert checking.combined(clear) < 1e-6
    assert np.isnan(checking.combined(np.array([np.nan])))
