"""What in a model is code, and that none of it runs before its user trusts these bytes."""

import importlib
import json
import os
import py_compile
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from facelime_cli import trust
from facelime_cli.answering import programs, python_modules
from facelime_cli.errors import BrokenError
from facelime_cli.models import backend
from facelime_cli.store import digests
from facelime_cli.store.references import Store
from tests.support import Facelime, write_faces, write_maps

SIZE = 32
CLASSES = ["--classes", "normal,rosacea"]


# What is code


def layer(name, module="keras.layers", registered=None, **config):
    return {"module": module, "class_name": name, "config": config, "registered_name": registered}


def nested(inner):
    return layer(
        "Functional", "keras.src.models.functional", "Functional", layers=[layer("TimeDistributed", layer=inner)]
    )


def write_keras(path, configuration):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(configuration))
    return path


@pytest.mark.parametrize(
    ("inner", "words"),
    [
        (layer("Lambda"), "Lambda"),
        ({"class_name": "Lambda", "config": {}}, "Lambda"),
        (layer("Lambda", "keras.src.layers.core.lambda_layer"), "Lambda"),
        (layer("Dense", activation={"class_name": "__lambda__", "config": {"value": ""}}), "__lambda__"),
        (layer("TFSMLayer", filepath="elsewhere"), "TFSMLayer"),
        (layer("TorchModuleWrapper", "keras.layers"), "TorchModuleWrapper"),
        (layer("JaxLayer"), "JaxLayer"),
        (layer("FlaxLayer"), "FlaxLayer"),
        (layer("StringLookup", vocabulary="/etc/hostname"), "StringLookup"),
        (layer("TextVectorization"), "TextVectorization"),
        ({"class_name": "TypeSpec", "type_spec": "x", "serialized": []}, "TypeSpec"),
        (layer("Backbone", "keras_hub.src.models.backbone", "keras_hub>Backbone"), "keras_hub"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_code_is_found_wherever_it_stands(tmp_path, inner, words):
    path = write_keras(tmp_path / "net.keras", nested(inner))
    found = programs.in_file("keras", path)
    assert words in found.words
    assert (found.kind, found.digest) == ("keras", digests.of_file(path))


@pytest.mark.parametrize(
    "inner",
    [
        layer("system", "os"),
        layer("Popen", "subprocess"),
        layer("Dense", "keras.layers", "somebody>Dense"),
        layer("Own", None, "somebody>Own"),
        layer("get_file", "keras.utils"),
        layer("function", "keras.saving", "load_model"),
        layer("load_model", "keras.models"),
        layer("enable_unsafe_deserialization", "keras.config"),
        layer("SomeLayer", "keras.src.utils.torch_utils"),
        layer("Dense", "kerasx.layers"),
        layer("open", "builtins"),
        {"class_name": 3, "config": {}},
        layer("Dense", 7),
    ],
    ids=str,
)
def test_what_is_not_of_keras_is_refused_trusted_or_not(tmp_path, inner):
    with pytest.raises(BrokenError, match="none of Keras' own"):
        programs.in_file("keras", write_keras(tmp_path / "net.keras", nested(inner)))


def own_loss(wanted, found):
    return wanted - found


def test_plain_networks_are_data(tmp_path):
    keras = backend.keras()
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.RandomFlip()(inputs * 2.0 + 1.0)
    x = keras.layers.Conv2D(2, 3, activation=keras.activations.silu, kernel_regularizer=keras.regularizers.L2(0.1))(x)
    x = keras.layers.Dense(2, activation="softmax", kernel_constraint=keras.constraints.MaxNorm())(
        keras.layers.GlobalAveragePooling2D()(keras.ops.relu(x))
    )
    net = keras.Sequential([inputs, keras.Model(inputs, x)])
    net.compile("adam", loss=own_loss)  # how it was trained is left out
    for name in ("net.keras", "net.h5"):
        net.save(tmp_path / name)
        assert programs.in_file("keras", tmp_path / name) is None


@pytest.mark.long
def test_every_backbone_is_data(tmp_path):
    from facelime_cli.models.backbones import BACKBONES

    backend.keras()
    built = [each for each in BACKBONES.values() if each.application]
    assert built
    for each in built:
        net = each.load()(weights=None, classes=2, input_shape=(each.size, each.size, 3))
        assert programs.in_file("keras", write_keras(tmp_path / "net.keras", json.loads(net.to_json()))) is None


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "\ud800"], ids=["cut", "deep", "no text"])
def test_a_damaged_configuration_is_one_sentence(tmp_path, text):
    with zipfile.ZipFile(tmp_path / "net.keras", "w") as archive:
        archive.writestr("config.json", text.encode("utf-8", "surrogatepass"))
    with pytest.raises(BrokenError, match=r"net\.keras cannot be loaded as a Keras model"):
        programs.in_file("keras", tmp_path / "net.keras")


# Python functions


@pytest.fixture
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    return tmp_path


def test_a_function_is_found_without_running_the_package_around_it(working_folder):
    package = working_folder / "loud" / "inner"
    package.mkdir(parents=True)
    (working_folder / "loud" / "__init__.py").write_text("open('ran', 'w').close()\n")
    (package / "quiet.py").write_text("def classify(x):\n    return x\n")
    found = python_modules.modules_of("loud.inner.quiet:classify")
    assert list(found) == ["loud", "loud.inner.quiet"]
    assert not (working_folder / "ran").exists()
    before = programs.in_function("loud.inner.quiet:classify", found).digest
    assert python_modules.function("loud.inner.quiet:classify", found)(3) == 3
    assert (working_folder / "ran").exists()
    # The package runs too, so it is a part of what is trusted.
    (working_folder / "loud" / "__init__.py").write_text("open('ran', 'w').close()  \n")
    again = python_modules.modules_of("loud.inner.quiet:classify")
    assert programs.in_function("loud.inner.quiet:classify", again).digest != before


def test_what_was_looked_at_runs_and_no_cache_beside_it(working_folder):
    source = working_folder / "twofaced.py"
    source.write_text("def classify(x):\n    return 'cache'\n")
    cached = importlib.util.cache_from_source(str(source))
    py_compile.compile(str(source), cfile=cached, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    source.write_text("def classify(x):\n    return 'source'\n")
    found = python_modules.modules_of("twofaced:classify")
    source.write_text("def classify(x):\n    return 'written later'\n")
    assert python_modules.function("twofaced:classify", found)(None) == "source"
    # Python itself would have taken the cache.
    del sys.modules["twofaced"]
    assert importlib.import_module("twofaced").classify(None) == "cache"


# The gate


FUNCTION = """
from pathlib import Path
import numpy as np

Path({marker!r}).touch()

def classify(pictures):
    Path({marker!r}).touch()
    red = pictures[..., 0].mean(axis=(1, 2))
    return np.stack([1 - red, red], axis=1)
"""


def write_lambda(path, marker):
    keras = backend.keras()
    touching = _touching(str(marker))
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Lambda(touching, output_shape=(SIZE, SIZE, 3))(inputs)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(2, 3)(x))
    keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x)).save(path)
    return path


