"""Networks with several outputs, other inputs than float32, and networks that say nothing of themselves."""

import importlib.util

import numpy as np
import pytest

from facelime_cli.models import backend, wrapping
from tests.importing.conftest import SIZE

THREE = ["--classes", "a,b,c", "--scaling", "0..1"]


@pytest.fixture(scope="module")
def keras():
    return backend.keras()


@pytest.fixture(scope="module")
def network(keras):
    """Return a function that makes a network of 0..1 with features beside logits, and one of the logits alone."""

    def make(as_dictionary=False, size=SIZE):
        keras.utils.set_random_seed(5)
        inputs = keras.Input((size, size, 3))
        x = keras.layers.Conv2D(5, 3, activation="relu", name="c")(inputs)
        features = keras.layers.GlobalAveragePooling2D(name="features")(x)
        wide = keras.initializers.RandomNormal(stddev=6.0)
        logits = keras.layers.Dense(3, kernel_initializer=wide, name="logits")(features)
        answers = {"of maps": features, "of classes": logits} if as_dictionary else [features, logits]
        return keras.Model(inputs, answers), keras.Model(inputs, keras.layers.Softmax()(logits))

    return make


def predicted(run, name, *more):
    return run.artifact("predict", "masks", "--model", name, *more).read("probabilities")


class TestKeras:
    @pytest.mark.parametrize(("as_dictionary", "name"), [(False, "logits"), (True, "of classes")])
    def test_one_of_two_outputs_is_explained(self, facelime, network, tmp_path, rng, as_dictionary, name):
        both, alone = network(as_dictionary)
        both.save(tmp_path / "both.keras")
        words = ["import-model", tmp_path / "both.keras", *THREE, "--activation", "softmax"]
        said = facelime.fails(*words)
        assert "has 2 outputs" in said
        assert name in said
        assert "--output NAME" in said
        assert "has no output 'nothing'; give --output one of" in facelime.fails(*words, "--output", "nothing")
        made = facelime.artifact(*words, "--output", name)
        assert made.parameters["output"] == name
        pictures = rng.integers(0, 256, (2, SIZE, SIZE, 3)).astype(np.float32)
        found = np.asarray(wrapping.load(made.file("model.keras"))(pictures))
        assert np.abs(found - np.asarray(alone(pictures / 255))).max() < 1e-5

    def test_the_only_output_may_be_named(self, facelime, network, tmp_path):
        _, alone = network()
        alone.save(tmp_path / "alone.keras")
        words = ["import-model", tmp_path / "alone.keras", *THREE]
        its = facelime.artifact(*words)
        assert "output" not in its.parameters
        assert facelime.artifact(*words, "--output", alone.output_names[0]).complete
        assert "has no output 'logits'" in facelime.fails(*words, "--output", "logits")

    def test_a_network_that_was_never_called_is_one_sentence(self, facelime, keras, tmp_path):
        never = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")])
        with pytest.warns(UserWarning, match="not yet been built"):
            never.save(tmp_path / "never.keras")
        said = facelime.fails("import-model", tmp_path / "never.keras", *THREE)
        assert "begin it with keras.Input" in said
        assert "unexpected" not in said

    def test_a_class_of_its_makers_own_is_one_sentence(self, facelime, keras, tmp_path):
        class Own(keras.Model):
            def __init__(self):
                super().__init__()
                self.last = keras.layers.Dense(3)

            def call(self, pictures):
                return self.last(keras.ops.mean(pictures, (1, 2)))

        own = Own()
        own(np.zeros((1, SIZE, SIZE, 3), np.float32))
        own.save(tmp_path / "own.keras")
        said = facelime.fails("import-model", tmp_path / "own.keras", *THREE)
        assert "none of Keras' own" in said

    @pytest.mark.parametrize(
        "policy",
        ["mixed_float16", *(pytest.param(each, marks=pytest.mark.long) for each in ("mixed_bfloat16", "float16"))],
    )
    def test_sixteen_bits(self, facelime, keras, tmp_path, rng, policy):
        keras.utils.set_random_seed(5)
        inputs = keras.Input((SIZE, SIZE, 3))
        x = keras.layers.Conv2D(5, 3, activation="relu", dtype=policy)(inputs)
        x = keras.layers.GlobalAveragePooling2D(dtype=policy)(x)
        net = keras.Model(inputs, keras.layers.Dense(300, activation="softmax", dtype=policy)(x))
        assert net.outputs[0].dtype == policy.removeprefix("mixed_")
        net.save(tmp_path / "sixteen.keras")
        (tmp_path / "names").write_text("\n".join(f"class {place}" for place in range(300)))
        made = facelime.artifact(
            "import-model", tmp_path / "sixteen.keras", "--classes", f"@{tmp_path / 'names'}", "--scaling", "0..1"
        )
        pictures = rng.integers(0, 256, (2, SIZE, SIZE, 3)).astype(np.float32)
        stored = wrapping.in_precision(wrapping.load(made.file("model.keras")), "float32")
        found = np.asarray(stored(pictures))
        assert np.abs(found.sum(axis=1) - 1).max() < 1e-5
        assert np.abs(found - np.asarray(net(pictures / 255), np.float32)).max() < 1e-2


