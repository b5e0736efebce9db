"""Intervals: that they hold as often as they say, that independent units are told apart, what a bootstrap refits."""

import numpy as np
import pytest
import scipy.stats

from facelime_cli import choices
from facelime_cli.choices import NEAR, SURROGATES
from facelime_cli.core import intervals, shapley, surrogate
from facelime_cli.core.masks import blocks, key_of
from tests.core.test_surrogate import fit as fitted

ENDLESS = 100_000
MOSTLY = "bernoulli, .8 kept"
DRAWN = [MOSTLY, "bernoulli", "paired", "balanced"]


def fitter_of(name, **parameters):
    return surrogate.fitter(
        name, {**{key: value for key, value in SURROGATES[name].settings.items() if key not in NEAR}, **parameters}
    )


def curve(z):
    """A saturating function with products of two and three segments."""
    x = z - 0.5
    k = z.shape[1]
    pairs = x[:, 0] * x[:, 1] - x[:, 2] * x[:, k - 1] + x[:, 3] * x[:, 4]
    return 1 / (1 + np.exp(-(x @ np.linspace(-1.5, 2, k) + 4 * pairs + 9 * x[:, 1] * x[:, 5] * x[:, 6])))


def nearly_linear(z):
    """Little noise, so that the bias of a penalty is as large as the error."""
    x = z - 0.5
    return 1 / (1 + np.exp(-x @ np.linspace(-0.6, 0.8, z.shape[1])))


def largest_share(z):
    """A model that looks for whatever is there most: kinks, no curve."""
    return np.maximum.reduce([z[:, 0:4].mean(axis=1), z[:, 4:9].mean(axis=1), z[:, 9:12].mean(axis=1)])


def near(z):
    return surrogate.cosine_weights(z, 0.25)


def one_run(design, n_samples, n_segments, function, seed, weigh=near):
    name, probability = ("bernoulli", 0.8) if design == MOSTLY else (design, 0.5)
    z = choices.DESIGNS[name].load()(key_of(seed, "c", "mask"), n_samples, n_segments, probability)
    return intervals.Sample(
        z.astype(float), function(z)[:, None], weigh(z), intervals.units_of(z, blocks(name, n_samples, n_segments))
    )


def coverage(fitter, design, n_samples, n_segments, function, *, runs, kind="analytic"):
    """Return how often intervals hold what the same surrogate finds on very many masks."""
    far = one_run(MOSTLY if design == MOSTLY else "bernoulli", ENDLESS, n_segments, function, 12345)
    truth = fitter(far.masks, far.probabilities, far.weights).coefficients[:, 0]
    held = []
    for seed in range(runs):
        sample = one_run(design, n_samples, n_segments, function, seed)
        found = fitter(sample.masks, sample.probabilities, sample.weights)
        low, high = intervals.INTERVALS[kind](found, sample, fitter, key_of(seed, "c", "draws")).interval[:, 0].T
        held.append(((low <= truth) & (truth <= high)).mean())
    return float(np.mean(held))


@pytest.mark.parametrize("function", [curve, nearly_linear, largest_share])
@pytest.mark.parametrize("design", DRAWN)
@pytest.mark.parametrize("name", ["ridge", "linear"])
def test_intervals_hold_as_often_as_they_say(name, design, function):
    """Nominal 95 %, at five samples a segment, the fewest that the guide allows."""
    assert 0.92 < coverage(fitter_of(name), design, 100, 20, function, runs=300) < 0.98


@pytest.mark.long
@pytest.mark.parametrize(("n_samples", "n_segments"), [(400, 20), (250, 50), (1000, 60)])
@pytest.mark.parametrize("function", [curve, nearly_linear, largest_share])
@pytest.mark.parametrize("design", DRAWN)
@pytest.mark.parametrize("name", ["ridge", "linear"])
def test_intervals_hold_with_more_samples_and_segments(name, design, function, n_samples, n_segments):
    assert 0.92 < coverage(fitter_of(name), design, n_samples, n_segments, function, runs=300) < 0.98


def test_the_tests_above_can_fail(monkeypatch):
    """Pairs that are taken for independent samples make wrong intervals.

    They are too narrow for odd functions and too wide for even ones.
    """
    monkeypatch.setattr(intervals, "units_of", lambda masks, _: np.arange(len(masks)))
    assert coverage(fitter_of("linear"), "paired", 100, 20, nearly_linear, runs=60) < 0.9
    assert coverage(fitter_of("linear"), "paired", 100, 20, largest_share, runs=60) > 0.985


