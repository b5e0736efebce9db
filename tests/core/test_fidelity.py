"""Fidelity: figures from samples that were not fitted, and verdicts that are right."""

import numpy as np
import pytest
import sklearn.linear_model
import sklearn.metrics

from facelime_cli import choices
from facelime_cli.choices import SURROGATES
from facelime_cli.core import fidelity, surrogate, verdict
from facelime_cli.core.folds import FOLDS, folds_of
from facelime_cli.core.intervals import units_of
from facelime_cli.core.masks import bernoulli, blocks, key_of
from tests.core.test_intervals import fitter_of

SIMULATIONS = 200


def explain(z, y, name="ridge", *, design="bernoulli", intervals="analytic", top=5, seed=0, weights=None, **parameters):
    if weights is None:
        weights = (
            choices.loaded(choices.DESIGNS[design].weights)(z)
            if name == "shapley"
            else surrogate.cosine_weights(z, 0.25)
        )
    method = fidelity.Method(fitter_of(name, **parameters), intervals, top, seed)
    return fidelity.explain(z, y.astype(np.float32), weights, blocks(design, *z.shape), method, "p")


def masks_of(design, seed, n_samples, n_segments):
    return choices.DESIGNS[design].load()(key_of(seed, "f", "mask"), n_samples, n_segments, 0.5)


def design_for(name):
    return "shapley" if name == "shapley" else "bernoulli"


class TestVerdicts:
    @pytest.mark.parametrize("name", SURROGATES)
    def test_a_linear_model_has_enough_samples(self, name):
        """Four of twenty segments matter much, and there are five samples a segment.

        A surrogate of ten segments, or one with a lasso's penalty, can hold such a model.
        """
        rng, design = np.random.default_rng(2), design_for(name)
        for seed in range(SIMULATIONS):
            truth = np.zeros(20)
            truth[rng.permutation(20)[:4]] = rng.choice([-1, 1], 4) * rng.uniform(0.2, 0.4, 4)
            z = masks_of(design, seed, 100, 20)
            found = explain(z, 0.5 + (z @ truth)[:, None], name, design=design, seed=seed)
            assert found.verdict == [verdict.NOT_CHECKED], seed
            assert found.r2[0] > 0.9

    @pytest.mark.parametrize("design", ["bernoulli", "paired", "balanced"])
    @pytest.mark.parametrize("name", ["ridge", "linear", "bayesian-ridge"])
    def test_and_so_has_one_with_every_segment_in_every_design(self, name, design):
        rng = np.random.default_rng(3)
        for seed in range(40):
            z = masks_of(design, seed, 200, 40)
            truth = rng.normal(size=(40, 2)) * 0.02
            found = explain(z, 0.5 + z @ truth, name, design=design, seed=seed)
            assert found.verdict == [verdict.NOT_CHECKED] * 2
            assert (found.r2 > 0.9).all()

    @pytest.mark.parametrize("design", ["paired", "balanced"])
    @pytest.mark.parametrize("n_samples", [64, 200, 1000])
    def test_noise_in_every_design_needs_more(self, design, n_samples):
        rng = np.random.default_rng(n_samples)
        for seed in range(20):
            found = explain(masks_of(design, seed, n_samples, 30), rng.random((n_samples, 2)), design=design, seed=seed)
            assert all(each.startswith(verdict.NEEDS_MORE) for each in found.verdict)

    @pytest.mark.parametrize("name", SURROGATES)
    def test_a_still_model_has_nothing_to_explain(self, name):
        design = design_for(name)
        z = masks_of(design, 0, 300, 20)
        found = explain(z, np.full((300, 1), 0.7), name, design=design)
        assert found.verdict == [verdict.NOTHING]
        assert np.isnan(found.topk_repeat).all()
        assert (found.r2 == 0).all()

    @pytest.mark.parametrize("name", SURROGATES)
    def test_regions_that_act_together_have_a_low_r2(self, name):
        design = design_for(name)
        z = masks_of(design, 0, 2000, 12)
        found = explain(z, (z[:, :4].sum(1) % 2)[:, None].astype(float), name, design=design)
        assert found.r2[0] < verdict.ALONE_R2

    def test_a_kernel_that_lets_hardly_any_sample_count_is_named(self, rng):
        z = masks_of("bernoulli", 0, 500, 30)
        y = z @ rng.normal(size=(30, 1)) * 0.02
        assert explain(z, y, weights=surrogate.cosine_weights(z, 0.02)).verdict == [verdict.TOO_NARROW]
        assert explain(z, y, weights=np.where(np.arange(500) == 0, 1.0, 0.0)).verdict == [verdict.TOO_NARROW]

    def test_a_noisy_line_needs_more_samples_and_then_has_enough(self, rng):
        truth = np.concatenate([np.full(3, 0.1), np.zeros(57)])
        verdicts = []
        for n in (80, 3000):
            z = masks_of("bernoulli", 0, n, 60)
            verdicts += explain(z, (z @ truth + rng.normal(size=n) * 0.06)[:, None]).verdict
        assert verdicts[0].startswith(verdict.NEEDS_MORE)
        assert verdicts[1] == verdict.NOT_CHECKED

    @pytest.mark.parametrize("name", SURROGATES)
    def test_all_masks_never_need_more(self, name, rng):
        z = masks_of("exact", 0, 64, 6)
        y = 0.4 + z @ rng.uniform(0.05, 0.12, size=(6, 1)) + rng.normal(size=(64, 1)) * 0.04
        found = explain(z, y, name, design="exact", **({"alpha": 1e-4} if name == "lasso" else {}))
        assert found.verdict == [verdict.NOT_CHECKED]
        assert (found.topk_repeat == 1).all()
        assert np.array_equal(found.interval[..., 0], found.coefficients)
        noise = explain(z, rng.random((64, 1)), name, design="exact")
        assert not noise.verdict[0].startswith(verdict.NEEDS_MORE)


