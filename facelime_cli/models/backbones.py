"""The networks that can be trained, and the input scalings: one table for each choice, one record for each entry."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facelime_cli.choices import Entry, table
from facelime_cli.errors import CommandLineError
from facelime_cli.plain import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

CAFFE_MEANS = (103.939, 116.779, 123.68)
"""Of ImageNet's pictures in the order blue, green, red, as Caffe's networks subtract them."""
IMAGENET_MEANS = (0.485, 0.456, 0.406)
IMAGENET_DEVIATIONS = (0.229, 0.224, 0.225)
HAM10000_MEANS = (0.771, 0.558, 0.583)
"""Of the skin system's training pictures."""
HAM10000_DEVIATIONS = (0.127, 0.142, 0.152)
COLOURS = 3
WHITE = 255
"""The largest value of a channel in display space."""
IMAGENET = "imagenet"
"""Weights that Keras brings for a network of `keras.applications`."""
NONE, ALL, EARLY = "none", "all", "early"
"""Words in the place of a number, a file or a list."""
FLOAT32, MIXED = "float32", "mixed"
PRECISIONS = (FLOAT32, MIXED)
YES_OR_NO = 2
"""Classes that one sigmoid unit can tell apart."""


@dataclass(frozen=True, kw_only=True)
class Scaling(Entry):
    """What a network's first own layer expects: display space × scale + offset.

    Attributes
    ----------
    scale, offset : tuple of float
        One number, or one for each channel.
    reverse : bool
        Whether the channels stand in the order blue, green, red.
    """

    function: str = "facelime_cli.models.wrapping:scaled"
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    reverse: bool = False


