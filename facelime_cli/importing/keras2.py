"""Files that Keras 2 wrote: their configuration is mended, so that Keras 3 reads the same network."""

from __future__ import annotations

import inspect
import json
import shutil
import zipfile
from typing import TYPE_CHECKING, Any

from facelime_cli.answering import programs
from facelime_cli.errors import BrokenError
from facelime_cli.importing import keras2_calls
from facelime_cli.models.backend import keras
from facelime_cli.plain import shown

if TYPE_CHECKING:
    from pathlib import Path

NESTED = {"Functional", "Model", "Sequential"}
"""Networks, which may be layers of others."""
CALLS = {"TFOpLambda", "SlicingOpLambda"}
"""Layers that stand for one function of TensorFlow."""
RENAMED = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
    "FixedDropout": "Dropout",  # of the package efficientnet; it does nothing outside training
}
"""Layers under another name, which compute the same outside training."""
METADATA = "metadata.json"
"""What says in an archive which Keras wrote it."""
ONLY_IN_TRAINING = ("_initializer", "_regularizer", "_constraint")
"""Ends of the names of settings that do not change what a trained network answers."""
BY_DEFAULT: dict[str, tuple[Any, ...]] = {
    "groups": (1,),
    "renorm": (False, None),
    "renorm_clipping": (None,),
    "virtual_batch_size": (None,),
    "adjustment": (None,),
    "dynamic": (False, None),
    "ragged": (False, None),
    "sparse": (False, None),
    "time_major": (False, None),
    "type_spec": (None,),
}
"""Settings that Keras 3 has no longer, and the values at which they say nothing."""
NEVER_MATTERS = {
    "renorm_momentum",
    "fused",
    "implementation",
    "experimental_autocast",
    "input_dtype",
    # Which shapes attention was built for: it is built again.
    "query_shape",
    "key_shape",
    "value_shape",
}
"""Settings that Keras 3 has no longer, and that say nothing about what a layer computes."""
OF_EVERY_LAYER = {"name", "trainable", "dtype", "autocast", "activity_regularizer"}
HOMES = {"keras", "tf_keras", "tensorflow"}
"""Packages in which Keras 2 was."""
OLD_POLICIES = {"Policy", "PolicyV1"}


def is_from_keras_2(path: Path) -> bool:
    """Tell whether a Keras file was written before Keras 3.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    bool
        False for a file that says nothing of what wrote it.
    """
    if path.name.endswith(programs.HDF5_SUFFIXES):
        from facelime_cli.store.hdf5 import root_attribute

        try:
            version = root_attribute(path, "keras_version")
        except OSError:
            return False
    else:
        version = _version_in_archive(path)
    return version is not None and version.partition(".")[0] in {"1", "2"}


