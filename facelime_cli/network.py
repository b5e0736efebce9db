"""Networks: the only door to Keras, which is imported when a function needs it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import tempfile
import warnings
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli import digests, machine
from facelime_cli.backbones import ACTIVATIONS, BACKBONES, POOLINGS, SCALINGS
from facelime_cli.errors import BrokenError, FacelimeError
from facelime_cli.recipes import FLIPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601), as Pillow's own conversion to grey."""
UNLOADABLE = (ValueError, TypeError, OSError, KeyError, AttributeError, zipfile.BadZipFile)
"""What Keras raises for a file that is not what it should be."""
SUM_TOLERANCE = 1e-3
RANGE_TOLERANCE = 1e-6
BOTH_SIDES = 2
"""Columns of a one-unit sigmoid: [1 - p, p]."""
BOTH_SIDES_LAYER = "both_sides"
FLOAT32_LAYERS = {"Rescaling", "Normalization", "Softmax", "Sigmoid"}
"""Layers that keep 32 bits in every precision: what makes the input, and the answer."""
SIGNATURE = "serving_default"
COMPILED = 2
"""Raised when the compiled call changes, and with it the last bits of what it answers."""
CONSTANT_WEIGHTS = 1 << 25
"""Networks with more weights keep them as variables: as constants of a graph they take about 15 times their own memory while it is compiled, and half of that after."""
PASSING_LAYERS = {"Reshape", "Flatten", "Dropout", "Identity"}
"""Layers that hand values on as they are."""


class DeviceMemoryError(FacelimeError):
    """A batch did not fit into the device's memory."""

    def __init__(self) -> None:
        super().__init__("the device's memory is too small for a batch of this size; repeat the command with a smaller --batch-size.")


def keras() -> Any:
    """Import Keras with its backend, silently unless --debug asks for what they say."""
    if "keras" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        wanted = os.environ.get("KERAS_BACKEND") or "tensorflow"
        if wanted not in _COMPILERS:
            raise FacelimeError(f"KERAS_BACKEND={wanted} is no backend that facelime runs on; set it to {', '.join(_COMPILERS)}, or leave it out.")
        if importlib.util.find_spec(wanted) is None:
            raise FacelimeError(f"KERAS_BACKEND={wanted} asks for a package that is not installed; install {wanted}, or leave the variable out.")
        with _silent_stderr():
            import keras as imported

            _leave_room(imported.backend.backend())
            compute_with("float32")
    return sys.modules["keras"]


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Hold back what C++ libraries print while they are imported; shown after all when the import fails."""
    if os.environ.get("FACELIME_DEBUG"):
        yield
        return
    sys.stderr.flush()
    said, kept = sys.stderr, os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        if said is sys.__stderr__:  # what Python itself says in the meantime, in whatever thread, is not held back
            sys.stderr = os.fdopen(os.dup(kept), "w", buffering=1)
        try:
            yield
        except Exception:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            sys.stderr = said
            os.dup2(kept, 2)
            os.close(kept)


def _leave_room(backend: str) -> None:
    """Take memory of a shared graphics card as it is needed, not all of it at once (torch does so by itself, JAX by its variable)."""
    if backend == "tensorflow":
        import tensorflow as tf

        for device in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(device, enable=True)


def compute_with(precision: str) -> None:
    """Let a graphics card multiply float32 with TF32, or keep float32 what it says; --precision tf32 where there is no card is an error."""
    if precision == "tf32" and not on_accelerator():
        raise FacelimeError("--precision tf32 is a mode of NVIDIA cards, and this backend sees none; use float32, or bfloat16 where the processor has instructions for it.")
    backend = sys.modules["keras"].backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(precision == "tf32")
    elif backend == "torch":
        import torch

        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
    elif backend == "jax":
        import jax

        jax.config.update("jax_default_matmul_precision", "tensorfloat32" if precision == "tf32" else "highest")


# Building


def check_channels(scaling: str, channels: int) -> None:
    """Raise when a scaling of three channels is to go in front of a network that reads one."""
    how = SCALINGS[scaling]
    if channels == 1 and (len(how.offset) > 1 or how.reverse):
        raise FacelimeError(f"--scaling {scaling} is for three channels, but the network reads one; use 0..1, -1..1 or 0..255.")


def scaled(inputs: Any, scaling: str, channels: int) -> Any:
    """Apply the layers that turn display space into a network's input: luminance, channel order, scale. Keras layers only, so that any Keras can load them."""
    k = keras()
    how = SCALINGS[scaling]
    x = inputs
    check_channels(scaling, channels)
    if channels == 1:
        x = _fixed_colour_map(x, np.array(LUMINANCE)[:, None], "luminance")
    elif how.reverse:
        x = _fixed_colour_map(x, np.eye(3)[::-1], "blue_green_red")
    scale, offset = (list(value) if len(value) > 1 else value[0] for value in (how.scale, how.offset))
    return k.layers.Rescaling(scale, offset, name="input_scaling")(x)


