"""Networks that begin with a scaling of their own: a second one in front of it is seen."""

import numpy as np
import pytest

from facelime_cli.importing import own_scaling
from facelime_cli.models import backend

SIDE = 32


@pytest.fixture(scope="module")
def keras():
    return backend.keras()


def warned(net, asked):
    """Return what is said of a network, or None."""
    (*said,) = own_scaling.warning_of(own_scaling.of_keras(net), asked, "net.keras")
    return said[0] if said else None


def ended(keras, inputs, x):
    """Return a network with a head behind what it begins with."""
    x = keras.layers.Conv2D(4, 3)(x)
    return keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(keras.layers.GlobalAveragePooling2D()(x)))


def rescaled(keras, *layers):
    inputs = keras.Input((SIDE, SIDE, 3))
    x = inputs
    for each in layers:
        x = each(x)
    return ended(keras, inputs, x)


def nested(keras, *layers):
    """Return a network whose scaling stands in a network within it, behind an augmentation."""
    inside = keras.Input((SIDE, SIDE, 3))
    x = inside
    for each in layers:
        x = each(x)
    part = keras.Model(inside, keras.layers.Conv2D(3, 3)(x))
    inputs = keras.Input((SIDE, SIDE, 3))
    return ended(keras, inputs, part(keras.layers.RandomFlip()(inputs)))


