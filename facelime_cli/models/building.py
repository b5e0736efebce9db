"""Networks for training: architectures, heads, frozen layers."""

from __future__ import annotations

import contextlib
import math
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facelime_cli.core import shapes
from facelime_cli.errors import FacelimeError, first_line
from facelime_cli.models import backend, wrapping
from facelime_cli.models.backbones import ALL, BACKBONES, EARLY, FLOAT32, IMAGENET, NONE, POOLINGS, SOFTMAX, published
from facelime_cli.models.backend import UNLOADABLE, fresh_names, keras

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from facelime_cli.core.shapes import Size
    from facelime_cli.models.backbones import Backbone

CHANNELS = 3
MAP_AXES = 4
"""Pictures, height, width, channels."""
COARSE = 16
"""Times that the side of coarse maps is in the picture's."""
SQUARE_IS_MEANT = ".*input_shape.*is undefined or non-square"
"""Keras warns of any size that is not the published one; ours is meant."""
NOTHING_OF_A_CONTAINER = "Skipping nested container"
"""Keras warns of its own lists of layers, which no file holds, before it says that a file does not fit."""
FURTHER_OUTPUT = "probabilities_{}"
"""Name of the layer of the second output, of the third, and so on; that of the first is the only one's."""
MOST_OUTPUTS = 8
"""Labels that a network learns together: each adds a loss of its own; with more of them, findings are meant."""


@dataclass(frozen=True)
class Architecture:
    """What a network for training is made of.

    Attributes
    ----------
    backbone : str
        A key of `BACKBONES`.
    size : int or sequence of int
        Side of its input, or height and width, in pixels.
    n_classes : int
    weights : str
        `imagenet`, `none` or a file of weights.
    freeze : str
        `all`, `none`, `early` (see `early_layers`), or how many of the backbone's first layers stay as they are.
    pooling : str
        A key of `POOLINGS`.
    head : tuple of int
        Units of the hidden layers, with ReLU.
    dropout : tuple of float
        Rates behind the pooled features and each hidden layer. A shorter tuple is that of the last ones, a single rate
        that of every hidden layer.
    l2 : float
        Factor of the squared weights of the hidden layers in the loss.
    output : str
        `softmax`, or `sigmoid` for one unit that tells two classes apart, or one for each of several findings.
    multilabel : bool
        Whether the classes are findings, each with a probability of its own.
    seed : int
        Of the weights that come from nothing.
    outputs : tuple of (str, int)
        Where the network learns several labels: the name of each of its outputs, and the number of its classes. The
        first has `n_classes` of them, and `output` is about it; the others end in a softmax.
    """

    backbone: str
    size: Size
    n_classes: int
    weights: str = NONE
    freeze: str = NONE
    pooling: str = "average"
    head: tuple[int, ...] = ()
    dropout: tuple[float, ...] = ()
    l2: float = 0.0
    output: str = SOFTMAX
    multilabel: bool = False
    seed: int = 0
    outputs: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Trainable:
    """A network, and its two halves with the same layers.

    Attributes
    ----------
    whole : keras.Model
        From display space to probabilities; those of several outputs stand one behind the other.
    bare : keras.Model
        From display space to pooled features.
    head : keras.Model
        From pooled features to probabilities, as `whole`.
    backbone : keras.Model
        The layers that may be frozen.
    named : keras.Model, optional
        Where there are several outputs: from display space to a dictionary of them.
    """

    whole: Any
    bare: Any
    head: Any
    backbone: Any
    named: Any = None

    @property
    def saved(self) -> Any:
        """The network as it is saved."""
        return self.whole if self.named is None else self.named


