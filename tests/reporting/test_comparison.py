"""Explanations compared: which pictures, by which names, how far they agree."""

import csv


def test_two_surrogates_on_the_same_predictions(chain):
    other = chain.facelime.artifact("fit-surrogate", chain["predict"].id, "--surrogate", "linear")
    report = chain.facelime.artifact("compare", chain["fit-surrogate"].id, other.id, "--class", "rosacea")
    assert report.facts["compared"] == ["surrogate ridge", "surrogate linear"]
    assert report.facts["mean"]["rank_correlation"] > 0.8
    assert chain.facelime("verify", f"reports/{report.id}").exit_code == 0


def test_a_picture_that_one_of_them_does_not_explain_has_no_figures(chain, monkeypatch, tmp_path):
    monkeypatch.setattr("facelime_cli.stages.gradcam.MOST_CLASSES", 1)
    run = chain.facelime
    segments = run.artifact("segment", "faces", "--split", "test", "--first", 3, "--method", "grid", "--segments", 16)
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