def _fixed_colour_map(x: Any, matrix: NDArray[np.float64], name: str) -> Any:
    layer = keras().layers.Conv2D(matrix.shape[1], 1, use_bias=False, trainable=False, name=name)
    y = layer(x)
    layer.set_weights([matrix[None, None].astype(np.float32)])
    return y


def fresh_names() -> None:
    """Start layer names anew, so that the same network built later in one process is the same network."""
    keras().utils.clear_session()


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
        x = scaled(inputs, entry.scaling, 3)
        if entry.application:
            backbone = _application(entry.application, what.size, what.weights)
        else:
            if what.weights != "none":
                raise FacelimeError(f"--weights {what.weights} does not go with --backbone {what.backbone}, which starts from nothing; use --weights none.")
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
        raise FacelimeError(f"--dropout names {len(rates)} rates, but there are {len(what.head) + 1} places for them: behind the pooled features and behind each hidden layer.")
    rates = (0.0,) * (len(what.head) + 1 - len(rates)) + rates
    layers = _dropout(rates[0])
    for units, rate in zip(what.head, rates[1:], strict=True):
        regularizer = k.regularizers.L2(what.l2) if what.l2 else None
        layers += [k.layers.Dense(units, activation="relu", kernel_regularizer=regularizer), *_dropout(rate)]
    if what.output == "softmax":
        return [*layers, k.layers.Dense(what.n_classes, activation="softmax", name="probabilities", dtype="float32")]
    if what.n_classes != BOTH_SIDES:
        raise FacelimeError(f"--output sigmoid is one unit for two classes, but there are {what.n_classes}; use --output softmax.")
    return [*layers, k.layers.Dense(1, activation="sigmoid", name="probability", dtype="float32"), _both_sides()]


def _dropout(rate: float) -> list[Any]:
    return [keras().layers.Dropout(rate)] if rate else []


def _both_sides() -> Any:
    """Return the layer that makes [1 - p, p] of one p."""
    layer = keras().layers.Dense(BOTH_SIDES, trainable=False, name=BOTH_SIDES_LAYER, dtype="float32")
    layer.build((None, 1))
    layer.set_weights([np.array([[-1.0, 1.0]], np.float32), np.array([1.0, 0.0], np.float32)])
    return layer


@contextlib.contextmanager
def _policy(precision: str) -> Iterator[None]:
    """Build layers for a precision: 16 bits are float16 on a graphics card, bfloat16 on a processor, which has no other."""
    if precision == "float32":
        yield
        return
    config = keras().config
    before = config.dtype_policy()
    config.set_dtype_policy("mixed_float16" if on_accelerator() else "mixed_bfloat16")
    try:
        yield
    finally:
        config.set_dtype_policy(before)


def _freeze(base: Any, freeze: str) -> None:
    count = {"all": len(base.layers), "none": 0}.get(freeze)
    if count is None:
        count = int(freeze)
    if count > len(base.layers):
        raise FacelimeError(f"--freeze {count} is more than the {len(base.layers)} layers of {base.name}; use a smaller number, or `all`.")
    for layer in base.layers[:count]:
        layer.trainable = False


def unfreeze(backbone: Any, layers: str) -> None:
    """Let the last `layers` of a backbone (a number, or `all`) be trained; batch norm keeps its weights and statistics.

    A frozen `BatchNormalization` runs in inference mode. To call the backbone with `training=False` is not enough: in Keras 3 the outer model's `training=True` overrides it.
    """
    first = len(backbone.layers) - check_layers(backbone, layers)
    for place, layer in enumerate(backbone.layers):
        layer.trainable = (layer.trainable or place >= first) and not isinstance(layer, keras().layers.BatchNormalization)


