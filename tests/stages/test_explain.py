"""Explain: its own stages, and a report of the pictures that were explained."""

import numpy as np
from PIL import Image


def test_a_report_shows_the_pictures_that_were_explained(chain, tmp_path):
    """Not those that the network was trained on: the dataset is that of the segments."""
    run = chain.facelime
    rng = np.random.default_rng(3)
    (tmp_path / "noise").mkdir()
    Image.fromarray(rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)).resize((12, 12)).resize((48, 48)).save(
        tmp_path / "noise" / "other.png"
    )
    report = run.artifact(
        "explain", tmp_path / "noise", "--model", "small", "--method", "slic", "--samples", 30, "--segments", 9
    )
    page = (report.path / "index.html").read_text(encoding="utf-8")
    assert "The label is" not in page
    copy = np.asarray(Image.open(next((report.path / "pictures").glob("*.jpg"))).convert("RGB")).astype(int)
    wanted = np.asarray(Image.open(tmp_path / "noise" / "other.png").convert("RGB")).astype(int)
    assert np.abs(copy - wanted).mean() < 5


def test_explain_is_the_chain_to_the_bit(chain, tmp_path, faces):
    run = chain.facelime
    words = ["--split", "test", "--first", 3, "--method", "slic", "--segments", 12, "--samples", 90, "--batch-size", 16]
    answer = run.json("explain", "faces", "--model", "small", *words)
    assert answer["artifact"] == chain["render"].id
    assert answer["reused"] is True
    picture = next((faces / "rosacea").iterdir())
    alone = run.json("explain", picture, "--model", "small", "--method", "slic", "--samples", 40, "--name", "alone")
    assert alone["reused"] is False
    assert run.json("show", "alone")["names"] == ["alone"]
    data = run.artifact("preprocess", picture, "--size", 48)
    segments = run.artifact("segment", data.id, "--method", "slic")
    predictions = run.artifact("predict", run.artifact("perturb", segments.id, "--samples", 40).id, "--model", "small")
    assert run.json("render", run.artifact("fit-surrogate", predictions.id).id)["artifact"] == alone["artifact"]
    assert "neither" in run.fails("explain", tmp_path / "none.png", "--model", "small")
