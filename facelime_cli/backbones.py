"""The networks that can be fine-tuned and the input scalings there are: light tables, one entry each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CAFFE_MEANS = (103.939, 116.779, 123.68)
IMAGENET_MEANS = (0.485, 0.456, 0.406)
IMAGENET_DEVIATIONS = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Scaling:
    """What a network's first own layer expects: display space × scale + offset, channels perhaps in the order blue, green, red."""

    scale: tuple[float, ...]
    offset: tuple[float, ...]
    reverse: bool = False


SCALINGS = {
    "0..1": Scaling((1 / 255,), (0.0,)),
    "-1..1": Scaling((1 / 127.5,), (-1.0,)),
    "0..255": Scaling((1.0,), (0.0,)),
    "caffe": Scaling((1.0,), tuple(-mean for mean in CAFFE_MEANS), reverse=True),
    "imagenet": Scaling(
        tuple(1 / 255 / deviation for deviation in IMAGENET_DEVIATIONS),
        tuple(-mean / deviation for mean, deviation in zip(IMAGENET_MEANS, IMAGENET_DEVIATIONS, strict=True)),
    ),
}


@dataclass(frozen=True)
class Backbone:
    """A network to fine-tune.

    Its input scaling and published picture size; its name in `keras.applications`, or its layers made from `keras.layers`; the layer that pools its last maps.
    """

    scaling: str
    size: int
    application: str = ""
    pooling: str = "GlobalAveragePooling2D"
    layers: Callable[[Any], Sequence[Any]] | None = None


def _small_cnn(layers: Any) -> Sequence[Any]:
    """Three convolutions. Their maximum is pooled, not their mean: a lesion is a small part of a picture."""
    blocks: list[Any] = []
    for filters in (16, 32, 64):
        blocks += [layers.Conv2D(filters, 3, padding="same", activation="relu"), layers.MaxPooling2D()]
    return blocks


BACKBONES = {
    "cnn": Backbone("-1..1", 96, pooling="GlobalMaxPooling2D", layers=_small_cnn),
    "mobilenetv2": Backbone("-1..1", 224, application="MobileNetV2"),
    "inceptionv3": Backbone("-1..1", 299, application="InceptionV3"),
}
ACTIVATIONS = ("softmax", "sigmoid")
