"""Surrogates against scikit-learn, against the lime package, and against functions whose answer is known."""

import numpy as np
import pytest
import sklearn.linear_model
from lime.lime_base import LimeBase
from sklearn.metrics import pairwise_distances

from facelime_cli.core import fidelity, surrogate
from facelime_cli.core.masks import bernoulli, key_of

S, K, C = 400, 30, 3


@pytest.fixture
def data(rng):
    z = bernoulli(key_of(0, "p", "mask"), S, K, 0.5)
    curve = z @ rng.normal(size=(K, C)) * 0.2 + 0.3 * z[:, :1] * z[:, 1:2]
    return z, 1 / (1 + np.exp(-curve)), surrogate.cosine_weights(z, 0.25)


def test_weights_are_limes(data):
    z, _, weights = data
    with_empty = np.vstack([z, np.zeros((1, K), bool)]).astype(float)
    distances = pairwise_distances(with_empty, with_empty[:1], metric="cosine").ravel()
    assert np.abs(surrogate.cosine_weights(with_empty.astype(bool), 0.25) - np.sqrt(np.exp(-(distances**2) / 0.25**2))).max() < 1e-12
    assert weights[0] == 1


def test_ridge_is_scikit_learns(data):
    z, y, weights = data
    theirs = sklearn.linear_model.Ridge(alpha=1).fit(z, y, sample_weight=weights)
    ours = surrogate.ridge(z.astype(float), y, weights)
    assert np.abs(ours.coefficients - theirs.coef_.T).max() < 1e-10
    assert np.abs(ours.intercept - theirs.intercept_).max() < 1e-10


def test_linear_is_scikit_learns(data):
    z, y, weights = data
    theirs = sklearn.linear_model.LinearRegression().fit(z, y, sample_weight=weights)
    ours = surrogate.linear(z.astype(float), y, weights)
    assert np.abs(ours.coefficients - theirs.coef_.T).max() < 1e-9
    assert np.abs(ours.predict(z.astype(float)) - theirs.predict(z)).max() < 1e-9


def test_ridge_is_the_lime_packages(data):
    z, y, _ = data
    distances = pairwise_distances(z.astype(float), np.ones((1, K)), metric="cosine").ravel()
    base = LimeBase(lambda d: np.sqrt(np.exp(-(d**2) / 0.25**2)), random_state=0)
    ours = surrogate.ridge(z.astype(float), y, surrogate.cosine_weights(z, 0.25))
    for c in range(C):
        intercept, pairs, _, local = base.explain_instance_with_data(z.astype(float), y, distances, c, K, feature_selection="none")
        theirs = np.zeros(K)
        theirs[[k for k, _ in pairs]] = [value for _, value in pairs]
        assert np.abs(ours.coefficients[:, c] - theirs).max() < 1e-8
        assert abs(ours.intercept[c] - intercept) < 1e-8
        assert abs(ours.predict(np.ones((1, K)))[0, c] - local[0]) < 1e-8


def test_a_linear_model_gets_its_own_coefficients_back(data, rng):
    z, _, weights = data
    truth = rng.normal(size=(K, C)) * 0.02
    ours = surrogate.linear(z.astype(float), 0.4 + z @ truth, weights)
    assert np.abs(ours.coefficients - truth).max() < 1e-12
    assert np.abs(ours.intercept - 0.4).max() < 1e-12


def test_fewer_samples_than_segments_take_the_least_norm(rng):
    z, y = (rng.random((10, 20)) < 0.5).astype(float), rng.random((10, 1))
    ours = surrogate.linear(z, y, np.ones(10))
    theirs = np.linalg.lstsq(z - z.mean(0), y - y.mean(0), rcond=None)[0]
    assert np.abs(ours.coefficients - theirs).max() < 1e-10


def test_influence_and_leverage_are_the_derivatives(data):
    z, y, weights = data
    fit = surrogate.ridge(z.astype(float), y, weights)
    assert np.abs(fit.influence.T @ y - fit.coefficients).max() < 1e-10
    moved = y.copy()
    moved[7] += 1
    again = surrogate.ridge(z.astype(float), moved, weights)
    assert np.abs(again.coefficients - fit.coefficients - fit.influence[7][:, None]).max() < 1e-9
    assert abs((again.predict(z[7:8].astype(float)) - fit.predict(z[7:8].astype(float)))[0, 0] - fit.leverage[7]) < 1e-9


def test_intervals_cover_the_truth_of_a_noisy_linear_model(rng):
    """Nominal 95 %, with noise whose size depends on the mask, at ten samples a segment."""
    n, k, covered, repeats = 200, 20, 0, 300
    truth = rng.normal(size=(k, 1)) * 0.05
    for repeat in range(repeats):
        z = bernoulli(key_of(repeat, "c", "mask"), n, k, 0.5)
        noise = rng.normal(size=(n, 1)) * (0.02 + 0.1 * z[:, :1])
        y = z @ truth + noise
        fit = surrogate.linear(z.astype(float), y, surrogate.cosine_weights(z, 0.25))
        interval = surrogate.intervals(fit, surrogate.robust_errors(fit, y - fit.predict(z.astype(float))))[:, 0]
        covered += ((interval[:, 0] <= truth[:, 0]) & (truth[:, 0] <= interval[:, 1])).mean()
    assert 0.93 < covered / repeats < 0.98


