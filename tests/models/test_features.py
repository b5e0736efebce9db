"""The features of Keras networks: what the layer reads that makes the scores, wherever it stands."""

import numpy as np
import pytest

from facelime_cli.errors import FacelimeError
from facelime_cli.models import backend, building, features, running, tempering, wrapping
from facelime_cli.models.building import Architecture

SIDE = 32


@pytest.fixture(scope="module")
def keras():
    return backend.keras()


@pytest.fixture
def pictures(rng):
    return rng.integers(0, 256, (3, SIDE, SIDE, 3)).astype(np.float32)


def read_by(network, layer, pictures):
    """Return what a layer of a network reads, looked up in another way: by its input tensor."""
    inner = backend.keras().Model(network.inputs[0], layer.input)
    return running.answers_of(inner, pictures)


@pytest.mark.parametrize(("output", "head"), [("softmax", ()), ("sigmoid", (16,))])
def test_a_trained_network_answers_with_what_its_last_layer_reads(pictures, output, head):
    net = building.build(Architecture("cnn-small", SIDE, 2, pooling="max", output=output, head=head)).whole
    # Behind one unit stands the layer that makes two sides of it.
    (layer,) = [each for each in net.layers if each.name in {"probabilities", "probability"}]
    found = running.answers_of(features.network_of(net, "net"), pictures)
    assert found.shape == (3, *(head or (64,)))
    scores = np.asarray(layer(found))
    assert running.answers_of(net, pictures)[:, -scores.shape[1] :] == pytest.approx(scores, abs=1e-6)
    again = running.answers_of(features.network_of(tempering.with_temperature(net, 2.0), "net"), pictures)
    assert np.array_equal(again, found)
    again = running.answers_of(features.network_of(wrapping.resized(net, SIDE), "net"), pictures)
    assert again == pytest.approx(found, abs=1e-5)


def test_a_network_within_a_network_and_logits(keras, pictures):
    layers = keras.layers
    net = keras.Sequential(
        [keras.Input((SIDE, SIDE, 3)), layers.Conv2D(8, 3), layers.GlobalAveragePooling2D(), layers.Dense(3)]
    )
    whole = wrapping.with_scaling(net, scaling="0..1", size=SIDE, n_classes=3, activation="softmax")
    found = running.answers_of(features.network_of(whole, "net"), pictures)
    assert found == pytest.approx(read_by(net, net.layers[-1], pictures / 255), abs=1e-5)


def test_a_layer_that_calibrates_is_passed_over(keras, pictures):
    layers = keras.layers
    inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3)(inputs))
    scores = layers.Dense(3)(x)
    whole = keras.Model(inputs, layers.Softmax()(layers.Dense(3, name="calibrated")(scores)))
    assert np.array_equal(
        running.answers_of(features.network_of(whole, "net"), pictures),
        running.answers_of(keras.Model(inputs, x), pictures),
    )


def test_a_convolution_at_the_end_reads_pooled_features(keras, pictures):
    layers = keras.layers
    inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.GlobalAveragePooling2D(keepdims=True)(layers.Conv2D(8, 3)(inputs))
    whole = keras.Model(inputs, layers.Softmax()(layers.Reshape((3,))(layers.Conv2D(3, 1)(x))))
    assert running.answers_of(features.network_of(whole, "net"), pictures) == pytest.approx(
        running.answers_of(keras.Model(inputs, x), pictures)[:, 0, 0], abs=1e-6
    )


def test_a_thousand_classes_may_be_more_than_features(keras):
    layers = keras.layers
    inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3)(inputs))
    found = features.network_of(keras.Model(inputs, layers.Dense(100)(x)), "net")
    assert found.output.shape == (None, 8)


def test_networks_without_features_are_refused(keras):
    layers = keras.layers
    inputs = keras.Input((SIDE, SIDE, 3))
    without = keras.Model(inputs, layers.GlobalAveragePooling2D()(layers.Softmax()(inputs)))
    with pytest.raises(FacelimeError, match="no matrix product"):
        features.network_of(without, "net")
    large = keras.Input((80, 80, 3))
    with pytest.raises(FacelimeError, match="reads 19200 numbers"):
        features.network_of(keras.Model(large, layers.Dense(2)(layers.Flatten()(large))), "net")
