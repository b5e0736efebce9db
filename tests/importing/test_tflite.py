"""TFLite files: they answer as the networks that they were made from, in float32 and quantised."""

import importlib.util

import numpy as np
import pytest

from facelime_cli.models import backend
from tests.importing.conftest import SIZE

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(importlib.util.find_spec("ai_edge_litert") is None, reason="needs the extra `tflite`"),
]
WORDS = ["--classes", "a,b,c", "--scaling", "-1..1"]


@pytest.fixture(scope="module")
def network():
    """A network of -1..1, and one with features beside the same logits."""
    keras = backend.keras()
    keras.utils.set_random_seed(6)
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(5, 3, activation="relu")(inputs)
    features = keras.layers.GlobalAveragePooling2D(name="features")(x)
    logits = keras.layers.Dense(3, kernel_initializer=keras.initializers.RandomNormal(stddev=3.0))(features)
    alone = keras.Model(inputs, keras.layers.Softmax()(logits))
    return alone, keras.Model(inputs, {"of_maps": features, "of_classes": logits})


@pytest.fixture(scope="module")
def as_keras(masks, network, tmp_path_factory):
    path = tmp_path_factory.mktemp("keras") / "net.keras"
    network[0].save(path)
    masks.json("import-model", path, *WORDS, "--name", "tflite-as-keras")
    return masks.artifact("predict", "masks", "--model", "tflite-as-keras").read("probabilities")


def convert(net, path, kind=None, ends=None, batch=None):
    """Write a network with TensorFlow's converter: in float32, or with integers of a kind inside, and at its ends."""
    import tensorflow as tf

    with backend.silent_stderr():
        if batch is not None:
            keras = backend.keras()
            fixed = keras.Input(batch_shape=(batch, SIZE, SIZE, 3))
            net = keras.Model(fixed, net(fixed))
        converter = tf.lite.TFLiteConverter.from_keras_model(net)
        if kind is not None:
            generator = np.random.default_rng(0)

            def pictures():
                for _ in range(8):
                    yield [generator.uniform(-1, 1, (1, SIZE, SIZE, 3)).astype(np.float32)]
                yield [np.full((1, SIZE, SIZE, 3), 0.9, np.float32)]
                yield [np.full((1, SIZE, SIZE, 3), -0.9, np.float32)]

            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = pictures
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = getattr(tf, ends or "float32")
        path.write_bytes(converter.convert())
    return path


def answers(masks, name, *more):
    found = masks.artifact("predict", "masks", "--model", name, "--batch-size", 7, *more)
    assert found.parameters["runtime"] == "tflite"
    return found.read("probabilities")


@pytest.mark.parametrize("batch", [None, 1, 4])
def test_answers_as_the_network_it_was(masks, network, as_keras, tmp_path, batch):
    path = convert(network[0], tmp_path / "net.tflite", batch=batch)
    model = masks.artifact("import-model", path, *WORDS, "--name", f"tflite-{batch}")
    assert (model.facts["format"], model.facts["size"], model.facts["around"]["channels"]) == ("tflite", SIZE, 3)
    assert np.nanmax(np.abs(answers(masks, f"tflite-{batch}") - as_keras)) < 1e-5


@pytest.mark.parametrize("ends", ["float32", "int8", "uint8"])
def test_quantised_networks_answer_nearly_the_same(masks, network, as_keras, tmp_path, ends):
    path = convert(network[0], tmp_path / "net.tflite", "int8", ends)
    result = masks("import-model", path, *WORDS, "--name", f"tflite-{ends}")
    assert result.exit_code == 0, result.stderr
    assert "answers in steps of 0.0039" in result.stderr
    assert np.nanmax(np.abs(answers(masks, f"tflite-{ends}") - as_keras)) < 0.05


def test_an_output_is_chosen_by_the_name_that_its_maker_gave(masks, network, as_keras, tmp_path):
    path = convert(network[1], tmp_path / "both.tflite")
    words = ["import-model", path, *WORDS, "--activation", "softmax", "--name", "tflite-both"]
    said = masks.fails(*words)
    assert "of_classes" in said
    assert "of_maps" in said
    masks.json(*words, "--output", "of_classes")
    assert np.nanmax(np.abs(answers(masks, "tflite-both") - as_keras)) < 1e-5


def test_pictures_of_another_size_and_what_needs_layers(masks, network, tmp_path):
    masks.json("import-model", convert(network[0], tmp_path / "net.tflite"), *WORDS, "--name", "tflite-plain")
    assert "whose layers cannot be looked into" in masks.fails("gradcam", "parts", "--model", "tflite-plain")
    assert "does not run a TFLite file" in masks.fails(
        "predict", "masks", "--model", "tflite-plain", "--runtime", "keras", code=2
    )


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\x1c\x00\x00\x00TFL3" + bytes(200)])
def test_what_is_no_model_is_one_sentence(masks, tmp_path, content):
    (tmp_path / "broken.tflite").write_bytes(content)
    said = masks.fails("import-model", tmp_path / "broken.tflite", *WORDS)
    assert "cannot be loaded as a TFLite model" in said
    assert "has none" in masks.fails("import-model", tmp_path / "broken.tflite", *WORDS, "--trust", code=2)
