"""Training pictures are changed at random, by what was asked for."""

import numpy as np
import pytest
import skimage.color

from facelime_cli.models import backend
from facelime_cli.training import augmenting
from facelime_cli.training.recipes import AUGMENTATIONS

SIZE = 32


@pytest.fixture(scope="module")
def keras():
    return backend.keras()


class TestAugment:
    @pytest.mark.parametrize("name", list(AUGMENTATIONS))
    def test_every_augmentation_changes_pictures_in_training_only(self, keras, name, rng):
        inputs = keras.Input((SIZE, SIZE, 3))
        net = augmenting.augmented(
            keras.Model(inputs, keras.layers.Identity()(inputs)),
            {name: "both" if name == "flip" else 30.0 if name == "rotation" else 0.2},
            3,
        )
        pictures = rng.integers(0, 256, (6, SIZE, SIZE, 3)).astype(np.float32)
        assert np.array_equal(np.asarray(net(pictures, training=False)), pictures)
        assert np.abs(np.asarray(net(pictures, training=True)) - pictures).mean() > 1

    def test_amounts_are_what_they_say(self, keras):
        """A change reaches the amount in both directions.

        Contrast is a factor around 1, hue a share of the circle, brightness a share of white.
        """
        inputs = keras.Input((8, 8, 3))
        picture = np.zeros((400, 8, 8, 3), np.float32)
        picture[:, :4] = (120, 60, 60)
        picture[:, 4:] = (100, 50, 50)

        def changed(**amounts):
            return np.asarray(
                augmenting.augmented(keras.Model(inputs, keras.layers.Identity()(inputs)), amounts, 3)(
                    picture, training=True
                )
            )

        factors = np.ptp(changed(contrast=0.2)[..., 0].reshape(400, -1), axis=1) / 20
        assert (factors.min(), factors.max()) == pytest.approx((0.8, 1.2), abs=0.01)
        brighter = changed(brightness=0.1)[:, 0, 0, 0] - 120
        assert (brighter.min(), brighter.max()) == pytest.approx((-25.5, 25.5), abs=0.5)
        hue = skimage.color.rgb2hsv(changed(hue=0.1)[:, :1, :1] / 255)[..., 0].ravel()
        hue = np.where(hue > 0.5, hue - 1, hue)
        assert (hue.min(), hue.max()) == pytest.approx((-0.1, 0.1), abs=0.005)
