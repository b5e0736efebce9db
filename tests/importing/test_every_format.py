"""One network in every format: each cell of the table in docs/predict.md that says what runs and what works with it."""

import importlib
import importlib.util

import numpy as np
import pytest

from facelime_cli.answering import runtimes
from facelime_cli.answering.runtimes import (
    FLOAT32,
    FORMATS,
    FUNCTION,
    KERAS,
    ONNX,
    RUNTIMES,
    SAVED_MODEL,
    TF32,
    TFLITE,
    TORCH_EXPORT,
    TORCH_FORMATS,
    TORCH_MODULE,
    TORCHSCRIPT,
)
from facelime_cli.models import backend
from tests.importing.conftest import SIZE
from tests.support import write_faces

pytestmark = pytest.mark.long
CLASSES = ["--classes", "normal,rosacea"]
FUNCTION_MODULE = """
import keras

net = keras.models.load_model({path!r})

def classify(pictures):
    return net(pictures, training=False)
"""
TORCH_MODULE_SOURCE = """
import numpy as np
import torch

def build():
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        torch.nn.Linear(4, 2), torch.nn.Softmax(1))
    with np.load({path!r}) as weights, torch.no_grad():
        for name in ("0.weight", "0.bias", "4.weight", "4.bias"):
            net.get_parameter(name).copy_(torch.from_numpy(weights[name]))
    return net
"""
NEEDED = {
    ONNX: ("onnxruntime", "tf2onnx"),
    TFLITE: ("ai_edge_litert",),
    **dict.fromkeys(TORCH_FORMATS, ("torch",)),
}
"""Packages without which a format cannot be made or read here."""


