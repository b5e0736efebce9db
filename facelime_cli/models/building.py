"""Networks for training: architectures, heads, frozen layers, augmentation."""

from __future__ import annotations

import contextlib
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import FacelimeError, first_line
from facelime_cli.models import backend, wrapping
from facelime_cli.models.backbones import BACKBONES, POOLINGS
from facelime_cli.models.backend import UNLOADABLE, fresh_names, keras
from facelime_cli.models.recipes import FLIPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Architecture:
    """What a network for fine-tuning is made of.

    Attributes
    ----------
    backbone : str
        A key of `BACKBONES`.
    size : int
        Side of its input in pixels.
    n_classes : int
    weights : str
        `imagenet`, `none` or a file of weights.
    freeze : str
        `all`, `none`, or how many of the backbone's first layers stay as they are.
    pooling : str
        A key of `POOLINGS`.
    head : tuple of int
        Units of the hidden layers, with ReLU.
    dropout : tuple of float
        Rates behind the pooled features and each hidden layer; a shorter tuple is that of the last ones, a single rate that of every hidden layer.
    l2 : float
        Factor of the squared weights of the hidden layers in the loss.
    output : str
        `softmax`, or `sigmoid` for one unit that tells two classes apart.
    seed : int
        Of the weights that come from nothing.
    """

    backbone: str
    size: int
    n_classes: int
    weights: str = "none"
    freeze: str = "none"
    pooling: str = "average"
    head: tuple[int, ...] = ()
    dropout: tuple[float, ...] = ()
    l2: float = 0.0
    output: str = "softmax"
    seed: int = 0


@dataclass(frozen=True)
class Trainable:
    """A network, and its two halves with the same layers: `bare` answers with pooled features, `head` turns these into probabilities; `backbone` holds what may be frozen."""

    whole: Any
    bare: Any
    head: Any
    backbone: Any


def build(what: Architecture, precision: str = "float32") -> Trainable:
    """Return a network with its scaling baked in; `precision` is `float32`, or `mixed` to compute with 16 bits where a device is faster so."""
    k = keras()
    fresh_names()
    k.utils.set_random_seed(what.seed)
    entry = BACKBONES[what.backbone]
    with _policy(precision):
        inputs = k.Input((what.size, what.size, 3), name="display")
        x = wrapping.scaled(inputs, entry.scaling, 3)
        if entry.application:
            backbone = _application(entry.application, what.size, what.weights)
        else:
            if what.weights != "none":
                raise FacelimeError(
                    f"--weights {what.weights} does not go with --backbone {what.backbone}, which starts from nothing; use --weights none."
                )
            layers = list(entry.layers(k.layers))
            backbone = k.Sequential(layers or [k.layers.Identity()], name=what.backbone.replace("-", "_"))
        x = backbone(x)
        _freeze(backbone, what.freeze)
        features = getattr(k.layers, POOLINGS[what.pooling])(name="features")(x)
        layers = _head(what)
        head = k.Sequential([k.Input(features.shape[1:]), *layers], name="head")
        y = features
        for layer in layers:
            y = layer(y)
    return Trainable(k.Model(inputs, y), k.Model(inputs, features), head, backbone)


def _head(what: Architecture) -> list[Any]:
    """Return the layers behind the pooled features; the last answers in float32 whatever the precision."""
    k = keras()
    rates = what.dropout * len(what.head) if len(what.dropout) == 1 and what.head else what.dropout
    if len(rates) > len(what.head) + 1:
        raise FacelimeError(
            f"--dropout names {len(rates)} rates, but there are {len(what.head) + 1} places for them: behind the pooled features and behind each hidden layer."
        )
    rates = (0.0,) * (len(what.head) + 1 - len(rates)) + rates
    layers = _dropout(rates[0])
    for units, rate in zip(what.head, rates[1:], strict=True):
        regularizer = k.regularizers.L2(what.l2) if what.l2 else None
        layers += [k.layers.Dense(units, activation="relu", kernel_regularizer=regularizer), *_dropout(rate)]
    if what.output == "softmax":
        return [*layers, k.layers.Dense(what.n_classes, activation="softmax", name="probabilities", dtype="float32")]
    if what.n_classes != wrapping.BOTH_SIDES:
        raise FacelimeError(
            f"--output sigmoid is one unit for two classes, but there are {what.n_classes}; use --output softmax."
        )
    return [
        *layers,
        k.layers.Dense(1, activation="sigmoid", name="probability", dtype="float32"),
        wrapping.both_sides(),
    ]


def _dropout(rate: float) -> list[Any]:
    return [keras().layers.Dropout(rate)] if rate else []


@contextlib.contextmanager
def _policy(precision: str) -> Iterator[None]:
    """Build layers for a precision: 16 bits are float16 on a graphics card, bfloat16 on a processor, which has no other."""
    if precision == "float32":
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
    count = {"all": len(base.layers), "none": 0}.get(freeze)
    if count is None:
        count = int(freeze)
    if count > len(base.layers):
        raise FacelimeError(
            f"--freeze {count} is more than the {len(base.layers)} layers of {base.name}; use a smaller number, or `all`."
        )
    for layer in base.layers[:count]:
        layer.trainable = False