def check_layers(backbone: Any, layers: str) -> int:
    """Return how many layers a number or `all` means."""
    count = len(backbone.layers) if layers == "all" else int(layers)
    if count > len(backbone.layers):
        raise FacelimeError(f"--fine-tune-layers {count} is more than the {len(backbone.layers)} layers of {backbone.name}; use a smaller number, or all.")
    return count


def computes_in_float16(network: Any) -> bool:
    """Whether a layer of a network, or of a network in it, computes with float16, whose small gradients need a scaled loss."""
    return any(getattr(layer, "compute_dtype", "") == "float16" for layer in network._flatten_layers())  # noqa: SLF001 - Keras has no public way to all layers within layers


@contextlib.contextmanager
def memory_errors_named() -> Iterator[None]:
    """Turn what a backend raises when a batch does not fit into the device's memory into our own error."""
    error, words = _MEMORY_ERRORS[keras().backend.backend()]()
    try:
        yield
    except error as why:
        if any(each in str(why) for each in words):
            raise DeviceMemoryError from why
        raise


def _tensorflow_memory_error() -> tuple[type[Exception], tuple[str, ...]]:
    import tensorflow as tf

    return tf.errors.ResourceExhaustedError, ("",)


def _jax_memory_error() -> tuple[type[Exception], tuple[str, ...]]:
    import jax

    return jax.errors.JaxRuntimeError, ("RESOURCE_EXHAUSTED",)


def _torch_memory_error() -> tuple[type[Exception], tuple[str, ...]]:
    return RuntimeError, ("out of memory", "allocate memory")  # of a graphics card, of the processor


_MEMORY_ERRORS: dict[str, Callable[[], tuple[type[Exception], tuple[str, ...]]]] = {"tensorflow": _tensorflow_memory_error, "jax": _jax_memory_error, "torch": _torch_memory_error}
"""What each backend raises for want of memory, and the words that tell it from other errors."""


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
    "contrast": lambda layers, share, seed: layers.RandomContrast((share, share), seed=seed),  # Keras takes a single number for (0, number)
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
            raise FacelimeError(f"the ImageNet weights of {name} cannot be downloaded ({_first_line(why)}); bring them as a file with --weights FILE.") from why
        raise FacelimeError(f"{name} cannot be built for {size} pixels ({_first_line(why)}); choose another --size in `preprocess`.") from why
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
            raise FacelimeError(f"{file} does not hold weights of {base.name} ({_first_line(why)}); give a .weights.h5 file of this network, with its top of 1000 classes or without.") from without
        base.set_weights(whole.get_weights()[: len(base.get_weights())])


def with_scaling(network: Any, *, scaling: str, size: int, n_classes: int, activation: str | None) -> Any:
    """Wrap a network from outside, so that it reads display space and answers with probabilities of at least two classes.

    Parameters
    ----------
    network : keras.Model
        One picture in, one vector out.
    scaling : str
        A key of `SCALINGS`.
    size : int
    n_classes : int
    activation : str or None
        What to put behind a network that ends in logits.
    """
    k = keras()
    channels, outputs = _shapes(network)
    ends_in = final_activation(network)
    if activation and ends_in in {"softmax", "sigmoid"}:
        raise FacelimeError(f"the network ends in {ends_in} already; leave --activation {activation} out.")
    check_activation(activation, outputs)
    inputs = k.Input((size, size, 3), name="display")
    try:
        y = network(scaled(inputs, scaling, channels), training=False)
    except (ValueError, TypeError) as why:
        raise FacelimeError(f"the network does not take a picture of {size}×{size} pixels ({_first_line(why)}); give its input size with --size.") from why
    if activation:
        y = k.layers.Activation(activation, name="probabilities")(y)
    if outputs == 1 and n_classes == BOTH_SIDES:
        y = _both_sides()(y)
    elif outputs != n_classes:
        raise FacelimeError(f"the network has {outputs} outputs, but {n_classes} classes are named; name one class per output with --classes.")
    return k.Model(inputs, y)


def check_activation(activation: str | None, outputs: int) -> None:
    """Raise when what is put behind a network would make the same of whatever it answers."""
    if activation == "softmax" and outputs == 1:
        raise FacelimeError("--activation softmax makes 1 of a single output; use --activation sigmoid.")