class TestFigures:
    def test_an_in_sample_figure_would_have_been_fooled(self):
        """The same noise, judged on the samples it was fitted on, as many of them as segments: what peers report."""
        z = bernoulli(key_of(0, "n", "mask"), 50, 50, 0.5)
        y = np.random.default_rng(0).random((50, 1))
        residual = y - surrogate.fitter("ridge", {"alpha": 1.0})(z.astype(float), y, np.ones(50)).predict(
            z.astype(float)
        )
        assert 1 - residual.var() / y.var() > 0.6
        assert explain(z, y).r2[0] < 0

    def test_held_out_figures_are_those_of_refitting(self, rng):
        z = masks_of("bernoulli", 0, 200, 15)
        y = (z @ rng.normal(size=(15, 1)) * 0.1 + rng.normal(size=(200, 1)) * 0.05).astype(np.float32)
        found = explain(z, y)
        weights, folds = surrogate.cosine_weights(z, 0.25), folds_of(z, blocks("bernoulli", 200, 15), 0, "p")
        out = np.empty((200, 1))
        for fold in range(FOLDS):
            model = sklearn.linear_model.Ridge(alpha=1).fit(
                z[folds != fold], y[folds != fold], sample_weight=weights[folds != fold]
            )
            out[folds == fold] = model.predict(z[folds == fold]).reshape(-1, 1)
        assert abs(found.r2[0] - sklearn.metrics.r2_score(y, out, sample_weight=weights)) < 1e-5
        assert abs(found.rmse[0] - np.sqrt(np.average((y - out)[:, 0] ** 2, weights=weights))) < 1e-7
        assert found.effective_samples[0] == pytest.approx(weights.sum() ** 2 / (weights**2).sum())

    def test_what_a_surrogate_is_held_to_is_never_judged(self):
        """The full and the empty picture are no samples of a Shapley fit.

        The fit passes through them, however far they lie from the others.
        """
        z = masks_of("shapley", 0, 300, 10)
        y = 0.5 + z @ np.linspace(-0.03, 0.03, 10)[:, None]
        found = explain(z, y, "shapley", design="shapley")
        assert found.r2[0] == pytest.approx(1, abs=1e-5)
        assert found.local_prediction[0] == pytest.approx(y[0, 0], abs=1e-7)
        assert found.effective_samples[0] == 298

    @pytest.mark.parametrize("intervals", ["analytic", "bootstrap"])
    def test_repeating_the_top_set_is_what_new_runs_do(self, intervals):
        """The chance that is reported against how often independent runs do agree."""
        truth = np.concatenate([[0.2, 0.18, 0.16], [0.05, 0.045], np.zeros(15)])

        def run(seed):
            z = masks_of("bernoulli", seed, 250, 20)
            return explain(
                z,
                (z @ truth + np.random.default_rng(seed).normal(size=250) * 0.1)[:, None],
                top=3,
                seed=seed,
                intervals=intervals,
            )

        runs = [run(seed) for seed in range(40 if intervals == "analytic" else 15)]
        tops = [frozenset(np.argsort(-np.abs(each.coefficients[:, 0]))[:3].tolist()) for each in runs]
        agree = np.mean([tops[i] == tops[j] for i in range(len(runs)) for j in range(i)])
        said = np.mean([each.topk_repeat[0] for each in runs])
        assert abs(agree - said) < 0.15

    @pytest.mark.long
    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("intervals", ["analytic", "bootstrap"])
    @pytest.mark.parametrize("name", SURROGATES)
    def test_very_few_samples_are_no_reason_to_fail(self, name, intervals, rng):
        """A full picture and one other are enough for figures without warnings.

        The verdict says that there are too few samples.
        """
        for n_samples, n_segments in ((2, 2), (3, 2), (2, 9), (4, 9), (5, 3)):
            for y in (rng.random((n_samples, 2)), np.full((n_samples, 2), 0.5)):
                design = design_for(name)
                found = explain(masks_of(design, 0, n_samples, n_segments), y, name, design=design, intervals=intervals)
                assert np.isfinite(found.coefficients).all()
                assert all(each.startswith(verdict.NEEDS_MORE) for each in found.verdict)

    def test_no_samples_of_its_own_left_to_tell(self, rng):
        found = explain(masks_of("bernoulli", 0, 12, 20), rng.random((12, 1)))
        assert found.verdict[0] == verdict.NEEDS_MORE + "100"


