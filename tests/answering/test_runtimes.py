"""An installed runtime answers as Keras does, whatever the batches, shards and kills.

A runtime that is missing says so.
"""

import importlib.util
import shutil
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest

from facelime_cli.answering import converting, runtimes
from facelime_cli.errors import FacelimeError
from facelime_cli.models import backend, exporting, wrapping
from facelime_cli.predicting.run import Perturbed
from facelime_cli.store.references import Store
from tests.support import Facelime

INSTALLED = {"onnx": ("onnxruntime", "tf2onnx"), "openvino": ("openvino",)}
OTHERS = [("keras", "bfloat16"), ("onnx", "float32"), ("openvino", "float32"), ("openvino", "bfloat16")]
CLOSE = {"float32": 1e-5, "bfloat16": 0.01}
"""How far answers may be from Keras' in float32, and from those of another batch size."""


def needs(runtime):
    """Skip where the packages of a runtime are not there."""
    missing = [package for package in INSTALLED.get(runtime, ()) if importlib.util.find_spec(package) is None]
    if missing:
        pytest.skip(f"--runtime {runtime} needs {', '.join(missing)}: install the extra `{runtime}`")
    if runtime in INSTALLED and backend.keras().backend.backend() != "tensorflow":
        pytest.skip("networks are converted with Keras on TensorFlow")


def alone(run, store, *, keep=True):
    """Return a copy of a store without its predictions, and on demand without what is kept beside its models."""
    for kind in ("datasets", "models", "segments", "masks"):
        shutil.copytree(run.store / kind, store / kind, ignore=None if keep else shutil.ignore_patterns("kept"))
    return Facelime(store)


@pytest.fixture(scope="module")
def masks(chain):
    """Masks of two units, the second of two pictures."""
    segments = chain.facelime.artifact("segment", "faces", "--first", 34, "--method", "slic", "--segments", 9)
    return chain.facelime.artifact("perturb", segments.id, "--samples", 7, "--name", "two-units")


@pytest.fixture(scope="module", params=OTHERS, ids="-".join)
def asked(request, chain, masks):
    """One runtime in one precision: the words that ask it, what it answered, and what it said meanwhile."""
    runtime, precision = request.param
    needs(runtime)
    words = ["predict", masks.id, "--model", "small", "--runtime", runtime, "--precision", precision]
    # Other tests may have had it compared on other masks.
    for kept in chain["finetune"].path.glob("kept/*/difference.json"):
        shutil.rmtree(kept.parent)
    result = chain.facelime(*words, "--batch-size", 16)
    assert result.exit_code == 0, result.stderr
    return words, Store(chain.facelime.store).resolve(result.stdout.strip(), ("predictions",)), result.stderr


class TestEvery:
    def test_answers_as_keras_does_and_says_how_closely(self, asked, chain, masks):
        words, found, said = asked
        runtime, precision = words[5], words[7]
        reference = chain.facelime.artifact("predict", masks.id, "--model", "small", "--batch-size", 16)
        assert found.layout["fingerprint"] != reference.layout["fingerprint"]
        difference = np.abs(found.read("probabilities") - reference.read("probabilities")).max()
        assert difference < CLOSE[precision]
        assert (
            f"{runtime} in {precision} differs from keras in float32 by {found.facts['difference']:.2g} at most" in said
        )
        assert 0 <= found.facts["difference"] <= difference + 1e-6

    @pytest.mark.parametrize("batch", [1, 7, 64])
    def test_does_not_depend_on_the_batch_size(self, asked, chain, tmp_path, batch):
        words, found, _ = asked
        other = alone(chain.facelime, tmp_path).artifact(*words, "--batch-size", batch)
        assert np.abs(other.read("probabilities") - found.read("probabilities")).max() < CLOSE[words[7]]

    def test_shards_have_the_same_bits(self, asked, chain, tmp_path):
        words, found, _ = asked
        run = alone(chain.facelime, tmp_path)
        for shard in ("2/2", "1/2"):
            done = run.artifact(*words, "--batch-size", 16, "--shard", shard)
        assert done.content == found.content

    def test_a_restart_has_the_same_bits(self, asked, chain, masks, tmp_path, start):
        words, found, _ = asked
        run = alone(chain.facelime, tmp_path)
        stopped = start(*words, "--batch-size", 16, "--time-budget", "0s", store=run.store)
        assert stopped.returncode == 75, stopped.stderr
        begun = Store(run.store).artifacts(("predictions",))[0]
        its = Perturbed(masks).masks(begun.rows(0))
        values = np.empty((its.total, 2), np.float32)
        for picture, rows in enumerate(its.rows_of):
            values[rows] = found.read("probabilities")[picture, : len(rows)]
        with begun.work_on(0, print) as unit:
            unit.commit(np.arange(32), values[:32])
        rest = run.artifact(*words)
        assert rest.manifest["units"][0]["facts"]["resumed_at"] >= 32
        assert rest.content == found.content