def check_there(*packages):
    missing = [each for each in packages if importlib.util.find_spec(each) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


@pytest.fixture(scope="module")
def network():
    keras = backend.keras()
    keras.utils.set_random_seed(8)
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    wide = keras.initializers.RandomNormal(stddev=4.0)
    return keras.Model(inputs, keras.layers.Dense(2, activation="softmax", kernel_initializer=wide)(x))


def torch_source(network, folder):
    """Return the source of a module that builds the same network in PyTorch."""
    kernel, bias, dense, last = network.get_weights()
    weights = {"0.weight": kernel.transpose(3, 2, 0, 1), "0.bias": bias, "4.weight": dense.T, "4.bias": last}
    np.savez(folder / "weights.npz", **weights)
    return TORCH_MODULE_SOURCE.format(path=str(folder / "weights.npz"))


def torch_network(network, folder):
    space = {}
    exec(torch_source(network, folder), space)  # noqa: S102 - the source that is written for the format torch-module
    return space["build"]().eval()


def as_keras(network, folder):
    network.save(folder / "net.keras")
    return [folder / "net.keras", "--scaling", "0..1"]


def as_saved_model(network, folder):
    network.export(folder / "saved", verbose=False)
    return [folder / "saved", "--scaling", "0..1", "--trust"]


def as_onnx(network, folder):
    network.export(folder / "net.onnx", format="onnx", verbose=False)
    return [folder / "net.onnx", "--scaling", "0..1"]


def as_tflite(network, folder):
    import tensorflow as tf

    with backend.silent_stderr():
        (folder / "net.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(network).convert())
    return [folder / "net.tflite", "--scaling", "0..1"]


def as_function(network, folder):
    network.save(folder / "inside.keras")
    (folder / "every_format.py").write_text(FUNCTION_MODULE.format(path=str(folder / "inside.keras")))
    return ["every_format:classify", "--size", SIZE]


def as_torch_module(network, folder):
    (folder / "every_torch.py").write_text(torch_source(network, folder))
    return ["every_torch:build", "--size", SIZE, "--scaling", "0..1"]


def as_torchscript(network, folder):
    import torch

    torch.jit.script(torch_network(network, folder)).save(str(folder / "net.pt"))
    return [folder / "net.pt", "--size", SIZE, "--scaling", "0..1", "--trust"]


def as_torch_export(network, folder):
    import torch

    example = torch.zeros(2, 3, SIZE, SIZE)
    program = torch.export.export(
        torch_network(network, folder), (example,), dynamic_shapes=({0: torch.export.Dim("batch")},)
    )
    torch.export.save(program, str(folder / "net.pt2"))
    return [folder / "net.pt2", "--scaling", "0..1", "--trust"]


MAKE = {
    KERAS: as_keras,
    SAVED_MODEL: as_saved_model,
    ONNX: as_onnx,
    TFLITE: as_tflite,
    FUNCTION: as_function,
    TORCH_EXPORT: as_torch_export,
    TORCHSCRIPT: as_torchscript,
    TORCH_MODULE: as_torch_module,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A working folder, from which Python code is named."""
    folder = tmp_path_factory.mktemp("every")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def imported(masks, network, place):
    """Return a function that imports the network in a format once, and returns its name."""
    done = set()

    def get(form):
        check_there(*NEEDED.get(form, ()))
        if form not in done:
            folder = place / form
            folder.mkdir()
            source = MAKE[form](network, place if FORMATS[form].is_named else folder)
            importlib.invalidate_caches()
            masks.json("import-model", *source, *CLASSES, "--name", f"every-{form}")
            done.add(form)
        return f"every-{form}"

    return get


@pytest.fixture(scope="module")
def reference(masks, imported):
    return masks.artifact("predict", "masks", "--model", imported(KERAS)).read("probabilities")


CELLS = [
    (form, name, precision)
    for name, runtime in RUNTIMES.items()
    for form, precisions in runtime.precisions.items()
    for precision in precisions
]


def test_every_format_is_made_here():
    assert set(MAKE) == set(FORMATS)
    assert {form for form, _, _ in CELLS} == set(FORMATS)


@pytest.mark.parametrize(("form", "runtime", "precision"), CELLS)
def test_predicts_with_every_runtime_and_precision(masks, imported, reference, form, runtime, precision):
    check_there(*RUNTIMES[runtime].packages.get(form, ()))
    words = ["predict", "masks", "--model", imported(form), "--runtime", runtime, "--precision", precision]
    if precision == FLOAT32:
        found = masks.artifact(*words)
        assert found.parameters["runtime"] == runtime
        assert np.nanmax(np.abs(found.read("probabilities") - reference)) < 1e-4
        return
    if precision == TF32 and not runtimes.on_accelerator(runtime):
        assert "a mode of NVIDIA cards" in masks.fails(*words)
        return
    masks.json(*words, "--tolerance", 0.05)


@pytest.mark.parametrize("form", FORMATS)
def test_pictures_of_another_size(masks, imported, form):
    model = imported(form)
    masks.json("preprocess", write_faces_once(masks), "--size", 64, "--name", "large")
    masks.json("segment", "large", "--method", "slic", "--segments", 12, "--first", 1, "--name", "large-parts")
    masks.json("perturb", "large-parts", "--samples", 20, "--name", "large-masks")
    words = ["predict", "large-masks", "--model"]
    assert "--resize" in masks.fails(*words, model)
    found = masks.artifact(*words, model, "--resize").read("probabilities")
    wanted = masks.artifact(*words, imported(KERAS), "--resize").read("probabilities")
    assert np.nanmax(np.abs(found - wanted)) < 5e-3


def write_faces_once(masks):
    folder = masks.store.parent / "twenty"
    return folder if folder.exists() else write_faces(folder, 20)


@pytest.mark.parametrize("form", FORMATS)
def test_is_evaluated_and_compared(masks, imported, form):
    model, other = imported(form), imported(KERAS)
    source = write_faces_once(masks)
    masks.json("preprocess", source, "--size", SIZE, "--split", "0:0:100", "--name", "twenty")
    assert masks.artifact("evaluate", model, "--dataset", "twenty", "--bootstrap", 100).complete
    if model != other:
        compared = masks("compare-models", model, other, "--dataset", "twenty", "--bootstrap", 100, "--json")
        assert compared.exit_code == 0, compared.stderr


@pytest.mark.parametrize("form", FORMATS)
def test_layers_show_where_the_format_says_so(masks, imported, form):
    model = imported(form)
    words = ["gradcam", "parts", "--model", model]
    picture = next(write_faces_once(masks).rglob("*.png"))
    listing = ["activations", model, picture]
    if FORMATS[form].layers:
        assert masks.artifact(*words).complete
        assert masks.json(*listing)["layers"]
    else:
        assert "cannot be looked into" in masks.fails(*words)
        assert "cannot be looked into" in masks.fails(*listing)
