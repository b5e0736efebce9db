"""`--runtime auto` takes the fastest that is installed and agrees, once for a model and a machine."""

import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from facelime_cli.answering import openvino_networks, runtimes
from facelime_cli.engine import Context
from facelime_cli.errors import BrokenError
from facelime_cli.predicting import fastest
from facelime_cli.predicting.run import Run
from facelime_cli.store.references import Store
from tests.support import Facelime, write_faces
from tests.test_imports import NETWORKS, imported

SIZE = 32
DOCS = Path(__file__).parents[2] / "docs"
FUNCTION = """
import numpy as np

def classify(pictures):
    red = pictures[..., 0].mean(axis=(1, 2))
    return np.stack([1 - red, red], axis=1)
"""


def write_network(path):
    """Write an ONNX file: a convolution, its mean, two classes."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    draw = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(draw.normal(size=shape).astype(np.float32), name)
        for name, shape in (("w", (8, 3, 3, 3)), ("v", (8, 2)))
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("ReduceMean", ["r"], ["m"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["m", "v"], ["f"]),
        helper.make_node("Softmax", ["f"], ["y"], axis=1),
    ]
    given, found = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", ["n", 3, SIZE, SIZE]), ("y", ["n", 2]))
    )
    graph = helper.make_graph(nodes, "net", [given], [found], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.fixture(scope="module")
def untried(tmp_path_factory):
    """A store with an ONNX network and masks of two units, on which nothing was tried yet."""
    for package in ("onnx", "onnxruntime", "openvino"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"--runtime auto chooses between two runtimes: install {package}")
    tmp_path = tmp_path_factory.mktemp("auto")
    write_network(tmp_path / "net.onnx")
    found = Facelime(tmp_path / "store")
    found.json("import-model", tmp_path / "net.onnx", "--scaling", "0..1", "--classes", "a,b", "--name", "net")
    found.json("preprocess", write_faces(tmp_path / "faces", 34), "--size", SIZE, "--name", "faces")
    found.json("segment", "faces", "--method", "slic", "--segments", 6, "--name", "parts")
    found.json("perturb", "parts", "--samples", 5, "--name", "masks")
    return found


@pytest.fixture
def run(untried, tmp_path):
    """A copy of that store for one test."""
    shutil.copytree(untried.store, tmp_path / "store")
    return Facelime(tmp_path / "store")


WORDS = ("predict", "masks", "--model", "net")
AUTO = (*WORDS, "--runtime", "auto")


def never(*_):
    raise AssertionError("tried again")


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def other_than(name):
    return "openvino" if name == "onnx" else "onnx"


def test_it_is_tried_once_and_gives_what_the_named_runtime_gives(run, monkeypatch):
    result = run(*AUTO)
    assert result.exit_code == 0, result.stderr
    said = re.search(r"--runtime auto: (\w+) ([\d.]+), (\w+) ([\d.]+) evaluations/s; (\w+) is used", result.stderr)
    first, rate, second, slower, taken = said.groups()
    assert {first, second} == {"onnx", "openvino"}
    assert float(rate) >= float(slower)
    assert taken == first
    made = Store(run.store).resolve(result.stdout.strip(), ("predictions",))
    assert made.parameters["runtime"] == taken
    assert run.json(*WORDS, "--runtime", taken)["reused"] is True
    monkeypatch.setattr(fastest, "_tried", never)
    again = run("predict", run.artifact("perturb", "parts", "--samples", 6).id, "--model", "net", "--runtime", "auto")
    assert again.exit_code == 0, again.stderr
    assert said.group(0) in again.stderr
    # Another tolerance, precision or version may let another one win.
    assert "tried again" in run(*AUTO, "--tolerance", 0.5).stderr


def test_what_fails_is_left_out_with_its_reason(run, monkeypatch):
    def fails(*_):
        raise BrokenError("net.onnx cannot be loaded by OpenVINO; import the model again.")

    monkeypatch.setattr(openvino_networks, "Network", fails)
    result = run(*AUTO)
    assert result.exit_code == 0, result.stderr
    assert "--runtime auto leaves openvino out: net.onnx cannot be loaded" in result.stderr
    assert "; onnx is used" in result.stderr


def test_what_differs_too_much_is_left_out(run, monkeypatch):
    class Wrong(openvino_networks.Network):
        def __call__(self, values):
            return np.asarray(super().__call__(values))[:, ::-1]

    monkeypatch.setattr(openvino_networks, "Network", Wrong)
    result = run(*AUTO)
    assert result.exit_code == 0, result.stderr
    assert "leaves openvino out: openvino in float32 differs from onnx" in result.stderr
    assert "; onnx is used" in result.stderr


def test_a_forecast_leaves_nothing_and_missing_tries_nothing(run):
    before = files_of(run.store)
    assert run.json(*AUTO, "--dry-run")["evaluations"] > 0
    said = run.fails(*AUTO, "--missing", 2)
    assert "has not been tried for this model on this machine" in said
    assert "run the command once without --missing, or name the runtime" in said
    assert files_of(run.store) == before
    run.artifact(*AUTO)
    assert run.json(*AUTO, "--missing", 2)["missing"] == []


def test_every_shard_takes_what_the_first_one_took(run, monkeypatch):
    begun = run.json(*AUTO, "--shard", "1/2")
    assert begun["complete"] is False
    taken = Store(run.store).resolve(begun["artifact"], ("predictions",)).parameters["runtime"]
    # On another machine, another runtime may be the fastest.
    monkeypatch.setattr(fastest, "_own", lambda *_: other_than(taken))
    assert run.json(*AUTO, "--missing", 2)["missing"] == [2]
    done = run("predict", "masks", "--model", "net", "--runtime", "auto", "--shard", "2/2", "--json")
    assert f"{taken} is used, as by the first shard on these segments" in done.stderr
    found = json.loads(done.stdout)
    assert (found["artifact"], found["complete"]) == (begun["artifact"], True)


def test_where_one_runtime_is_there_nothing_is_tried(run, monkeypatch):
    monkeypatch.setattr(fastest, "_tried", never)
    monkeypatch.chdir(run.store.parent)
    (run.store.parent / "redness_for_auto.py").write_text(FUNCTION)
    run.json("import-model", "redness_for_auto:classify", "--classes", "a,b", "--size", SIZE, "--name", "red")
    result = run("predict", "masks", "--model", "red", "--runtime", "auto")
    assert result.exit_code == 0, result.stderr
    assert "--runtime auto" not in result.stderr
    assert Store(run.store).resolve(result.stdout.strip(), ("predictions",)).parameters["runtime"] == "python"


def test_a_precision_that_nothing_has_is_a_wrong_command_line(run):
    result = run(*AUTO, "--precision", "tf32")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "use --precision float32" in result.stderr


@pytest.mark.long
def test_the_second_run_imports_only_what_it_uses(run):
    taken = Store(run.store).resolve(run.artifact(*AUTO).id, ("predictions",)).parameters["runtime"]
    other = run.artifact("perturb", "parts", "--samples", 6, "--name", "other")
    words = ["predict", other.id, "--model", "net", "--runtime", "auto", "--debug"]
    packages, done = imported([sys.executable, "-X", "importtime", "-m", "facelime_cli", *words], run.store)
    assert done.returncode == 0, done.stderr[-500:]
    assert packages & {*NETWORKS, "onnxruntime", "openvino"} == {"onnxruntime" if taken == "onnx" else taken}


# What an extra would bring


class TestAdvice:
    @pytest.fixture
    def asked(self, chain, monkeypatch):
        """A run with Keras on a machine where nothing else is installed, and what is said."""
        notes = []
        monkeypatch.setattr(
            runtimes, "missing_packages", lambda name, _: list(runtimes.RUNTIMES[name].packages.get("keras", ()))
        )
        monkeypatch.setattr(runtimes, "on_accelerator", lambda _: False)
        store = Store(chain.facelime.store)
        context = Context(store, SimpleNamespace(note=notes.append))
        model = store.resolve("small", ("models",))
        return Run(None, model, runtimes.How("keras", "float32"), 0.01, None, context), notes

    def test_is_one_line_after_a_long_prediction(self, asked):
        run, notes = asked
        fastest.advise(run, None, 61)
        fastest.advise(run, None, 61)
        (said,) = notes
        assert "OpenVINO in float32 is as fast as Keras in float32 1.3 times with MobileNetV2" in said
        assert "pip install 'facelime[openvino]'" in said

    @pytest.mark.parametrize(("runtime", "seconds"), [("keras", 61), (None, 59)])
    def test_is_not_said_to_who_chose_keras_or_waited_little(self, asked, runtime, seconds):
        run, notes = asked
        fastest.advise(run, runtime, seconds)
        assert notes == []

    def test_is_not_said_where_another_runtime_is_there(self, asked, monkeypatch):
        run, notes = asked
        monkeypatch.setattr(runtimes, "missing_packages", lambda *_: [])
        fastest.advise(run, None, 61)
        assert notes == []

    def test_has_the_figures_of_the_document(self):
        text = (DOCS / "predict.md").read_text(encoding="utf-8")
        for precision, figures in runtimes.FASTER["openvino"].items():
            for network, factor in figures.items():
                assert f"| OpenVINO, {precision}, {network} | {factor:g} |" in text