@pytest.mark.long
def test_a_saved_model_with_two_outputs(masks, network, tmp_path):
    both, alone = network(as_dictionary=True)
    both.export(tmp_path / "both", verbose=False)
    alone.save(tmp_path / "alone.keras")
    words = ["import-model", tmp_path / "both", *THREE, "--activation", "softmax", "--trust", "--name", "saved-both"]
    said = masks.fails(*words)
    assert "of classes, of maps" in said
    masks.json(*words, "--output", "of classes")
    masks.json("import-model", tmp_path / "alone.keras", *THREE, "--name", "saved-alone")
    assert np.abs(predicted(masks, "saved-both") - predicted(masks, "saved-alone")).max() < 1e-6


class TestOnnx:
    @pytest.fixture(autouse=True)
    def needs_onnx(self):
        if importlib.util.find_spec("onnxruntime") is None or importlib.util.find_spec("onnx") is None:
            pytest.skip("needs the extra `onnx`")

    @staticmethod
    def write(path, kind="FLOAT", batch="batch", size=SIZE):
        """Write a network of three numbers, the means of its channels, beside logits of these; it reads 0…255."""
        import onnx
        from onnx import TensorProto, helper, numpy_helper

        weights = np.array([[1, -2, 0.5], [0.25, 1, -1], [-1, 0.5, 2]], np.float32) / 16
        nodes = [
            helper.make_node("Cast", ["x"], ["xf"], to=TensorProto.FLOAT),
            helper.make_node("GlobalAveragePool", ["xf"], ["m"]),
            helper.make_node("Flatten", ["m"], ["features32"]),
            helper.make_node("MatMul", ["features32", "w"], ["logits32"]),
        ]
        answers = TensorProto.FLOAT if kind == "UINT8" else getattr(TensorProto, kind)
        both = ("features", "logits")
        nodes += [helper.make_node("Cast", [f"{name}32"], [name], to=answers) for name in both]
        its_input = helper.make_tensor_value_info("x", getattr(TensorProto, kind), [batch, 3, size, size])
        its_outputs = [helper.make_tensor_value_info(name, answers, [batch, 3]) for name in both]
        graph = helper.make_graph(nodes, "means", [its_input], its_outputs, [numpy_helper.from_array(weights, "w")])
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(made, path)
        return weights

    @pytest.mark.long
    @pytest.mark.parametrize("batch", ["batch", 1, 4])
    @pytest.mark.parametrize(("kind", "bound"), [("FLOAT", 1e-5), ("FLOAT16", 2e-2), ("DOUBLE", 1e-5), ("UINT8", 1e-5)])
    def test_other_inputs_and_batches_answer_the_same(self, masks, tmp_path, kind, bound, batch):
        weights = self.write(tmp_path / "net.onnx", kind, batch)
        name = f"onnx-{kind.lower()}-{batch}"
        words = ["import-model", tmp_path / "net.onnx", "--classes", "a,b,c", "--activation", "softmax"]
        said = masks.fails(*words, "--scaling", "0..255", "--name", name)
        assert "has 2 outputs (features, logits)" in said
        words = [*words, "--output", "logits", "--name", name]
        if kind == "UINT8":
            assert "give --scaling 0..255" in masks.fails(*words, "--scaling", "0..1")
        masks.json(*words, "--scaling", "0..255")
        found = masks.artifact("predict", "masks", "--model", name, "--batch-size", 7)
        data, rows = found.input("datasets"), found.read("probabilities")
        image = data.read("images")[0].astype(np.float64)
        logits = image.mean(axis=(0, 1)) @ weights
        wanted = np.exp(logits - logits.max())
        # The first mask keeps everything.
        assert np.abs(rows[0, 0] - wanted / wanted.sum()).max() < bound

    @pytest.mark.long
    @pytest.mark.parametrize("kind", ["FLOAT", "FLOAT16", "UINT8"])
    def test_openvino_answers_with_the_same_output(self, masks, tmp_path, kind):
        pytest.importorskip("openvino")
        self.write(tmp_path / "net.onnx", kind)
        name = f"both-{kind.lower()}"
        words = ["import-model", tmp_path / "net.onnx", "--classes", "a,b,c", "--scaling", "0..255", "--name", name]
        masks.json(*words, "--activation", "softmax", "--output", "logits")
        found = masks.artifact("predict", "masks", "--model", name, "--runtime", "openvino", "--tolerance", 0.05)
        assert np.nanmax(np.abs(found.read("probabilities") - predicted(masks, name))) < 2e-2

    def test_resized_pictures_become_bytes_again(self, masks, tmp_path):
        """Between whole numbers lie those of a picture that was resized."""
        self.write(tmp_path / "net.onnx", "UINT8", size=32)
        words = ["import-model", tmp_path / "net.onnx", "--classes", "a,b,c", "--scaling", "0..255", "--name", "bytes"]
        masks.json(*words, "--activation", "softmax", "--output", "logits")
        self.write(tmp_path / "floats.onnx", "FLOAT", size=32)
        words = ["import-model", tmp_path / "floats.onnx", "--classes", "a,b,c", "--scaling", "0..255"]
        masks.json(*words, "--activation", "softmax", "--output", "logits", "--name", "floats")
        assert np.nanmax(np.abs(predicted(masks, "bytes", "--resize") - predicted(masks, "floats", "--resize"))) < 5e-3

    def test_integers_are_refused_with_what_it_should_read(self, masks, tmp_path):
        self.write(tmp_path / "net.onnx", "INT32")
        words = ["import-model", tmp_path / "net.onnx", "--classes", "a,b,c", "--scaling", "0..255"]
        assert "it should read float32, float16, float64, uint8 of" in masks.fails(*words, "--output", "logits")
