"""What must not be imported: nothing heavy by any --help, no TensorFlow by the stages that need none."""

import importlib.util
import os
import shutil
import subprocess
import sys

import pytest

from facelime_cli.stages import INDEX
from tests.support import SIZE, joined

HEAVY = {"numpy", "zarr", "tensorflow", "keras", "skimage", "sklearn", "h5py", "matplotlib", "PIL", "scipy"}
NETWORKS = {"tensorflow", "keras", "jax", "torch"}


def imported(words, store=None):
    """Return the packages that a command imports, and the finished process."""
    environment = {"FACELIME_STORE": str(store)} if store else {}
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.split("|")[-1].strip().split(".")[0] for line in lines}, done


@pytest.mark.parametrize("command", [None, *(each.name for each in INDEX)])
def test_help_imports_nothing_heavy(command):
    words = [sys.executable, "-X", "importtime", "-m", "facelime_cli", *(command or "").split(), "--help"]
    packages, done = imported(words)
    assert done.returncode == 0
    assert packages & HEAVY == set()
    assert "typer" in packages


def test_the_test_above_can_fail():
    packages, _ = imported([sys.executable, "-X", "importtime", "-c", "import facelime_cli.cli, numpy, zarr"])
    assert packages & HEAVY >= {"numpy", "zarr"}


def commands_without_network(chain, faces, tmp_path):
    segments, predictions = chain["segment"].id, chain["predict"].id
    return {
        "preprocess": ["preprocess", faces / "normal", "--size", "20", "--workers", "1"],
        "describe": ["describe", "faces", "--sheet", "1"],
        "segment": ["segment", "faces", "--first", "1", "--method", "slic", "--segments", "7"],
        "perturb": ["perturb", segments, "--samples", "6", "--seed", "11"],
        "fit-surrogate": ["fit-surrogate", predictions, "--kernel-width", "0.4"],
        "render": ["render", chain["fit-surrogate"].id, "--top", "2", "--figures", "png", "--by-zone", "face"],
        "predict, when it is found": ["predict", chain["perturb"].id, "--model", "small"],
        "finetune, when it is found": ["finetune", "faces", "--backbone", "cnn-small", "--epochs", "2"],
        "status": ["status"],
        "show": ["show", predictions],
        "show --png": ["show", chain.reference("fit-surrogate"), "--png", tmp_path / "look.png"],
        "show --format": ["show", chain.reference("gradcam"), "--format", "text"],
        "contrast": ["contrast", chain["fit-surrogate"].id, "--class", "normal", "--versus", "rosacea"],
        "compare": ["compare", chain["fit-surrogate"].id, chain["gradcam"].id, "--top", "2"],
        "consensus": ["consensus", *joined(chain), "--stable-top", "2"],
        "check, when it is found": ["check", chain.reference("fit-surrogate")],
        "render, of a check": ["render", chain.reference("check"), "--top", "3"],
        "verify": ["verify", predictions],
        "export": ["export", predictions, "--to", tmp_path / "out.h5"],
        "diff": ["diff", predictions, predictions],
        "again, when it is found": ["again", chain.reference("render")],
        "show --command": ["show", chain.reference("render"), "--command"],
    }