def _touching(marker):
    return lambda x: (open(marker, "w").close(), x)[1]  # noqa: PTH123 - where it runs there is nothing but builtins


def write_saved_model(path, marker):
    import tensorflow as tf

    class Touching(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, SIZE, SIZE, 3), tf.float32)])
        def answer(self, pictures):
            tf.io.write_file(str(marker), "ran")
            red = tf.reduce_mean(pictures[..., 0], axis=(1, 2))
            return {"y": tf.stack([1 - red, red], axis=1)}

    module = Touching()
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.answer})
    return path


class Copied:
    """A store with one model of each kind of code, in the hands of another user: nothing of it is trusted here."""

    def __init__(self, run: Facelime, marker: Path, folder: Path) -> None:
        self.run, self.marker, self.folder = run, marker, folder

    def forget(self):
        """Let the next run import the function anew, and show whether anything ran."""
        sys.modules.pop("marking", None)
        self.marker.unlink(missing_ok=True)

    def file(self, model):
        """Return a file of what a model would load, the largest."""
        if model == "function":
            return self.folder / "marking.py"
        inside = Store(self.run.store).resolve(model, ("models",)).path
        files = [path for path in inside.rglob("*") if path.parts[-1] == "model.keras" or "saved_model" in path.parts]
        return max((path for path in files if path.is_file()), key=lambda path: path.stat().st_size)


