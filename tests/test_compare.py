"""Comparing explanations: by hand on small ones, and through the commands that repeat a run."""

import csv
import itertools

import numpy as np
import pytest

from facelime_cli.core.agreement import Attribution, agreement, held
from facelime_cli.core.linear import ridge
from facelime_cli.core.masks import unpack
from facelime_cli.core.surrogate import cosine_weights

QUARTERS = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]], np.uint16)
HALVES = np.array([[0, 0, 1, 1]] * 4, np.uint16)


def explained(run, segments, *words):
    predictions = run.artifact(
        "predict", run.artifact("perturb", segments.id, *words).id, "--model", "small", "--batch-size", 16
    )
    return run.artifact("fit-surrogate", predictions.id)


class TestAgreement:
    def test_an_explanation_agrees_with_itself(self, rng):
        one = Attribution(QUARTERS, rng.normal(size=4))
        assert agreement(one, one, 2) == agreement(one, Attribution(QUARTERS.copy(), one.coefficients * 3), 2)
        assert vars(agreement(one, one, 2)) == {"jaccard": 1.0, "rank_correlation": 1.0, "sign_flips": 0.0}

    def test_by_segment(self):
        found = agreement(
            Attribution(QUARTERS, np.array([4.0, 3.0, 1.0, 0.5])),
            Attribution(QUARTERS, np.array([4.0, 0.1, -3.0, 0.5])),
            2,
        )
        assert found.jaccard == pytest.approx(1 / 3)
        assert found.sign_flips == pytest.approx(1 / 3)

    def test_by_pixel(self):
        """The same left half, once as one segment and once as two."""
        found = agreement(
            Attribution(QUARTERS, np.array([2.0, 0.0, 2.0, 0.0])), Attribution(HALVES, np.array([5.0, 0.0])), 2
        )
        assert vars(found) == {"jaccard": 1.0, "rank_correlation": 1.0, "sign_flips": 0.0}
        against = agreement(
            Attribution(QUARTERS, np.array([2.0, 0.0, 2.0, 0.0])), Attribution(HALVES, np.array([-5.0, 0.0])), 2
        )
        assert (against.jaccard, against.sign_flips) == (0.0, 1.0)

    def test_nothing_to_rank(self):
        flat = Attribution(QUARTERS, np.zeros(4))
        found = agreement(flat, Attribution(QUARTERS, np.ones(4)), 2)
        assert np.isnan(found.rank_correlation)
        assert agreement(flat, flat, 2).jaccard == 1.0
        assert np.isnan(agreement(flat, flat, 2).sign_flips)

    def test_what_holds(self):
        found = held(
            [Attribution(QUARTERS, np.array([2.0, -2.0, 0.0, 0.0])), Attribution(HALVES, np.array([1.0, 0.0]))], 2
        )
        assert found[0].tolist() == [1.0, 1.0, -0.5, -0.5]
        assert found[3].tolist() == [0.5, 0.5, 0.0, 0.0]


@pytest.mark.long  # several whole runs of the stages
class TestStability:
    def test_other_seeds_of_the_same_run(self, chain):
        run = chain.facelime
        report = run.artifact("stability", chain["fit-surrogate"].id, "--repeats", 2, "--top", 3)
        assert report.facts["compared"] == ["seed 0", "seed 1", "seed 2"]
        assert report.facts["pictures"] == 3
        assert [each["first"] + each["second"] for each in report.facts["pairs"]] == [
            "seed 0seed 1",
            "seed 0seed 2",
            "seed 1seed 2",
        ]
        seeds = [explained(run, chain["segment"], "--samples", 90, "--seed", seed) for seed in (0, 1, 2)]
        assert {each["id"] for each in report.inputs.values()} == {each.id for each in seeds}
        rows = list(csv.DictReader((report.path / "segments.csv").open()))
        k, c = (
            int(rows[0]["segment"]),
            run.artifact("predict", chain["perturb"].id, "--model", "small").read("probabilities")[0, 0].argmax(),
        )
        assert float(rows[0]["mean"]) == pytest.approx(np.mean([each.read("coefficients")[0, c, k] for each in seeds]))
        assert run.json("stability", chain["fit-surrogate"].id, "--repeats", 2, "--top", 3)["reused"] is True

    def test_the_figures_are_those_of_the_coefficients(self, chain):
        report = chain.facelime.artifact("stability", chain["fit-surrogate"].id, "--repeats", 1, "--top", 3)
        rows = list(csv.DictReader((report.path / "agreement.csv").open()))
        assert len(rows) == 3
        assert report.facts["mean"]["jaccard"] == pytest.approx(np.mean([float(row["jaccard"]) for row in rows]))
        page = (report.path / "index.html").read_text()
        assert all(row["id"] in page for row in rows)
        assert (report.path / "figures" / "00000.png").stat().st_size > 5000