NAMES = [
    "preprocess",
    "describe",
    "segment",
    "perturb",
    "fit-surrogate",
    "render",
    "predict, when it is found",
    "finetune, when it is found",
    "status",
    "show",
    "verify",
    "export",
]
NAMES += ["show --png", "show --format", "contrast", "compare", "consensus"]
NAMES += ["check, when it is found", "render, of a check"]
NAMES += ["diff", "again, when it is found", "show --command"]


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_these_run_without_tensorflow(name, chain, faces, tmp_path):
    words = commands_without_network(chain, faces, tmp_path)[name]
    packages, done = imported(
        [sys.executable, "-X", "importtime", "-m", "facelime_cli", *map(str, words), "--debug"], chain.facelime.store
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert packages & NETWORKS == set()
    assert "facelime_cli" in packages


@pytest.mark.parametrize(
    "words", [["status", "--tree"], ["log", "faces"], ["rename", "faces", "faces"], ["prune", "--unused"]], ids=" ".join
)
def test_what_only_looks_at_the_store_imports_nothing_heavy(words, chain):
    packages, done = imported([sys.executable, "-X", "importtime", "-m", "facelime_cli", *words], chain.facelime.store)
    assert done.returncode == 0, done.stderr[-500:]
    assert packages & HEAVY == set()


@pytest.mark.long
def test_a_second_predict_imports_tensorflow_without_keras_and_the_first_both(chain):
    # Under a name of their own: the predictions are removed by it.
    words = ["perturb", chain["segment"].id, "--samples", 3, "--seed", 4, "--name", "second-start"]
    masks = chain.facelime.artifact(*words)
    # It keeps a summary of training pictures, for which the graph answers with features.
    assert chain["finetune"].file("reference.npz").exists()
    for kept in chain["finetune"].path.glob("kept/*/graph.pb"):
        shutil.rmtree(kept.parent)
    words = ["predict", masks.id, "--model", "small", "--debug"]
    found = []
    for _ in range(2):
        for made in (chain.facelime.store / "predictions").glob("second-start-small-*"):
            shutil.rmtree(made)
        packages, done = imported(
            [sys.executable, "-X", "importtime", "-m", "facelime_cli", *words], chain.facelime.store
        )
        assert done.returncode == 0, done.stderr[-500:]
        found.append(packages & NETWORKS)
    assert found[0] >= {"tensorflow", "keras"}
    assert "tensorflow" in found[1]
    assert "keras" not in found[1]


def asked_by(chain, seed, *words):
    """Run a stage on new masks, in a process of its own, and return the networks' libraries that it imports."""
    masks = chain.facelime.artifact("perturb", chain["segment"].id, "--samples", 9, "--seed", seed)
    packages, done = imported(
        [sys.executable, "-X", "importtime", "-m", "facelime_cli", words[0], masks.id, *words[1:], "--debug"],
        chain.facelime.store,
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert "measured before" in done.stderr
    return packages & NETWORKS


def test_a_model_that_is_converted_and_compared_needs_no_tensorflow(chain):
    pytest.importorskip("openvino")
    words = ["--model", "small", "--runtime", "openvino"]
    first = chain.facelime.artifact("perturb", chain["segment"].id, "--samples", 9, "--seed", 51)
    chain.facelime.json("predict", first.id, *words)
    assert asked_by(chain, 52, "predict", *words) == set()


@pytest.mark.long
@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_nor_does_what_explains_and_checks_with_it(chain, runtime):
    pytest.importorskip({"onnx": "tf2onnx"}.get(runtime, runtime))
    run, words = chain.facelime, ["--model", "small", "--runtime", runtime]
    first = run.artifact("perturb", chain["segment"].id, "--samples", 9, "--seed", 53)
    predicted = run.artifact("predict", first.id, *words)
    assert asked_by(chain, 54, "predict", *words) == set()
    surrogates = run.artifact("fit-surrogate", predicted.id)
    for asked in (
        ["check", surrogates.id, "--dry-run"],
        ["check", surrogates.id],
        ["explain", "faces", "--first", 1, "--samples", 9, "--seed", 55, *words],
    ):
        start = [sys.executable, "-X", "importtime", "-m", "facelime_cli", *map(str, asked), "--debug"]
        packages, done = imported(start, run.store)
        assert done.returncode == 0, done.stderr[-500:]
        assert packages & NETWORKS == set()
        assert runtime in {name.removesuffix("runtime") for name in packages}


@pytest.mark.long
def test_an_onnx_file_needs_none_from_the_first(facelime, faces, tmp_path):
    pytest.importorskip("onnxruntime")
    write_onnx(tmp_path / "net.onnx")
    run = facelime
    run.json("preprocess", faces, "--size", SIZE, "--name", "faces")
    model = run.artifact("import-model", tmp_path / "net.onnx", "--scaling", "0..1", "--classes", "normal,rosacea")
    segments = run.artifact("segment", "faces", "--first", 1, "--method", "slic", "--segments", 6)
    masks = run.artifact("perturb", segments.id, "--samples", 9)
    for asked in (
        ["predict", masks.id, "--model", model.id],
        ["predict", masks.id, "--model", model.id, "--runtime", "openvino"],
        ["occlusion", masks.id, "--model", model.id],
        ["evaluate", model.id, "--dataset", "faces", "--split", "all", "--bootstrap", 200],
    ):
        if "openvino" in asked and importlib.util.find_spec("openvino") is None:
            continue
        start = [sys.executable, "-X", "importtime", "-m", "facelime_cli", *map(str, asked), "--debug"]
        packages, done = imported(start, run.store)
        assert done.returncode == 0, done.stderr[-500:]
        assert packages & NETWORKS == set(), asked


def write_onnx(path):
    """Write a network that answers by the mean colour."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    kernel = helper.make_tensor("w", TensorProto.FLOAT, (3, 2), [1.0, -1.0, 0.5, 0.5, -1.0, 1.0])
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["m", "w"], ["f"]),
        helper.make_node("Softmax", ["f"], ["y"], axis=1),
    ]
    shapes = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", ["n", SIZE, SIZE, 3]), ("y", ["n", 2]))
    ]
    graph = helper.make_graph(nodes, "net", shapes[:1], shapes[1:], [kernel])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