def _version_in_archive(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(METADATA).file_size > programs.MOST_CONFIGURATION:
                return None
            metadata = json.loads(archive.read(METADATA))
    except (ValueError, KeyError, OSError, NotImplementedError, zipfile.BadZipFile):
        return None
    return str(metadata.get("keras_version")) if isinstance(metadata, dict) else None


def mended_copy(path: Path, folder: Path) -> Path:
    """Write a copy of a file whose configuration is one of Keras 3.

    Parameters
    ----------
    path : pathlib.Path
        That Keras 2 wrote.
    folder : pathlib.Path
        An empty one.

    Returns
    -------
    pathlib.Path
        Of the copy.

    Raises
    ------
    BrokenError
        Where it cannot be read, or holds a layer that Keras 3 does not have; it names that layer.
    """
    configuration = programs.configuration_of(path)
    if configuration is None:
        return path
    text = json.dumps(mended(configuration, path.name))
    to = folder / path.name
    if path.name.endswith(programs.HDF5_SUFFIXES):
        from facelime_cli.store.hdf5 import set_root_attribute

        shutil.copyfile(path, to)
        set_root_attribute(to, "model_config", text)
        return to
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(to, "w") as out:
        for name in archive.namelist():
            if name == programs.CONFIGURATION:
                out.writestr(name, text)
                continue
            with archive.open(name) as source, out.open(name, "w", force_zip64=True) as copied:
                shutil.copyfileobj(source, copied)
    return to


def put_by_name(network: Any, path: Path) -> None:
    """Give each weight of a network the values of its name, where Keras 3 counts layers in another order than Keras 2.

    Parameters
    ----------
    network : keras.Model
        From the copy that `mended_copy` wrote, with weights by their order.
    path : pathlib.Path
        Of that copy.
    """
    if not path.name.endswith(programs.HDF5_SUFFIXES):
        return
    from facelime_cli.store.hdf5 import legacy_weights

    values = {name.removesuffix(":0"): value for name, value in legacy_weights(path).items()}
    own = {each.path: each for each in network.weights}
    # Where the names are others, their order is all that there is.
    if len(own) == len(network.weights) and {name: value.shape for name, value in values.items()} == {
        name: tuple(each.shape) for name, each in own.items()
    }:
        for name, each in own.items():
            each.assign(values[name])


def mended(configuration: Any, name: str) -> dict[str, Any]:
    """Return the configuration of a network of Keras 2 as one of Keras 3.

    Parameters
    ----------
    configuration : dict
        Of a whole network, as its file holds it. It is not changed.
    name : str
        Of the file, in errors.

    Returns
    -------
    dict

    Raises
    ------
    BrokenError
        For a layer or a setting that Keras 3 does not have.
    """
    try:
        return _layer(json.loads(json.dumps(configuration)), name)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError, RecursionError) as why:
        raise BrokenError(
            f"{name} cannot be loaded as a Keras 2 model (its configuration has another form: {type(why).__name__} "
            f"{why}); export it again."
        ) from why


def _layer(entry: dict[str, Any], name: str) -> dict[str, Any]:
    """Return one layer, or one network, as Keras 3 describes it."""
    kind = (
        entry["class_name"].rpartition(">")[2] if entry["class_name"].endswith(">FixedDropout") else entry["class_name"]
    )
    kind = RENAMED.get(kind, kind)
    entry = {**entry, "class_name": kind}
    if kind in NESTED:
        return _network(entry, name)
    if kind in programs.CODE_LAYERS:
        return entry  # as it is, to be judged
    own = getattr(keras().layers, kind, None)
    if not inspect.isclass(own) or not _is_of_keras(entry):
        raise BrokenError(
            f"{name} needs the layer {shown(str(_name_of(entry)))!r} of the kind {shown(str(kind))!r}, which is "
            "none of Keras 3; export the model as a SavedModel where it was made, and import that folder."
        )
    config = {key: _value(value, name) for key, value in entry["config"].items()}
    entry["config"] = _settings(own, config, f"{name}: the layer {shown(str(_name_of(entry)))!r} ({kind})")
    entry |= {"module": "keras.layers", "registered_name": None}
    return entry


def _is_of_keras(entry: dict[str, Any]) -> bool:
    """Tell whether a layer is one of Keras 2 itself, not one of the same name that somebody registered."""
    module = str(entry.get("module") or "keras").partition(".")[0]
    return module in HOMES and ">" not in str(entry.get("registered_name"))


def _name_of(entry: dict[str, Any]) -> Any:
    return entry.get("name") or entry["config"].get("name")


def _value(value: Any, name: str) -> Any:
    """Return a setting of a layer: a layer of its own, a policy, a function, or plain values."""
    if isinstance(value, list):
        return [_value(each, name) for each in value]
    if not isinstance(value, dict) or "class_name" not in value:
        return value
    if value["class_name"] in OLD_POLICIES:
        return value["config"]["name"]
    if value.get("class_name") == "function" and isinstance(value.get("config"), str):
        return value["config"]
    if value["class_name"] in NESTED or inspect.isclass(getattr(keras().layers, value["class_name"], None)):
        return _layer(value, name)
    return value