def test_a_model_is_converted_once(chain, monkeypatch):
    needs("openvino")
    run = chain.facelime
    run.json("predict", chain["perturb"].id, "--model", "small", "--runtime", "openvino")

    def never(*_):
        raise AssertionError("converted again")

    monkeypatch.setattr(converting, "in_child", never)
    other = run.artifact("perturb", chain["segment"].id, "--samples", 6, "--seed", 21)
    assert run.artifact("predict", other.id, "--model", "small", "--runtime", "openvino").complete
    assert run.json("verify", chain["finetune"].id)["faults"] == []


def test_what_differs_too_much_is_refused_and_leaves_nothing(chain):
    words = ["predict", chain["perturb"].id, "--model", "small", "--precision", "bfloat16", "--batch-size", 90]
    before = {path.name for path in (chain.facelime.store / "predictions").glob("[!.]*")}
    other = chain.facelime.artifact("perturb", chain["segment"].id, "--samples", 6, "--seed", 22)
    said = chain.facelime.fails(
        *[other.id if word == chain["perturb"].id else word for word in words], "--tolerance", 0
    )
    assert "more than --tolerance 0" in said
    assert "keras in bfloat16 differs" in said
    assert {path.name for path in (chain.facelime.store / "predictions").glob("[!.]*")} == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--runtime", "python"], "does not run a Keras network"),
        (["--runtime", "onnx", "--precision", "bfloat16"], "use --runtime keras or openvino"),
        (["--runtime", "openvino", "--precision", "tf32"], "use --runtime keras"),
        (["--runtime", "abacus"], "abacus"),
    ],
)
def test_what_a_runtime_cannot(chain, words, said):
    result = chain.facelime("predict", chain["perturb"].id, "--model", "small", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_tf32_without_a_card_is_refused(chain):
    if backend.on_accelerator():
        pytest.skip("there is a graphics card")
    other = chain.facelime.artifact("perturb", chain["segment"].id, "--samples", 6, "--seed", 23)
    assert "NVIDIA" in chain.facelime.fails("predict", other.id, "--model", "small", "--precision", "tf32")


def test_a_runtime_that_is_not_installed_is_named_with_its_extra(chain, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        runtimes.importlib.util, "find_spec", lambda name, *rest: None if name == "openvino" else find_spec(name, *rest)
    )
    other = chain.facelime.artifact("perturb", chain["segment"].id, "--samples", 6, "--seed", 24)
    said = chain.facelime.fails("predict", other.id, "--model", "small", "--runtime", "openvino")
    assert "facelime[openvino]" in said


def test_openvino_tells_nobody_that_it_was_used():
    needs("openvino")
    code = (
        "from facelime_cli.answering import openvino_networks; openvino_networks.silence();"
        " import openvino.tools.ovc.telemetry_utils as t; print(t.tm.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "openvino.tools.ovc.telemetry_stub"


def test_bfloat16_keeps_what_answers_in_32_bits(chain):
    net = wrapping.in_precision(wrapping.load(chain["finetune"].file("model.keras")), "bfloat16")
    kinds = {
        layer.name: layer.compute_dtype for layer in net._flatten_layers() if layer.weights or "scaling" in layer.name
    }
    assert kinds["input_scaling"] == kinds["probabilities"] == "float32"
    assert "bfloat16" in kinds.values()
    assert wrapping.in_precision(net, "float32")(np.zeros((1, 48, 48, 3), np.float32)).shape == (1, 2)


class TestResize:
    @pytest.fixture(scope="class")
    @classmethod
    def large(cls, chain, faces):
        run = chain.facelime
        data = run.artifact("preprocess", faces, "--size", 64, "--name", "large")
        return run.artifact(
            "perturb", run.artifact("segment", data.id, "--first", 1, "--method", "slic").id, "--samples", 20
        )

    def test_asks_a_model_of_another_size(self, chain, large):
        run = chain.facelime
        assert "--resize" in run.fails("predict", large.id, "--model", "small")
        found = run.artifact("predict", large.id, "--model", "small", "--resize")
        ops = backend.keras().ops
        image = large.input("datasets").read("images", [int(found.read("row")[0])]).astype(np.float32)
        small = ops.image.resize(image, (48, 48), interpolation="bilinear", antialias=True)
        wanted = ops.convert_to_numpy(wrapping.load(chain["finetune"].file("model.keras"))(small))
        assert np.abs(found.read("probabilities")[0, 0] - wanted[0]).max() < 1e-5

    @pytest.mark.parametrize("runtime", ["onnx", "openvino"])
    def test_is_the_same_in_every_runtime(self, chain, large, runtime):
        needs(runtime)
        found = chain.facelime.artifact("predict", large.id, "--model", "small", "--resize", "--runtime", runtime)
        assert found.facts["difference"] < 1e-4

    def test_changes_nothing_where_the_size_is_right(self, chain):
        assert (
            chain.facelime.artifact("predict", chain["perturb"].id, "--model", "small", "--resize").id
            == chain["predict"].id
        )


def test_what_cannot_be_converted_is_a_sentence(chain, monkeypatch):
    needs("openvino")
    # In a process of its own the converter is out of reach, so here it runs in this one.
    monkeypatch.setattr(converting, "in_child", lambda function, *arguments: function(*arguments))

    def fails(*_, **__):
        raise TypeError("no such layer\nand more")

    monkeypatch.setattr(backend.keras().Model, "export", fails)
    other = chain.facelime.artifact("perturb", chain["segment"].id, "--samples", 6, "--seed", 25)
    run = alone(chain.facelime, chain.facelime.store.parent / "never-converted", keep=False)
    said = run.fails("predict", other.id, "--model", "small", "--runtime", "openvino")
    assert "cannot be converted for --runtime openvino (no such layer)" in said


@pytest.mark.long
def test_a_layer_that_onnx_does_not_know_is_a_sentence(tmp_path):
    needs("onnx")
    keras = backend.keras()
    inputs = keras.Input((8, 8, 3))
    small = keras.layers.Resizing(4, 4, interpolation="lanczos3")(inputs)
    net = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(small)))
    with pytest.raises(FacelimeError, match=r"cannot be converted for --runtime onnx .*ScaleAndTranslate"):
        exporting.export(net, tmp_path / "net.onnx", "onnx")


