"""Layers that change training pictures at random: one function for each entry of `recipes.AUGMENTATIONS`.

Each function takes an amount and a seed, and returns a layer of Keras. What comes into the picture from outside repeats
its edge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facelime_cli.models.backend import keras
from facelime_cli.training.recipes import AUGMENTATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

EDGE = "nearest"
"""Keras' word for repeating the edge."""
FLIPS = {"horizontal": "horizontal", "vertical": "vertical", "both": "horizontal_and_vertical"}
"""Name on the command line, and of `keras.layers.RandomFlip`."""
FULL_TURN = 360


def augmented(network: Any, amounts: Mapping[str, Any], seed: int) -> Any:
    """Return a network that changes each picture at random before it answers, in training only.

    Parameters
    ----------
    network : keras.Model
        Reads display space.
    amounts : mapping
        From `settings.augmentation`.
    seed : int

    Returns
    -------
    keras.Model
        It shares the weights of `network`.
    """
    k = keras()
    inputs = k.Input(network.inputs[0].shape[1:])
    x = inputs
    for place, (name, amount) in enumerate(amounts.items()):
        make = AUGMENTATIONS[name].load()
        x = make(amount, seed + place)(x)
    return k.Model(inputs, network(x))


def rotation(degrees: float, seed: int) -> Any:
    """Return a layer that turns pictures by up to some degrees to each side.

    Parameters
    ----------
    degrees : float
    seed : int

    Returns
    -------
    keras.layers.Layer
    """
    return keras().layers.RandomRotation(degrees / FULL_TURN, fill_mode=EDGE, seed=seed)


def shift(share: float, seed: int) -> Any:
    """Return a layer that moves pictures by up to a share of their side.

    Parameters
    ----------
    share : float
    seed : int

    Returns
    -------
    keras.layers.Layer
    """
    return keras().layers.RandomTranslation(share, share, fill_mode=EDGE, seed=seed)


def shear(slope: float, seed: int) -> Any:
    """Return a layer that shears pictures along both axes.

    Parameters
    ----------
    slope : float
        Largest slope.
    seed : int

    Returns
    -------
    keras.layers.Layer
    """
    return keras().layers.RandomShear(slope, slope, fill_mode=EDGE, seed=seed)


def zoom(share: float, seed: int) -> Any:
    """Return a layer that enlarges and shrinks pictures.

    Parameters
    ----------
    share : float
        Of their size, in and out.
    seed : int

    Returns
    -------
    keras.layers.Layer
    """
    return keras().layers.RandomZoom((-share, share), fill_mode=EDGE, seed=seed)


def flip(sides: str, seed: int) -> Any:
    """Return a layer that mirrors pictures.

    Parameters
    ----------
    sides : str
        A key of `FLIPS`.
    seed : int

    Returns
    -------
    keras.layers.Layer
    """
    return keras().layers.RandomFlip(FLIPS[sides], seed=seed)


def contrast(share: float, seed: int) -> Any:
    """Return a layer that changes the contrast of pictures.

    Parameters
    ----------
    share : float
        Up and down.
    seed : int

    Returns
    -------
    keras.layers.Layer
    """
    # Keras reads a single number as (0, number), which only raises the contrast.
    return keras().layers.RandomContrast((share, share), seed=seed)


def brightness(share: float, seed: int) -> Any:
    """Return a layer that makes pictures lighter and darker.

    Parameters
    ----------
    share : float
        Of the range of values.
    seed : int

    Returns
    -------
    keras.layers.Layer
    """
    return keras().layers.RandomBrightness(share, seed=seed)


def hue(share: float, seed: int) -> Any:
    """Return a layer that turns the hue of pictures.

    Parameters
    ----------
    share : float
        Of the whole colour circle, to each side.
    seed : int

    Returns
    -------
    keras.layers.Layer
    """
    # Keras reads 1 as half of the circle.
    return keras().layers.RandomHue(2 * share, seed=seed)