def in_sequence(keras, *layers):
    """Return a sequence that begins with another one."""
    first = keras.Sequential([keras.Input((SIDE, SIDE, 3)), *layers])
    head = [keras.layers.Conv2D(3, 3), keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")]
    return keras.Sequential([keras.Input((SIDE, SIDE, 3)), first, *head])


def normalisation(keras, mean, variance):
    return keras.layers.Normalization(mean=mean, variance=variance)


@pytest.mark.long
@pytest.mark.parametrize(
    ("make", "asked", "better"),
    [
        (lambda k: rescaled(k, k.layers.Rescaling(1 / 255)), "0..1", "0..255"),
        (lambda k: rescaled(k, k.layers.Rescaling(1 / 127.5, -1)), "-1..1", "0..255"),
        (lambda k: rescaled(k, k.layers.Rescaling(1 / 128, -1)), "imagenet", "0..255"),
        (lambda k: rescaled(k, k.layers.Rescaling(2.0, -1)), "-1..1", "0..1"),
        (lambda k: rescaled(k, k.layers.Rescaling(2.0, -1)), "0..255", "0..1"),
        (lambda k: rescaled(k, k.layers.Dropout(0.5), k.layers.Rescaling(1 / 255)), "mean:0.5/std:0.5", "0..255"),
        (lambda k: rescaled(k, normalisation(k, [124, 117, 104], [3300, 3250, 3300])), "imagenet", "0..255"),
        (lambda k: rescaled(k, normalisation(k, [0.5, 0.5, 0.4], [0.05, 0.05, 0.05])), "0..255", "0..1"),
        (lambda k: rescaled(k, lambda x: x / 127.5 - 1.0), "-1..1", "0..255"),
        (lambda k: nested(k, k.layers.Rescaling(1 / 127.5, -1)), "-1..1", "0..255"),
        (lambda k: in_sequence(k, k.layers.Rescaling(1 / 255)), "0..1", "0..255"),
        (lambda k: rescaled(k, k.Sequential([k.layers.RandomFlip()]), k.layers.Rescaling(1 / 255)), "0..1", "0..255"),
        (lambda k: nested(k, k.layers.Dropout(0.5), k.layers.Rescaling(1 / 255)), "0..1", "0..255"),
    ],
)
def test_a_second_scaling_is_seen_and_both_are_told(keras, make, asked, better):
    said = warned(make(keras), asked)
    assert f"behind --scaling {asked}" in said
    assert f"use --scaling {better};" in said


@pytest.mark.long
@pytest.mark.parametrize(
    ("make", "asked"),
    [
        (rescaled, "0..1"),
        (rescaled, "0..255"),
        (lambda k: rescaled(k, k.layers.Rescaling(1 / 255)), "0..255"),
        (lambda k: rescaled(k, k.layers.Rescaling(1 / 127.5, -1)), "mean:0/std:0.00392156862745098"),
        (lambda k: rescaled(k, k.layers.Rescaling(2.0, -1)), "0..1"),
        (lambda k: rescaled(k, normalisation(k, [0.5, 0.5, 0.4], [0.05, 0.05, 0.05])), "0..1"),
        (lambda k: rescaled(k, normalisation(k, [124, 117, 104], [3300, 3250, 3300])), "0..255"),
        (lambda k: nested(k, k.layers.Rescaling(1 / 127.5, -1)), "0..255"),
        # Behind a layer with weights it is none of the input.
        (lambda k: rescaled(k, k.layers.Conv2D(3, 1), k.layers.Rescaling(1 / 255)), "-1..1"),
    ],
)
def test_what_goes_together_is_not_warned_of(keras, make, asked):
    assert warned(make(keras), asked) is None


@pytest.mark.long
@pytest.mark.parametrize(
    ("application", "asked"),
    [("EfficientNetB0", "imagenet"), ("EfficientNetV2B0", "-1..1"), ("MobileNetV3Small", "-1..1")],
)
def test_networks_of_keras_that_scale_for_themselves(keras, application, asked):
    net = getattr(keras.applications, application)(weights=None, input_shape=(64, 64, 3), classes=2)
    assert "use --scaling 0..255;" in warned(net, asked)
    assert warned(net, "0..255") is None
    inputs = keras.Input((64, 64, 3))
    assert "use --scaling 0..255;" in warned(keras.Model(inputs, net(inputs)), asked)


def test_the_command_says_it_and_goes_on(facelime, keras, tmp_path):
    net = rescaled(keras, keras.layers.Rescaling(1 / 127.5, -1, name="own_rescaling"))
    net.save(tmp_path / "net.keras")
    words = ["import-model", tmp_path / "net.keras", "--classes", "a,b", "--scaling"]
    result = facelime(*words, "-1..1")
    assert result.exit_code == 0
    said = " ".join(result.stderr.split())
    assert "net.keras begins with a scaling of its own (own_rescaling)" in said
    assert "as -1.01 to -0.992" in said
    assert "use --scaling 0..255" in said
    assert "a scaling of its own" not in facelime(*words, "0..255").stderr


def test_the_ends_are_computed_and_not_guessed(keras):
    net = rescaled(keras, normalisation(keras, [10.0, 20.0, 30.0], [4.0, 4.0, 4.0]))
    assert "behind --scaling 0..255 it hands on pictures as -15 to 122" in warned(net, "0..255")


class TestOnnx:
    @pytest.fixture(autouse=True)
    def needs_onnx(self):
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")

    @staticmethod
    def write(path, nodes, constants):
        """Write a network that averages what some nodes make of pictures, channels first."""
        import onnx
        from onnx import TensorProto, helper, numpy_helper

        last = nodes[-1][2] if nodes else "x"
        made = [helper.make_node(kind, inputs, [output], name=output) for kind, inputs, output in nodes]
        made += [
            helper.make_node("GlobalAveragePool", [last], ["m"]),
            helper.make_node("Flatten", ["m"], ["f"]),
            helper.make_node("Softmax", ["f"], ["y"], axis=1),
        ]
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in (("x", ["n", 3, SIDE, SIDE]), ("y", ["n", 3]))
        ]
        held = [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()]
        graph = helper.make_graph(made, "net", ends[:1], ends[1:], held)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
        return path

    def test_a_second_scaling_is_seen(self, facelime, tmp_path):
        shape = (1, 3, 1, 1)
        means, deviations = np.full(shape, 0.45), np.full(shape, 0.225)
        nodes = [
            ("Div", ["x", "white"], "by_255"),
            ("Sub", ["by_255", "mean"], "less"),
            ("Div", ["less", "dev"], "own"),
        ]
        path = self.write(tmp_path / "net.onnx", nodes, {"white": 255, "mean": means, "dev": deviations})
        words = ["import-model", path, "--classes", "a,b,c", "--scaling"]
        said = " ".join(facelime(*words, "imagenet").stderr.split())
        assert "begins with a scaling of its own (by_255, less, own)" in said
        assert "use --scaling 0..255" in said
        assert facelime(*words, "0..255").stderr == ""

    def test_a_constant_that_comes_first_and_none_at_all(self, facelime, tmp_path):
        words = ["--classes", "a,b,c", "--scaling", "0..255"]
        path = self.write(tmp_path / "turned.onnx", [("Sub", ["one", "x"], "turned")], {"one": 1})
        assert "(turned)" in " ".join(facelime("import-model", path, *words).stderr.split())
        path = self.write(tmp_path / "plain.onnx", [], {})
        assert facelime("import-model", path, *words).stderr == ""
