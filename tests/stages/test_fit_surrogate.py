"""Every surrogate through the command line, and the lime package side by side on a real network."""

import csv
import re

import numpy as np
import pytest
from lime.lime_image import LimeImageExplainer

from facelime_cli.choices import DESIGNS, SURROGATES
from facelime_cli.core.masks import unpack
from facelime_cli.models import wrapping
from tests.core.test_shapley import by_definition
from tests.core.test_surrogate import SELECTIONS

SELECTING = ("lasso", *SELECTIONS)
BATCH = 16
"""That of the chain's predictions, so that float32 rounds alike."""


@pytest.fixture(scope="module")
def exact(chain):
    """Predictions of every mask of two pictures with few segments."""
    run = chain.facelime
    segments = run.artifact("segment", "faces", "--split", "test", "--first", 2, "--method", "slic", "--segments", 7)
    masks = run.artifact("perturb", segments.id, "--design", "exact", "--samples", 512)
    return run.artifact("predict", masks.id, "--model", "small", "--batch-size", BATCH)


def predictions_for(surrogate, chain, exact):
    return exact if surrogate == "shapley" else chain["predict"]


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_every_surrogate_from_predictions_to_a_report(surrogate, chain, exact):
    run = chain.facelime
    made = run.artifact(
        "fit-surrogate", predictions_for(surrogate, chain, exact).id, "--surrogate", surrogate, "--workers", 1
    )
    counts = made.input("segments").read("n_segments")
    coefficients, interval, p_sign = (made.read(name) for name in ("coefficients", "interval", "p_sign"))
    for row, k in enumerate(counts):
        assert np.isfinite(coefficients[row, :, :k]).all()
        assert np.isnan(coefficients[row, :, k:]).all()
        assert np.isfinite(interval[row, :, :k]).all() != (surrogate in SELECTING)
        assert np.isnan(interval[row, :, :k]).all() == np.isnan(p_sign[row, :, :k]).all() == (surrogate in SELECTING)
    assert (run.json("show", f"surrogates/{made.id}")["arrays"]["interval"]["summary"] == "none; 100.0 % NaN") == (
        surrogate in SELECTING
    )
    report = run.artifact("render", made.id)
    page = (report.path / "index.html").read_text(encoding="utf-8")
    assert ("no interval" in page) == ("--intervals bootstrap" in page) == (surrogate in SELECTING)
    assert not re.search(r"\bnan\b", page.lower())
    zeros = sum((coefficients[row, :, :k] == 0).sum() for row, k in enumerate(counts))
    assert page.count('class="r z') == page.count(", left out by this surrogate</title>") == zeros
    assert zeros == 0 or surrogate in SELECTING
    rows = list(csv.DictReader((report.path / "coefficients.csv").open()))
    assert all((row["low"] == row["high"] == row["p_sign"] == "") == (surrogate in SELECTING) for row in rows)
    assert all(row["coefficient"] not in {"", "nan"} for row in rows)


def test_a_bootstrap_gives_intervals_to_every_surrogate_and_the_same_ones_again(chain, tmp_path):
    run = chain.facelime
    made = run.artifact(
        "fit-surrogate",
        chain["predict"].id,
        "--surrogate",
        "forward",
        "--features",
        4,
        "--intervals",
        "bootstrap",
        "--workers",
        1,
    )
    interval = made.read("interval")
    counts = chain["segment"].read("n_segments")
    assert all(np.isfinite(interval[row, :, :k]).all() for row, k in enumerate(counts))
    assert (np.count_nonzero(np.nan_to_num(made.read("coefficients")), axis=2) <= 4).all()
    run.json("remove", f"surrogates/{made.id}", "--yes")
    again = run.artifact(
        "fit-surrogate",
        chain["predict"].id,
        "--surrogate",
        "forward",
        "--features",
        4,
        "--intervals",
        "bootstrap",
        "--workers",
        2,
    )
    assert again.content == made.content
    assert tmp_path.exists()


