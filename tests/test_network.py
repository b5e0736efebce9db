"""Networks: input scalings, composition on the device, models from outside."""

import numpy as np
import pytest

from facelime_cli import network
from facelime_cli.core.masks import pack
from facelime_cli.errors import FacelimeError
from facelime_cli.store import Store

SIZE = 32


@pytest.fixture(scope="module")
def keras():
    return network.keras()


@pytest.fixture
def pictures(rng):
    return rng.integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("scaling", "application"),
    [("-1..1", "mobilenet_v2"), ("-1..1", "inception_v3"), ("caffe", "resnet50"), ("0..255", "efficientnet_v2"), ("imagenet", "densenet")],
)
def test_scalings_equal_those_of_keras_applications(keras, pictures, scaling, application):
    inputs = keras.Input((SIZE, SIZE, 3))
    ours = keras.Model(inputs, network.scaled(inputs, scaling, 3))(pictures.astype(np.float32)).numpy()
    theirs = getattr(keras.applications, application).preprocess_input(pictures.astype(np.float32).copy())
    assert np.abs(ours - theirs).max() < 1e-4 if scaling == "caffe" else np.abs(ours - theirs).max() < 1e-5


def test_one_channel_gets_luminance(keras, pictures):
    inputs = keras.Input((SIZE, SIZE, 3))
    ours = keras.Model(inputs, network.scaled(inputs, "0..1", 1))(pictures.astype(np.float32)).numpy()
    assert ours.shape == (3, SIZE, SIZE, 1)
    assert np.abs(ours[..., 0] - pictures @ np.array([0.299, 0.587, 0.114]) / 255).max() < 1e-5
    with pytest.raises(FacelimeError, match="three channels"):
        network.scaled(inputs, "caffe", 1)


@pytest.fixture
def small(keras):
    """Return a function that makes a small network."""

    def make(outputs=2, activation="softmax", channels=3, size=SIZE):
        keras.utils.set_random_seed(1)
        inputs = keras.Input((size, size, channels))
        x = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
        x = keras.layers.GlobalAveragePooling2D()(x)
        return keras.Model(inputs, keras.layers.Dense(outputs, activation=activation, kernel_initializer=keras.initializers.RandomNormal(stddev=5.0))(x))

    return make


def test_composition_is_exactly_the_formula(keras, small, rng):
    n, k, batch = 3, 11, 8
    images, fills = rng.integers(0, 256, (2, n, SIZE, SIZE, 3), dtype=np.uint8)
    segments = rng.integers(0, k, (n, SIZE, SIZE)).astype(np.int32)
    masks, index = rng.random((batch, k)) < 0.5, rng.integers(0, n, batch).astype(np.int32)
    inputs = keras.Input((SIZE, SIZE, 3))
    flat = keras.Model(inputs, keras.layers.Flatten()(inputs))
    call = network.compiled(flat)
    arrays = (network.on_device(np.stack([fills, images], 1).reshape(n, 2, -1, 3)), network.on_device(segments.reshape(n, -1)))
    got = call(pack(masks, 2), index, *arrays).reshape(batch, SIZE, SIZE, 3)
    for row in range(batch):
        kept = masks[row][segments[index[row]]][..., None]
        wanted = fills[index[row]].astype(float) + (images[index[row]].astype(float) - fills[index[row]]) * kept
        assert np.array_equal(got[row], wanted)
    assert small is not None