def _settings(own: type, config: dict[str, Any], what: str) -> dict[str, Any]:
    """Return the settings of a layer without what Keras 3 has no longer, where that says nothing."""
    config = {key: value for key, value in config.items() if not key.endswith(ONLY_IN_TRAINING)}
    config.pop("activity_regularizer", None)
    shape = config.pop("batch_input_shape", None)
    if own.__name__ == "InputLayer" and shape is not None:
        config["batch_shape"] = shape
    known = OF_EVERY_LAYER | {
        parameter
        for each in own.__mro__
        for parameter in inspect.signature(each.__init__).parameters  # type: ignore[misc]
    }
    # Of one axis that Keras 2 writes as a list, Keras 3 knows the number.
    axis = config.get("axis")
    if isinstance(axis, list) and len(axis) == 1:
        config["axis"] = axis[0]
    _check_activation(config.get("activation"), what)
    for key in sorted(set(config) - known):
        value = config.pop(key)
        if key not in NEVER_MATTERS and value not in BY_DEFAULT.get(key, ()):
            raise BrokenError(
                f"{what} has {shown(key)}={shown(str(value))}, which Keras 3 does not know; export the model as a "
                "SavedModel where it was made, and import that folder."
            )
    return config


def _check_activation(activation: Any, what: str) -> None:
    """Raise for an activation of its maker's own."""
    if isinstance(activation, str):
        try:
            keras().activations.get(activation)
        except ValueError as why:
            raise BrokenError(
                f"{what} has the activation {shown(activation)!r}, which Keras 3 does not know; export the model as a "
                "SavedModel where it was made, and import that folder."
            ) from why


# Networks


def _network(entry: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a network, whose layers are mended and whose calls are written as Keras 3 writes them."""
    config = entry["config"]
    if isinstance(config, list):
        config = {"layers": config}
    layers = [each for each in config["layers"] if each["class_name"] != "ModelWrapper"]
    is_sequence = "input_layers" not in config
    layers = _with_input(layers) if is_sequence else layers
    kinds = {_name_of(each): each["class_name"] for each in layers}
    mended_layers = [
        keras2_calls.operation(each, name) if each["class_name"] in CALLS else _layer(each, name) for each in layers
    ]
    config = {key: value for key, value in config.items() if key in {"name", "trainable", "build_input_shape"}}
    config["layers"] = mended_layers
    if is_sequence:
        config.setdefault("name", "sequential")
        return {"class_name": "Sequential", "module": "keras", "registered_name": "Sequential"} | _rest(entry, config)
    its = entry["config"]
    offsets = keras2_calls.first_nodes(layers, its["output_layers"], {k for k, v in kinds.items() if v in NESTED})
    for each in mended_layers:
        each["inbound_nodes"] = [keras2_calls.call(node, offsets) for node in each["inbound_nodes"]]
    config["input_layers"] = keras2_calls.only(its["input_layers"])
    config["output_layers"] = keras2_calls.only(
        [_output(each, kinds, offsets) for each in keras2_calls.listed(its["output_layers"])]
    )
    described = {"class_name": "Functional", "module": "keras.src.models.functional", "registered_name": "Functional"}
    return described | _rest(entry, config)


def _rest(entry: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    return {"config": config} | {key: entry[key] for key in ("name", "inbound_nodes") if key in entry}


def _output(history: list[Any], kinds: dict[Any, str], offsets: dict[Any, int]) -> list[Any]:
    """Return an output: Keras 3 counts the calls of a functional network from 1 here, and from 0 elsewhere."""
    layer, node, tensor = history
    node -= offsets.get(layer, 0)
    return [layer, node + (kinds[layer] in {"Functional", "Model"}), tensor]


def _with_input(layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the layers of a sequence with the one that says what it reads, which Keras 2 writes into the first."""
    first = layers[0]
    shape = first["config"].get("batch_input_shape") if isinstance(first["config"], dict) else None
    if first["class_name"] == "InputLayer" or shape is None:
        return layers
    name = f"{_name_of(first)}_input"
    return [{"class_name": "InputLayer", "config": {"batch_shape": shape, "name": name}}, *layers]
