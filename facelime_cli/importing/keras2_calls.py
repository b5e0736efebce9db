"""How Keras 2 writes calls of layers, and the functions of TensorFlow that stand among its layers (TFOpLambda)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import BrokenError
from facelime_cli.plain import shown

if TYPE_CHECKING:
    from collections.abc import Callable

CONSTANT = "_CONSTANT_VALUE"
"""What stands in the place of a layer's name where a call begins with a number."""
HISTORY, WITH_OPTIONS = 3, 4
"""Parts of a reference to a tensor: layer, call, output; then the other arguments of the call."""
NUMPY, NN, LAYERS = "keras.src.ops.numpy", "keras.src.ops.nn", "keras.layers"
SLICE = {"start", "stop", "step"}
ELLIPSIS = {"class_name": "__ellipsis__"}
REVERSED_CHANNELS = [ELLIPSIS, {"step": -1}]
"""How Keras 2 writes `x[..., ::-1]`, from red, green, blue to blue, green, red."""
FLOATS = {"float16", "bfloat16", "float32", "float64"}


# Calls


def is_reference(value: Any) -> bool:
    """Tell whether a value stands for the output of a layer."""
    return (
        isinstance(value, list)
        and len(value) in {HISTORY, WITH_OPTIONS}
        and isinstance(value[0], str)
        and all(isinstance(each, int) for each in value[1:3])
    )


def call(node: Any, offsets: dict[Any, int]) -> dict[str, Any]:
    """Return a call of a layer as Keras 3 writes it.

    Parameters
    ----------
    node : list or dict
        A reference with the other arguments, a list of such, or what `operation` made of it.
    offsets : dict
        From `first_nodes`.

    Returns
    -------
    dict
        With the keys `args` and `kwargs`.
    """
    if isinstance(node, dict):
        return {key: _tensors(value, offsets) for key, value in node.items()}
    first = node if is_reference(node) else node[0]
    options = first[HISTORY] if len(first) == WITH_OPTIONS else {}
    tensors = _tensors(node, offsets)
    if isinstance(tensors, list) and len(tensors) == 1:
        (tensors,) = tensors
    return {"args": [tensors], "kwargs": _tensors(options, offsets)}


def _tensors(value: Any, offsets: dict[Any, int]) -> Any:
    """Return a value in which references are tensors of Keras 3."""
    if is_reference(value):
        layer, node, tensor = value[:HISTORY]
        history = [layer, node - offsets.get(layer, 0), tensor]
        # Only the history counts; shape and dtype are those of the layer.
        config = {"shape": [None], "dtype": "float32", "keras_history": history}
        return {"class_name": "__keras_tensor__", "config": config}
    if isinstance(value, list):
        return [_tensors(each, offsets) for each in value]
    if isinstance(value, dict):
        return {key: _tensors(each, offsets) for key, each in value.items()}
    return value


def first_nodes(layers: list[dict[str, Any]], outputs: Any, nested: set[Any]) -> dict[Any, int]:
    """Return from which number the calls of each nested network are counted: in Keras 2 it is 1, for its own making.

    Parameters
    ----------
    layers : list of dict
        As Keras 2 writes them.
    outputs : list
        References to the outputs of all.
    nested : set
        Names of the layers that are networks.

    Returns
    -------
    dict
    """
    found: dict[Any, int] = {}

    def look(value: Any) -> None:
        if is_reference(value) and value[0] in nested:
            found[value[0]] = min(value[1], found.get(value[0], value[1]))
        for each in value if isinstance(value, list) else value.values() if isinstance(value, dict) else ():
            look(each)

    look([[each.get("inbound_nodes", []) for each in layers], outputs])
    return found


def listed(histories: Any) -> list[Any]:
    """Return references as a list, where one may stand alone."""
    return [histories] if is_reference(histories) else list(histories)


def only(histories: Any) -> Any:
    """Return references as Keras 3 writes them: one stands alone."""
    found = listed(histories)
    return found[0] if len(found) == 1 else found


