"""Shapley values against their definition and against the shap package."""

from itertools import permutations, product
from math import factorial

import numpy as np
import pytest

from facelime_cli import choices
from facelime_cli.core import shapley
from facelime_cli.core.masks import exact, key_of
from facelime_cli.core.masks import shapley as shapley_design


def by_definition(values):
    """Return Shapley values from the value of every mask, a dict: Shapley 1953."""
    n = len(next(iter(values)))
    found = np.zeros((n, *np.shape(next(iter(values.values())))))
    for i, others in product(range(n), product([False, True], repeat=n - 1)):
        without, within = (*others[:i], False, *others[i:]), (*others[:i], True, *others[i:])
        share = factorial(sum(others)) * factorial(n - sum(others) - 1) / factorial(n)
        found[i] += share * (values[within] - values[without])
    return found


def game(z):
    """Return a game with effects of every order, of two classes: (S, 2)."""
    n = z.shape[1]
    one = np.tanh(z @ np.linspace(-1, 1.4, n)) + 0.3 * z[:, 0] * z[:, n // 2] * ~z[:, n - 1]
    return np.stack([one, np.abs(z @ np.linspace(0.3, -0.2, n) - 0.2)], axis=1)


def everything(n):
    return exact(0, 1 << n, n, 0.5)


@pytest.mark.parametrize("n", [2, 3, 5, 9])
def test_all_masks_give_shapley_values(n):
    z = everything(n)
    y = game(z)
    found = shapley.shapley(z.astype(float), y, shapley.kernel(z))
    truth = by_definition({tuple(mask): value for mask, value in zip(z.tolist(), y, strict=True)})
    assert np.abs(found.coefficients - truth).max() < 1e-9
    assert np.abs(found.intercept - y[-1]).max() < 1e-12


def test_the_definition_above_is_the_mean_over_orders():
    z = everything(4)
    values = {tuple(mask): value for mask, value in zip(z.tolist(), game(z), strict=True)}
    found = np.zeros((4, 2))
    for order in permutations(range(4)):
        mask = [False] * 4
        for i in order:
            before = values[tuple(mask)]
            mask[i] = True
            found[i] += (values[tuple(mask)] - before) / factorial(4)
    assert np.abs(found - by_definition(values)).max() < 1e-12


def test_all_masks_of_16_segments():
    """65,536 masks; a game whose Shapley values are known: a weighted sum and one unanimity game."""
    z = everything(16)
    worth = np.linspace(-1, 1, 16)
    y = (z @ worth + 0.8 * z[:, [2, 3, 5, 7]].all(axis=1))[:, None]
    found = shapley.shapley(z.astype(float), y, shapley.kernel(z)).coefficients[:, 0]
    worth[[2, 3, 5, 7]] += 0.2
    assert np.abs(found - worth).max() < 1e-9


@pytest.mark.parametrize("n", [4, 8])
def test_the_shap_package_says_the_same(n):
    import shap

    explainer = shap.KernelExplainer(lambda z: game(z > 0.5), np.zeros((1, n)))
    theirs = explainer.shap_values(np.ones((1, n)), nsamples=1 << n, silent=True, l1_reg=False)[0]
    z = everything(n)
    ours = shapley.shapley(z.astype(float), game(z), shapley.kernel(z))
    assert np.abs(ours.coefficients - theirs).max() < 1e-9
    assert np.abs(ours.intercept - explainer.expected_value).max() < 1e-9


@pytest.mark.parametrize("n_samples", [6, 20, 61, 400])
@pytest.mark.parametrize("holds_the_empty_mask", [True, False])
def test_efficiency_holds_however_few_samples(n_samples, holds_the_empty_mask, rng):
    z = shapley_design(key_of(0, "e", "mask"), n_samples, 30, 0.5)
    z = z if holds_the_empty_mask else np.delete(z, 1, axis=0)
    y = rng.random((len(z), 3))
    found = shapley.shapley(z.astype(float), y, shapley.drawn(z))
    assert np.abs(found.coefficients.sum(axis=0) + found.intercept - y[0]).max() < 1e-9
    if holds_the_empty_mask:
        assert np.abs(found.intercept - y[1]).max() < 1e-12


def test_drawn_masks_come_near_to_shapley_values():
    z = everything(10)
    truth = shapley.shapley(z.astype(float), game(z), shapley.kernel(z)).coefficients
    errors = []
    for n_samples in (200, 20_000):
        z = shapley_design(key_of(0, "d", "mask"), n_samples, 10, 0.5)
        errors.append(np.abs(shapley.shapley(z.astype(float), game(z), shapley.drawn(z)).coefficients - truth).max())
    assert errors[1] < 0.003
    assert errors[0] > 3 * errors[1]


def test_an_unknown_empty_mask_is_estimated():
    z = shapley_design(key_of(0, "u", "mask"), 4000, 8, 0.5)
    y = 0.3 + z @ np.linspace(-0.1, 0.1, 8)[:, None]
    found = shapley.shapley(
        np.delete(z, 1, axis=0).astype(float), np.delete(y, 1, axis=0), shapley.drawn(np.delete(z, 1, axis=0))
    )
    assert found.intercept[0] == pytest.approx(0.3, abs=1e-9)


@pytest.mark.parametrize("design", [name for name, design in choices.DESIGNS.items() if design.weights is None])
def test_other_designs_lack_what_the_kernel_weights_most(design):
    """Other designs are refused for this reason.

    With 60 segments, 0.8 of the kernel's weight is on sizes that never occur in 1,000 such masks.
    """
    z = choices.DESIGNS[design].load()(key_of(0, "o", "mask"), 1000, 60, 0.5)
    sizes = np.arange(1, 60)
    weight = 1 / (sizes * (60 - sizes))
    seen = np.isin(sizes, z.sum(axis=1))
    assert weight[~seen].sum() / weight.sum() > 0.75
    z = choices.DESIGNS["shapley"].load()(key_of(0, "o", "mask"), 1000, 60, 0.5)
    assert weight[~np.isin(sizes, z.sum(axis=1))].sum() / weight.sum() < 0.05