MODELS = ("lambda", "saved", "function")
KINDS = {"lambda": "keras", "saved": "saved-model", "function": "function"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The store as its maker has it: everything was imported here, and answers."""
    folder = tmp_path_factory.mktemp("programs")
    run, marker = Facelime(folder / "store"), folder / "ran"
    faces = write_faces(folder / "faces", 4, SIZE)
    write_maps(faces, folder / "maps")
    (folder / "marking.py").write_text(FUNCTION.format(marker=str(marker)))
    run.json("preprocess", faces, "--size", SIZE, "--split", "0:0:100", "--name", "two")
    run.json("segment", "two", "--method", "slic", "--segments", 6, "--name", "parts")
    for name, fill in (("masks", "mean"), ("others", "black")):
        run.json("perturb", "parts", "--samples", 20, "--fill", fill, "--name", name)
    keras = backend.keras()
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(2, 3)(inputs))
    keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x)).save(folder / "plain.keras")
    sources = {
        "plain": [folder / "plain.keras", "--scaling", "0..1"],
        "lambda": [write_lambda(folder / "net.keras", marker), "--scaling", "0..1", "--trust"],
        "saved": [write_saved_model(folder / "net", marker), "--scaling", "0..1", "--trust"],
        "function": ["marking:classify", "--size", SIZE],
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        importlib.invalidate_caches()
        for name, words in sources.items():
            run.json("import-model", *words, *CLASSES, "--name", name)
    return Copied(run, marker, folder)


@pytest.fixture(scope="module")
def explained(made):
    """An explanation of each model, by its maker."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made.folder)
        for name in MODELS:
            made.run.json("predict", "masks", "--model", name, "--name", name)
            made.run.json("fit-surrogate", f"predictions/{name}", "--name", name)


@pytest.fixture
def copied(made, tmp_path, monkeypatch):
    """A copy of that store, with another user's state."""
    shutil.copytree(made.run.store, tmp_path / "store")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(made.folder)
    found = Copied(Facelime(tmp_path / "store"), made.marker, made.folder)
    found.forget()
    yield found
    found.forget()


def artifacts(store):
    return sorted(path.relative_to(store) for path in store.glob("[a-z]*/[!.]*"))


@pytest.mark.parametrize("model", MODELS)
def test_a_copied_model_runs_only_after_this_user_trusts_it(copied, model):
    run, before = copied.run, artifacts(copied.run.store)
    stored = Store(run.store).resolve(model, ("models",)).reference
    said = run.fails("predict", "others", "--model", model)
    assert f"run `facelime trust add {stored}`" in said
    assert artifacts(run.store) == before
    assert not copied.marker.exists()
    answer = run.json("trust", "add", model, "--yes")
    assert (answer["trusted"], answer["kind"]) == (stored, KINDS[model])
    assert not copied.marker.exists()
    assert run.artifact("predict", "others", "--model", model).complete
    assert copied.marker.exists()


OTHER_COMMANDS = {
    "predict, converted": ["predict", "others", "--model", "lambda", "--runtime", "openvino"],
    "predict --dry-run": ["predict", "others", "--model", "lambda", "--dry-run"],
    "evaluate": ["evaluate", "{}", "--dataset", "two"],
    "compare-models": ["compare-models", "{}", "plain", "--dataset", "two"],
    "occlusion": ["occlusion", "parts", "--model", "{}"],
    "gradcam": ["gradcam", "parts", "--model", "lambda"],
    "activations": ["activations", "lambda", "faces/normal/face-000.png", "--to", "maps-of-layers"],
    "import-maps": ["import-maps", "parts", "--model", "{}", "--maps", "maps"],
    "check": ["check", "surrogates/{}"],
    "explain": ["explain", "two", "--model", "{}", "--samples", "30"],
    "stability": ["stability", "surrogates/{}"],
    "sensitivity": ["sensitivity", "surrogates/{}", "--fills", "blur"],
}


@pytest.mark.long
@pytest.mark.usefixtures("explained")
@pytest.mark.parametrize("command", OTHER_COMMANDS)
def test_every_command_that_loads_a_model_asks_the_same_gate(copied, command):
    if "openvino" in OTHER_COMMANDS[command]:
        pytest.importorskip("openvino")
    for model in MODELS:
        words = [word.format(model) for word in OTHER_COMMANDS[command]]
        assert "which you do not trust on this machine" in copied.run.fails(*words)
        assert not copied.marker.exists()
        # Masks that were drawn on the way are whole, and what the command makes after it is trusted begins with them.
        assert {each["state"] for each in copied.run.json("status")["artifacts"]} == {"complete"}
        copied.forget()
        if "lambda" in words:
            break


@pytest.mark.parametrize("model", MODELS)
def test_one_other_byte_is_another_content(copied, model):
    run, path = copied.run, copied.file(model)
    run.json("trust", "add", model, "--yes")
    before = path.read_bytes()
    middle = len(before) // 2
    changed = (
        before + b"\n# another\n"
        if model == "function"
        else before[:middle] + bytes([before[middle] ^ 1]) + before[middle + 1 :]
    )
    path.write_bytes(changed)
    try:
        said = run.fails("predict", "others", "--model", model)
        assert ("has changed since" if model == "function" else "do not trust on this machine as it is now") in said
        assert not copied.marker.exists()
    finally:
        path.write_bytes(before)
    assert run.artifact("predict", "others", "--model", model).complete


def rewritten(artifact, **facts):
    """Change facts of a manifest, and its digest with them, as whoever can write the file can."""
    path = artifact.path / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["facts"] |= facts
    manifest["digest"] = digests.of_value({name: value for name, value in manifest.items() if name != "digest"})
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize("model", MODELS)
def test_what_a_manifest_says_of_trust_counts_for_nothing(copied, model):
    artifact = Store(copied.run.store).resolve(model, ("models",))
    rewritten(artifact, trusted=True)
    assert "do not trust" in copied.run.fails("predict", "others", "--model", model)
    assert copied.run.json("show", artifact.reference)  # the manifest itself is in order
    assert not copied.marker.exists()


def test_a_manifest_cannot_name_another_function(copied):
    run = copied.run
    artifact = Store(run.store).resolve("function", ("models",))
    run.json("trust", "add", "function", "--yes")
    source = python_modules.source_digest(python_modules.modules_of("shutil:rmtree"))
    rewritten(artifact, function="shutil:rmtree", source=source)
    assert "the Python function shutil:rmtree" in run.fails("predict", "others", "--model", "function")
    rewritten(artifact, function="../../x:y")
    assert "names no package.module:function" in run.fails("predict", "others", "--model", "function")
    rewritten(artifact, format="pickle")
    assert "is of the format 'pickle'" in run.fails("predict", "others", "--model", "function")


def test_a_source_that_changed_is_another_model_even_where_the_manifest_agrees(copied):
    run, path = copied.run, copied.folder / "marking.py"
    run.json("trust", "add", "function", "--yes")
    before = path.read_text()
    path.write_text(before + "# another\n")
    try:
        source = python_modules.source_digest(python_modules.modules_of("marking:classify"))
        rewritten(Store(run.store).resolve("function", ("models",)), source=source)
        assert "do not trust" in run.fails("predict", "others", "--model", "function")
    finally:
        path.write_text(before)


def test_importing_again_trusts_nothing_that_is_in_the_store_already(copied):
    words = ["import-model", copied.folder / "net.keras", "--scaling", "0..1", *CLASSES, "--trust"]
    done = copied.run(*words)
    assert done.exit_code == 0
    assert "was in the store already, and holds code that you do not trust" in done.stderr
    assert trust.entries() == []


def test_links_in_a_model_are_not_followed(copied, tmp_path):
    run = copied.run
    run.json("trust", "add", "saved", "--yes")
    path = Store(run.store).resolve("saved", ("models",)).path / "saved_model" / "saved_model.pb"
    path.rename(tmp_path / "elsewhere.pb")
    path.symlink_to(tmp_path / "elsewhere.pb")
    assert "saved_model.pb of models/saved" in run.fails("predict", "others", "--model", "saved")
    path.unlink()
    os.mkfifo(path)
    assert "saved_model.pb of models/saved" in run.fails("predict", "others", "--model", "saved")


# Converted models


@pytest.fixture
def plain(tmp_path, monkeypatch):
    """A store with a network that carries no code, converted by its own user."""
    pytest.importorskip("openvino")
    run = Facelime(tmp_path / "store")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    run.json("preprocess", write_faces(tmp_path / "faces", 2, SIZE), "--size", SIZE, "--name", "two")
    run.json("segment", "two", "--method", "slic", "--segments", 6, "--first", 1, "--name", "parts")
    keras = backend.keras()
    keras.utils.set_random_seed(5)
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, activation="relu")(inputs))
    keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x)).save(tmp_path / "net.keras")
    run.json("import-model", tmp_path / "net.keras", "--scaling", "0..1", *CLASSES, "--name", "plain")
    return run