def _shapes(network: Any) -> tuple[int, int]:
    """Return channels and number of outputs of a network, or say why it cannot be explained."""
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise FacelimeError(f"the network has {len(network.inputs)} inputs and {len(network.outputs)} outputs; facelime explains networks with one picture in and one vector out.")
    shape, out = tuple(network.inputs[0].shape), tuple(network.outputs[0].shape)
    if len(shape) != 4 or shape[-1] not in (1, 3) or len(out) != 2:  # noqa: PLR2004 - batch, height, width, channel; batch, class
        raise FacelimeError(f"the network reads {shape} and answers {out}; it should read (batch, height, width, 1 or 3) and answer (batch, classes).")
    return int(shape[-1]), int(out[-1])


def input_size(network: Any) -> int | None:
    """Return the side of the square that a network reads, or None when it is open."""
    height, width = (*network.inputs[0].shape, None, None, None)[1:3]
    if height != width:
        raise FacelimeError(f"the network reads pictures of {height}×{width}; only square inputs can be explained, put a resizing layer in front of it.")
    return None if height is None else int(height)


def channels(network: Any) -> int:
    """Return how many channels a network reads."""
    return int(network.inputs[0].shape[-1])


def final_activation(network: Any) -> str:
    """Return the name of the activation that makes a network's output, or an empty string when it cannot be told."""
    layer = network.outputs[0]._keras_history.operation  # noqa: SLF001 - Keras has no public way from a tensor to its layer
    while type(layer).__name__ in PASSING_LAYERS:
        layer = layer.input._keras_history.operation  # noqa: SLF001 - as above
    if hasattr(layer, "outputs") and hasattr(layer, "layers"):
        return final_activation(layer)
    if type(layer).__name__ in {"Softmax", "Sigmoid"}:
        return type(layer).__name__.lower()
    return getattr(getattr(layer, "activation", None), "__name__", "")


def why_not_probabilities(values: NDArray[np.float32], activation: str, *, independent: bool = False) -> str | None:
    """Say why a network's answers are no probabilities, or None when they are.

    Parameters
    ----------
    values : (B, C) float32 array
        Answers to a few pictures.
    activation : str
        From `final_activation`: independent sigmoids need not add up to 1.
    independent : bool
        Whether each class has a probability of its own, whatever the network ends in.
    """
    n_outputs = values.shape[1]
    remedy = f"--activation {'sigmoid' if n_outputs == 1 else 'softmax'}"
    if not np.isfinite(values).all():
        return "the network answers with NaN or infinity; check --scaling and the file."
    if values.min() < -RANGE_TOLERANCE or values.max() > 1 + RANGE_TOLERANCE:
        return f"the network answers between {values.min():.3g} and {values.max():.3g}, which are no probabilities but probably logits; add {remedy}."
    if activation == "linear" and n_outputs == 1:
        return f"the network ends in a linear unit, so its answer is no probability; add {remedy}."
    off = float(np.abs(values.sum(axis=1) - 1).max())
    if n_outputs > 1 and activation != "sigmoid" and not independent and off > SUM_TOLERANCE:
        return f"the network's classes add up to {values[0].sum():.3g}, not to 1; add --multi-label if each has a probability of its own, --activation softmax or sigmoid if these are logits."
    return None


# Keeping


def save(network: Any, path: Path) -> None:
    """Save a network with its scaling, and without anything of its training."""
    network.save(path)


def load(path: Path, *, trust: bool = False) -> Any:
    """Load a saved network; code inside the file (a Lambda layer) is refused, unless it is trusted."""
    k = keras()
    try:
        return k.models.load_model(path, compile=False, safe_mode=not trust)
    except UNLOADABLE as why:
        if not trust and "ambda" in str(why):
            raise FacelimeError(f"{path.name} holds code of its own (a Lambda layer), which would run on this machine; if you know who made it, add --trust.") from why
        raise BrokenError(f"{path} cannot be loaded as a Keras model ({_first_line(why)}); give a .keras or .h5 file of a whole model, or --backbone NAME for a file of weights alone.") from why


