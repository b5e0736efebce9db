"""Grad-CAM, occlusion and contrasts of classes through the commands."""

import csv
import html
import json
import re
import shlex

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr

from facelime_cli.reporting.explanations import Explanations
from facelime_cli.reporting.labels import labels_of


class TestCommands:
    def test_shares_are_those_of_the_map(self, chain):
        found, segments = chain["gradcam"], chain["segment"]
        maps, labels, counts = found.read("maps"), segments.read("segments"), segments.read("n_segments")
        for row in range(3):
            for c in range(2):
                grown = np.asarray(
                    Image.fromarray(maps[row, c]).resize((48, 48), Image.Resampling.BILINEAR), dtype=float
                )
                expected = np.array([grown[labels[row] == k].sum() for k in range(counts[row])])
                assert found.read("coefficients")[row, c, : counts[row]] == pytest.approx(
                    expected / max(expected.sum(), 1e-30), abs=1e-6
                )
        assert found.read("probabilities") == pytest.approx(chain["predict"].read("probabilities")[:, 0], abs=1e-5)

    def test_the_same_segments_whatever_it_is_given(self, chain):
        run = chain.facelime
        assert run.artifact("gradcam", chain["fit-surrogate"].id).id == chain["gradcam"].id
        alone = run.artifact("gradcam", "faces", "--model", "small", "--split", "test", "--first", 2)
        assert alone.n == 2

    def test_occlusion_is_what_the_model_says_without_a_segment(self, chain):
        from facelime_cli.models import running, wrapping

        masks, segments, found = chain["perturb"], chain["segment"], chain["occlusion"]
        net = wrapping.load(chain["finetune"].file("model.keras"))
        row, count = 1, int(segments.read("n_segments")[1])
        image, labels, fill = (
            chain["preprocess"].read("images", [int(segments.read("row")[row])])[0],
            segments.read("segments")[row],
            masks.read("fill")[row],
        )
        pictures = np.stack([image] + [np.where((labels == k)[..., None], fill, image) for k in range(count)])
        answers = running.forward(net)(pictures).astype(float)
        assert found.read("coefficients")[row, :, :count] == pytest.approx((answers[0] - answers[1:]).T, abs=1e-5)
        assert chain.facelime.artifact("occlusion", chain["fit-surrogate"].id).id == found.id
        assert (
            chain.facelime.artifact("occlusion", chain["segment"].id, "--model", "small", "--fill", "black").id
            != found.id
        )

    def test_three_voices_in_one_comparison(self, chain):
        report = chain.facelime.artifact(
            "compare",
            *(chain.reference(each) for each in ("fit-surrogate", "gradcam", "occlusion")),
            "--class",
            "rosacea",
        )
        assert report.facts["compared"] == ["LIME", "Grad-CAM", "Occlusion"]
        rows = list(csv.DictReader((report.path / "agreement.csv").open()))
        one, other = (
            chain[each].read("coefficients")[0, 1, : chain["segment"].read("n_segments")[0]]
            for each in ("fit-surrogate", "occlusion")
        )
        found = next(row for row in rows if (row["first"], row["second"]) == ("LIME", "Occlusion"))
        assert float(found["rank_correlation"]) == pytest.approx(spearmanr(one, other).statistic)

    @pytest.mark.parametrize("stage", ["gradcam", "occlusion", "contrast"])
    def test_the_same_report(self, chain, stage):
        page = (chain.facelime.artifact("render", chain[stage].id).path / "index.html").read_text(encoding="utf-8")
        assert page.count('class="picture"') == 3
        assert f"facelime {stage} " in page
        assert {
            "gradcam": "percent of the map",
            "occlusion": "switching this region off",
            "contrast": "rosacea rather than normal",
        }[stage] in page
        assert not re.search(r"\bnan\b", page)

    def test_the_commands_at_a_contrasts_foot_make_the_same_again(self, chain):
        page = (chain.facelime.artifact("render", chain["contrast"].id).path / "index.html").read_text(encoding="utf-8")
        commands = {
            words[1]: words[1:]
            for words in (
                shlex.split(html.unescape(line)) for line in page.splitlines() if line.startswith("facelime ")
            )
        }
        assert list(commands) == [
            "preprocess",
            "finetune",
            "segment",
            "perturb",
            "predict",
            "fit-surrogate",
            "contrast",
            "render",
        ]
        assert chain.facelime.json(*commands["contrast"])["artifact"] == chain["contrast"].id

    def test_what_masks_of_a_later_round_were_drawn_after_is_another_explanation(self, chain):
        run = chain.facelime
        masks = run.artifact("perturb", chain["segment"].id, "--samples", 120, "--after", chain["fit-surrogate"].id)
        later = run.artifact("occlusion", masks.id, "--model", "small")
        found = Explanations(later)
        assert (found.predictions, found.samples(0), found.fitted) == (None, None, False)
        assert found.answers == pytest.approx(later.read("probabilities"))
        assert [each.kind for each in found.origins] == ["datasets", "models", "segments", "masks", "surrogates"]
        assert "were not fitted" in run.fails("contrast", later.id, "--class", "0", "--versus", "1")

    def test_of_masks_occlusion_takes_the_fill_alone(self, chain):
        run = chain.facelime
        black = run.artifact("occlusion", chain["segment"].id, "--model", "small", "--fill", "black")
        blurred = run.artifact(
            "occlusion",
            run.artifact("perturb", chain["segment"].id, "--samples", 4, "--fill", "blur").id,
            "--model",
            "small",
        )
        assert labels_of([Explanations(black), Explanations(blurred)]) == ["fill black", "fill blur"]
        told = json.loads(run("show", f"surrogates/{black.id}", "--format", "json").stdout)
        assert {each["samples"] for picture in told["pictures"] for each in picture["explanations"]} == {None}

    def test_contrast_is_the_difference_of_two_classes(self, chain):
        """A ridge is linear in what it is fitted to."""
        both = chain["fit-surrogate"].read("coefficients")
        assert chain["contrast"].read("coefficients")[:, 0] == pytest.approx(
            both[:, 1] - both[:, 0], abs=1e-6, nan_ok=True
        )
        assert (
            chain.facelime.artifact("contrast", chain["fit-surrogate"].id, "--class", 1, "--versus", 0).id
            == chain["contrast"].id
        )
        other = chain.facelime.artifact(
            "contrast", chain["fit-surrogate"].id, "--class", "normal", "--versus", "rosacea"
        )
        assert other.read("coefficients") == pytest.approx(
            -chain["contrast"].read("coefficients"), abs=1e-6, nan_ok=True
        )
        full = chain["predict"].read("probabilities")[:, 0]
        assert chain["contrast"].read("probabilities")[:, 0] == pytest.approx(full[:, 1] - full[:, 0], abs=1e-6)

    def test_eigencam_is_told_as_what_it_is(self, chain):
        found = chain.facelime.artifact("gradcam", chain["segment"].id, "--model", "small", "--variant", "eigencam")
        page = (chain.facelime.artifact("render", found.id).path / "index.html").read_text(encoding="utf-8")
        assert "the same for every class, lies on this region" in page
        assert "holds for the class" not in page

    @pytest.mark.parametrize("stage", ["gradcam", "occlusion"])
    def test_a_model_that_does_not_fit_is_refused_before_anything_is_segmented(self, chain, faces, stage):
        run = chain.facelime
        other = run.artifact("preprocess", faces / "normal", "--size", 20)
        before = len(run.json("status")["artifacts"])
        assert "name it with --model" in run.fails(stage, other.id)
        said = run.fails(stage, other.id, "--model", "small")
        assert "--size 48" in said
        assert "--resize" not in said
        assert len(run.json("status")["artifacts"]) == before

    def test_what_is_wrong(self, chain):
        run = chain.facelime
        assert "name it with --model" in run.fails("gradcam", chain["segment"].id)
        assert "no layer 'nothing'" in run.fails(
            "gradcam", chain["segment"].id, "--model", "small", "--layer", "nothing"
        )
        assert "not maps of places" in run.fails(
            "gradcam", chain["segment"].id, "--model", "small", "--layer", "probabilities"
        )
        assert "leave it out" in run.fails("gradcam", chain["segment"].id, "--model", "small", "--first", 2, code=2)
        assert "has its own fill" in run.fails(
            "occlusion", chain["perturb"].id, "--model", "small", "--fill", "black", code=2
        )
        assert "the same class" in run.fails(
            "contrast", chain["fit-surrogate"].id, "--class", "0", "--versus", "normal", code=2
        )
        assert "were not fitted" in run.fails("contrast", chain["gradcam"].id, "--class", "0", "--versus", "1")