def test_l2_weighs_by_what_a_fill_changes(chain):
    """Both distances give the same coefficients with a kernel so wide that all samples count alike.

    With their defaults they do not.
    """
    run = chain.facelime
    alike = [
        run.artifact("fit-surrogate", chain["predict"].id, "--proximity", proximity, "--kernel-width", 1e6).read(
            "coefficients"
        )
        for proximity in ("cosine", "l2")
    ]
    assert np.nanmax(np.abs(alike[0] - alike[1])) < 1e-9
    near, far = (
        run.artifact("fit-surrogate", chain["predict"].id, "--proximity", "l2", *width)
        for width in (("--kernel-width", 1), ())
    )
    assert (near.read("effective_samples") < 0.7 * far.read("effective_samples")).all()
    assert (near.parameters["kernel_width"], far.parameters["kernel_width"]) == (1, 45)


def test_shapley_values_of_a_network_add_up_and_are_exact(exact, chain):
    made = chain.facelime.artifact("fit-surrogate", exact.id, "--surrogate", "shapley")
    masks, counts = exact.input("masks"), made.input("segments").read("n_segments")
    for row, k in enumerate(counts):
        n = int(masks.read("n_samples")[row])
        kept, y = unpack(masks.read("masks")[row, :n], int(k)), exact.read("probabilities")[row, :n].astype(float)
        found = made.read("coefficients")[row, :, :k].T
        assert np.abs(found.sum(axis=0) + made.read("intercept")[row] - y[0]).max() < 1e-9
        assert np.abs(made.read("intercept")[row] - y[-1]).max() < 1e-9
        values = {tuple(mask): value for mask, value in zip(kept.tolist(), y, strict=True)}
        assert np.abs(found - by_definition(values)).max() < 1e-9


def test_what_a_surrogate_leaves_out_speaks_for_nothing(chain):
    made = chain.facelime.artifact("fit-surrogate", chain["predict"].id, "--surrogate", "forward", "--features", 3)
    told = chain.facelime("show", f"surrogates/{made.id}", "--format", "text", "--classes", "rosacea").stdout
    rows = [line.split() for line in told.splitlines() if line.split()[:1] and line.split()[0].isdigit()]
    assert [row[2] in {"for", "against"} for row in rows] == [True] * 3 + [False] * (len(rows) - 3)
    assert len(rows) > 3
    assert all(" ".join(row[3:]) == "left out by this surrogate" for row in rows[3:])


def test_too_few_samples_for_intervals_is_told_as_that(chain):
    run = chain.facelime
    masks = run.artifact("perturb", chain["segment"].id, "--samples", 12)
    made = run.artifact("fit-surrogate", run.artifact("predict", masks.id, "--model", "small").id)
    assert np.isnan(made.read("interval")).all()
    page = (run.artifact("render", made.id, "--classes", "rosacea").path / "index.html").read_text(encoding="utf-8")
    assert page.count("The samples are too few for intervals, add <code>--samples</code>") == 3
    assert "bootstrap" not in page.partition("<footer>")[0]


def test_kernelshap_is_called_so(exact, chain):
    run = chain.facelime
    made = [run.artifact("fit-surrogate", exact.id, "--surrogate", surrogate) for surrogate in ("shapley", "linear")]
    report = run.artifact("compare", *(each.id for each in made))
    assert [each.partition(",")[0] for each in report.facts["compared"]] == ["KernelSHAP", "LIME"]
    contrast = run.artifact("contrast", made[0].id, "--class", 0, "--versus", 1)
    assert contrast.facts["method"] == "KernelSHAP, contrasted"