class TestImport:
    def save(self, model, tmp_path, name="outside.keras"):
        model.save(tmp_path / name)
        return tmp_path / name

    def test_equals_the_network_with_its_own_scaling(self, small, facelime, tmp_path, pictures):
        model = small(4)
        artifact = facelime.artifact("import-model", self.save(model, tmp_path), "--classes", "a,b,c,d", "--scaling", "0..1", "--name", "m")
        loaded = network.load(artifact.file("model.keras"))
        assert np.abs(loaded(pictures.astype(np.float32)).numpy() - model(pictures / np.float32(255)).numpy()).max() < 1e-6
        assert artifact.facts["size"] == SIZE
        assert artifact.facts["output"] == "softmax"

    def test_one_sigmoid_unit_becomes_two_columns(self, small, facelime, tmp_path, pictures):
        model = small(1, "sigmoid")
        artifact = facelime.artifact("import-model", self.save(model, tmp_path), "--classes", "no,yes", "--scaling", "-1..1")
        both = network.load(artifact.file("model.keras"))(pictures.astype(np.float32)).numpy()
        p = model(pictures.astype(np.float32) / 127.5 - 1).numpy()[:, 0]
        assert np.abs(both - np.stack([1 - p, p], 1)).max() < 1e-6

    def test_a_grey_network_in_an_old_format(self, small, facelime, tmp_path):
        artifact = facelime.artifact("import-model", self.save(small(channels=1), tmp_path, "old.h5"), "--classes", "a,b", "--scaling", "0..1")
        assert artifact.complete

    @pytest.mark.parametrize(("outputs", "remedy"), [(3, "--activation softmax"), (1, "--activation sigmoid")])
    def test_logits_are_refused_with_the_remedy(self, small, facelime, tmp_path, outputs, remedy):
        path = self.save(small(outputs, None), tmp_path)
        words = ["import-model", path, "--classes", "a,b" if outputs == 1 else "a,b,c", "--scaling", "0..255"]
        assert remedy in facelime.fails(*words)
        assert not (facelime.store / "models").exists()
        assert facelime.artifact(*words, "--activation", remedy.split()[1]).complete

    def test_nan_is_refused(self, small, facelime, tmp_path):
        model = small()
        model.set_weights([np.full_like(each, np.nan) for each in model.get_weights()])
        assert "NaN" in facelime.fails("import-model", self.save(model, tmp_path), "--classes", "a,b", "--scaling", "0..1")

    def test_open_shapes_need_a_size(self, keras, facelime, tmp_path):
        inputs = keras.Input((None, None, 3))
        path = self.save(keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(keras.layers.GlobalAveragePooling2D()(inputs))), tmp_path)
        words = ["import-model", path, "--classes", "a,b", "--scaling", "0..1"]
        assert "--size" in facelime.fails(*words)
        assert facelime.artifact(*words, "--size", 40).facts["size"] == 40

    @pytest.mark.parametrize(("classes", "code"), [("a,b", 1), ("a", 2), ("a,,b", 2), ("@nothing.txt", 1)])
    def test_wrong_class_names(self, small, facelime, tmp_path, classes, code):
        facelime.fails("import-model", self.save(small(4), tmp_path), "--classes", classes, "--scaling", "0..1", code=code)

    def test_names_from_a_file_keep_commas_and_repeats(self, small, facelime, tmp_path):
        (tmp_path / "names.txt").write_text("crane, bird\ncrane\ncrane\n<script>\n\n")
        artifact = facelime.artifact("import-model", self.save(small(4), tmp_path), "--classes", f"@{tmp_path / 'names.txt'}", "--scaling", "0..1")
        assert artifact.facts["classes"] == ["crane, bird", "crane", "crane", "<script>"]

    def test_what_is_no_model(self, facelime, tmp_path):
        (tmp_path / "x.keras").write_bytes(b"nothing")
        facelime.fails("import-model", tmp_path / "x.keras", "--classes", "a,b", "--scaling", "0..1")
        facelime.fails("import-model", tmp_path / "none.keras", "--classes", "a,b", "--scaling", "0..1")
        assert not facelime.store.exists()

    def test_the_digest_is_of_content(self, small, tmp_path):
        model = small()
        same = [network.digest(network.load(self.save(model, tmp_path, name))) for name in ("a.keras", "b.keras")]
        other = model
        other.set_weights([each + 1 for each in other.get_weights()])
        other.save(tmp_path / "c.keras")
        assert same[0] == same[1] != network.digest(network.load(tmp_path / "c.keras"))


class TestBuild:
    @pytest.mark.parametrize(("freeze", "trainable"), [("all", 2), ("none", 8), ("2", 6)])
    def test_freezing(self, freeze, trainable):
        net = network.build("cnn", SIZE, 2, "none", freeze)
        assert len(net.trainable_weights) == trainable

    @pytest.mark.parametrize("backbone", ["mobilenetv2", "inceptionv3"])
    def test_backbones_answer_with_probabilities(self, backbone, pictures):
        size = 96
        net = network.build(backbone, size, 3, "none", "all")
        found = net(np.zeros((1, size, size, 3), np.float32)).numpy()
        assert found.shape == (1, 3)
        assert abs(found.sum() - 1) < 1e-5
        assert len(net.trainable_weights) == 2
        assert pictures.shape

    def test_imagenet_weights_offline_name_the_way_out(self, monkeypatch, tmp_path):
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        with pytest.raises(FacelimeError, match="--weights FILE"):
            network.build("mobilenetv2", 96, 2, "imagenet", "all")

    def test_a_file_with_another_networks_weights(self, keras, tmp_path):
        keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save_weights(tmp_path / "x.weights.h5")
        with pytest.raises(FacelimeError, match="does not hold weights of"):
            network.build("mobilenetv2", 96, 2, str(tmp_path / "x.weights.h5"), "all")

    def test_weights_with_their_top_serve_a_backbone(self, keras, tmp_path):
        whole = keras.applications.MobileNetV2(weights=None)
        whole.save_weights(tmp_path / "x.weights.h5")
        net = network.build("mobilenetv2", 96, 2, str(tmp_path / "x.weights.h5"), "all")
        base = next(layer for layer in net.layers if layer.name.startswith("mobilenet"))
        assert all(np.array_equal(a, b) for a, b in zip(base.get_weights(), whole.get_weights(), strict=False))


def test_a_model_of_another_size_is_refused(chain, facelime, faces):
    del facelime
    run = chain.facelime
    other = run.artifact("preprocess", faces, "--size", 40, "--name", "other-size")
    masks = run.artifact("perturb", run.artifact("segment", other.id, "--first", 1, "--method", "slic").id, "--samples", 4)
    assert "--size 48" in run.fails("predict", masks.id, "--model", "small")
    assert Store(run.store).find("predictions", "0" * 64) is None
