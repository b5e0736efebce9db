"""A temperature inside a network: what it answers, and that everything that looks into it still does."""

import numpy as np
import pytest

from facelime_cli.core import calibration
from facelime_cli.models import backend, building, exporting, gradients, running, tempering, wrapping
from facelime_cli.models.building import Architecture

T = 2.5
KINDS = {
    "softmax": {"n_classes": 3},
    "sigmoid": {"n_classes": 2, "output": "sigmoid"},
    "findings": {"n_classes": 3, "output": "sigmoid", "multilabel": True},
}


@pytest.fixture(scope="module", params=KINDS)
def pair(request):
    """A network that is sure, and the same at a temperature."""
    what = Architecture("cnn-small", 24, head=(5,), **KINDS[request.param])
    network = building.build(what).whole
    rng = np.random.default_rng(1)
    # Surer than fresh weights are, and never as sure as float32 can only write as 1.
    network.set_weights(
        [1.4 * each if each.shape != (1, 2) and each.ndim > 1 else each for each in network.get_weights()]
    )
    images = rng.integers(0, 256, (4, 24, 24, 3), dtype=np.uint8)
    return network, tempering.with_temperature(network, T), images, request.param == "findings"


def test_the_answers_are_those_at_the_temperature(pair):
    network, tempered, images, independent = pair
    before, after = (running.answers_of(each, images.astype(np.float32)) for each in (network, tempered))
    assert np.abs(after - before).max() > 0.005
    assert after == pytest.approx(calibration.at_temperature(before, T, independent=independent), abs=1e-5)
    assert calibration.at_temperature(after, 1 / T, independent=independent) == pytest.approx(before, abs=1e-5)


def test_scores_are_what_the_activation_reads(pair):
    network, _, images, independent = pair
    scores = running.answers_of(tempering.scores_of(network), images.astype(np.float32))
    answers = running.answers_of(network, images.astype(np.float32))
    if scores.shape[1] == 1 or independent:
        assert answers[:, -1] == pytest.approx(1 / (1 + np.exp(-scores[:, -1])), abs=1e-5)
    else:
        powers = np.exp(scores)
        assert answers == pytest.approx(powers / powers.sum(axis=1, keepdims=True), abs=1e-5)


def test_it_is_saved_and_loaded_with_its_temperature(pair, tmp_path):
    _, tempered, images, _ = pair
    wrapping.save(tempered, tmp_path / "model.keras")
    loaded = wrapping.load(tmp_path / "model.keras")
    assert wrapping.TEMPERATURE_LAYER in [each.name for each in loaded.layers]
    assert np.array_equal(*(running.answers_of(each, images.astype(np.float32)) for each in (tempered, loaded)))


def test_gradients_are_of_the_scores_at_the_temperature(pair):
    network, tempered, images, _ = pair
    classes = np.array([0, 1, 1, 0])
    layer = gradients.last_maps(network)
    assert gradients.last_maps(tempered) == layer
    maps, before = gradients.maps_and_gradients(network, layer, images, classes)
    same_maps, after = gradients.maps_and_gradients(tempered, layer, images, classes)
    assert same_maps == pytest.approx(maps, abs=1e-5)
    assert np.abs(before).max() > 0
    assert after * T == pytest.approx(before, abs=1e-4 * float(np.abs(before).max()))


def test_activations_of_its_layers_are_those_that_it_computes(pair):
    _, tempered, images, _ = pair
    names = [wrapping.SCORES_LAYER, wrapping.TEMPERATURE_LAYER]
    assert set(names) <= {each.name for each in gradients.listed(tempered)}
    found = dict(gradients.activations(tempered, images, names))
    assert found[names[1]] == pytest.approx(found[names[0]] / T, abs=1e-5)


def test_in_16_bits_its_answer_keeps_32(pair):
    _, tempered, images, _ = pair
    small = wrapping.in_precision(tempered, "bfloat16")
    policies = {each.name: each.compute_dtype for each in small.layers}
    assert policies[wrapping.SCORES_LAYER] == policies[wrapping.TEMPERATURE_LAYER] == "float32"
    assert policies["features"] == "bfloat16"
    answers = running.answers_of(small, images.astype(np.float32))
    assert answers == pytest.approx(running.answers_of(tempered, images.astype(np.float32)), abs=0.05)


@pytest.mark.long
@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_it_is_converted_with_its_temperature(pair, form, tmp_path):
    """The file that another runtime reads answers as the network does."""
    pytest.importorskip({"onnx": "tf2onnx", "openvino": "openvino"}[form])
    if backend.keras().backend.backend() != "tensorflow":
        pytest.skip("networks are converted with Keras on TensorFlow")
    _, tempered, images, _ = pair
    path = tmp_path / {"onnx": "model.onnx", "openvino": "model.xml"}[form]
    exporting.export(tempered, path, form)
    found = READERS[form](path, images.astype(np.float32))
    assert found == pytest.approx(running.answers_of(tempered, images.astype(np.float32)), abs=1e-5)


def by_onnx(path, values):
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    return session.run(None, {session.get_inputs()[0].name: values})[0]


def by_openvino(path, values):
    import openvino

    network = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return network(values)[network.output(0)]


READERS = {"onnx": by_onnx, "openvino": by_openvino}
