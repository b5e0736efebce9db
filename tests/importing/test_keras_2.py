"""Files of Keras 2: what is mended computes the same numbers, and what cannot be is refused with its name."""

import json
import zipfile

import h5py
import numpy as np
import pytest

from facelime_cli.answering import programs
from facelime_cli.errors import BrokenError
from facelime_cli.importing import keras2
from facelime_cli.models import backend, wrapping
from tests.importing.keras_2 import after, entry, function, network, read, write

INITIALIZER = {"class_name": "GlorotUniform", "config": {"seed": None}}


@pytest.fixture(scope="module")
def keras():
    return backend.keras()


@pytest.fixture(scope="module")
def layers(keras):
    return keras.layers


@pytest.fixture
def pictures(rng):
    return rng.uniform(0, 255, (3, 16, 16, 3)).astype(np.float32)


def conv(name, inbound=None, filters=4, **more):
    settings = {
        "filters": filters,
        "kernel_size": [3, 3],
        "strides": [1, 1],
        "padding": "same",
        "data_format": "channels_last",
        "dilation_rate": [1, 1],
        "groups": 1,
        "activation": "linear",
        "use_bias": True,
        "kernel_initializer": INITIALIZER,
        "bias_initializer": {"class_name": "Zeros", "config": {}},
        "kernel_regularizer": {"class_name": "L2", "config": {"l2": 0.001}},
        "activity_regularizer": None,
        "kernel_constraint": None,
    }
    return entry("Conv2D", name, inbound, **{**settings, **more})


def dense(name, inbound=None, units=2, **more):
    more = {"activation": "softmax", "use_bias": True, "kernel_initializer": INITIALIZER, **more}
    return entry("Dense", name, inbound, units=units, **more)


def filled(net):
    """Return a network whose every weight is another."""
    generator = np.random.default_rng(3)
    for each in net.weights:
        each.assign(generator.normal(0, 0.4, each.shape) ** (2 if "variance" in each.path else 1))
    return net


def check_same(tmp_path, configuration, net, pictures, **more):
    """Check that a file with the weights of a network computes what that network does."""
    path = write(tmp_path / "net.h5", configuration, net, **more)
    assert keras2.is_from_keras_2(path)
    (tmp_path / "mended").mkdir()
    copy = keras2.mended_copy(path, tmp_path / "mended")
    assert programs.in_file("keras", copy) is None
    loaded = wrapping.load(copy)
    keras2.put_by_name(loaded, copy)
    wanted = np.asarray(net(pictures))
    assert np.ptp(wanted) > 1e-3  # another network would answer something else
    assert np.abs(np.asarray(loaded(pictures)) - wanted).max() < 1e-5
    return loaded


# What is mended


