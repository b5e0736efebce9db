"""Networks as facelime keeps them: input scalings inside, and the digest of what they hold."""

import numpy as np
import pytest

from facelime_cli.errors import FacelimeError
from facelime_cli.models import backend, wrapping

SIZE = 32


@pytest.fixture(scope="module")
def keras():
    return backend.keras()


@pytest.fixture
def pictures(rng):
    return rng.integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture
def small(keras):
    """Return a function that makes a small network."""

    def make(outputs=2, activation="softmax", channels=3, size=SIZE):
        keras.utils.set_random_seed(1)
        inputs = keras.Input((size, size, channels))
        x = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
        x = keras.layers.GlobalAveragePooling2D()(x)
        return keras.Model(
            inputs,
            keras.layers.Dense(
                outputs, activation=activation, kernel_initializer=keras.initializers.RandomNormal(stddev=5.0)
            )(x),
        )

    return make


def save(model, path):
    model.save(path)
    return path


@pytest.mark.parametrize(
    ("scaling", "application"),
    [
        ("-1..1", "mobilenet_v2"),
        ("-1..1", "inception_v3"),
        ("caffe", "resnet50"),
        ("0..255", "efficientnet_v2"),
        ("imagenet", "densenet"),
    ],
)
def test_scalings_equal_those_of_keras_applications(keras, pictures, scaling, application):
    inputs = keras.Input((SIZE, SIZE, 3))
    ours = keras.Model(inputs, wrapping.scaled(inputs, scaling, 3))(pictures.astype(np.float32)).numpy()
    theirs = getattr(keras.applications, application).preprocess_input(pictures.astype(np.float32).copy())
    assert np.abs(ours - theirs).max() < 1e-4 if scaling == "caffe" else np.abs(ours - theirs).max() < 1e-5


def test_one_channel_gets_luminance(keras, pictures):
    inputs = keras.Input((SIZE, SIZE, 3))
    ours = keras.Model(inputs, wrapping.scaled(inputs, "0..1", 1))(pictures.astype(np.float32)).numpy()
    assert ours.shape == (3, SIZE, SIZE, 1)
    assert np.abs(ours[..., 0] - pictures @ np.array([0.299, 0.587, 0.114]) / 255).max() < 1e-5
    with pytest.raises(FacelimeError, match="three channels"):
        wrapping.scaled(inputs, "caffe", 1)


class TestDigest:
    def test_the_digest_is_of_content(self, small, tmp_path):
        model = small()
        same = [wrapping.digest(wrapping.load(save(model, tmp_path / name))) for name in ("a.keras", "b.keras")]
        other = model
        other.set_weights([each + 1 for each in other.get_weights()])
        other.save(tmp_path / "c.keras")
        assert same[0] == same[1] != wrapping.digest(wrapping.load(tmp_path / "c.keras"))