def test_a_penalty_is_not_taken_for_the_truth(monkeypatch):
    """Without the unbiased estimate, ridge would miss what it finds on more masks."""
    monkeypatch.setattr("facelime_cli.core.linear.Fit.target", property(lambda fit: fit.coefficients))
    assert coverage(fitter_of("ridge"), "bernoulli", 100, 20, nearly_linear, runs=60) < 0.92


@pytest.mark.parametrize("name", ["ridge", "lasso", "forward", "highest"])
def test_the_bootstrap_holds_about_as_often(name):
    fitter = fitter_of(name, **({"features": 6} if "features" in SURROGATES[name].settings else {}))
    assert 0.88 < coverage(fitter, "bernoulli", 150, 12, curve, runs=12, kind="bootstrap") <= 1


def test_intervals_hold_the_truth_of_a_linear_model_with_unequal_noise(rng):
    n, k, covered, repeats = 200, 20, 0, 300
    truth = rng.normal(size=(k, 1)) * 0.05
    for seed in range(repeats):
        sample = one_run(
            "bernoulli", n, k, lambda z: (z @ truth)[:, 0] + rng.normal(size=n) * (0.02 + 0.1 * z[:, 0]), seed
        )
        found = surrogate.fitter("linear", {})(sample.masks, sample.probabilities, sample.weights)
        low, high = intervals.analytic(found, sample, None, 0).interval[:, 0].T
        covered += ((low <= truth[:, 0]) & (truth[:, 0] <= high)).mean()
    assert 0.93 < covered / repeats < 0.97


def test_errors_are_hc2_and_cr2():
    """Against their formulas, written down for whole matrices: Bell and McCaffrey 2002, eq. 6."""
    sample = one_run("balanced", 90, 7, curve, 3)
    found = surrogate.fitter("linear", {})(sample.masks, sample.probabilities, sample.weights)
    low, high = intervals.analytic(found, sample, None, 0).interval[:, 0].T
    x = np.column_stack([np.ones(90), sample.masks]) * np.sqrt(sample.weights)[:, None]
    y = sample.probabilities[:, 0] * np.sqrt(sample.weights)
    bread = np.linalg.inv(x.T @ x)
    errors, middle = y - x @ bread @ x.T @ y, np.zeros((8, 8))
    for unit in np.unique(sample.units):
        rows = sample.units == unit
        values, vectors = np.linalg.eigh(np.eye(rows.sum()) - x[rows] @ bread @ x[rows].T)
        score = x[rows].T @ (vectors @ np.diag(values**-0.5) @ vectors.T) @ errors[rows]
        middle += np.outer(score, score)
    theirs = np.sqrt(np.diagonal(bread @ middle @ bread))[1:]
    assert sorted(set(np.bincount(sample.units).tolist())) == [1, 2]
    quantile = scipy.stats.t.ppf(0.975, sample.units.max() + 1 - 8)
    assert np.abs((high - low) / 2 / quantile - theirs).max() < 1e-9


class TestUnits:
    def test_of_each_design(self):
        n, k = 200, 9
        for design, pairs in (("bernoulli", 0), ("paired", 99), ("balanced", 99), ("shapley", 99), ("exact", 0)):
            z = choices.DESIGNS[design].load()(key_of(0, "u", "mask"), n, k, 0.5)
            found = intervals.units_of(z, blocks(design, n, k))
            twos = [np.flatnonzero(found == unit) for unit in np.flatnonzero(np.bincount(found) == 2)]
            assert (np.bincount(found) <= 2).all()
            assert len(twos) == pairs
            assert all((z[a] ^ z[b]).all() for a, b in twos)

    def test_complements_by_chance_are_no_pair(self):
        z = choices.DESIGNS["bernoulli"].load()(key_of(0, "u", "mask"), 100, 2, 0.5)
        assert np.array_equal(intervals.units_of(z, blocks("bernoulli", 100, 2)), np.arange(100))