@pytest.mark.long
def test_a_converted_model_from_elsewhere_is_made_again(plain, tmp_path, monkeypatch):
    def answers(samples, *more):
        masks = plain.artifact("perturb", "parts", "--samples", samples)
        return plain.artifact("predict", masks.id, "--model", "plain", "--runtime", "openvino", *more).read(
            "probabilities"
        )

    first = answers(12)
    (folder,) = (path.parent for path in Store(plain.store).resolve("plain", ("models",)).path.glob("kept/*/model.bin"))
    own = (folder / "model.bin").read_bytes()
    made = (folder / "model.bin").stat().st_mtime_ns
    answers(13)
    assert (folder / "model.bin").stat().st_mtime_ns == made  # one's own is used again
    weights = np.frombuffer(own, np.uint8).copy()
    weights[:400] = np.frombuffer(np.random.default_rng(1).normal(size=100).astype("<f4").tobytes(), np.uint8)
    (folder / "model.bin").write_bytes(weights.tobytes())
    digests.seal(folder)  # as whoever can write the one can write the other
    # The check against the reference would notice, so it is told to look away.
    again = answers(14, "--tolerance", 1)
    assert np.abs(again[:, :12] - first).max() < 1e-6
    assert (folder / "model.bin").read_bytes() == own
    # Another user of a copy makes it anew as well, since anybody could have made what is there.
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    made = (folder / "model.bin").stat().st_mtime_ns
    answers(15)
    assert (folder / "model.bin").stat().st_mtime_ns != made