def build(what: Architecture, precision: str = FLOAT32) -> Trainable:
    """Return a network with its scaling inside.

    Parameters
    ----------
    what : Architecture
    precision : str
        One of `PRECISIONS`: mixed computes with 16 bits where a device is faster so.

    Returns
    -------
    Trainable

    Raises
    ------
    FacelimeError
        For weights, sizes or settings that do not go with the network.
    """
    k = keras()
    fresh_names()
    k.utils.set_random_seed(what.seed)
    entry = BACKBONES[what.backbone]
    with _policy(precision):
        inputs = k.Input((*shapes.sides(what.size), CHANNELS), name="display")
        x = wrapping.scaled(inputs, entry.scaling, CHANNELS)
        backbone = _application(entry, what.size, what.weights) if entry.application else _own(entry, what.weights)
        x = backbone(x)
        _freeze(backbone, what.freeze)
        features = POOLINGS[what.pooling].load()(name="features")(x)
        if what.outputs:
            return _with_outputs(what, k.Model(inputs, features), backbone)
        layers = _head(what)
        head = k.Sequential([k.Input(features.shape[1:]), *layers], name="head")
        y = _through(layers, features)
    return Trainable(k.Model(inputs, y), k.Model(inputs, features), head, backbone)


def _through(layers: Sequence[Any], x: Any) -> Any:
    """Return what a chain of layers makes of a tensor."""
    for layer in layers:
        x = layer(x)
    return x


def _with_outputs(what: Architecture, bare: Any, backbone: Any) -> Trainable:
    """Return a network with several outputs behind one another, and the same with their names."""
    k = keras()
    hidden, first = _hidden(what), _answering(what)
    ends = [first]
    for number, (_, n_classes) in enumerate(what.outputs[1:], 2):
        name = FURTHER_OUTPUT.format(number)
        ends.append([k.layers.Dense(n_classes, activation=SOFTMAX, name=name, dtype="float32")])
    together = k.layers.Concatenate(name="outputs", dtype="float32")

    def answers(features: Any) -> list[Any]:
        shared = _through(hidden, features)
        return [_through(end, shared) for end in ends]

    given = k.Input(bare.outputs[0].shape[1:])
    head = k.Model(given, together(answers(given)), name="head")
    found = answers(bare.outputs[0])
    names = [name for name, _ in what.outputs]
    named = k.Model(bare.inputs[0], dict(zip(names, found, strict=True)))
    return Trainable(k.Model(bare.inputs[0], together(found)), bare, head, backbone, named)


# The backbone


def plain_blocks(filters: Sequence[int]) -> list[Any]:
    """Return a chain of 3×3 convolutions with ReLU, each followed by 2×2 pooling.

    Parameters
    ----------
    filters : sequence of int
        Of each convolution.

    Returns
    -------
    list of keras.layers.Layer
    """
    layers = keras().layers
    made = []
    for each in filters:
        made.append(layers.Conv2D(each, 3, padding="same", activation="relu"))
        made.append(layers.MaxPooling2D())
    return made


def normalised_blocks(filters: Sequence[int]) -> list[Any]:
    """Return a chain of 3×3 convolution, batch norm, ReLU and 2×2 pooling.

    Parameters
    ----------
    filters : sequence of int
        Of each convolution.

    Returns
    -------
    list of keras.layers.Layer
    """
    layers = keras().layers
    made = []
    for each in filters:
        made.append(layers.Conv2D(each, 3, padding="same", use_bias=False))
        made.append(layers.BatchNormalization())
        made.append(layers.Activation("relu"))
        made.append(layers.MaxPooling2D())
    return made


def _own(entry: Backbone, weights: str) -> Any:
    """Return a backbone whose layers are ours."""
    if weights != NONE:
        raise FacelimeError(
            f"--weights {weights} does not go with --backbone {entry.name}, which starts from nothing; "
            "use --weights none."
        )
    k = keras()
    layers = entry.load()(**entry.settings)
    return k.Sequential(layers or [k.layers.Identity()], name=entry.name.replace("-", "_"))


