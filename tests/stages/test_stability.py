"""`stability`: the same run with other seeds, and with parts of its samples."""

import csv

import numpy as np
import pytest

from facelime_cli.core.linear import ridge
from facelime_cli.core.masks import unpack
from facelime_cli.core.surrogate import cosine_weights


def explained(run, segments, *words):
    predictions = run.artifact(
        "predict", run.artifact("perturb", segments.id, *words).id, "--model", "small", "--batch-size", 16
    )
    return run.artifact("fit-surrogate", predictions.id)


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

    def test_the_model_is_loaded_once_for_all_seeds(self, chain):
        first = explained(chain.facelime, chain["segment"], "--samples", 20, "--seed", 4711)
        result = chain.facelime("stability", first.id, "--repeats", 2, "--top", 2)
        assert result.exit_code == 0
        assert result.stderr.count("loading models/") == 1

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
