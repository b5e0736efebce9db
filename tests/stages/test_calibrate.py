"""`finetune --calibrate`, and what every other command makes of a calibrated model."""

import csv
import json

import numpy as np
import pytest

from facelime_cli.core import calibration
from facelime_cli.models import tempering, wrapping
from tests.support import ROUNDS, SIZE, write_findings

WORDS = ("finetune", "faces", "--backbone", "cnn-small", "--epochs", 2, "--calibrate")


@pytest.fixture(scope="module")
def calibrated(chain):
    """A calibrated model of the drawn faces."""
    return chain.facelime.artifact(*WORDS, "--name", "calibrated")


@pytest.fixture(scope="module")
def evaluation(chain, calibrated):
    return chain.facelime.artifact("evaluate", calibrated.id, "--bootstrap", ROUNDS)


def test_it_is_another_model_with_its_temperature_inside(chain, calibrated):
    assert calibrated.parameters["calibrate"] is True
    assert "calibrate" not in chain["finetune"].parameters
    assert "temperature" not in chain["finetune"].facts
    network = wrapping.load(calibrated.file("model.keras"))
    assert 1 / network.get_layer(wrapping.TEMPERATURE_LAYER).scale == pytest.approx(calibrated.facts["temperature"])
    assert chain.facelime("verify", calibrated.reference).exit_code == 0
    same = chain.facelime.json("finetune", "faces", "--backbone", "cnn-small", "--epochs", 2, "--no-calibrate")
    assert same["artifact"] == chain["finetune"].id


def test_the_temperature_is_that_of_the_validation_split(chain, calibrated):
    data = chain["preprocess"]
    rows = np.flatnonzero(data.read("split") == 1)
    network = wrapping.load(calibrated.file("model.keras"))
    scores = tempering.keras().Model(network.inputs[0], network.get_layer(wrapping.SCORES_LAYER).output)
    values = np.asarray(scores(data.read("images", rows.tolist()).astype(np.float32)))
    found = calibration.temperature_for(values, data.read("labels")[rows])
    assert found == pytest.approx(calibrated.facts["temperature"], rel=1e-3)


def test_evaluate_says_what_the_figures_were_before(calibrated, evaluation):
    found = evaluation.facts["calibration_figures"]
    probabilities, labels = evaluation.read("probabilities"), evaluation.read("labels").astype(int)
    assert found["temperatures"] == [calibrated.facts["temperature"]]
    after = calibration.figures(labels, probabilities)
    before = calibration.figures(
        labels, calibration.at_temperature(probabilities, 1 / found["temperatures"][0], independent=False)
    )
    assert {name: found[name] for name in after} == pytest.approx(after)
    assert found["before"] == pytest.approx(before)
    assert found["expected_calibration_error"] == evaluation.facts["calibration"]["expected_calibration_error"]
    assert abs(found["brier"] - found["before"]["brier"]) > 1e-4


def test_the_figures_are_on_the_terminal_in_json_and_on_the_page(chain, calibrated, evaluation):
    words = ["evaluate", calibrated.id, "--bootstrap", ROUNDS]
    found = evaluation.facts["calibration_figures"]
    told = chain.facelime(*words).stderr
    for name, title in (("expected_calibration_error", "calibration error"), ("brier", "Brier score")):
        row = next(line for line in told.splitlines() if title in line and line.count("0.") == 2)
        assert f"{found['before'][name]:.3f}" in row
        assert f"{found[name]:.3f}" in row
    assert chain.facelime.json(*words)["calibration_figures"] == found
    page = evaluation.file("index.html").read_text()
    assert f"after, at temperature {found['temperatures'][0]:.2f}" in page
    with evaluation.file("figures.csv").open() as stream:
        listed = {row["figure"]: row["value"] for row in csv.DictReader(stream)}
    assert float(listed["brier before calibration"]) == pytest.approx(found["before"]["brier"])
    assert float(listed["temperature"]) == pytest.approx(found["temperatures"][0])


def test_an_evaluation_of_any_other_model_has_a_brier_score_and_no_before(chain):
    found = chain["evaluate"].facts["calibration_figures"]
    assert set(found) == {"expected_calibration_error", "brier"}
    assert "Brier score" in chain.facelime("evaluate", "small", "--bootstrap", ROUNDS).stderr
    assert "before calibration" not in chain["evaluate"].file("figures.csv").read_text()


def test_an_evaluation_without_the_figures_is_still_shown():
    """One that an older facelime made."""
    from facelime_cli.reporting import calibrated as shown

    assert shown.tables({}) == []
    assert list(shown.csv_rows({})) == []


