"""The networks that can be fine-tuned and the input scalings there are: light tables, one entry each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CAFFE_MEANS = (103.939, 116.779, 123.68)
IMAGENET_MEANS = (0.485, 0.456, 0.406)
IMAGENET_DEVIATIONS = (0.229, 0.224, 0.225)
HAM10000_MEANS = (0.771, 0.558, 0.583)
"""Of the skin system's training pictures."""
HAM10000_DEVIATIONS = (0.127, 0.142, 0.152)


@dataclass(frozen=True)
class Scaling:
    """What a network's first own layer expects: display space × scale + offset, channels perhaps in the order blue, green, red."""

    scale: tuple[float, ...]
    offset: tuple[float, ...]
    reverse: bool = False


def _standardised(means: tuple[float, ...], deviations: tuple[float, ...]) -> Scaling:
    """Return the scaling to mean 0 and deviation 1 of channels in 0…1."""
    return Scaling(
        tuple(1 / 255 / deviation for deviation in deviations),
        tuple(-mean / deviation for mean, deviation in zip(means, deviations, strict=True)),
    )


SCALINGS = {
    "0..1": Scaling((1 / 255,), (0.0,)),
    "-1..1": Scaling((1 / 127.5,), (-1.0,)),
    "0..255": Scaling((1.0,), (0.0,)),
    "caffe": Scaling((1.0,), tuple(-mean for mean in CAFFE_MEANS), reverse=True),
    "imagenet": _standardised(IMAGENET_MEANS, IMAGENET_DEVIATIONS),
    "ham10000": _standardised(HAM10000_MEANS, HAM10000_DEVIATIONS),
}

POOLINGS = {"average": "GlobalAveragePooling2D", "max": "GlobalMaxPooling2D", "flatten": "Flatten"}
"""How a network's last maps become features: name on the command line, and in `keras.layers`."""


@dataclass(frozen=True)
class Backbone:
    """A network to fine-tune.

    Attributes
    ----------
    scaling : str
        Its input scaling, a key of `SCALINGS`.
    size : int
        Side of the pictures that it was published with, in pixels.
    application : str
        Its name in `keras.applications`; such a network has weights from elsewhere.
    layers : callable, optional
        For one of its own kind: makes its layers from `keras.layers`.
    pooling : str
        A key of `POOLINGS`.
    head : tuple of int
        Units of the hidden layers between pooling and output.
    dropout : tuple of float
        Rates behind the last of these, see `--dropout`.
    """

    scaling: str
    size: int
    application: str = ""
    layers: Callable[[Any], Sequence[Any]] = lambda _: ()
    pooling: str = "average"
    head: tuple[int, ...] = ()
    dropout: tuple[float, ...] = ()


def _convolutions(*filters: int) -> Callable[[Any], Sequence[Any]]:
    """Return what makes a chain of 3×3 convolutions with ReLU, each followed by 2×2 pooling."""

    def make(layers: Any) -> Sequence[Any]:
        return [
            layer
            for each in filters
            for layer in (layers.Conv2D(each, 3, padding="same", activation="relu"), layers.MaxPooling2D())
        ]

    return make


def _skin_blocks(layers: Any) -> Sequence[Any]:
    """Four blocks of convolution, batch norm, ReLU and pooling."""
    return [
        layer
        for filters in (64, 128, 256, 512)
        for layer in (
            layers.Conv2D(filters, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.MaxPooling2D(),
        )
    ]


BACKBONES = {
    "ann": Backbone("0..1", 128, pooling="flatten", head=(10,)),
    "ann-deep": Backbone("0..1", 128, pooling="flatten", head=(256, 128, 64, 32, 10)),
    "cnn": Backbone("0..1", 128, layers=_convolutions(8), pooling="flatten", head=(8,)),
    "cnn-deep": Backbone("0..1", 128, layers=_convolutions(32, 64, 128), pooling="flatten", head=(128, 64)),
    "cnn-skin": Backbone("ham10000", 224, layers=_skin_blocks, pooling="flatten", head=(512, 128)),
    # Its maximum is pooled, not its mean: a lesion is a small part of a picture.
    "cnn-small": Backbone("-1..1", 96, layers=_convolutions(16, 32, 64), pooling="max", dropout=(0.2,)),
    "mobilenetv2": Backbone("-1..1", 224, "MobileNetV2", dropout=(0.2,)),
    "inceptionv3": Backbone("-1..1", 299, "InceptionV3", dropout=(0.2,)),
    "xception": Backbone("-1..1", 299, "Xception", dropout=(0.2,)),
    "resnet50": Backbone("caffe", 224, "ResNet50", dropout=(0.2,)),
    "resnet101": Backbone("caffe", 224, "ResNet101", dropout=(0.2,)),
    "densenet121": Backbone("imagenet", 224, "DenseNet121", dropout=(0.2,)),
    "efficientnetv2b0": Backbone("0..255", 224, "EfficientNetV2B0", dropout=(0.2,)),
}
"""The first five are the published systems' own networks; any other network of `keras.applications` is one more entry."""
ACTIVATIONS = ("softmax", "sigmoid")
