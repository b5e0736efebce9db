"""What made an artifact, and what is in its arrays."""

import pytest


@pytest.mark.parametrize(
    "stage", ["preprocess", "finetune", "segment", "perturb", "predict", "fit-surrogate", "render"]
)
def test_show(chain, stage):
    shown = chain.facelime.json("show", chain.reference(stage))
    assert shown["manifest"]["stage"] == stage
    assert set(shown["arrays"]) == set(chain[stage].layout["arrays"])
    text = chain.facelime("show", chain.reference(stage)).stdout
    assert chain[stage].manifest["fingerprint"] in text


def test_show_summarises(chain):
    arrays = chain.facelime.json("show", chain.reference("predict"))["arrays"]
    values = chain["predict"].read("probabilities")
    assert arrays["probabilities"]["least"] == pytest.approx(values.min())
    assert arrays["probabilities"]["most"] == pytest.approx(values.max())
    assert arrays["probabilities"]["nan"] == 0
