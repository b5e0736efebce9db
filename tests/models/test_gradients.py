"""Maps and gradients against hand computations on small networks."""

import numpy as np
import pytest

from facelime_cli.core import cams
from facelime_cli.errors import NotFoundError
from facelime_cli.models import running

SIZE, FILTERS, HIDDEN = 12, 3, 4


def relu(values):
    return np.maximum(values, 0)


def softmax(values):
    each = np.exp(values - values.max(axis=-1, keepdims=True))
    return each / each.sum(axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def small():
    """A network within a network, and its weights: convolution, means, a hidden layer, softmax."""
    from facelime_cli.models.backend import keras

    k, rng = keras(), np.random.default_rng(0)
    inner = k.Sequential(
        [
            k.Input((SIZE, SIZE, 3)),
            k.layers.Conv2D(FILTERS, 3, padding="same", activation="relu", name="maps"),
            k.layers.MaxPooling2D(2, name="pool"),
        ],
        name="inner",
    )
    inputs = k.Input((SIZE, SIZE, 3), name="display")
    x = k.layers.GlobalAveragePooling2D()(inner(k.layers.Rescaling(1 / 255, name="input_scaling")(inputs)))
    outputs = k.layers.Dense(2, activation="softmax")(k.layers.Dense(HIDDEN, activation="relu")(x))
    network = k.Model(inputs, outputs)
    network.set_weights([rng.normal(size=each.shape).astype(np.float32) for each in network.weights])
    return network


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)


def by_hand(network, image, c):
    """Return the convolution's maps and the gradient of the class's logit by them, in numpy alone."""
    kernel, bias, w1, b1, w2, _ = (np.asarray(each).astype(np.float64) for each in network.get_weights())
    padded = np.pad(image / 255.0, ((1, 1), (1, 1), (0, 0)))
    maps = relu(
        np.array(
            [[np.tensordot(padded[y : y + 3, x : x + 3], kernel, 3) + bias for x in range(SIZE)] for y in range(SIZE)]
        )
    )
    gradients = np.zeros_like(maps)
    half = SIZE // 2
    means = np.zeros(FILTERS)
    places = []
    for k in range(FILTERS):
        for y in range(half):
            for x in range(half):
                block = maps[2 * y : 2 * y + 2, 2 * x : 2 * x + 2, k]
                means[k] += block.max() / half**2
                places.append((2 * y + block.argmax() // 2, 2 * x + block.argmax() % 2, k))
    slope = ((means @ w1 + b1 > 0) * w2[:, c]) @ w1.T / half**2
    for y, x, k in places:
        gradients[y, x, k] = slope[k]
    return maps, gradients


class TestByHand:
    @pytest.mark.parametrize("c", [0, 1])
    def test_maps_and_gradients(self, small, images, c):
        from facelime_cli.models.gradients import last_maps, maps_and_gradients

        assert last_maps(small) == "inner/maps"
        maps, gradients = maps_and_gradients(small, "inner/maps", images, np.full(3, c))
        for image, a, g in zip(images, maps, gradients, strict=True):
            expected_maps, expected = by_hand(small, image, c)
            assert a == pytest.approx(expected_maps, abs=1e-5)
            assert g[expected_maps > 0] == pytest.approx(expected[expected_maps > 0], abs=1e-5)
            assert cams.gradcam(a, g) == pytest.approx(
                relu(sum(expected[..., k].mean() * expected_maps[..., k] for k in range(FILTERS))), abs=1e-4
            )

    def test_the_network_answers_as_before(self, small, images):
        from facelime_cli.models.gradients import maps_and_gradients

        before = running.forward(small)(images)
        maps_and_gradients(small, "maps", images, np.zeros(3, int))
        assert np.array_equal(running.forward(small)(images), before)
        assert before.sum(axis=1) == pytest.approx(1, abs=1e-6)

    def test_gradcam_of_a_network_that_is_linear_in_its_maps(self, images):
        """Before a mean, Grad-CAM is a class activation map divided by the number of cells.

        The class activation map is that of Zhou et al. (CVPR 2016).
        """
        from facelime_cli.models.backend import keras
        from facelime_cli.models.gradients import maps_and_gradients

        k = keras()
        network = k.Sequential(
            [
                k.Input((SIZE, SIZE, 3)),
                k.layers.Conv2D(5, 3),
                k.layers.ReLU(name="last"),
                k.layers.GlobalAveragePooling2D(),
                k.layers.Dense(3, activation="softmax"),
            ]
        )
        maps, gradients = maps_and_gradients(network, "last", images, np.array([2, 0, 1]))
        weights = network.get_weights()[-2]
        for a, g, c in zip(maps, gradients, (2, 0, 1), strict=True):
            assert cams.gradcam(a, g) == pytest.approx(relu(a @ weights[:, c]) / a[..., 0].size, abs=1e-5)

    def test_a_softmax_layer_is_a_softmax(self, images):
        from facelime_cli.models.backend import keras
        from facelime_cli.models.gradients import maps_and_gradients

        k = keras()

        def ending(*layers):
            return k.Sequential(
                [
                    k.Input((SIZE, SIZE, 3)),
                    k.layers.Conv2D(4, 3, activation="relu", name="last"),
                    k.layers.GlobalAveragePooling2D(),
                    *layers,
                ]
            )

        one, other = ending(k.layers.Dense(3, activation="softmax")), ending(k.layers.Dense(3), k.layers.Softmax())
        other.set_weights(one.get_weights())
        before = running.forward(other)(images)
        found = [maps_and_gradients(each, "last", images, np.array([2, 0, 1])) for each in (one, other)]
        assert np.abs(found[0][1]).max() > 1e-4
        assert np.array_equal(found[0][0], found[1][0])
        assert np.array_equal(found[0][1], found[1][1])
        assert np.array_equal(running.forward(other)(images), before)
        assert before == pytest.approx(running.forward(one)(images), abs=1e-6)

    def test_a_network_without_convolution(self):
        from facelime_cli.models.backend import keras
        from facelime_cli.models.gradients import last_maps

        k = keras()
        network = k.Sequential(
            [k.Input((4, 4, 3)), k.layers.Conv2D(1, 1, name="luminance"), k.layers.Flatten(), k.layers.Dense(2)]
        )
        with pytest.raises(NotFoundError, match="no convolution"):
            last_maps(network)

    @pytest.mark.parametrize(
        ("application", "layer"),
        [
            ("MobileNetV2", "out_relu"),
            ("InceptionV3", "mixed10"),
            ("ResNet50", "conv5_block3_out"),
            ("DenseNet121", "relu"),
            ("Xception", "block14_sepconv2_act"),
        ],
    )
    def test_the_last_maps_of_known_networks(self, application, layer):
        from facelime_cli.models.backend import keras
        from facelime_cli.models.gradients import last_maps

        inner = getattr(keras().applications, application)(
            weights=None, include_top=False, input_shape=(128, 128, 3), pooling="avg"
        )
        outer = keras().Sequential([keras().Input((128, 128, 3)), inner, keras().layers.Dense(2, activation="softmax")])
        assert last_maps(outer) == f"{inner.name}/{layer}"