def test_an_onnx_file_in_a_store_reads_no_file_beside_it(facelime, tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper

    from facelime_cli.answering import runtimes

    def write(path, location):
        kernel = helper.make_tensor("w", TensorProto.FLOAT, (3, 2), np.ones(6, np.float32).tolist())
        if location:
            kernel.ClearField("float_data")
            kernel.data_location = TensorProto.EXTERNAL
            kernel.external_data.add(key="location", value=location)
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

    write(tmp_path / "net.onnx", None)
    model = facelime.artifact("import-model", tmp_path / "net.onnx", "--scaling", "0..1", *CLASSES)
    for name in ("onnx", "openvino"):
        how = runtimes.How(name, "float32")
        if name == "openvino" and importlib.util.find_spec(name) is None:
            continue
        write(model.path / "model.onnx", None)
        pictures = np.zeros((1, SIZE, SIZE, 3), np.float32)
        assert runtimes.load(model, how).forward(pictures).shape == (1, 2)
        secret = model.path / "secret.bin"
        secret.write_bytes(np.ones(6, np.float32).tobytes())
        for location in ("secret.bin", str(secret), "../secret.bin", "../../../../../secret.bin"):
            write(model.path / "model.onnx", location)
            with pytest.raises(BrokenError):
                runtimes.load(model, how).forward(pictures)