class TestSigns:
    def test_how_often_a_sign_is_right(self, rng):
        """Against new runs: over many coefficients, the chance that is given is the share that is right."""
        truth = np.concatenate([np.linspace(0.01, 0.05, 10), np.linspace(-0.05, -0.01, 10)])
        said, right = [], []
        for seed in range(150):
            sample = one_run("bernoulli", 150, 20, lambda z: z @ truth + rng.normal(size=len(z)) * 0.12, seed)
            found = surrogate.fitter("ridge", {"alpha": 1.0})(sample.masks, sample.probabilities, sample.weights)
            said.append(intervals.analytic(found, sample, None, 0).p_sign[:, 0])
            right.append(np.sign(found.coefficients[:, 0]) == np.sign(truth))
        said, right = np.array(said), np.array(right)
        assert said.mean() == pytest.approx(right.mean(), abs=0.03)
        assert right[said > 0.99].mean() > 0.97
        assert 0.5 < right[said < 0.7].mean() < 0.85

    def test_a_bootstrap_counts_signs_and_absences(self):
        sample = one_run("bernoulli", 200, 12, lambda z: 0.3 * z[:, 0] - 0.2 * z[:, 1], 0)
        fitter = fitter_of("forward", features=2)
        found = fitter(sample.masks, sample.probabilities, sample.weights)
        known = intervals.bootstrap(found, sample, fitter, 1)
        assert (known.p_sign == 1).all()
        assert (known.interval[2:] == 0).all()
        assert (known.interval[:2, 0, 0] * known.interval[:2, 0, 1] > 0).all()


@pytest.mark.parametrize("name", ["lasso", "highest", "forward", "lars"])
def test_a_selection_has_no_analytic_interval(name):
    sample = one_run("bernoulli", 200, 12, curve, 0)
    fitter = fitter_of(name)
    known = intervals.analytic(fitter(sample.masks, sample.probabilities, sample.weights), sample, fitter, 0)
    assert np.isnan(known.interval).all()
    assert np.isnan(known.p_sign).all()
    assert known.draws is None


def test_a_posterior_is_what_is_drawn_from(rng):
    sample = one_run("bernoulli", 200, 12, lambda z: curve(z) + rng.normal(size=len(z)) * 0.1, 0)
    found = surrogate.bayesian_ridge(sample.masks, sample.probabilities, sample.weights)
    known = intervals.analytic(found, sample, None, key_of(0, "p", "draws"))
    deviation = np.sqrt(np.diagonal(found.covariance[0]))
    assert np.abs((known.interval[:, 0, 1] - known.interval[:, 0, 0]) / 2 - 1.959964 * deviation).max() < 1e-6
    drawn = known.draws(0)
    assert np.abs((drawn.mean(axis=0) - found.coefficients[:, 0]) / deviation).max() < 0.3
    assert np.abs(drawn.std(axis=0) / deviation - 1).max() < 0.25


@pytest.mark.parametrize("name", ["ridge", "linear", "shapley"])
def test_draws_spread_as_the_intervals_say(name):
    design, weigh = ("shapley", shapley.drawn) if name == "shapley" else ("paired", near)
    sample = one_run(design, 300, 12, curve, 0, weigh)
    fitter = fitter_of(name)
    found = fitter(sample.masks, sample.probabilities, sample.weights)
    known = intervals.analytic(found, sample, fitter, key_of(0, "p", "draws"))
    half = (known.interval[:, 0, 1] - known.interval[:, 0, 0]) / 2
    assert np.abs(known.draws(0).std(axis=0) * 1.97 / half - 1).max() < 0.25


def test_shapley_values_have_intervals_that_hold():
    held = []
    z = choices.DESIGNS["exact"].load()(0, 1 << 12, 12, 0.5)
    truth = shapley.shapley(z.astype(float), curve(z)[:, None], shapley.kernel(z)).coefficients[:, 0]
    for seed in range(200):
        sample = one_run("shapley", 200, 12, curve, seed, shapley.drawn)
        low, high = (
            intervals.analytic(shapley.shapley(sample.masks, sample.probabilities, sample.weights), sample, None, 0)
            .interval[:, 0]
            .T
        )
        held.append(((low <= truth) & (truth <= high)).mean())
    assert 0.92 < np.mean(held) < 0.98


def test_all_masks_leave_nothing_to_chance():
    z = choices.DESIGNS["exact"].load()(0, 64, 6, 0.5)
    found = fitted("ridge", z, z @ np.ones((6, 1)), np.ones(64))
    known = intervals.certain(found)
    assert np.array_equal(known.interval[..., 0], found.coefficients)
    assert np.array_equal(known.interval[..., 1], found.coefficients)
    assert (known.p_sign == 1).all()