class TestFidelity:
    def explain(self, z, y, fitter=surrogate.ridge, **more):
        return fidelity.explain(z, y.astype(np.float32), **{"fitter": fitter, "kernel_width": 0.25, "top": 5, "seed": 0, "picture_id": "p", **more})

    @pytest.mark.parametrize("n", [50, 100, 300, 1000])
    @pytest.mark.parametrize("fitter", [surrogate.ridge, surrogate.linear])
    def test_pure_noise_is_never_trustworthy(self, n, fitter):
        rng, r2 = np.random.default_rng(n), []
        for seed in range(12):
            z = bernoulli(key_of(seed, "n", "mask"), n, 50, 0.5)
            found = self.explain(z, rng.random((n, 2)), fitter, seed=seed)
            assert fidelity.TRUSTWORTHY not in found.verdict
            r2 += found.r2.tolist()
        assert np.mean(r2) < 0

    def test_an_in_sample_figure_would_have_been_fooled(self):
        """The same noise, judged on the samples it was fitted on, as many of them as segments: what peers report."""
        z = bernoulli(key_of(0, "n", "mask"), 50, 50, 0.5)
        y = np.random.default_rng(0).random((50, 1))
        fit = surrogate.ridge(z.astype(float), y, np.ones(50))
        residual = y - fit.predict(z.astype(float))
        assert 1 - residual.var() / y.var() > 0.6

    @pytest.mark.parametrize("fitter", [surrogate.ridge, surrogate.linear])
    @pytest.mark.parametrize("per_segment", [5, 20])
    def test_a_linear_model_is_always_trustworthy(self, fitter, per_segment, rng):
        for seed in range(12):
            z = bernoulli(key_of(seed, "l", "mask"), 40 * per_segment, 40, 0.5)
            truth = rng.normal(size=(40, 2)) * 0.02
            found = self.explain(z, 0.5 + z @ truth, fitter, seed=seed)
            assert found.verdict == [fidelity.TRUSTWORTHY] * 2
            assert (found.r2 > 0.9).all()

    def test_a_surrogate_that_misses_the_picture_itself_is_not_trustworthy(self, rng):
        z = bernoulli(key_of(0, "f", "mask"), 600, 20, 0.5)
        y = (0.3 + z @ rng.uniform(-0.03, 0.03, size=(20, 1))).astype(np.float32)
        assert self.explain(z, y).verdict == [fidelity.TRUSTWORTHY]
        y[0] += 0.4
        assert self.explain(z, y).verdict == [fidelity.NOT_LINEAR]

    def test_equal_masks_share_a_fold(self):
        z = bernoulli(key_of(0, "e", "mask"), 80, 3, 0.5)
        folds = fidelity.folds_of(z, 0, "e")
        assert all(len(set(folds[(z == mask).all(axis=1)].tolist())) == 1 for mask in np.unique(z, axis=0))

    def test_a_still_model_has_nothing_to_explain(self):
        z = bernoulli(key_of(0, "s", "mask"), 300, 20, 0.5)
        found = self.explain(z, np.full((300, 1), 0.7))
        assert found.verdict == [fidelity.NOTHING]
        assert np.isnan(found.topk_repeat).all()
        assert (found.r2 == 0).all()

    def test_a_parity_is_not_linear(self):
        z = bernoulli(key_of(0, "x", "mask"), 2000, 12, 0.5)
        assert self.explain(z, (z[:, :3].sum(1) % 2)[:, None].astype(float)).verdict == [fidelity.NOT_LINEAR]

    def test_a_noisy_line_needs_more_samples_and_then_has_enough(self, rng):
        truth = np.concatenate([np.full(3, 0.1), np.zeros(57)])
        verdicts = []
        for n in (80, 3000):
            z = bernoulli(key_of(0, "m", "mask"), n, 60, 0.5)
            verdicts += self.explain(z, (z @ truth + rng.normal(size=n) * 0.06)[:, None]).verdict
        assert verdicts[0].startswith(fidelity.NEEDS_MORE)
        assert verdicts[1] == fidelity.TRUSTWORTHY

    def test_held_out_figures_are_those_of_refitting(self, rng):
        z = bernoulli(key_of(0, "r", "mask"), 200, 15, 0.5)
        y = (z @ rng.normal(size=(15, 1)) * 0.1 + rng.normal(size=(200, 1)) * 0.05).astype(np.float32)
        found = self.explain(z, y)
        weights, folds = surrogate.cosine_weights(z, 0.25), fidelity.folds_of(z, 0, "p")
        out = np.empty((200, 1))
        for fold in range(5):
            model = sklearn.linear_model.Ridge(alpha=1).fit(z[folds != fold], y[folds != fold], sample_weight=weights[folds != fold])
            out[folds == fold] = model.predict(z[folds == fold]).reshape(-1, 1)
        assert abs(found.r2[0] - sklearn.metrics.r2_score(y, out, sample_weight=weights)) < 1e-5
        assert abs(found.rmse[0] - np.sqrt(np.average((y - out)[:, 0] ** 2, weights=weights))) < 1e-7
        assert np.bincount(folds).min() > 20

    def test_repeating_the_top_set_is_what_new_runs_do(self, rng):
        """The chance that is reported against how often independent runs do agree with the truth's order."""
        truth = np.concatenate([[0.2, 0.18, 0.16], [0.05, 0.045], np.zeros(15)])

        def run(seed):
            z = bernoulli(key_of(seed, "t", "mask"), 250, 20, 0.5)
            return self.explain(z, (z @ truth + np.random.default_rng(seed).normal(size=250) * 0.1)[:, None], top=3, seed=seed)

        runs = [run(seed) for seed in range(40)]
        tops = [frozenset(np.argsort(-np.abs(each.coefficients[:, 0]))[:3].tolist()) for each in runs]
        agree = np.mean([tops[i] == tops[j] for i in range(40) for j in range(i)])
        said = np.mean([each.topk_repeat[0] for each in runs])
        assert abs(agree - said) < 0.15
        assert rng is not None