class TestLayers:
    @pytest.mark.parametrize("kind", ["DepthwiseConv2D", "Conv2DTranspose"])
    def test_groups_of_one(self, keras, layers, tmp_path, pictures, kind):
        inputs = keras.Input((16, 16, 3))
        own = (
            layers.DepthwiseConv2D(3, name="one")
            if kind == "DepthwiseConv2D"
            else layers.Conv2DTranspose(4, 3, name="one")
        )
        x = layers.GlobalAveragePooling2D()(own(inputs))
        net = filled(keras.Model(inputs, layers.Dense(2, activation="softmax", name="d")(x)))
        its = (
            {"filters": 4}
            if kind == "Conv2DTranspose"
            else {"depth_multiplier": 1, "depthwise_initializer": INITIALIZER}
        )
        described = [
            read("input_1"),
            entry(kind, "one", after("input_1"), kernel_size=[3, 3], groups=1, **its),
            entry("GlobalAveragePooling2D", "pool", after("one"), data_format="channels_last", keepdims=False),
            dense("d", after("pool")),
        ]
        check_same(tmp_path, network(described, "d"), net, pictures / 255)

    @pytest.mark.long
    def test_a_sequence_that_says_what_it_reads_in_its_first_layer(self, keras, layers, tmp_path, pictures):
        net = keras.Sequential(
            [
                keras.Input((16, 16, 3)),
                layers.Conv2D(4, 3, padding="same", name="c"),
                layers.BatchNormalization(name="bn"),
                layers.Flatten(name="f"),
                layers.Dense(2, activation="softmax", name="d"),
            ]
        )
        described = [
            conv("c", batch_input_shape=[None, 16, 16, 3]),
            entry("BatchNormalizationV1", "bn", axis=[3], epsilon=0.001, renorm=False, fused=True, momentum=0.99),
            entry("Flatten", "f", data_format="channels_last"),
            dense("d"),
        ]
        named = {"class_name": "Sequential", "config": {"name": "s", "layers": described}}
        check_same(tmp_path, named, filled(net), pictures / 255)
        (tmp_path / "old").mkdir()
        # Before 2.2.3 the layers stood alone.
        listed = {"class_name": "Sequential", "config": described}
        check_same(tmp_path / "old", listed, net, pictures / 255, version="2.1.6")

    @pytest.mark.long
    def test_networks_within_networks_shared_by_two_branches(self, keras, layers, tmp_path, pictures):
        inside = keras.Input((16, 16, 3))
        part = keras.Model(inside, layers.Conv2D(3, 3, padding="same", name="c")(inside), name="part")
        inputs = keras.Input((16, 16, 3))
        tail = keras.Sequential(
            [keras.Input((16, 16, 3)), layers.Conv2D(2, 3, name="e"), layers.Flatten()], name="tail"
        )
        x = layers.Add(name="add")([part(inputs), part(part(inputs))])
        net = keras.Model(inputs, layers.Softmax(name="soft")(layers.Dense(2, name="d")(tail(x))))
        inner = network([read("input_2"), conv("c", after("input_2"), filters=3)], "c", "input_2", "part")
        its_tail = [read("e_input"), conv("e", filters=2, padding="valid"), entry("Flatten", "flatten")]
        described = [
            read("input_1"),
            {**inner, "name": "part", "inbound_nodes": [*after("input_1"), *after("part", node=1)]},
            entry("Add", "add", [[["part", 1, 0, {}], ["part", 2, 0, {}]]]),
            {"class_name": "Sequential", "config": {"name": "tail", "layers": its_tail}, "name": "tail"}
            | {"inbound_nodes": after("add")},
            dense("d", after("tail", node=1), activation="linear"),
            entry("Softmax", "soft", after("d"), axis=-1),
        ]
        check_same(tmp_path, network(described, "soft"), filled(net), pictures / 255)

    @pytest.mark.long
    def test_a_network_that_ends_in_a_network(self, keras, layers, tmp_path, pictures):
        inside = keras.Input((16, 16, 3))
        part = keras.Model(
            inside, layers.Dense(2, activation="softmax", name="d")(layers.Flatten()(inside)), name="part"
        )
        inputs = keras.Input((16, 16, 3))
        inner = network(
            [read("input_2"), entry("Flatten", "f", after("input_2")), dense("d", after("f"))], "d", "input_2", "part"
        )
        described = [
            read("input_1"),
            {**inner, "class_name": "Model", "name": "part", "inbound_nodes": after("input_1")},
        ]
        configuration = network(described, "part")
        configuration["config"]["output_layers"] = [["part", 1, 0]]
        check_same(tmp_path, configuration, filled(keras.Model(inputs, part(inputs))), pictures / 255)

    @pytest.mark.long
    def test_attention_whose_other_inputs_are_options_of_its_call(self, keras, layers, tmp_path, pictures):
        inputs = keras.Input((16, 16, 3))
        x = layers.Reshape((256, 3), name="r")(inputs)
        a = layers.MultiHeadAttention(2, 4, name="mha")(x, x)
        net = keras.Model(inputs, layers.Dense(2, activation="softmax", name="d")(layers.Flatten(name="f")(a)))
        described = [
            read("input_1"),
            entry("Reshape", "r", after("input_1"), target_shape=[256, 3]),
            entry(
                "MultiHeadAttention",
                "mha",
                [[["r", 0, 0, {"value": ["r", 0, 0]}]]],
                num_heads=2,
                key_dim=4,
                query_shape=[None, 256, 3],
                value_shape=[None, 256, 3],
                key_shape=[None, 256, 3],
            ),
            entry("Flatten", "f", after("mha")),
            dense("d", after("f")),
        ]
        check_same(tmp_path, network(described, "d"), filled(net), pictures / 255)

    @pytest.mark.long
    def test_policies_of_mixed_precision(self, keras, layers, tmp_path, pictures):
        policy = {"class_name": "Policy", "config": {"name": "mixed_float16"}}
        inputs = keras.Input((16, 16, 3))
        x = layers.Flatten()(layers.Conv2D(4, 3, padding="same", name="c")(inputs))
        net = filled(keras.Model(inputs, layers.Dense(2, activation="softmax", name="d")(x)))
        described = [
            read("input_1"),
            conv("c", after("input_1"), dtype=policy),
            entry("Flatten", "f", after("c"), dtype=policy),
            dense("d", after("f")),
        ]
        path = write(tmp_path / "net.h5", network(described, "d"), net)
        (tmp_path / "mended").mkdir()
        loaded = wrapping.load(keras2.mended_copy(path, tmp_path / "mended"))
        assert loaded.get_layer("c").compute_dtype == "float16"
        loaded = wrapping.in_precision(loaded, "float32")
        assert np.abs(np.asarray(loaded(pictures / 255)) - np.asarray(net(pictures / 255))).max() < 1e-5

    def test_weights_go_where_their_names_say(self, keras, layers, tmp_path, pictures):
        """Two branches of one shape, whose layers the file holds in the other order."""
        inputs = keras.Input((16, 16, 3))
        left, right = (layers.Conv2D(3, 3, padding="same", name=name)(inputs) for name in ("left", "right"))
        x = layers.Flatten(name="f")(layers.Concatenate(name="both")([left, right]))
        net = filled(keras.Model(inputs, layers.Dense(2, activation="softmax", name="d")(x)))
        described = [
            read("input_1"),
            conv("right", after("input_1"), filters=3),
            conv("left", after("input_1"), filters=3),
            entry("Concatenate", "both", after("left", "right"), axis=-1),
            entry("Flatten", "f", after("both")),
            dense("d", after("f")),
        ]
        check_same(tmp_path, network(described, "d"), net, pictures / 255)


