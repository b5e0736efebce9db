"""`explain`: its own stages, a report of the pictures that were explained, and rounds until nothing will change."""

import numpy as np
import pytest
from PIL import Image

from facelime_cli.stages.perturb import stable_pictures

WORDS = ["--split", "test", "--first", 4, "--method", "slic", "--segments", 12, "--samples", 20, "--batch-size", 16]


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


# Rounds of samples: each test needs several whole runs of the stages


@pytest.fixture(scope="module")
def rounds(chain):
    report = chain.facelime.artifact(
        "explain", "faces", "--model", "small", *WORDS, "--until-stable", "--max-samples", 160, "--confidence", 0.9
    )
    return chain.facelime, report.input("surrogates")


@pytest.mark.long
def test_each_picture_has_as_many_samples_as_it_needs(rounds):
    run, surrogates = rounds
    needed = surrogates.input("masks").read("n_samples")
    assert set(needed.tolist()) <= {20, 40, 80, 160}
    stable = stable_pictures(surrogates, 0.9)
    assert all(stable[needed < 160])
    before = run.artifact("perturb", surrogates.input("segments").id, "--samples", 20)
    first = run.artifact("fit-surrogate", run.artifact("predict", before.id, "--model", "small", "--batch-size", 16).id)
    assert np.array_equal(needed == 20, stable_pictures(first, 0.9))


@pytest.mark.long
def test_a_stable_picture_is_explained_as_with_that_many_samples_alone(rounds):
    run, surrogates = rounds
    needed, counts = surrogates.input("masks").read("n_samples"), surrogates.input("segments").read("n_segments")
    for row, samples in enumerate(needed):
        masks = run.artifact("perturb", surrogates.input("segments").id, "--samples", int(samples))
        alone = run.artifact(
            "fit-surrogate", run.artifact("predict", masks.id, "--model", "small", "--batch-size", 16).id
        )
        assert np.array_equal(
            alone.read("coefficients")[row, :, : counts[row]], surrogates.read("coefficients")[row, :, : counts[row]]
        )


@pytest.mark.long
def test_it_is_found_again(rounds):
    run, surrogates = rounds
    again = run.json(
        "explain", "faces", "--model", "small", *WORDS, "--until-stable", "--max-samples", 160, "--confidence", 0.9
    )
    assert again["reused"] is True
    assert surrogates.complete


@pytest.mark.long
@pytest.mark.parametrize(
    "words", [["--max-samples", 100], ["--confidence", 0.9], ["--until-stable", "--max-samples", 10]]
)
def test_options_that_do_not_go_together(chain, words):
    chain.facelime.fails("explain", "faces", "--model", "small", *WORDS, *words, code=2)


def test_explain_has_one_time_budget(chain):
    words = [
        "explain",
        "faces",
        "--model",
        "small",
        "--split",
        "test",
        "--first",
        3,
        "--method",
        "slic",
        "--segments",
        12,
        "--samples",
        37,
    ]
    assert chain.facelime(*words, "--time-budget", "0s").exit_code == 75
    assert chain.facelime.json(*words, "--time-budget", "10m")["complete"] is True