def _application(entry: Backbone, size: Size, weights: str) -> Any:
    """Return a backbone of `keras.applications` without its top."""
    build_it = entry.load()
    file = None if weights in {IMAGENET, NONE} else weights
    given = IMAGENET if weights == IMAGENET else None
    try:
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():  # Keras tells of its download on stdout
            warnings.filterwarnings("ignore", message=SQUARE_IS_MEANT)
            base = build_it(weights=given, include_top=False, input_shape=(*shapes.sides(size), CHANNELS))
    except Exception as why:
        if given and "fetch" in str(why):
            raise FacelimeError(
                f"the ImageNet weights of {entry.application} cannot be downloaded ({first_line(why)}); "
                "download them elsewhere and name the file with --weights FILE."
            ) from why
        raise FacelimeError(
            f"{entry.application} cannot be built for {shapes.shown(size)} pixels ({first_line(why)}); "
            "choose another --size in `preprocess`."
        ) from why
    if file is not None:
        _load_base(base, build_it, file)
    return base


def _load_base(base: Any, build_it: Callable[..., Any], file: str) -> None:
    """Load a weights file that was saved with or without the top."""
    try:
        _load(base, file)
    except UNLOADABLE as without:
        whole = build_it(weights=None)
        try:
            _load(whole, file)
        except UNLOADABLE as why:
            raise FacelimeError(
                f"{file} does not hold weights of {base.name} ({first_line(why)}); "
                "give a .weights.h5 file of this network, with its top of 1000 classes or without."
            ) from without
        # The weights of the top come last.
        values = whole.get_weights()
        base.set_weights(values[: len(base.get_weights())])


