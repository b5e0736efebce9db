"""Models that Keras does not run: functions, ONNX files, SavedModels, and Keras files with code in them."""

import importlib
import importlib.util
import itertools
import json
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from facelime_cli.core import compose
from facelime_cli.core.masks import pack, unpack
from facelime_cli.models import backend, wrapping
from facelime_cli.store.references import Store
from tests.support import Facelime, write_faces

SIZE = 48
FUNCTION = """
import numpy as np

LIMIT = {limit}

def classify(pictures):
    assert pictures.dtype == np.float32 and pictures.shape[1:] == ({size}, {size}, 3)
    assert 0 <= pictures.min() and pictures.max() <= 1
    if len(pictures) > LIMIT:
        raise MemoryError
    red = pictures[:, :, :{half}, 0].mean(axis=(1, 2))
    return {answer}

broken = 3
"""
PAIR = "np.stack([1 - red, red], axis=1)"


@pytest.fixture
def write_module(tmp_path, monkeypatch):
    """Return a function that writes a module into the working folder; each test has its own name for it."""
    monkeypatch.chdir(tmp_path)

    def write(name, answer=PAIR, limit=10_000):
        (tmp_path / f"{name}.py").write_text(FUNCTION.format(answer=answer, limit=limit, size=SIZE, half=SIZE // 2))
        importlib.invalidate_caches()
        return f"{name}:classify"

    return write


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A store with masks of one picture."""
    run = Facelime(tmp_path_factory.mktemp("outside") / "store")
    run.json("preprocess", write_faces(tmp_path_factory.mktemp("two"), 4), "--size", SIZE, "--name", "two")
    run.json("segment", "two", "--method", "slic", "--segments", 12, "--name", "parts")
    run.json("perturb", "parts", "--samples", 40, "--name", "masks")
    return run


def test_numpy_composes_exactly_the_formula(rng):
    n, k, batch, pixels = 3, 11, 9, 50
    fills, images = rng.integers(0, 256, (2, n, pixels, 3), dtype=np.uint8)
    segments = rng.integers(0, k, (n, pixels)).astype(np.int32)
    masks, index = rng.random((batch, k)) < 0.5, rng.integers(0, n, batch).astype(np.int32)
    got = compose.compose(
        pack(masks, 2), index, np.stack([fills, images], 1), segments, np.empty((batch, pixels, 3), np.float32)
    )
    for row in range(batch):
        kept = masks[row][segments[index[row]]][:, None]
        assert np.array_equal(got[row], np.where(kept, images[index[row]], fills[index[row]]))


@pytest.mark.parametrize("form", ["planes", "pixels", "grey"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float16])
def test_what_is_chosen_is_exactly_the_formula_in_every_form(rng, form, dtype):
    k, batch, pixels = 11, 9, 50
    shape = {"planes": (3, pixels), "pixels": (1, 3 * pixels), "grey": (1, pixels)}[form]
    pair = (rng.random((2, *shape)) * 255).astype(dtype)
    segments, masks = rng.integers(0, k, pixels).astype(np.int32), rng.random((batch, k)) < 0.5
    out = np.empty((batch, *shape), dtype)
    compose.choose(pack(masks, 2), compose.sides_of(pair), segments, out)
    for row in range(batch):
        kept = np.repeat(masks[row][segments], shape[1] // pixels)
        assert np.array_equal(out[row], np.where(kept, pair[1], pair[0]))


@pytest.mark.parametrize(("scaling", "channels"), [("0..1", 3), ("-1..1", 1), ("caffe", 3), ("imagenet", 3)])
def test_the_input_of_others_is_that_of_keras(scaling, channels, rng):
    from facelime_cli.answering.around import Around

    values = rng.integers(0, 256, (2, 20, 20, 3)).astype(np.float32)
    keras = backend.keras()
    inputs = keras.Input((20, 20, 3))
    wanted = np.asarray(keras.Model(inputs, wrapping.scaled(inputs, scaling, channels))(values))
    seen = []
    Around(scaling, channels, channels_first=True, activation=None, classes=2).outputs(
        lambda x: seen.append(x) or np.zeros((2, 2)), "it"
    )(values)
    assert np.abs(np.moveaxis(seen[0], 1, -1) - wanted).max() < 1e-4


UNSTEADY = {
    "noise": "np.stack([1 - red, red], axis=1) * 0 + 0.5 + [[0.1, -0.1]] * np.random.uniform(0.1, 1, (1, 1))",
    "company": "np.stack([1 - red.mean() + 0 * red, red.mean() + 0 * red], axis=1)",
}


@pytest.mark.parametrize(("name", "words"), [("noise", "when it is asked again"), ("company", "in the same call")])
def test_a_model_whose_answer_is_not_the_picture_s_alone_is_warned_of(pictures, write_module, name, words):
    source = write_module(f"unsteady_{name}", answer=UNSTEADY[name])
    done = pictures("import-model", source, "--classes", "no,yes", "--size", SIZE)
    assert done.exit_code == 0
    assert words in done.stderr
    steady = pictures("import-model", write_module(f"steady_{name}"), "--classes", "no,yes", "--size", SIZE)
    assert "evaluation mode" not in steady.stderr


def test_naming_a_function_again_trusts_it_again(pictures, write_module):
    source = write_module("trusted_again")
    words = ("import-model", source, "--classes", "no,yes", "--size", SIZE, "--name", "trusted-again")
    pictures.json(*words)
    assert pictures("trust", "remove", "trusted-again").exit_code == 0
    assert "do not trust" in pictures.fails("predict", "masks", "--model", "trusted-again")
    pictures.json(*words)
    pictures.json("predict", "masks", "--model", "trusted-again")


class TestFunction:
    def words(self, reference, *more):
        return ["import-model", reference, "--classes", "no,yes", "--size", SIZE, *more]

    def test_answers_about_composed_pictures_and_says_that_it_runs_code(self, pictures, write_module):
        result = pictures(*self.words(write_module("plain"), "--name", "plain"))
        assert result.exit_code == 0
        assert "is Python code, which runs on this machine" in result.stderr
        found = pictures.artifact("predict", "masks", "--model", "plain", "--batch-size", 7)
        masks, segments, data = found.input("masks"), found.input("segments"), found.input("datasets")
        for row in range(found.n):
            image, fill, labels = (
                array.read(name)[row] for array, name in ((data, "images"), (masks, "fill"), (segments, "segments"))
            )
            kept = unpack(masks.read("masks")[row], int(segments.read("n_segments")[row]))
            red = np.stack(
                [np.where(z[labels], image[..., 0], fill[..., 0])[:, : SIZE // 2].mean() / 255 for z in kept]
            )
            assert np.abs(found.read("probabilities")[row, :, 1] - red).max() < 1e-5
        assert found.parameters["runtime"] == "python"
        assert pictures.artifact(
            "explain", "two", "--model", "plain", "--first", 1, "--method", "slic", "--samples", 30
        ).complete

    def test_classes_that_are_independent(self, pictures, write_module):
        reference = write_module("many_labels", "np.stack([red, 0.9 * red + 0.05], axis=1)")
        assert "--multi-label" in pictures.fails(*self.words(reference))
        pictures.json(*self.words(reference, "--multi-label", "--name", "independent"))
        answers = pictures.artifact("predict", "masks", "--model", "independent").read("probabilities")
        assert np.nanmax(np.abs(0.9 * answers[..., 0] + 0.05 - answers[..., 1])) < 1e-6

    def test_softmax_of_one_output_is_refused(self, pictures, write_module):
        reference = write_module("one_output", "5 * red[:, None]")
        assert "use --activation sigmoid" in pictures.fails(*self.words(reference, "--activation", "softmax"))
        assert pictures.artifact(*self.words(reference, "--activation", "sigmoid")).complete

    def test_softmax_of_one_unit_is_refused_whatever_holds_it(self, pictures, write_module, tmp_path):
        assert "1 for every picture" in pictures.fails(*self.words(write_module("ones", "0 * red[:, None] + 1")))
        keras = backend.keras()
        inputs = keras.Input((SIZE, SIZE, 3))
        output = keras.layers.Dense(1, activation="softmax")(keras.layers.GlobalAveragePooling2D()(inputs))
        keras.Model(inputs, output).save(tmp_path / "ones.keras")
        words = ["import-model", tmp_path / "ones.keras", "--classes", "no,yes", "--scaling", "0..1"]
        assert "1 for every picture" in pictures.fails(*words)

    @pytest.mark.long
    def test_is_evaluated_like_any_model(self, pictures, write_module, tmp_path):
        pictures.json(
            "preprocess", write_faces(tmp_path / "twenty", 20), "--size", SIZE, "--split", "0:0:100", "--name", "twenty"
        )
        pictures.json(
            "import-model", write_module("judged"), "--classes", "normal,rosacea", "--size", SIZE, "--name", "judged"
        )
        found = pictures.artifact("evaluate", "judged", "--dataset", "twenty")
        red = (
            pictures.artifact("preprocess", tmp_path / "twenty", "--size", SIZE, "--split", "0:0:100")
            .read("images")[:, :, : SIZE // 2, 0]
            .mean(axis=(1, 2))
            / 255
        )
        assert np.abs(found.read("probabilities")[:, 1] - red[found.read("row")]).max() < 1e-5

    def test_is_occluded_but_shows_no_layers(self, pictures, write_module):
        pictures.json(*self.words(write_module("opaque"), "--name", "opaque"))
        found = pictures.artifact("occlusion", "parts", "--model", "opaque", "--fill", "black")
        assert np.nanmax(np.abs(found.read("coefficients")[0, 0] + found.read("coefficients")[0, 1])) < 1e-6
        before = len(pictures.json("status")["artifacts"])
        assert "whose layers cannot be looked into" in pictures.fails("gradcam", "parts", "--model", "opaque")
        assert "whose layers cannot be looked into" in pictures.fails("gradcam", "two", "--model", "opaque")
        assert len(pictures.json("status")["artifacts"]) == before
        assert "whose layers cannot be looked into" in pictures.fails("show", "models/opaque", "--png", "opaque.png")

    def test_the_manifest_says_what_is_not_covered(self, pictures, write_module):
        model = pictures.artifact(*self.words(write_module("covered"), "--model-version", "2"))
        assert "covered imports" in model.facts["not_covered"]
        assert model.facts["model_version"] == "2"
        assert (model.facts["format"], model.facts["function"]) == ("function", "covered:classify")

    def test_another_version_or_source_is_another_model(self, pictures, write_module):
        reference = write_module("versions")
        first, same, second = (pictures.artifact(*self.words(reference, "--model-version", text)) for text in "112")
        assert first.id == same.id
        assert first.content != second.content
        pictures.json("perturb", "parts", "--samples", 5, "--seed", 3, "--name", "five")
        write_module("versions", "np.stack([red, 1 - red], axis=1)")
        assert "import it again" in pictures.fails("predict", "five", "--model", first.id)
        assert pictures.artifact(*self.words(reference, "--model-version", "1")).content != first.content

    def test_one_column_becomes_two_and_logits_get_their_activation(self, pictures, write_module):
        pictures.json(
            *self.words(write_module("one", "red[:, None] * 5 - 1"), "--activation", "sigmoid", "--name", "one")
        )
        values = pictures.artifact("predict", "masks", "--model", "one").read("probabilities")
        assert np.abs(values.sum(axis=2) - 1).max() < 1e-6
        assert "--activation softmax" in pictures.fails(
            *self.words(write_module("logits", "np.stack([red, red], axis=1) * 9 - 3"))
        )

    @pytest.mark.parametrize(
        ("answer", "said"),
        [
            ("np.stack([red, red, red], axis=1)", "one column per class"),
            ("red * np.zeros((len(red), 2))", "failed on an array"),
            ("np.full((len(red), 2), np.nan)", "NaN"),
            ("nothing_like_this", "NameError"),
        ],
    )
    def test_what_answers_wrongly_is_one_sentence_and_leaves_nothing(self, pictures, write_module, answer, said):
        before = sorted(path.name for path in (pictures.store / "models").glob("[!.]*"))
        name = f"wrong{abs(hash(answer))}"
        assert said in pictures.fails(*self.words(write_module(name, answer)))
        assert sorted(path.name for path in (pictures.store / "models").glob("[!.]*")) == before

    def test_too_little_memory_halves_the_batch(self, pictures, write_module):
        pictures.json(*self.words(write_module("tight", limit=10), "--name", "tight"))
        result = pictures("predict", "masks", "--model", "tight", "--batch-size", 32, "--name", "tight")
        assert result.exit_code == 0
        assert "a batch of 16 did not fit into memory; batches of 8 are used now" in result.stderr

    def test_what_is_not_there(self, pictures, write_module):
        write_module("there")
        assert "no Python module nowhere" in pictures.fails(*self.words("nowhere:classify"))
        assert "no function other" in pictures.fails(*self.words("there:other"))
        assert "no function broken" in pictures.fails(*self.words("there:broken"))

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--scaling", "0..1", "--size", 48], "--scaling"),
            ([], "--size"),
            (["--size", 48, "--backbone", "mobilenetv2"], "--backbone"),
        ],
    )
    def test_options_that_do_not_go_with_it(self, pictures, write_module, words, said):
        assert said in pictures.fails("import-model", write_module("options"), "--classes", "a,b", *words, code=2)

    def test_is_asked_about_pictures_of_another_size(self, pictures, write_module, tmp_path):
        pictures.json(*self.words(write_module("sized"), "--name", "sized"))
        pictures.json("preprocess", write_faces(tmp_path / "large", 2, 80), "--size", 80, "--name", "large")
        pictures.json(
            "perturb",
            pictures.artifact("segment", "large", "--method", "slic", "--first", 1).id,
            "--samples",
            9,
            "--name",
            "large",
        )
        found = pictures.artifact("predict", "masks/large", "--model", "sized", "--resize")
        image = found.input("datasets").read("images", [int(found.read("row")[0])]).astype(np.float32)
        assert found.read("probabilities")[0, 0, 1] == pytest.approx(image[0, :, :40, 0].mean() / 255, abs=2e-3)


@pytest.fixture(scope="module")
def small():
    """A small Keras network for 0..1."""
    keras = backend.keras()
    keras.utils.set_random_seed(3)
    inputs = keras.Input((SIZE, SIZE, 3), name="x")
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(5, 3, activation="relu")(inputs))
    return keras.Model(
        inputs,
        keras.layers.Dense(3, activation="softmax", kernel_initializer=keras.initializers.RandomNormal(stddev=6.0))(x),
    )


THREE = ["--classes", "a,b,c", "--scaling", "0..1"]


@pytest.fixture(scope="module")
def as_keras(pictures, small, tmp_path_factory):
    """What the same network answers when it comes as a Keras file."""
    path = tmp_path_factory.mktemp("keras") / "small.keras"
    small.save(path)
    pictures.json("import-model", path, *THREE, "--name", "as-keras")
    return pictures.artifact("predict", "masks", "--model", "as-keras").read("probabilities")


class TestSavedModel:
    def test_answers_as_the_network_it_was(self, pictures, small, as_keras, tmp_path):
        small.export(tmp_path / "exported", verbose=False)
        words = ["import-model", tmp_path / "exported", *THREE, "--name", "saved"]
        assert "add --trust" in pictures.fails(*words)
        result = pictures(*words, "--trust")
        assert result.exit_code == 0, result.stderr
        assert "may read and write files" in result.stderr
        found = pictures.artifact("predict", "masks", "--model", "saved")
        assert np.abs(found.read("probabilities") - as_keras).max() < 1e-6
        assert found.input("models").facts["format"] == "saved-model"
        assert pictures.json("verify", "models/saved")["faults"] == []

    def test_a_folder_that_is_none(self, pictures, tmp_path):
        (tmp_path / "empty").mkdir()
        assert "saved_model.pb" in pictures.fails("import-model", tmp_path / "empty", *THREE)
        (tmp_path / "empty" / "saved_model.pb").write_bytes(b"nothing")
        words = ["import-model", tmp_path / "empty", *THREE, "--trust"]
        assert "cannot be loaded as a SavedModel" in pictures.fails(*words)


class TestOnnx:
    @pytest.fixture(autouse=True)
    def needs_onnx(self):
        if importlib.util.find_spec("onnxruntime") is None or importlib.util.find_spec("tf2onnx") is None:
            pytest.skip("needs the extra `onnx`")

    def test_answers_as_the_network_it_was(self, pictures, small, as_keras, tmp_path):
        small(np.zeros((1, SIZE, SIZE, 3), np.float32))
        small.export(tmp_path / "small.onnx", format="onnx", verbose=False)
        model = pictures.artifact("import-model", tmp_path / "small.onnx", *THREE, "--name", "as-onnx")
        assert (model.facts["format"], model.facts["size"], model.facts["around"]["channels_first"]) == (
            "onnx",
            SIZE,
            False,
        )
        found = pictures.artifact("predict", "masks", "--model", "as-onnx")
        assert found.parameters["runtime"] == "onnx"
        assert np.abs(found.read("probabilities") - as_keras).max() < 1e-5
        if importlib.util.find_spec("openvino"):
            other = pictures.artifact("predict", "masks", "--model", "as-onnx", "--runtime", "openvino")
            assert other.facts["difference"] < 1e-5
        assert "does not run an ONNX file" in pictures.fails(
            "predict", "masks", "--model", "as-onnx", "--runtime", "keras", code=2
        )

    def test_channels_first_and_one_picture_per_call(self, pictures, tmp_path):
        import onnx
        from onnx import TensorProto, helper

        nodes = [
            helper.make_node("GlobalAveragePool", ["x"], ["m"]),
            helper.make_node("Flatten", ["m"], ["f"]),
            helper.make_node("Softmax", ["f"], ["y"], axis=1),
        ]
        shapes = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in (("x", [1, 3, SIZE, SIZE]), ("y", [1, 3]))
        ]
        made = helper.make_model(
            helper.make_graph(nodes, "means", shapes[:1], shapes[1:]),
            opset_imports=[helper.make_opsetid("", 17)],
            ir_version=8,
        )
        onnx.save(made, tmp_path / "means.onnx")
        pictures.json("import-model", tmp_path / "means.onnx", *THREE, "--name", "means")
        found = pictures.artifact("predict", "masks", "--model", "means", "--batch-size", 16)
        means = found.input("datasets").read("images").mean(axis=(1, 2)) / 255
        wanted = np.exp(means) / np.exp(means).sum(axis=1, keepdims=True)
        assert np.abs(found.read("probabilities")[:, 0] - wanted).max() < 1e-5

    def test_weights_in_another_file_would_be_lost(self, pictures, tmp_path):
        import onnx
        from onnx import TensorProto, helper, numpy_helper

        weights = numpy_helper.from_array(np.random.default_rng(0).random((3, 3), dtype=np.float32), "w")
        nodes = [
            helper.make_node("ReduceMean", ["x"], ["m"], axes=[1, 2], keepdims=0),
            helper.make_node("MatMul", ["m", "w"], ["f"]),
            helper.make_node("Softmax", ["f"], ["y"], axis=1),
        ]
        shapes = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in (("x", ["n", SIZE, SIZE, 3]), ("y", ["n", 3]))
        ]
        made = helper.make_model(
            helper.make_graph(nodes, "apart", shapes[:1], shapes[1:], [weights]),
            opset_imports=[helper.make_opsetid("", 17)],
            ir_version=8,
        )
        onnx.save(
            made, tmp_path / "apart.onnx", save_as_external_data=True, location="apart.onnx.data", size_threshold=0
        )
        assert "another file beside it" in pictures.fails("import-model", tmp_path / "apart.onnx", *THREE)

    def test_what_is_no_model(self, pictures, tmp_path):
        (tmp_path / "x.onnx").write_bytes(b"nothing")
        assert "cannot be loaded as an ONNX model" in pictures.fails("import-model", tmp_path / "x.onnx", *THREE)
        assert "--trust belongs to" in pictures.fails("import-model", tmp_path / "x.onnx", *THREE, "--trust", code=2)


class TestCodeInAFile:
    @pytest.fixture(params=["code.keras", "code.h5"])
    def path(self, request, tmp_path):
        keras = backend.keras()
        inputs = keras.Input((SIZE, SIZE, 3))
        x = keras.layers.Lambda(lambda x: x * 1.0, output_shape=(SIZE, SIZE, 3))(inputs)
        keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(keras.layers.GlobalAveragePooling2D()(x))).save(
            tmp_path / request.param
        )
        return tmp_path / request.param

    def test_is_refused_unless_it_is_trusted(self, pictures, path):
        words = ["import-model", path, "--classes", "a,b", "--scaling", "0..1", "--name", "code"]
        assert "add --trust" in pictures.fails(*words)
        model = pictures.artifact(*words, "--trust")
        assert "trusted" not in model.facts
        assert pictures.artifact("predict", "masks", "--model", model.id).complete
        assert pictures.artifact("predict", "masks", "--model", model.id, "--precision", "bfloat16").complete

    def test_scaling_is_still_needed(self, pictures, path):
        assert "--scaling is missing" in pictures.fails("import-model", path, "--classes", "a,b", code=2)


CONTAINED = """
import os, sys, warnings, logging, ctypes
import numpy as np
{at_import}

def classify(pictures):
    red = pictures[:, :, :24, 0].mean(axis=(1, 2))
    answer = np.stack([1 - red, red], axis=1)
    {when_called}
    return answer
"""


class TestAFunctionIsContained:
    """What a function does beside answering: it is an error of the model, or it changes nothing of the command."""

    @pytest.fixture
    def write(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        numbers = itertools.count()

        def write(when_called="pass", at_import=""):
            name = f"contained_{tmp_path.name}_{next(numbers)}"
            (tmp_path / f"{name}.py").write_text(CONTAINED.format(at_import=at_import, when_called=when_called))
            importlib.invalidate_caches()
            return f"{name}:classify"

        return write

    def words(self, reference):
        return ["import-model", reference, "--classes", "no,yes", "--size", SIZE]

    @pytest.mark.parametrize(
        ("code", "said"),
        [
            ("sys.exit(0)", "SystemExit: 0"),
            ("raise SystemExit", "SystemExit"),
            ("raise KeyboardInterrupt", "KeyboardInterrupt"),
            ("raise BaseException('enough')", "BaseException: enough"),
            ("raise ValueError('two\\nlines')", "ValueError: two"),
            ("(lambda f: f(f))(lambda f: f(f))", "RecursionError"),
        ],
    )
    def test_what_ends_a_program_is_an_error_of_the_model(self, pictures, write, code, said):
        assert said in pictures.fails(*self.words(write(code)))
        assert "cannot be imported" in pictures.fails(*self.words(write(at_import=code)))

    def test_a_package_around_the_module_is_contained_too(self, pictures, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "exits_around").mkdir()
        (tmp_path / "exits_around" / "__init__.py").write_text("print('loud')\nraise SystemExit(3)")
        (tmp_path / "exits_around" / "inside.py").write_text("def classify(x): return x")
        importlib.invalidate_caches()
        assert "cannot be imported" in pictures.fails(*self.words("exits_around.inside:classify"))

    @pytest.mark.parametrize(
        ("code", "said"),
        [
            ("answer = answer + 0j", "complex64"),
            ("answer = answer.astype(object)", "object"),
            ("answer = answer.astype(str)", "<U32"),
            ("answer = None", "object"),
            ("answer = [[1], [1, 2]]", "failed on an array"),
            ("answer = answer[0]", "one column per class"),
            ("answer = answer * 1e300", "NaN or infinity"),
            ("answer = -answer", "no probabilities"),
            ("answer = answer * np.inf", "NaN or infinity"),
            ("os.chdir('/')", "changes the working folder"),
        ],
    )
    def test_answers_that_are_none(self, pictures, write, code, said):
        assert said in pictures.fails(*self.words(write(code)))
        assert said in pictures.fails(*self.words(write(code)))

    @pytest.mark.parametrize("code", ["answer = answer * 3 - 1", "answer = answer * np.nan"])
    def test_answers_that_become_none_later(self, pictures, write, code):
        # The trial at the import asks about three pictures.
        found = pictures.artifact(*self.words(write(f"if len(pictures) > 3: {code}")))
        assert f"models/{found.id} answers" in pictures.fails("predict", "masks", "--model", found.id)

    def test_what_it_prints_goes_to_stderr(self, pictures, write):
        result = pictures(*self.words(write("print('called')", "print('imported')")), "--name", "loud")
        assert result.exit_code == 0
        assert re.fullmatch(r"[\w.+-]+\n", result.stdout)
        assert "imported" in result.stderr
        assert "called" in result.stderr

    def test_it_may_change_its_pictures_and_use_its_memory_again(self, pictures, write):
        plain = pictures.artifact(*self.words(write()))
        again = "global MEMORY; MEMORY[: len(red)] = answer; answer = MEMORY[: len(red)]; pictures[:] = 0"
        reused = pictures.artifact(*self.words(write(again, "MEMORY = np.zeros((1000, 2))")))
        answers = [
            pictures.artifact("predict", "masks", "--model", each.id, "--batch-size", 7).read("probabilities")
            for each in (plain, reused)
        ]
        assert np.array_equal(*answers)

    def test_a_module_keeps_neither_the_folder_nor_the_signals(self, pictures, write, tmp_path):
        before = signal.getsignal(signal.SIGTERM)
        code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.chdir('/')"
        assert pictures.artifact(*self.words(write(at_import=code))).complete
        assert signal.getsignal(signal.SIGTERM) is before
        assert Path.cwd() == tmp_path

    def test_a_stop_while_it_answers_is_no_error(self, pictures, write):
        code = "from facelime_cli.errors import StopRequested; raise StopRequested('SIGTERM')"
        assert pictures(*self.words(write(code))).exit_code == 75
        assert pictures(*self.words(write(at_import=code))).exit_code == 75

    def test_only_the_reference_reaches_stdout_whatever_c_code_prints(self, start, write, tmp_path):
        loud = "print('python'); os.write(1, b'descriptor'); ctypes.CDLL(None).puts(b'buffered'); sys.stdout.close()"
        done = start(*self.words(write(loud, loud)), store=tmp_path / "store")
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(r"[\w.+-]+\n", done.stdout)
        for word in ("python", "descriptor", "buffered"):
            assert word in done.stderr

    def test_its_warnings_go_to_the_log(self, start, write, pictures, tmp_path):
        reference = write("warnings.warn('beware'); logging.getLogger('loud').error('of /home/someone/file.bin')")
        store = tmp_path / "store"
        shutil.copytree(pictures.store, store)
        words = [*self.words(reference), "--name", "warns"]
        assert start(*words, store=store).returncode == 0
        done = start("predict", "masks", "--model", "warns", store=store)
        assert done.returncode == 0
        assert "beware" not in done.stderr
        lines = (Store(store).resolve(done.stdout.strip()).path / "logs" / "1of1.jsonl").read_text().splitlines()
        heard = [(each["library"], each["text"]) for each in map(json.loads, lines) if each["event"] == "warning"]
        module = reference.partition(":")[0]
        assert sorted(heard) == sorted([(module, "UserWarning: beware"), ("loud", "of file.bin")])
        start("remove", done.stdout.strip(), "--yes", store=store)
        shown = start("predict", "masks", "--model", "warns", "--debug", store=store)
        assert "beware" in shown.stderr