def unfreeze(backbone: Any, layers: str) -> None:
    """Let the last `layers` of a backbone (a number, or `all`) be trained; batch norm keeps its weights and statistics.

    A frozen `BatchNormalization` runs in inference mode. To call the backbone with `training=False` is not enough: in Keras 3 the outer model's `training=True` overrides it.
    """
    first = len(backbone.layers) - check_layers(backbone, layers)
    for place, layer in enumerate(backbone.layers):
        layer.trainable = (layer.trainable or place >= first) and not isinstance(
            layer, keras().layers.BatchNormalization
        )


def check_layers(backbone: Any, layers: str) -> int:
    """Return how many layers a number or `all` means."""
    count = len(backbone.layers) if layers == "all" else int(layers)
    if count > len(backbone.layers):
        raise FacelimeError(
            f"--fine-tune-layers {count} is more than the {len(backbone.layers)} layers of {backbone.name}; use a smaller number, or all."
        )
    return count


def computes_in_float16(network: Any) -> bool:
    """Whether a layer of a network, or of a network in it, computes with float16, whose small gradients need a scaled loss."""
    return any(getattr(layer, "compute_dtype", "") == "float16" for layer in network._flatten_layers())  # noqa: SLF001 - Keras has no public way to all layers within layers


def augmented(network: Any, amounts: Mapping[str, Any], seed: int) -> Any:
    """Return a network that changes each picture at random before it answers, in training only; its weights are those of the network.

    Parameters
    ----------
    network : keras.Model
        Reads display space.
    amounts : mapping
        From `recipes.augmentation`. What comes into the picture from outside repeats its edge.
    seed : int
    """
    k = keras()
    inputs = k.Input(network.inputs[0].shape[1:])
    x = inputs
    for place, (name, amount) in enumerate(amounts.items()):
        x = _AUGMENTERS[name](k.layers, amount, seed + place)(x)
    return k.Model(inputs, network(x))


_AUGMENTERS: dict[str, Callable[[Any, Any, int], Any]] = {
    "rotation": lambda layers, degrees, seed: layers.RandomRotation(degrees / 360, fill_mode="nearest", seed=seed),
    "shift": lambda layers, share, seed: layers.RandomTranslation(share, share, fill_mode="nearest", seed=seed),
    "shear": lambda layers, slope, seed: layers.RandomShear(slope, slope, fill_mode="nearest", seed=seed),
    "zoom": lambda layers, share, seed: layers.RandomZoom((-share, share), fill_mode="nearest", seed=seed),
    "flip": lambda layers, sides, seed: layers.RandomFlip(FLIPS[sides], seed=seed),
    "contrast": lambda layers, share, seed: layers.RandomContrast(
        (share, share), seed=seed
    ),  # Keras takes a single number for (0, number)
    "brightness": lambda layers, share, seed: layers.RandomBrightness(share, seed=seed),
    "hue": lambda layers, share, seed: layers.RandomHue(2 * share, seed=seed),  # Keras takes 1 for half of the circle
}
"""One entry for each of `recipes.AUGMENTATIONS`."""


def _application(name: str, size: int, weights: str) -> Any:
    """Return a backbone of `keras.applications` without its top."""
    build_it = getattr(keras().applications, name)
    shape = (size, size, 3)
    try:
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():  # Keras tells of its download on stdout
            warnings.filterwarnings("ignore", message=".*input_shape.*is undefined or non-square")
            if weights in {"imagenet", "none"}:
                return build_it(weights=None if weights == "none" else weights, include_top=False, input_shape=shape)
            base = build_it(weights=None, include_top=False, input_shape=shape)
    except Exception as why:
        if weights == "imagenet" and "fetch" in str(why):
            raise FacelimeError(
                f"the ImageNet weights of {name} cannot be downloaded ({first_line(why)}); bring them as a file with --weights FILE."
            ) from why
        raise FacelimeError(
            f"{name} cannot be built for {size} pixels ({first_line(why)}); choose another --size in `preprocess`."
        ) from why
    _load_base(base, build_it, weights)
    return base


def _load_base(base: Any, build_it: Callable[..., Any], file: str) -> None:
    """Load a weights file that was saved with or without the top."""
    try:
        base.load_weights(file)
    except UNLOADABLE as without:
        whole = build_it(weights=None)
        try:
            whole.load_weights(file)
        except UNLOADABLE as why:
            raise FacelimeError(
                f"{file} does not hold weights of {base.name} ({first_line(why)}); give a .weights.h5 file of this network, with its top of 1000 classes or without."
            ) from without
        base.set_weights(whole.get_weights()[: len(base.get_weights())])


def application_with_weights(backbone: str, file: Path, n_classes: int, size: int) -> Any:
    """Return a whole network of `keras.applications`, with its top, from a file of weights."""
    entry = BACKBONES[backbone]
    if not entry.application:
        raise FacelimeError(
            f"--backbone {backbone} is no network that a weights file from outside fits; use {', '.join(name for name, each in BACKBONES.items() if each.application)}."
        )
    fresh_names()
    try:
        network = getattr(keras().applications, entry.application)(
            weights=None, classes=n_classes, input_shape=(size, size, 3)
        )
    except ValueError as why:
        raise FacelimeError(
            f"{backbone} cannot be built for {size} pixels ({first_line(why)}); choose another --size."
        ) from why
    try:
        network.load_weights(file)
    except UNLOADABLE as why:
        raise FacelimeError(
            f"{file} does not fit {backbone} with {n_classes} classes ({first_line(why)}); the number of classes is that of --classes."
        ) from why
    return network