class TestRefusals:
    @pytest.mark.parametrize("design", ["bernoulli", "paired", "balanced"])
    def test_shapley_on_a_design_that_cannot_give_it(self, chain, design):
        run = chain.facelime
        masks = run.artifact("perturb", chain["segment"].id, "--samples", 12, "--design", design)
        predictions = run.artifact("predict", masks.id, "--model", "small")
        said = run.fails("fit-surrogate", predictions.id, "--surrogate", "shapley")
        assert f"--design {design}" in said
        assert " or ".join(name for name, design in DESIGNS.items() if design.weights) in said

    def test_explain_refuses_before_anything_is_computed(self, chain):
        before = chain.facelime.json("status")["artifacts"]
        assert "--design balanced" in chain.facelime.fails(
            "explain", "faces", "--model", "small", "--surrogate", "shapley", "--seed", 99
        )
        assert "--features" in chain.facelime.fails(
            "explain", "faces", "--model", "small", "--features", 3, "--seed", 99, code=2
        )
        assert chain.facelime.json("status")["artifacts"] == before

    @pytest.mark.parametrize(
        ("surrogate", "option"),
        [
            ("ridge", ("--features", 3)),
            ("linear", ("--alpha", 1)),
            ("bayesian-ridge", ("--alpha", 1)),
            ("shapley", ("--kernel-width", 1)),
            ("shapley", ("--proximity", "cosine")),
        ],
    )
    def test_an_option_of_another_surrogate(self, surrogate, option, chain):
        said = chain.facelime.fails("fit-surrogate", chain["predict"].id, "--surrogate", surrogate, *option, code=2)
        assert option[0] in said
        assert f"not to {surrogate}" in said


class TestBesideLime:
    """The lime package on the same picture, segments and masks, with the same trained network."""

    @pytest.fixture(scope="class")
    @classmethod
    def masks(cls, chain):
        return chain.facelime.artifact("perturb", chain["segment"].id, "--preset", "lime-defaults", "--samples", 90)

    @pytest.fixture(scope="class")
    @classmethod
    def beside(cls, chain, masks):
        """Return a function that gives lime's coefficients, intercept and local prediction of a picture and class."""
        net = wrapping.load(chain["finetune"].file("model.keras"))
        images = chain["preprocess"].read("images")

        class Drawn(np.random.RandomState):
            """Draws the masks that facelime drew."""

            masks: np.ndarray

            def randint(self, low, high=None, size=None, dtype=int):
                return (
                    self.masks.ravel().astype(dtype)
                    if size == self.masks.size
                    else super().randint(low, high, size, dtype)
                )

        def answer(row, c, features, selection):
            segments = chain["segment"].read("segments")[row].astype(int)
            drawn = Drawn(0)
            drawn.masks = unpack(masks.read("masks")[row], int(chain["segment"].read("n_segments")[row]))
            explainer = LimeImageExplainer(kernel_width=0.25, feature_selection=selection, random_state=drawn)
            found = explainer.explain_instance(
                images[chain["segment"].read("row")[row]],
                lambda batch: np.asarray(net(batch.astype(np.float32), training=False)),
                labels=(c,),
                top_labels=None,
                num_features=features,
                num_samples=len(drawn.masks),
                batch_size=BATCH,
                segmentation_fn=lambda _: segments,
            )
            coefficients = np.zeros(drawn.masks.shape[1])
            coefficients[[k for k, _ in found.local_exp[c]]] = [value for _, value in found.local_exp[c]]
            return coefficients, found.intercept[c], found.local_pred[0]

        return answer

    @pytest.mark.parametrize(
        ("surrogate", "features", "selection"),
        [
            ("ridge", 100_000, "auto"),
            ("highest", 5, "highest_weights"),
            ("forward", 5, "forward_selection"),
            ("lars", 5, "lasso_path"),
        ],
    )
    def test_coefficients_are_limes(self, beside, masks, chain, surrogate, features, selection):
        predictions = chain.facelime.artifact("predict", masks.id, "--model", "small", "--batch-size", 16)
        options = [] if surrogate == "ridge" else ["--features", features]
        made = chain.facelime.artifact("fit-surrogate", predictions.id, "--surrogate", surrogate, *options)
        for row, k in enumerate(chain["segment"].read("n_segments")):
            for c in range(2):
                coefficients, intercept, local = beside(row, c, features, selection)
                assert np.abs(made.read("coefficients")[row, c, :k] - coefficients).max() < 1e-6
                assert abs(made.read("intercept")[row, c] - intercept) < 1e-6
                assert abs(made.read("local_prediction")[row, c] - local) < 1e-6
                assert np.abs(coefficients).max() > 1e-4