class TestStored:
    def test_parts_of_the_samples_need_no_model(self, chain):
        run = chain.facelime
        report = run.artifact("stability", chain["fit-surrogate"].id, "--stored", 2, "--top", 3)
        assert report.facts["compared"] == ["part 1/2", "part 2/2"]
        assert all(each["id"] != chain["fit-surrogate"].id for each in report.inputs.values())
        made = [run.artifact("fit-surrogate", chain["predict"].id, "--part", f"{part}/2") for part in (1, 2)]
        assert {each["id"] for each in report.inputs.values()} == {each.id for each in made}
        assert not np.allclose(made[0].read("coefficients"), made[1].read("coefficients"), equal_nan=True)

    def test_a_part_is_fitted_to_its_samples_alone(self, chain):
        part = chain.facelime.artifact("fit-surrogate", chain["predict"].id, "--part", "2/3")
        pairs = np.arange(1, 45, 3)  # of balanced masks, a mask and its complement are in the same part
        rows = np.array([0, *np.sort(np.concatenate([1 + 2 * pairs, 2 + 2 * pairs]))])
        rows = rows[rows < 90]
        for row, k in enumerate(chain["segment"].read("n_segments")):
            kept = unpack(chain["perturb"].read("masks")[row, rows], int(k))
            fitted = ridge(
                kept.astype(float),
                chain["predict"].read("probabilities")[row, rows].astype(float),
                cosine_weights(kept, 0.25),
                alpha=1.0,
            )
            assert np.abs(part.read("coefficients")[row, :, :k] - fitted.coefficients.T).max() < 1e-12

    @pytest.mark.parametrize(("part", "code"), [("3/2", 2), ("0/2", 2), ("half", 2), ("1/200", 1)])
    def test_no_such_part(self, part, code, chain):
        said = chain.facelime.fails("fit-surrogate", chain["predict"].id, "--part", part, code=code)
        assert "parts" in said if code == 1 else part in said


@pytest.mark.long  # several whole runs of the stages
class TestSensitivity:
    def test_other_segments_and_fills(self, chain):
        run = chain.facelime
        report = run.artifact(
            "sensitivity",
            chain["fit-surrogate"].id,
            "--methods",
            "slic,quickshift",
            "--fills",
            "nearest-unlike,black",
            "--top",
            3,
        )
        assert report.facts["compared"] == [
            f"method {method}, fill {fill}"
            for method, fill in itertools.product(("slic", "quickshift"), ("nearest-unlike", "black"))
        ]
        assert len(report.facts["compared"]) == 4
        assert (report.path / "segments.csv").read_text().count("\n") == 1
        assert 0 <= report.facts["mean"]["jaccard"] <= 1

    @pytest.mark.parametrize(("option", "value"), [("--methods", "guess"), ("--fills", "mean,pink")])
    def test_what_there_is_not(self, chain, option, value):
        assert option in chain.facelime.fails("sensitivity", chain["fit-surrogate"].id, option, value, code=2)

    def test_nothing_to_vary(self, chain):
        assert "nothing to vary" in chain.facelime.fails("sensitivity", chain["fit-surrogate"].id, code=2)


class TestCompare:
    def test_it_takes_two(self, chain):
        assert "two surrogates" in chain.facelime.fails("compare", chain["fit-surrogate"].id, code=2)

    def test_two_surrogates_on_the_same_predictions(self, chain):
        other = chain.facelime.artifact("fit-surrogate", chain["predict"].id, "--surrogate", "linear")
        report = chain.facelime.artifact("compare", chain["fit-surrogate"].id, other.id, "--class", "rosacea")
        assert report.facts["compared"] == ["surrogate ridge", "surrogate linear"]
        assert report.facts["mean"]["rank_correlation"] > 0.8
        assert chain.facelime("verify", f"reports/{report.id}").exit_code == 0

    def test_a_picture_that_one_of_them_does_not_explain_has_no_figures(self, chain, monkeypatch, tmp_path):
        monkeypatch.setattr("facelime_cli.stages.gradcam.MOST_CLASSES", 1)
        run = chain.facelime
        segments = run.artifact(
            "segment", "faces", "--split", "test", "--first", 3, "--method", "grid", "--segments", 16
        )
        cam = run.artifact("gradcam", segments.id, "--model", "small")
        said = chain["predict"].read("probabilities")[:, 0].argmax(axis=1)
        for c in (0, 1):
            words = ["compare", chain["fit-surrogate"].id, cam.id, "--class", c]
            if (said == c).any():
                report = run.artifact(*words)
                rows = list(csv.DictReader((report.path / "agreement.csv").open()))
                assert [row["id"] for row in rows] == [
                    name for name, its in zip(chain["segment"].texts("id"), said, strict=True) if its == c
                ]
            else:
                assert "choose another class" in run.fails(*words)
        run.json("export", cam.id, "--to", tmp_path / "cam.csv")
        assert {(row["id"], row["class"]) for row in csv.DictReader((tmp_path / "cam.csv").open())} == {
            (name, cam.facts["classes"][c]) for name, c in zip(cam.texts("id"), said, strict=True)
        }

    def test_pictures_of_different_datasets(self, chain, faces):
        run = chain.facelime
        data = run.artifact("preprocess", faces / "normal", "--size", 48)
        surrogates = explained(run, run.artifact("segment", data.id, "--first", 1, "--method", "slic"), "--samples", 30)
        assert "different datasets" in run.fails("compare", chain["fit-surrogate"].id, surrogates.id)