# Functions of TensorFlow


@dataclass
class Called:
    """A function of TensorFlow that a layer calls.

    Attributes
    ----------
    what : str
        The layer, in errors.
    first : object
        A reference, a list of such, or a constant.
    options : dict
        The other arguments; those that were looked at are taken out.
    """

    what: str
    first: Any
    options: dict[str, Any]

    def take(self, *names: str, default: Any = None) -> Any:
        """Return an argument under one of its names, and take it out."""
        values = [self.options.pop(name) for name in names if name in self.options]
        return next((value for value in values if value is not None), default)


Operation = tuple[str, str, dict[str, Any], list[Any]]
"""Where the class of an operation of Keras 3 is, its name, its settings, and what it is called with."""


def operation(entry: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the layer or the operation of Keras 3 that computes what a function of TensorFlow did.

    Parameters
    ----------
    entry : dict
        Of the class TFOpLambda or SlicingOpLambda.
    name : str
        Of the file, in errors.

    Returns
    -------
    dict

    Raises
    ------
    BrokenError
        Where there is none.
    """
    function = str(entry["config"]["function"]).removeprefix("tf.").removeprefix("compat.v1.")
    own = entry.get("name") or entry["config"]["name"]
    what = f"{name} computes tf.{shown(function)} in its layer {shown(str(own))!r}"
    if function not in FUNCTIONS or len(entry["inbound_nodes"]) != 1:
        raise _unknown(what)
    called = _called(entry["inbound_nodes"][0], what)
    module, kind, config, args = FUNCTIONS[function](called)
    left = {key for key, value in called.options.items() if value is not None and key != "name"}
    if left:
        raise _unknown(f"{what} with {shown(', '.join(sorted(left)))}")
    return {
        "module": module,
        "class_name": kind,
        "config": {**config, "name": own},
        "registered_name": None if module == LAYERS else kind,
        "name": own,
        "inbound_nodes": [{"args": args, "kwargs": {}}],
    }


def _unknown(what: str) -> BrokenError:
    return BrokenError(
        f"{what}, which Keras 3 does not read; export the model as a SavedModel where it was made, "
        "and import that folder."
    )


def _called(node: Any, what: str) -> Called:
    """Return what a function is called with."""
    if is_reference(node) or (node and node[0] == CONSTANT):
        options = dict(node[HISTORY]) if len(node) == WITH_OPTIONS else {}
        return Called(what, node[2] if node[0] == CONSTANT else node[:HISTORY], options)
    options = dict(node[0][HISTORY]) if len(node[0]) == WITH_OPTIONS else {}
    return Called(what, [each[:HISTORY] for each in node], options)


def _is_constant(value: Any) -> bool:
    """Tell whether a value holds numbers alone."""
    if isinstance(value, list):
        return not is_reference(value) and all(_is_constant(each) for each in value)
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _opposite(value: Any) -> Any:
    return [_opposite(each) for each in value] if isinstance(value, list) else -value


def _inverse(value: Any) -> Any:
    return [_inverse(each) for each in value] if isinstance(value, list) else 1 / value


def _rescaled(scale: Any, offset: Any, tensor: Any) -> Operation:
    # Keras' own layer: what a network begins with is read off it.
    return LAYERS, "Rescaling", {"scale": scale, "offset": offset}, [tensor]


def _arithmetic(kind: str, linear: Callable[[Any, Any], tuple[Any, Any, Any] | None]) -> Callable[[Called], Operation]:
    """Return what makes an operation of two arguments: a rescaling, where one is a constant and that is all it does."""

    def made(called: Called) -> Operation:
        first, second = called.first, called.take("y", "bias")
        found = linear(first, second)
        return (NUMPY, kind, {}, [first, second]) if found is None else _rescaled(*found)

    return made


def _sum(x: Any, y: Any) -> tuple[Any, Any, Any] | None:
    return (1.0, y, x) if _is_constant(y) else (1.0, x, y) if _is_constant(x) else None


def _difference(x: Any, y: Any) -> tuple[Any, Any, Any] | None:
    return (1.0, _opposite(y), x) if _is_constant(y) else (-1.0, x, y) if _is_constant(x) else None


def _product(x: Any, y: Any) -> tuple[Any, Any, Any] | None:
    return (y, 0.0, x) if _is_constant(y) else (x, 0.0, y) if _is_constant(x) else None


def _quotient(x: Any, y: Any) -> tuple[Any, Any, Any] | None:
    return (_inverse(y), 0.0, x) if _is_constant(y) else None


def _neither(_: Any, __: Any) -> None:
    return None


def _activation(kind: str) -> Callable[[Called], Operation]:
    return lambda called: (LAYERS, "Activation", {"activation": kind}, [called.first])


def _plain(module: str, kind: str) -> Callable[[Called], Operation]:
    return lambda called: (module, kind, {}, [called.first])


def _reduced(kind: str) -> Callable[[Called], Operation]:
    def made(called: Called) -> Operation:
        config = {"axis": called.take("axis"), "keepdims": bool(called.take("keepdims", "keep_dims", default=False))}
        return NUMPY, kind, config, [called.first]

    return made


def _with_axis(module: str, kind: str, default: Any = None) -> Callable[[Called], Operation]:
    def made(called: Called) -> Operation:
        axis = called.take("axis", default=default)
        axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
        arguments = (
            [[called.first]] if kind in {"Concatenate", "Stack"} and is_reference(called.first) else [called.first]
        )
        return module, kind, {"axis": axis}, arguments

    return made


def _silu(called: Called) -> Operation:
    if called.take("beta", default=1.0) != 1:
        raise _unknown(f"{called.what} with a beta")
    return LAYERS, "Activation", {"activation": "silu"}, [called.first]


def _gelu(called: Called) -> Operation:
    return NN, "Gelu", {"approximate": bool(called.take("approximate", default=False))}, [called.first]


def _leaky_relu(called: Called) -> Operation:
    slope = called.take("alpha", default=0.2)  # TensorFlow's own default
    return LAYERS, "LeakyReLU", {"negative_slope": slope}, [called.first]


def _cast(called: Called) -> Operation:
    kind = called.take("dtype")
    if kind not in FLOATS:
        raise _unknown(f"{called.what} to {shown(str(kind))}")
    return LAYERS, "Identity", {}, [called.first]


def _clipped(called: Called) -> Operation:
    bounds = {"x_min": called.take("clip_value_min"), "x_max": called.take("clip_value_max")}
    return NUMPY, "Clip", bounds, [called.first]


def _reshaped(called: Called) -> Operation:
    first, *rest = called.take("shape")
    if first != -1 or not all(isinstance(each, int) for each in rest):
        raise _unknown(f"{called.what} to a shape that is computed")
    return LAYERS, "Reshape", {"target_shape": rest}, [called.first]


def _transposed(called: Called) -> Operation:
    return NUMPY, "Transpose", {"axes": called.take("perm")}, [called.first]


def _resized(called: Called) -> Operation:
    height, width = called.take("size")
    config = {
        "height": height,
        "width": width,
        "interpolation": called.take("method", default="bilinear"),
        "antialias": bool(called.take("antialias", default=False)),
    }
    if called.take("preserve_aspect_ratio", default=False) or not _is_constant([height, width]):
        raise _unknown(f"{called.what} to a size that is computed")
    return LAYERS, "Resizing", config, [called.first]


def _sliced(called: Called) -> Operation:
    """Return what a slice with numbers takes out."""
    spec = called.take("slice_spec")
    parts = spec if isinstance(spec, list) else [spec]
    if len(parts) == len(REVERSED_CHANNELS) and [_without_nothing(each) for each in parts] == REVERSED_CHANNELS:
        return NUMPY, "Flip", {"axis": -1}, [called.first]
    if parts[-1:] == [ELLIPSIS]:
        parts = parts[:-1]  # it stands at the end of each slice
    key: list[Any] = []
    for each in parts:
        if isinstance(each, dict) and set(each) == SLICE:
            key.append({"class_name": "__slice__", "config": each})
        elif each is None or isinstance(each, int):
            key.append(each)
        else:
            raise _unknown(called.what)
    return NUMPY, "GetItem", {}, [called.first, key]


def _without_nothing(part: Any) -> Any:
    return {key: value for key, value in part.items() if value is not None} if isinstance(part, dict) else part


FUNCTIONS: dict[str, Callable[[Called], Operation]] = {
    **dict.fromkeys(("math.add", "add", "__operators__.add", "nn.bias_add"), _arithmetic("Add", _sum)),
    **dict.fromkeys(("math.subtract", "subtract", "__operators__.sub"), _arithmetic("Subtract", _difference)),
    **dict.fromkeys(("math.multiply", "multiply", "__operators__.mul"), _arithmetic("Multiply", _product)),
    **dict.fromkeys(
        ("math.truediv", "truediv", "math.divide", "divide", "realdiv", "math.realdiv", "__operators__.truediv"),
        _arithmetic("TrueDivide", _quotient),
    ),
    **dict.fromkeys(("math.maximum", "maximum"), _arithmetic("Maximum", _neither)),
    **dict.fromkeys(("math.minimum", "minimum"), _arithmetic("Minimum", _neither)),
    **dict.fromkeys(("math.pow", "pow"), _arithmetic("Power", _neither)),
    "nn.relu": _activation("relu"),
    "nn.relu6": _activation("relu6"),
    **dict.fromkeys(("nn.silu", "nn.swish"), _silu),
    **dict.fromkeys(("nn.sigmoid", "math.sigmoid", "sigmoid"), _activation("sigmoid")),
    **dict.fromkeys(("nn.tanh", "math.tanh", "tanh"), _activation("tanh")),
    "nn.elu": _activation("elu"),
    "nn.selu": _activation("selu"),
    **dict.fromkeys(("nn.softplus", "math.softplus"), _activation("softplus")),
    "nn.gelu": _gelu,
    "nn.leaky_relu": _leaky_relu,
    **dict.fromkeys(("nn.softmax", "math.softmax"), _with_axis(LAYERS, "Softmax", -1)),
    **dict.fromkeys(("identity", "stop_gradient"), _plain(LAYERS, "Identity")),
    "cast": _cast,
    **dict.fromkeys(("math.exp", "exp"), _plain(NUMPY, "Exp")),
    **dict.fromkeys(("math.sqrt", "sqrt"), _plain(NUMPY, "Sqrt")),
    **dict.fromkeys(("math.square", "square"), _plain(NUMPY, "Square")),
    **dict.fromkeys(("math.abs", "abs"), _plain(NUMPY, "Absolute")),
    **dict.fromkeys(("math.negative", "negative"), _plain(NUMPY, "Negative")),
    **dict.fromkeys(("math.reduce_mean", "reduce_mean"), _reduced("Mean")),
    **dict.fromkeys(("math.reduce_sum", "reduce_sum"), _reduced("Sum")),
    **dict.fromkeys(("math.reduce_max", "reduce_max"), _reduced("Max")),
    "concat": _with_axis(LAYERS, "Concatenate"),
    "stack": _with_axis(NUMPY, "Stack", 0),
    "expand_dims": _with_axis(NUMPY, "ExpandDims"),
    "squeeze": _with_axis(NUMPY, "Squeeze"),
    "reshape": _reshaped,
    "transpose": _transposed,
    "clip_by_value": _clipped,
    "image.resize": _resized,
    "__operators__.getitem": _sliced,
}
"""The functions that stand in files of Keras 2, by their name in TensorFlow, and what computes the same in Keras 3."""