def _standardised(name: str, words: str, means: tuple[float, ...], deviations: tuple[float, ...]) -> Scaling:
    """Return the scaling to mean 0 and deviation 1 of channels in 0…1."""
    channels = max(len(means), len(deviations))
    means, deviations = (each * (channels // len(each)) for each in (means, deviations))
    scale = tuple(1 / WHITE / deviation for deviation in deviations)
    offset = tuple(-mean / deviation for mean, deviation in zip(means, deviations, strict=True))
    return Scaling(name=name, words=words, scale=scale, offset=offset)


SCALINGS = table(
    Scaling(name="0..1", words="divide by 255", scale=(1 / WHITE,), offset=(0.0,)),
    Scaling(name="-1..1", words="divide by 127.5 and subtract 1", scale=(1 / 127.5,), offset=(-1.0,)),
    Scaling(name="0..255", words="leave as it is", scale=(1.0,), offset=(0.0,)),
    Scaling(
        name="-1024..1024",
        words="as TorchXRayVision scales X-rays",
        scale=(2048 / WHITE,),
        offset=(-1024.0,),
    ),
    Scaling(
        name="caffe",
        words="blue, green, red, with their ImageNet means subtracted",
        scale=(1.0,),
        offset=tuple(-mean for mean in CAFFE_MEANS),
        reverse=True,
    ),
    _standardised("imagenet", "ImageNet's mean and deviation", IMAGENET_MEANS, IMAGENET_DEVIATIONS),
    _standardised("ham10000", "HAM10000's mean and deviation", HAM10000_MEANS, HAM10000_DEVIATIONS),
)

MEAN_AND_DEVIATION = re.compile(r"mean:(?P<means>[^/]+)/std:(?P<deviations>[^/]+)")
WRITTEN_SCALING = "mean:A,B,C/std:D,E,F"
"""How a scaling is written that has no name: the mean and the deviation of channels in 0…1, one number or three."""
LEAST_DEVIATION = 1e-6
"""Of channels in 0…1. A smaller one makes numbers that float32 does not tell apart."""


def scaling_of(text: str) -> Scaling:
    """Return the scaling that a text names or writes out.

    Parameters
    ----------
    text : str
        A key of `SCALINGS`, or `mean:A,B,C/std:D,E,F` with one number or three each, of channels in 0…1.

    Returns
    -------
    Scaling

    Raises
    ------
    CommandLineError
        For any other text.

    Examples
    --------
    >>> scaling_of("mean:0.5/std:0.25").offset
    (-2.0,)
    >>> scaling_of("0..1").offset
    (0.0,)
    """
    if text in SCALINGS:
        return SCALINGS[text]
    written = MEAN_AND_DEVIATION.fullmatch(text)
    if written is None:
        raise CommandLineError(
            f"--scaling {shown(text)!r} is none of {', '.join(SCALINGS)}; choose one, or write {WRITTEN_SCALING}."
        )
    means, deviations = (_channels_in(text, written[group]) for group in ("means", "deviations"))
    if not all(0 <= mean <= 1 for mean in means) or not all(LEAST_DEVIATION <= each <= 1 for each in deviations):
        raise CommandLineError(
            f"--scaling {text!r} holds a mean outside 0 to 1, or a deviation outside 0.000001 to 1; give those of "
            "channels in 0..1, so divide what counts to 255 by 255."
        )
    return _standardised(text, "mean and deviation as written", means, deviations)


def _channels_in(text: str, numbers: str) -> tuple[float, ...]:
    """Return one number or three."""
    try:
        found = tuple(float(each) for each in numbers.split(","))
    except ValueError:
        found = ()
    if len(found) not in {1, COLOURS}:
        raise CommandLineError(
            f"--scaling {shown(text)!r} holds {shown(numbers)!r}, which should be one number or three; "
            f"write {WRITTEN_SCALING}."
        )
    return found


POOLINGS = table(
    Entry(name="average", words="the mean of each map", function="keras.layers:GlobalAveragePooling2D"),
    Entry(name="max", words="the largest value of each map", function="keras.layers:GlobalMaxPooling2D"),
    Entry(name="flatten", words="every value of every map", function="keras.layers:Flatten"),
)
"""How a network's last maps become features."""

SOFTMAX, SIGMOID = "softmax", "sigmoid"
ACTIVATIONS = table(
    Entry(name=SOFTMAX, words="one unit for each class", function="facelime_cli.core.compose:softmax"),
    Entry(name=SIGMOID, words="a unit that answers on its own", function="facelime_cli.core.compose:sigmoid"),
)
"""What makes probabilities of a network's last values."""

APPLICATIONS = "keras.applications:"
"""Where the function of a network that Keras publishes is found."""


@dataclass(frozen=True, kw_only=True)
class Backbone(Entry):
    """A network to train. Its function makes its layers from its settings, or is its builder in `keras.applications`.

    Attributes
    ----------
    scaling : str
        Its input scaling, a key of `SCALINGS`.
    size : int
        Side of the pictures that it was published with, in pixels.
    pooling : str
        A key of `POOLINGS`.
    head : tuple of int
        Units of the hidden layers between pooling and output.
    dropout : tuple of float
        Rates behind the last of these, see `--dropout`.
    """

    scaling: str
    size: int
    pooling: str = "average"
    head: tuple[int, ...] = ()
    dropout: tuple[float, ...] = ()

    @property
    def application(self) -> str:
        """Its name in `keras.applications`, whose networks have weights from elsewhere; empty for any other."""
        _, is_published, name = self.function.partition(APPLICATIONS)
        return name if is_published else ""


PLAIN_BLOCKS = "facelime_cli.models.building:plain_blocks"
NORMALISED_BLOCKS = "facelime_cli.models.building:normalised_blocks"


def _published(name: str, application: str, scaling: str, size: int = 224) -> Backbone:
    """Return an entry for a network of `keras.applications`, with dropout behind its features."""
    words = f"Keras' {application}"
    function = APPLICATIONS + application
    return Backbone(name=name, words=words, function=function, scaling=scaling, size=size, dropout=(0.2,))


BACKBONES = table(
    Backbone(
        name="ann",
        words="no convolutions, 10 hidden units",
        function=PLAIN_BLOCKS,
        settings={"filters": ()},
        scaling="0..1",
        size=128,
        pooling="flatten",
        head=(10,),
    ),
    Backbone(
        name="ann-deep",
        words="no convolutions, five hidden layers",
        function=PLAIN_BLOCKS,
        settings={"filters": ()},
        scaling="0..1",
        size=128,
        pooling="flatten",
        head=(256, 128, 64, 32, 10),
    ),
    Backbone(
        name="cnn",
        words="one convolution, 8 hidden units",
        function=PLAIN_BLOCKS,
        settings={"filters": (8,)},
        scaling="0..1",
        size=128,
        pooling="flatten",
        head=(8,),
    ),
    Backbone(
        name="cnn-deep",
        words="three convolutions, two hidden layers",
        function=PLAIN_BLOCKS,
        settings={"filters": (32, 64, 128)},
        scaling="0..1",
        size=128,
        pooling="flatten",
        head=(128, 64),
    ),
    Backbone(
        name="cnn-skin",
        words="four convolutions with batch norm, two hidden layers",
        function=NORMALISED_BLOCKS,
        settings={"filters": (64, 128, 256, 512)},
        scaling="ham10000",
        size=224,
        pooling="flatten",
        head=(512, 128),
    ),
    # The largest value is pooled, not the mean: a lesion covers little of a picture.
    Backbone(
        name="cnn-small",
        words="three small convolutions, for first steps",
        function=PLAIN_BLOCKS,
        settings={"filters": (16, 32, 64)},
        scaling="-1..1",
        size=96,
        pooling="max",
        dropout=(0.2,),
    ),
    # Any other network of `keras.applications` is one more line, with the scaling that its publishers say.
    _published("mobilenetv2", "MobileNetV2", "-1..1"),
    _published("inceptionv3", "InceptionV3", "-1..1", 299),
    _published("xception", "Xception", "-1..1", 299),
    _published("resnet50", "ResNet50", "caffe"),
    _published("resnet101", "ResNet101", "caffe"),
    _published("densenet121", "DenseNet121", "imagenet"),
    _published("efficientnetv2b0", "EfficientNetV2B0", "0..255"),
)
"""The first five are the published systems' own networks."""


def published(backbones: Mapping[str, Backbone]) -> tuple[str, ...]:
    """Return the names of the networks that have weights from elsewhere.

    Parameters
    ----------
    backbones : mapping
        As `BACKBONES`.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> published(BACKBONES)[:2]
    ('mobilenetv2', 'inceptionv3')
    """
    return tuple(name for name, entry in backbones.items() if entry.application)