def load_saved_model(path: Path) -> Any:
    """Return a TensorFlow SavedModel as a network of one layer: its signature `serving_default`, one picture in, one vector out."""
    k = keras()
    if k.backend.backend() != "tensorflow":
        raise FacelimeError(f"{path.name} is a TensorFlow SavedModel, which KERAS_BACKEND={k.backend.backend()} does not run; leave the variable out.")
    import tensorflow as tf

    try:
        signatures = tf.saved_model.load(str(path)).signatures
        layer = k.layers.TFSMLayer(str(path), call_endpoint=SIGNATURE)
    except (*UNLOADABLE, tf.errors.OpError) as why:
        raise BrokenError(f"{path} cannot be loaded as a SavedModel with a signature {SIGNATURE} ({_first_line(why)}); export the model again, with `model.export(folder)` in Keras.") from why
    specs = list(signatures[SIGNATURE].structured_input_signature[1].values())
    if len(specs) != 1 or len(signatures[SIGNATURE].structured_outputs) != 1:
        raise FacelimeError(f"{path} has {len(specs)} inputs and {len(signatures[SIGNATURE].structured_outputs)} outputs; facelime explains networks with one picture in and one vector out.")
    shape, kind = specs[0].shape, specs[0].dtype
    if shape.rank != 4 or shape[0] is not None or kind != tf.float32:  # noqa: PLR2004 - batch, height, width, channel
        raise FacelimeError(f"{path} reads {kind.name} of {shape}; it should read float32 of (None, height, width, 1 or 3), any number of pictures: export it again so.")
    inputs = k.Input(tuple(shape)[1:])
    return k.Model(inputs, next(iter(layer(inputs).values())))


def in_precision(network: Any, precision: str, *, trust: bool = False) -> Any:
    """Return a network that computes with 16 bits for `bfloat16`, else with 32, whatever it was saved with; what makes its probabilities has 32 bits always.

    Multiplications have 16 bits, sums and weights 32 (Keras' `mixed_bfloat16`).
    """
    policy = "mixed_bfloat16" if precision == "bfloat16" else "float32"
    if policy == "float32" and all(getattr(layer, "compute_dtype", "float32") == "float32" for layer in network._flatten_layers()):  # noqa: SLF001 - Keras has no public way to all layers within layers
        return network
    if trust:
        keras().config.enable_unsafe_deserialization()  # `load` asks for safety each time, whatever is said here
    other = type(network).from_config(_with_policy(network.get_config(), policy))
    other.set_weights(network.get_weights())
    return other


