"""Rounds of samples until the explanation will not change."""

import numpy as np
import pytest

from facelime_cli.stages.perturb import stable_pictures

pytestmark = pytest.mark.long  # several whole runs of the stages


WORDS = ["--split", "test", "--first", 4, "--method", "slic", "--segments", 12, "--samples", 20, "--batch-size", 16]


@pytest.fixture(scope="module")
def rounds(chain):
    report = chain.facelime.artifact(
        "explain", "faces", "--model", "small", *WORDS, "--until-stable", "--max-samples", 160, "--confidence", 0.9
    )
    return chain.facelime, report.input("surrogates")


def test_each_picture_has_as_many_samples_as_it_needs(rounds):
    run, surrogates = rounds
    needed = surrogates.input("masks").read("n_samples")
    assert set(needed.tolist()) <= {20, 40, 80, 160}
    stable = stable_pictures(surrogates, 0.9)
    assert all(stable[needed < 160])
    before = run.artifact("perturb", surrogates.input("segments").id, "--samples", 20)
    first = run.artifact("fit-surrogate", run.artifact("predict", before.id, "--model", "small", "--batch-size", 16).id)
    assert np.array_equal(needed == 20, stable_pictures(first, 0.9))


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


def test_it_is_found_again(rounds):
    run, surrogates = rounds
    again = run.json(
        "explain", "faces", "--model", "small", *WORDS, "--until-stable", "--max-samples", 160, "--confidence", 0.9
    )
    assert again["reused"] is True
    assert surrogates.complete


@pytest.mark.parametrize(
    "words", [["--max-samples", 100], ["--confidence", 0.9], ["--until-stable", "--max-samples", 10]]
)
def test_options_that_do_not_go_together(chain, words):
    chain.facelime.fails("explain", "faces", "--model", "small", *WORDS, *words, code=2)


def test_going_on_from_other_masks(chain):
    run, first = chain.facelime, chain["fit-surrogate"].id
    assert "--seed" in run.fails("perturb", chain["segment"].id, "--after", first, "--samples", 200, "--seed", 4)
    other = run.artifact("segment", "faces", "--first", 2, "--method", "slic", "--segments", 6)
    assert "other segments" in run.fails("perturb", other.id, "--after", first, "--samples", 200)
    assert "--after" in run.fails("perturb", chain["segment"].id, "--confidence", 0.9, code=2)