@pytest.mark.long
class TestFunctions:
    """TFOpLambda and SlicingOpLambda."""

    def make(self, keras, layers, tmp_path, pictures, described, compute, last):
        inputs = keras.Input((16, 16, 3))
        x = layers.Flatten()(compute(inputs))
        net = filled(keras.Model(inputs, layers.Dense(2, activation="softmax", name="d")(x)))
        described = [read("input_1"), *described, entry("Flatten", "f", after(last)), dense("d", after("f"))]
        return check_same(tmp_path, network(described, "d"), net, pictures)

    def test_what_stands_in_front_of_mobilenet(self, keras, layers, tmp_path, pictures):
        described = [
            function("math.truediv", "math.truediv", ["input_1", 0, 0], y=127.5),
            function("math.subtract", "math.subtract", ["tf.math.truediv", 0, 0], y=1.0),
        ]
        loaded = self.make(keras, layers, tmp_path, pictures, described, lambda x: x / 127.5 - 1, "tf.math.subtract")
        assert [type(each).__name__ for each in loaded.layers[1:3]] == ["Rescaling", "Rescaling"]

    def test_what_stands_in_front_of_resnet(self, keras, layers, tmp_path, pictures):
        reverse = [{"class_name": "__ellipsis__"}, {"start": None, "stop": None, "step": -1}]
        described = [
            function("__operators__.getitem", "__operators__.getitem", ["input_1", 0, 0], slice_spec=reverse),
            function(
                "nn.bias_add",
                "nn.bias_add",
                ["tf.__operators__.getitem", 0, 0],
                bias=[-103.939, -116.779, -123.68],
                data_format=None,
            ),
        ]
        caffe = keras.applications.resnet50.preprocess_input
        self.make(
            keras,
            layers,
            tmp_path,
            pictures,
            described,
            layers.Lambda(lambda x: caffe(x, data_format="channels_last")),
            "tf.nn.bias_add",
        )

    @pytest.mark.parametrize(
        ("symbol", "options", "compute"),
        [
            ("__operators__.add", {"y": 3.0}, lambda _, x: x + 3.0),
            ("math.multiply", {"y": [0.5, 0.25, 2.0]}, lambda _, x: x * np.array([0.5, 0.25, 2], np.float32)),
            ("math.maximum", {"y": 100.0}, lambda ops, x: ops.maximum(x, 100.0)),
            ("math.pow", {"y": 0.5}, lambda _, x: x**0.5),
            ("nn.relu6", {}, lambda ops, x: ops.relu6(x)),
            ("nn.silu", {"beta": 1.0}, lambda ops, x: ops.silu(x)),
            ("nn.gelu", {"approximate": True}, lambda ops, x: ops.gelu(x, approximate=True)),
            ("nn.leaky_relu", {"alpha": 0.3}, lambda ops, x: ops.leaky_relu(x - 0.0, 0.3)),
            ("nn.softmax", {"axis": -1}, lambda ops, x: ops.softmax(x, axis=-1)),
            ("math.sqrt", {}, lambda ops, x: ops.sqrt(x)),
            ("math.reduce_mean", {"axis": [1, 2], "keepdims": True}, lambda ops, x: ops.mean(x, (1, 2), keepdims=True)),
            ("compat.v1.reduce_max", {"axis": 3, "keep_dims": False}, lambda ops, x: ops.max(x, 3)),
            ("expand_dims", {"axis": 1}, lambda ops, x: ops.expand_dims(x, 1)),
            ("reshape", {"shape": [-1, 32, 24]}, lambda ops, x: ops.reshape(x, (-1, 32, 24))),
            ("transpose", {"perm": [0, 3, 1, 2]}, lambda ops, x: ops.transpose(x, (0, 3, 1, 2))),
            ("clip_by_value", {"clip_value_min": 20.0, "clip_value_max": 90.0}, lambda ops, x: ops.clip(x, 20, 90)),
            ("cast", {"dtype": "float32"}, lambda _, x: x + 0.0),
            (
                "image.resize",
                {"size": [9, 20], "method": "bilinear"},
                lambda ops, x: ops.image.resize(x, (9, 20), interpolation="bilinear"),
            ),
            (
                "image.resize",
                {"size": [7, 8], "method": "nearest"},
                lambda ops, x: ops.image.resize(x, (7, 8), interpolation="nearest"),
            ),
            (
                "__operators__.getitem",
                {"slice_spec": [{"start": None, "stop": None, "step": None}, {"start": 2, "stop": 9, "step": 3}, 0]},
                lambda _, x: x[:, 2:9:3, 0],
            ),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_one_of_a_tensor(self, keras, layers, tmp_path, pictures, symbol, options, compute):
        described = [function(symbol, "it", ["input_1", 0, 0], **options)]
        self.make(keras, layers, tmp_path, pictures, described, lambda x: compute(keras.ops, x), "tf.it")

    def test_a_constant_that_comes_first(self, keras, layers, tmp_path, pictures):
        described = [
            function("math.subtract", "one", ["_CONSTANT_VALUE", -1, 255.0], y=["input_1", 0, 0]),
            function("math.multiply", "two", ["_CONSTANT_VALUE", -1, 0.5], y=["tf.one", 0, 0]),
            function("math.truediv", "three", ["_CONSTANT_VALUE", -1, 3.0], y=["tf.two", 0, 0]),
        ]
        self.make(keras, layers, tmp_path, pictures / 2, described, lambda x: 3.0 / (0.5 * (255.0 - x)), "tf.three")

    @pytest.mark.parametrize("symbol", ["__operators__.add", "math.subtract", "math.multiply", "math.truediv"])
    def test_two_tensors(self, keras, layers, tmp_path, pictures, symbol):
        ops = {"__operators__.add": "add", "math.subtract": "subtract", "math.multiply": "multiply"}
        compute = getattr(keras.ops, ops.get(symbol, "divide"))
        described = [
            function("math.reduce_mean", "mean", ["input_1", 0, 0], axis=[1, 2], keepdims=True),
            function(symbol, "it", ["input_1", 0, 0], y=["tf.mean", 0, 0]),
        ]
        self.make(
            keras,
            layers,
            tmp_path,
            pictures,
            described,
            lambda x: compute(x, keras.ops.mean(x, (1, 2), keepdims=True)),
            "tf.it",
        )

    def test_a_list_of_tensors(self, keras, layers, tmp_path, pictures):
        described = [
            function("math.square", "square", ["input_1", 0, 0]),
            entry("TFOpLambda", "tf.concat", [[["input_1", 0, 0, {"axis": -1}], ["tf.square", 0, 0, {"axis": -1}]]])
            | {},
        ]
        described[1]["config"]["function"] = "concat"
        self.make(
            keras,
            layers,
            tmp_path,
            pictures / 255,
            described,
            lambda x: keras.ops.concatenate([x, keras.ops.square(x)], -1),
            "tf.concat",
        )


# From the command line


@pytest.fixture
def plain(keras, layers):
    """Return a small network and its configuration as Keras 2 wrote it."""
    inputs = keras.Input((16, 16, 3))
    x = layers.GlobalAveragePooling2D()(layers.DepthwiseConv2D(3, name="dw")(inputs))
    net = filled(keras.Model(inputs, layers.Dense(2, activation="softmax", name="d")(x)))
    described = [
        read("input_1"),
        entry("DepthwiseConv2D", "dw", after("input_1"), kernel_size=[3, 3], groups=1, depth_multiplier=1),
        entry("GlobalAveragePooling2D", "pool", after("dw")),
        dense("d", after("pool")),
    ]
    return net, network(described, "d")


WORDS = ["--classes", "a,b", "--scaling", "0..1"]
OLD_TRAINING = {
    "loss": "their_own_loss",
    "optimizer_config": {"class_name": "Addons>RectifiedAdam", "config": {"lr": 0.001, "decay": 0.0}},
}


def test_a_file_is_imported_and_answers_as_its_network(facelime, tmp_path, pictures, plain):
    net, configuration = plain
    path = write(tmp_path / "net.h5", configuration, net, training=OLD_TRAINING)
    made = facelime.artifact("import-model", path, *WORDS)
    stored = wrapping.load(made.file("model.keras"))
    assert np.abs(np.asarray(stored(pictures)) - np.asarray(net(pictures / 255))).max() < 1e-5
    assert made.facts["output"] == "softmax"


def test_module_paths_of_old_and_the_newer_archive(facelime, tmp_path, pictures, plain):
    """As TensorFlow 2.13 to 2.15 write .keras files: other modules, and weights under other names."""
    net, configuration = plain
    for each in configuration["config"]["layers"]:
        each |= {"module": "tensorflow.python.keras.layers.convolutional", "registered_name": None}
        each["config"].pop("trainable", None)
    configuration |= {"module": "keras.src.engine.functional", "registered_name": "Functional"}
    configuration["compile_config"] = {"optimizer": {"module": "keras.optimizers.legacy", "class_name": "Adam"}}
    net.save(tmp_path / "new.keras")
    with zipfile.ZipFile(tmp_path / "new.keras") as archive, zipfile.ZipFile(tmp_path / "old.keras", "w") as old:
        (tmp_path / "weights.h5").write_bytes(archive.read("model.weights.h5"))
        with h5py.File(tmp_path / "weights.h5", "r+") as file:
            file.move("layers", "_layer_checkpoint_dependencies")
        old.writestr("metadata.json", json.dumps({"keras_version": "2.15.0"}))
        old.writestr("config.json", json.dumps(configuration))
        old.write(tmp_path / "weights.h5", "model.weights.h5")
    made = facelime.artifact("import-model", tmp_path / "old.keras", *WORDS)
    stored = wrapping.load(made.file("model.keras"))
    assert np.abs(np.asarray(stored(pictures)) - np.asarray(net(pictures / 255))).max() < 1e-5


# What is refused

REFUSED = [
    (entry("DepthwiseConv2D", "dw", kernel_size=3, groups=2), "the layer 'dw' (DepthwiseConv2D) has groups=2"),
    (
        entry("Addons>GroupNormalization", "gn", groups=2),
        "needs the layer 'gn' of the kind 'Addons>GroupNormalization'",
    ),
    (entry("TheirOwn", "mine"), "needs the layer 'mine' of the kind 'TheirOwn'"),
    ({**entry("Dense", "fake", units=2), "registered_name": "mine>Dense"}, "needs the layer 'fake'"),
    ({**entry("Dense", "fake", units=2), "module": "mine.layers"}, "needs the layer 'fake'"),
    (entry("TensorFlowOpLayer", "op", node_def="…"), "needs the layer 'op'"),
    (dense("d", activation="their_swish"), "the layer 'd' (Dense) has the activation 'their_swish'"),
    (function("linalg.svd", "svd", ["input_1", 0, 0]), "computes tf.linalg.svd in its layer 'tf.svd'"),
    (
        function("nn.relu", "r", ["input_1", 0, 0], features=["x"]),
        "computes tf.nn.relu in its layer 'tf.r' with features",
    ),
    (function("cast", "c", ["input_1", 0, 0], dtype="int32"), "to int32"),
    (function("io.read_file", "f", ["input_1", 0, 0]), "computes tf.io.read_file"),
]


@pytest.mark.parametrize(("layer", "fragment"), REFUSED, ids=[words for _, words in REFUSED])
def test_a_layer_that_keras_3_does_not_have_is_named(layer, fragment):
    layer = {"name": layer["config"]["name"], "inbound_nodes": after("input_1"), **layer}
    with pytest.raises(BrokenError) as refused:
        keras2.mended(network([read("input_1"), layer], layer["name"]), "net.h5")
    assert fragment in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "configuration",
    [{}, [], {"class_name": "Functional"}, {"class_name": "Functional", "config": {"layers": 3}}, {"class_name": 3}],
)
def test_what_is_no_configuration_is_one_sentence(configuration):
    with pytest.raises(BrokenError):
        keras2.mended(configuration, "net.h5")


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (entry("Lambda", "code", function=["4wEAAAA=", None, None]), "a layer of the kind Lambda"),
        (
            entry("TimeDistributed", "each", layer=entry("Lambda", "code", function=["4wEAAAA=", None, None])),
            "a layer of the kind Lambda",
        ),
        (entry("TFSMLayer", "elsewhere", filepath="elsewhere"), "a layer of the kind TFSMLayer"),
    ],
)
def test_code_in_a_mended_file_is_found_before_it_runs(facelime, tmp_path, plain, layer, words):
    net, configuration = plain
    layer = {**layer, "name": layer["config"]["name"], "inbound_nodes": after("dw")}
    configuration["config"]["layers"].insert(2, layer)
    path = write(tmp_path / "net.h5", configuration, net)
    said = facelime.fails("import-model", path, *WORDS)
    assert words in said
    assert "add --trust" in said
    assert not facelime.store.exists()


def test_what_computes_elsewhere_is_refused_whatever_wrote_the_file(facelime, tmp_path, plain):
    net, configuration = plain
    configuration["config"]["layers"][1]["config"]["bias_quantizer"] = {
        "class_name": "get_file",
        "module": "keras.utils",
        "config": {},
    }
    path = write(tmp_path / "net.h5", configuration, net)
    assert "does not know" in facelime.fails("import-model", path, *WORDS)


def test_a_file_of_keras_3_is_left_as_it_is(tmp_path, plain):
    net, _ = plain
    net.save(tmp_path / "net.keras")
    net.save(tmp_path / "net.h5")
    assert not keras2.is_from_keras_2(tmp_path / "net.keras")
    assert not keras2.is_from_keras_2(tmp_path / "net.h5")