class TestFolds:
    @pytest.mark.parametrize(("n_samples", "n_segments"), [(80, 3), (400, 30), (1000, 40)])
    @pytest.mark.parametrize("design", ["bernoulli", "paired", "balanced", "shapley"])
    def test_equal_masks_and_blocks_share_a_fold(self, design, n_samples, n_segments):
        z = masks_of(design, 0, n_samples, n_segments)
        of = blocks(design, n_samples, n_segments)
        folds = folds_of(z, of, 0, "e")
        assert folds.shape == (n_samples,)
        assert set(folds.tolist()) <= set(range(FOLDS))
        assert all(len(set(folds[(z == mask).all(axis=1)].tolist())) == 1 for mask in np.unique(z, axis=0))
        if n_segments > 3:  # with so few, equal masks link all blocks
            assert all(len(set(folds[of == block].tolist())) == 1 for block in np.unique(of))

    def test_long_blocks_that_are_too_few_are_divided_between_pairs(self):
        z = masks_of("balanced", 0, 330, 60)
        of = blocks("balanced", 330, 60)
        assert len(np.unique(of)) < FOLDS
        folds = folds_of(z, of, 0, "e")
        assert np.bincount(folds).min() > 330 / FOLDS / 2
        units = units_of(z, of)
        assert all(len(set(folds[units == unit].tolist())) == 1 for unit in np.unique(units))

    @pytest.mark.parametrize("design", choices.DESIGNS)
    def test_folds_are_about_equal_and_depend_on_seed_and_picture(self, design):
        z = masks_of(design, 0, 1000, 12)
        of = blocks(design, 1000, 12)
        made = [folds_of(z, of, *which) for which in ((0, "a"), (1, "a"), (0, "b"), (0, "a"))]
        assert np.bincount(made[0]).min() > 1000 / FOLDS * 0.8
        assert not np.array_equal(made[0], made[1])
        assert not np.array_equal(made[0], made[2])
        assert np.array_equal(made[0], made[3])

    def test_links_are_followed_to_their_end(self):
        """Row 1 equals row 4, which is in a block with row 5, which equals row 2."""
        z = np.array([[1, 1], [0, 1], [1, 0], [0, 0], [0, 1], [1, 0], [1, 1]], bool)
        z = np.hstack([z, z[:, :1], z[:, 1:]])
        folds = folds_of(
            np.vstack([z, np.eye(8, 4, dtype=bool) ^ [True, False, True, False]]),
            np.r_[0, 1, 2, 3, 4, 4, 5, np.arange(6, 14)].astype(np.int32),
            0,
            "l",
        )
        assert folds[1] == folds[4] == folds[5] == folds[2]
        assert folds[0] == folds[6]