def test_a_model_of_another_size_is_refused(chain, facelime, faces):
    del facelime
    run = chain.facelime
    other = run.artifact("preprocess", faces, "--size", 40, "--name", "other-size")
    masks = run.artifact(
        "perturb", run.artifact("segment", other.id, "--first", 1, "--method", "slic").id, "--samples", 4
    )
    assert "--size 48" in run.fails("predict", masks.id, "--model", "small")
    assert Store(run.store).find("predictions", "0" * 64) is None


def test_the_mean_of_networks_keeps_what_its_runtime_can_do():
    """Composing beside the call, features, and compiling early: only what the members say is left out."""
    answers = np.arange(12, dtype=np.float32).reshape(2, 6)

    def answering(*_):
        return answers

    parts = {"prepare": lambda *_: "prepared", "features": lambda images: images, "make_ready": lambda _: None}
    whole = runtimes.Classifier(answering, answering, lambda *_: (), {"runtime": "it"}, answer=answering, **parts)
    found = runtimes._of_the_mean(whole, 2)
    for each in (found.forward(None), found.composed(None), found.answer("prepared")):
        assert np.array_equal(each, answers[:, :2])
    for each in fields(whole):
        if each.name not in {"forward", "composed", "answer"}:
            assert getattr(found, each.name) is getattr(whole, each.name)
    without = runtimes._of_the_mean(replace(whole, prepare=None, answer=None), 2)
    assert without.answer is None