def _with_policy(config: Any, policy: str) -> Any:
    """Return a network's configuration with another policy in every layer, but those that answer."""
    if isinstance(config, (list, tuple)):
        return [_with_policy(each, policy) for each in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "DTypePolicy":
        return {**config, "config": {**config["config"], "name": policy}}
    own = config.get("config")
    if isinstance(own, dict) and (config.get("class_name") in FLOAT32_LAYERS or own.get("activation") in ACTIVATIONS or own.get("name") == BOTH_SIDES_LAYER):
        policy = "float32"
    return {key: _with_policy(value, policy) for key, value in config.items()}


def resized(network: Any, size: int) -> Any:
    """Return a network that reads pictures of another size: a layer in front makes them its own (bilinear, antialiased)."""
    k = keras()
    inputs = k.Input((size, size, 3), name="display")
    own = input_size(network)
    return k.Model(inputs, network(k.layers.Resizing(own, own, interpolation="bilinear", antialias=True, name="resize")(inputs)))


def export(network: Any, path: Path, form: str) -> None:
    """Write a network for another runtime, `onnx` or `openvino`; from (B, H, W, 3) float32 display space to (B, C) probabilities, any B."""
    if keras().backend.backend() != "tensorflow":
        raise FacelimeError(f"a network is converted for --runtime {form} with Keras on TensorFlow; run the command once without KERAS_BACKEND, the result is kept.")
    network(np.zeros((1, *network.inputs[0].shape[1:]), np.float32))  # Keras exports what has been called
    with _silent_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Keras' own, of NumPy
        try:
            network.export(str(path), format=form, verbose=False)
        except Exception as why:  # converters raise anything
            raise FacelimeError(f"the network cannot be converted for --runtime {form} ({_first_line(why)}); use --runtime keras, which runs it as it is.") from why


def digest(network: Any) -> str:
    """Return the content digest of a network: its configuration and its weights."""
    weights = [[each.path, str(each.dtype), list(each.shape), digests.of_bytes(np.asarray(keras().ops.convert_to_numpy(each)).tobytes())] for each in network.weights]
    return digests.of_value({"configuration": network.to_json(), "weights": weights})


def application_with_weights(backbone: str, file: Path, n_classes: int, size: int) -> Any:
    """Return a whole network of `keras.applications`, with its top, from a file of weights."""
    entry = BACKBONES[backbone]
    if not entry.application:
        raise FacelimeError(f"--backbone {backbone} is no network that a weights file from outside fits; use {', '.join(name for name, each in BACKBONES.items() if each.application)}.")
    fresh_names()
    try:
        network = getattr(keras().applications, entry.application)(weights=None, classes=n_classes, input_shape=(size, size, 3))
    except ValueError as why:
        raise FacelimeError(f"{backbone} cannot be built for {size} pixels ({_first_line(why)}); choose another --size.") from why
    try:
        network.load_weights(file)
    except UNLOADABLE as why:
        raise FacelimeError(f"{file} does not fit {backbone} with {n_classes} classes ({_first_line(why)}); the number of classes is that of --classes.") from why
    return network


def _first_line(why: BaseException) -> str:
    return (str(why).strip() or type(why).__name__).splitlines()[0].rstrip(".")


# Running


def composer(size: tuple[int, int]) -> Callable[..., Any]:
    """Return the function that composes perturbed pictures on the device.

    It reads packed masks (B, M) uint8, the picture of each row (B,) int32, fills and images (U, 2, H·W, 3) uint8 and segments (U, H·W) int32, and returns
    (B, H, W, 3) float32: x = fill + (image - fill) · mask[segments], exactly, since each pixel is chosen and none computed.
    """
    ops = keras().ops
    n_pixels = size[0] * size[1]

    def compose(bits: Any, index: Any, pictures: Any, segments: Any) -> Any:
        masks = ops.bitwise_and(ops.right_shift(ops.cast(ops.expand_dims(bits, -1), "int32"), ops.arange(8, dtype="int32")), 1)
        first = ops.expand_dims(ops.arange(bits.shape[0], dtype="int32") * bits.shape[1] * 8, -1)
        kept = ops.take(ops.reshape(masks, (-1,)), ops.take(segments, index, axis=0) + first)
        pixel = (ops.expand_dims(index, -1) * 2 + kept) * n_pixels + ops.arange(n_pixels, dtype="int32")
        chosen = ops.take(ops.reshape(pictures, (-1, 3)), pixel, axis=0)
        return ops.cast(ops.reshape(chosen, (-1, *size, 3)), "float32")

    return compose


def compiled(network: Any) -> Callable[..., NDArray[np.float32]]:
    """Return one compiled call for composition and forward pass, from arrays to (B, C) float32 probabilities."""
    return _COMPILERS[keras().backend.backend()](composer(tuple(network.inputs[0].shape)[1:3]), network)


def on_device(array: NDArray[Any]) -> Any:
    """Put an array on the device, to be used by many calls."""
    return keras().ops.convert_to_tensor(array)


def _compile_tensorflow(compose: Callable[..., Any], network: Any) -> Callable[..., NDArray[np.float32]]:
    import tensorflow as tf

    k = keras()
    # XLA fuses the composition (2 ms a batch of 32 instead of 11); the network itself is faster without it on a processor.
    fused = tf.function(compose, autograph=False, jit_compile=True)
    # Weights that are constants of the graph can be folded and laid out once: a tenth to a half more evaluations/s on a processor.
    constant = not on_accelerator() and network.count_params() <= CONSTANT_WEIGHTS
    values = [(each, np.asarray(each)) for each in network.variables] if constant else []

    def answer(*arrays: Any) -> Any:
        composed = fused(*arrays)
        with k.StatelessScope(state_mapping=[(each, tf.constant(value)) for each, value in values]):
            return network(composed, training=False)

    graphs: dict[tuple[Any, ...], Any] = {}

    def run(*arrays: Any) -> NDArray[np.float32]:
        shapes = tuple(tuple(array.shape) for array in arrays)
        if shapes not in graphs:
            graphs.clear()  # the graph of another batch size, with all its constants
            graphs[shapes] = tf.function(answer, autograph=False)
        with memory_errors_named():
            return np.asarray(graphs[shapes](*(tf.convert_to_tensor(array) for array in arrays)))

    return run


def _compile_jax(compose: Callable[..., Any], network: Any) -> Callable[..., NDArray[np.float32]]:
    import jax

    k = keras()

    def stateless(values: Any, *arrays: Any) -> Any:
        with k.StatelessScope(state_mapping=list(zip(network.variables, values, strict=True))):
            return network(compose(*arrays), training=False)

    function = jax.jit(stateless)
    values = [each.value for each in network.variables]

    def run(*arrays: Any) -> NDArray[np.float32]:
        with memory_errors_named():
            return np.asarray(function(values, *arrays))

    return run


def _compile_torch(compose: Callable[..., Any], network: Any) -> Callable[..., NDArray[np.float32]]:
    import torch

    ops = keras().ops

    def run(*arrays: Any) -> NDArray[np.float32]:
        with memory_errors_named(), torch.inference_mode():
            tensors = (ops.convert_to_tensor(array) for array in arrays)
            return np.asarray(ops.convert_to_numpy(network(compose(*tensors), training=False)))

    return run


_COMPILERS: dict[str, Callable[[Callable[..., Any], Any], Callable[..., NDArray[np.float32]]]] = {
    "tensorflow": _compile_tensorflow,
    "jax": _compile_jax,
    "torch": _compile_torch,
}


def engine() -> dict[str, Any]:
    """Return what decides the bits of an answer beside the network and the batch: the backend, the versions, the graphics cards and the processor."""
    backend = keras().backend.backend()
    return {"backend": backend, "compiled": COMPILED, "version": sys.modules[backend].__version__, "keras": keras().__version__, "cards": _CARDS[backend](), **machine.hardware()}


def _cards_of_tensorflow() -> list[str]:
    import tensorflow as tf

    return [str(tf.config.experimental.get_device_details(card).get("device_name")) for card in tf.config.list_physical_devices("GPU")]


def _cards_of_jax() -> list[str]:
    import jax

    return [str(device.device_kind) for device in jax.devices() if device.platform != "cpu"]


def _cards_of_torch() -> list[str]:
    import torch

    return [str(torch.cuda.get_device_name(card)) for card in range(torch.cuda.device_count())]


_CARDS: dict[str, Callable[[], list[str]]] = {"tensorflow": _cards_of_tensorflow, "jax": _cards_of_jax, "torch": _cards_of_torch}


def on_accelerator() -> bool:
    """Whether the backend computes on something other than the processor."""
    return bool(_CARDS[keras().backend.backend()]())


def trial_pictures(size: int) -> NDArray[np.float32]:
    """Return a drawn face, noise and black: (3, size, size, 3) float32 display space."""
    from facelime_cli.core.faces import draw

    noise = np.random.Generator(np.random.Philox(0)).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return np.stack([draw(0, 0, size, flushed=True).image, noise, np.zeros_like(noise)]).astype(np.float32)


def trial_answers(network: Any, size: int) -> NDArray[np.float32]:
    """Return what a network answers to the trial pictures: (3, C) float32, one column for a single unit."""
    values = np.asarray(keras().ops.convert_to_numpy(network(trial_pictures(size), training=False)))
    return values[:, 1:] if network.layers[-1].name == BOTH_SIDES_LAYER else values


@dataclass(frozen=True)
class Part:
    """Some of a data set: how to read it, which rows it has, and their classes.

    `read` returns what a network reads for a list of rows: (B, H, W, 3) uint8 pictures, or (B, F) float32 features.
    """

    read: Callable[[list[int]], NDArray[Any]]
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]


def forward(network: Any) -> Callable[..., NDArray[np.float32]]:
    """Return one compiled forward pass, from (B, …) values in display space (or features) to (B, C) float32."""
    return _COMPILERS[keras().backend.backend()](lambda values: keras().ops.cast(values, "float32"), network)


def answers(call: Callable[..., NDArray[np.float32]], part: Part, batch_size: int) -> Iterator[NDArray[np.float32]]:
    """Yield what a compiled pass answers, batch by batch; the last batch is padded to full size, so that the bits do not depend on how many pictures there are."""
    for start in range(0, len(part.rows), batch_size):
        values = part.read([int(row) for row in part.rows[start : start + batch_size]])
        padding = [(0, batch_size - len(values)), *[(0, 0)] * (values.ndim - 1)]
        yield call(np.pad(values, padding))[: len(values)]


def probabilities(network: Any, part: Part, batch_size: int) -> NDArray[np.float32]:
    """Return a network's probabilities for the pictures of a part, (N, C) float32."""
    return np.concatenate(list(answers(forward(network), part, batch_size)))