def _load(network: Any, file: str | Path) -> None:
    """Load a file of weights; one that does not fit raises, whatever Keras has warned of before."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=NOTHING_OF_A_CONTAINER)
        network.load_weights(file)


def application_with_weights(backbone: str, file: Path, n_classes: int, size: Size) -> Any:
    """Return a whole network of `keras.applications`, with its top, from a file of weights.

    Parameters
    ----------
    backbone : str
        A key of `BACKBONES`.
    file : pathlib.Path
    n_classes : int
        Outputs of its top.
    size : int or sequence of int
        Side of its input, or height and width, in pixels.

    Returns
    -------
    keras.Model

    Raises
    ------
    FacelimeError
        Where the network, the size or the file do not go together.
    """
    entry = BACKBONES[backbone]
    if not entry.application:
        raise FacelimeError(
            f"--backbone {backbone} has no published weights that a file could hold; "
            f"use {', '.join(published(BACKBONES))}."
        )
    keras()
    fresh_names()
    try:
        network = entry.load()(weights=None, classes=n_classes, input_shape=(*shapes.sides(size), CHANNELS))
    except ValueError as why:
        raise FacelimeError(
            f"{backbone} cannot be built for {shapes.shown(size)} pixels ({first_line(why)}); choose another --size."
        ) from why
    try:
        _load(network, file)
    except UNLOADABLE as why:
        raise FacelimeError(
            f"{file} does not fit {backbone} with {n_classes} classes ({first_line(why)}); "
            "name as many --classes as the file has outputs."
        ) from why
    return network


# The head


def _head(what: Architecture) -> list[Any]:
    """Return the layers behind the pooled features; the last answers in float32 whatever the precision."""
    return [*_hidden(what), *_answering(what)]


def _hidden(what: Architecture) -> list[Any]:
    """Return the layers between the pooled features and those that answer."""
    k = keras()
    first, *others = _rates(what)
    layers = _dropout(first)
    for units, rate in zip(what.head, others, strict=True):
        regularizer = k.regularizers.L2(what.l2) if what.l2 else None
        layers.append(k.layers.Dense(units, activation="relu", kernel_regularizer=regularizer))
        layers += _dropout(rate)
    return layers


def _answering(what: Architecture) -> list[Any]:
    """Return the layers that answer with the probabilities of the classes."""
    k = keras()
    if what.output == SOFTMAX or what.multilabel:
        return [k.layers.Dense(what.n_classes, activation=what.output, name="probabilities", dtype="float32")]
    if what.n_classes != wrapping.BOTH_SIDES:
        raise FacelimeError(
            f"--output sigmoid is one unit for two classes, but there are {what.n_classes}; use --output softmax."
        )
    output = k.layers.Dense(1, activation="sigmoid", name="probability", dtype="float32")
    return [output, wrapping.both_sides()]


def _rates(what: Architecture) -> tuple[float, ...]:
    """Return a dropout rate for the pooled features and for each hidden layer."""
    places = len(what.head) + 1
    rates = what.dropout
    if len(rates) == 1 and what.head:
        rates *= len(what.head)
    if len(rates) > places:
        raise FacelimeError(
            f"--dropout names {len(rates)} rates, but there are {places} places for them: "
            "behind the pooled features and behind each hidden layer."
        )
    return (0.0,) * (places - len(rates)) + rates


def _dropout(rate: float) -> list[Any]:
    return [keras().layers.Dropout(rate)] if rate else []


# Precision, and which layers are trained


@contextlib.contextmanager
def _policy(precision: str) -> Iterator[None]:
    """Build layers for a precision: 16 bits are float16 on a graphics card, and bfloat16 on a processor."""
    if precision == FLOAT32:
        yield
        return
    config = keras().config
    before = config.dtype_policy()
    config.set_dtype_policy("mixed_float16" if backend.on_accelerator() else "mixed_bfloat16")
    try:
        yield
    finally:
        config.set_dtype_policy(before)


def _freeze(base: Any, freeze: str) -> None:
    n_layers = len(base.layers)
    words = {ALL: n_layers, NONE: 0, EARLY: early_layers(base)}
    count = words[freeze] if freeze in words else int(freeze)
    if count > n_layers:
        raise FacelimeError(
            f"--freeze {count} is more than the {n_layers} layers of {base.name}; use a smaller number, or all."
        )
    for layer in base.layers[:count]:
        layer.trainable = False


def early_layers(backbone: Any) -> int:
    """Return how many layers come before the maps' side falls to a sixteenth of the picture's.

    Edges and textures are the same in every picture. These layers are a third of the layers of a common network, and
    most of the time that a training step takes.

    Parameters
    ----------
    backbone : keras.Model

    Returns
    -------
    int
        0 where maps never become so small.
    """
    coarse = math.ceil(backbone.input_shape[1] / COARSE)
    for place, layer in enumerate(backbone.layers):
        shape: Sequence[Any] = getattr(layer.output, "shape", ())
        if len(shape) == MAP_AXES and shape[1] <= coarse:
            return place
    return 0


def unfreeze(backbone: Any, layers: str) -> None:
    """Let the last layers of a backbone be trained, except batch norm, which keeps its weights and statistics.

    Parameters
    ----------
    backbone : keras.Model
        Changed in place.
    layers : str
        How many, or `all`.

    Raises
    ------
    FacelimeError
        Where it has fewer layers.

    Notes
    -----
    A frozen `BatchNormalization` runs in inference mode. To call the backbone with `training=False` is not enough: in
    Keras 3 the outer model's `training=True` overrides it.
    """
    first = len(backbone.layers) - check_layers(backbone, layers)
    normalisation = keras().layers.BatchNormalization
    for place, layer in enumerate(backbone.layers):
        is_wanted = layer.trainable or place >= first
        layer.trainable = is_wanted and not isinstance(layer, normalisation)


def check_layers(backbone: Any, layers: str) -> int:
    """Return how many layers a number or `all` means.

    Parameters
    ----------
    backbone : keras.Model
    layers : str
        How many, or `all`.

    Returns
    -------
    int

    Raises
    ------
    FacelimeError
        Where it has fewer layers.
    """
    n_layers = len(backbone.layers)
    count = n_layers if layers == ALL else int(layers)
    if count > n_layers:
        raise FacelimeError(
            f"--fine-tune-layers {count} is more than the {n_layers} layers of {backbone.name}; "
            "use a smaller number, or all."
        )
    return count


def computes_in_float16(network: Any) -> bool:
    """Tell whether any layer computes with float16, whose small gradients need a scaled loss.

    Parameters
    ----------
    network : keras.Model

    Returns
    -------
    bool
    """
    layers = network._flatten_layers()  # noqa: SLF001 - Keras has no public way to all layers within layers
    return any(getattr(layer, "compute_dtype", "") == "float16" for layer in layers)