@pytest.mark.long
def test_without_a_validation_split_it_warns_and_is_as_it_was(chain, faces):
    data = chain.facelime.artifact("preprocess", faces, "--size", SIZE, "--split", "80:0:20", "--name", "unvalidated")
    words = ["finetune", data.id, "--backbone", "cnn-small", "--epochs", 1, "--calibrate"]
    told = " ".join(chain.facelime(*words).stderr.split())
    assert "there is no validation split, so the network is not calibrated" in told
    assert "temperature" not in chain.facelime.artifact(*words).facts


class TestOthers:
    def test_gradcam_predict_and_explain_use_it(self, chain, calibrated):
        run, segments = chain.facelime, chain["segment"].id
        maps = run.artifact("gradcam", segments, "--model", calibrated.id)
        assert np.nanmax(np.abs(maps.read("coefficients"))) > 0
        answers = run.artifact("predict", chain["perturb"].id, "--model", calibrated.id, "--batch-size", 16)
        network = wrapping.load(calibrated.file("model.keras"))
        rows = answers.read("row").tolist()
        images = chain["preprocess"].read("images", rows).astype(np.float32)
        # The first sample keeps all.
        assert answers.read("probabilities")[:, 0] == pytest.approx(np.asarray(network(images)), abs=1e-5)

    def test_activations_show_its_layers(self, chain, calibrated, faces, tmp_path):
        picture = next(faces.rglob("*.png"))
        target = tmp_path / "maps.png"
        result = chain.facelime("activations", calibrated.id, picture, "--to", target)
        assert result.exit_code == 0, result.stderr

    @pytest.mark.long
    @pytest.mark.parametrize("runtime", ["onnx", "openvino"])
    def test_other_runtimes_answer_with_it(self, chain, calibrated, runtime):
        pytest.importorskip({"onnx": "tf2onnx", "openvino": "openvino"}[runtime])
        run, masks = chain.facelime, chain["perturb"].id
        words = ["predict", masks, "--model", calibrated.id, "--batch-size", 16]
        there, here = run.artifact(*words, "--runtime", runtime), run.artifact(*words, "--runtime", "keras")
        assert there.read("probabilities") == pytest.approx(here.read("probabilities"), abs=1e-5, nan_ok=True)


@pytest.mark.long
class TestKinds:
    def test_one_sigmoid(self, chain):
        model = chain.facelime.artifact(*WORDS, "--output", "sigmoid")
        found = chain.facelime.artifact("evaluate", model.id, "--bootstrap", ROUNDS).facts["calibration_figures"]
        assert found["temperatures"][0] == model.facts["temperature"] != 1
        assert found["brier"] != found["before"]["brier"]

    def test_findings(self, facelime, tmp_path):
        facelime.json("preprocess", write_findings(tmp_path / "marks.npz", (80, 40, 40)), "--size", SIZE)
        model = facelime.artifact(
            "finetune", "marks", "--backbone", "cnn-small", "--batch-size", 16, "--epochs", 2, "--calibrate"
        )
        evaluated = facelime.artifact("evaluate", model.id, "--bootstrap", ROUNDS)
        found = evaluated.facts["calibration_figures"]
        probabilities, labels = evaluated.read("probabilities"), evaluated.read("labels")
        undone = calibration.at_temperature(probabilities, 1 / found["temperatures"][0], independent=True)
        assert found["before"] == pytest.approx(calibration.figures(labels, undone))
        assert "after, at temperature" in evaluated.file("index.html").read_text()

    def test_mixed_precision(self, chain):
        model = chain.facelime.artifact(*WORDS, "--precision", "mixed")
        network = wrapping.load(model.file("model.keras"))
        assert {layer.compute_dtype for layer in network.layers} == {"float32"}
        assert json.loads(network.to_json())["config"]["layers"][-1]["config"]["activation"] == "softmax"

    def test_every_fold_has_its_own(self, facelime, faces):
        data = facelime.artifact("preprocess", faces, "--size", 24, "--folds", 3, "--name", "folded")
        words = ["finetune", data.id, "--backbone", "cnn-small", "--epochs", 1, "--fold", "all", "--calibrate"]
        model = facelime.artifact(*words)
        evaluated = facelime.artifact("evaluate", model.id, "--bootstrap", ROUNDS)
        found = evaluated.facts["calibration_figures"]
        assert found["temperatures"] == [each["temperature"] for each in model.facts["folds"]]
        fold = data.read("fold")[evaluated.read("row")]
        own = np.array(found["temperatures"])[fold]
        labels, probabilities = evaluated.read("labels").astype(int), evaluated.read("probabilities")
        undone = calibration.at_temperature(probabilities, 1 / own, independent=False)
        assert found["before"] == pytest.approx(calibration.figures(labels, undone))
