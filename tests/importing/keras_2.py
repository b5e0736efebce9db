"""Files as Keras 2 wrote them, made by hand: its configurations, and weights where it put them."""

import json

import h5py


def entry(kind, name, inbound=None, **config):
    """Return one layer as Keras 2 describes it; `inbound` is what it is called with."""
    made = {"class_name": kind, "config": {"name": name, "trainable": True, "dtype": "float32", **config}}
    return made if inbound is None else {**made, "name": name, "inbound_nodes": inbound}


def read(name, shape=(None, 16, 16, 3)):
    """Return an input layer."""
    own = {"class_name": "InputLayer", "config": {"batch_input_shape": list(shape), "dtype": "float32"}}
    own["config"] |= {"sparse": False, "ragged": False, "name": name}
    return {**own, "name": name, "inbound_nodes": []}


def after(*names, node=0):
    """Return how a plain layer is called with the outputs of others."""
    return [[[name, node, 0, {}] for name in names]]


def function(symbol, own, first, **options):
    """Return a layer that stands for a function of TensorFlow."""
    kind = "SlicingOpLambda" if symbol.endswith("getitem") else "TFOpLambda"
    return entry(kind, f"tf.{own}", [[*first, {**options, "name": None}]], function=symbol)


def network(layers, output, inputs="input_1", name="model"):
    """Return a functional network as Keras 2 describes it."""
    config = {"name": name, "trainable": True, "layers": layers}
    return {
        "class_name": "Functional",
        "config": {**config, "input_layers": [[inputs, 0, 0]], "output_layers": [[output, 0, 0]]},
    }


def write(path, configuration, weights, version="2.15.0", training=None):
    """Write an .h5 file as Keras 2 did.

    `weights` is a network of Keras 3 with the same layers: its weights are taken, under the names of Keras 2.
    """
    weights.save(path)
    with h5py.File(path, "r+") as file:
        file.attrs["keras_version"], file.attrs["backend"] = version, "tensorflow"
        file.attrs["model_config"] = json.dumps(configuration)
        if training is not None:
            file.attrs["training_config"] = json.dumps(training)
        for group in file["model_weights"].values():
            names = [each.decode() if isinstance(each, bytes) else each for each in group.attrs["weight_names"]]
            for name in names:
                group[f"{name}:0"] = group[name][()]
            group.attrs["weight_names"] = [f"{name}:0".encode() for name in names]
    return path
