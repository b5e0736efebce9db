"""Networks: input scalings, composition on the device, models from outside."""

import numpy as np
import pytest
import skimage.color

from facelime_cli.core.masks import pack
from facelime_cli.errors import FacelimeError
from facelime_cli.models import augmenting, backend, building, running, wrapping
from facelime_cli.models.backbones import BACKBONES
from facelime_cli.models.building import Architecture
from facelime_cli.models.recipes import AUGMENTATIONS, RECIPES
from facelime_cli.store.references import Store

SIZE = 32


@pytest.fixture(scope="module")
def keras():
    return backend.keras()


@pytest.fixture
def pictures(rng):
    return rng.integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("scaling", "application"),
    [
        ("-1..1", "mobilenet_v2"),
        ("-1..1", "inception_v3"),
        ("caffe", "resnet50"),
        ("0..255", "efficientnet_v2"),
        ("imagenet", "densenet"),
    ],
)
def test_scalings_equal_those_of_keras_applications(keras, pictures, scaling, application):
    inputs = keras.Input((SIZE, SIZE, 3))
    ours = keras.Model(inputs, wrapping.scaled(inputs, scaling, 3))(pictures.astype(np.float32)).numpy()
    theirs = getattr(keras.applications, application).preprocess_input(pictures.astype(np.float32).copy())
    assert np.abs(ours - theirs).max() < 1e-4 if scaling == "caffe" else np.abs(ours - theirs).max() < 1e-5


def test_one_channel_gets_luminance(keras, pictures):
    inputs = keras.Input((SIZE, SIZE, 3))
    ours = keras.Model(inputs, wrapping.scaled(inputs, "0..1", 1))(pictures.astype(np.float32)).numpy()
    assert ours.shape == (3, SIZE, SIZE, 1)
    assert np.abs(ours[..., 0] - pictures @ np.array([0.299, 0.587, 0.114]) / 255).max() < 1e-5
    with pytest.raises(FacelimeError, match="three channels"):
        wrapping.scaled(inputs, "caffe", 1)


@pytest.fixture
def small(keras):
    """Return a function that makes a small network."""

    def make(outputs=2, activation="softmax", channels=3, size=SIZE):
        keras.utils.set_random_seed(1)
        inputs = keras.Input((size, size, channels))
        x = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
        x = keras.layers.GlobalAveragePooling2D()(x)
        return keras.Model(
            inputs,
            keras.layers.Dense(
                outputs, activation=activation, kernel_initializer=keras.initializers.RandomNormal(stddev=5.0)
            )(x),
        )

    return make


def test_composition_is_exactly_the_formula(keras, small, rng):
    n, k, batch = 3, 11, 8
    images, fills = rng.integers(0, 256, (2, n, SIZE, SIZE, 3), dtype=np.uint8)
    segments = rng.integers(0, k, (n, SIZE, SIZE)).astype(np.int32)
    masks, index = rng.random((batch, k)) < 0.5, rng.integers(0, n, batch).astype(np.int32)
    inputs = keras.Input((SIZE, SIZE, 3))
    flat = keras.Model(inputs, keras.layers.Flatten()(inputs))
    call = running.compiled(flat)
    arrays = (
        backend.on_device(np.stack([fills, images], 1).reshape(n, 2, -1, 3)),
        backend.on_device(segments.reshape(n, -1)),
    )
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
        artifact = facelime.artifact(
            "import-model", self.save(model, tmp_path), "--classes", "a,b,c,d", "--scaling", "0..1", "--name", "m"
        )
        loaded = wrapping.load(artifact.file("model.keras"))
        assert (
            np.abs(loaded(pictures.astype(np.float32)).numpy() - model(pictures / np.float32(255)).numpy()).max() < 1e-6
        )
        assert artifact.facts["size"] == SIZE
        assert artifact.facts["output"] == "softmax"

    def test_one_sigmoid_unit_becomes_two_columns(self, small, facelime, tmp_path, pictures):
        model = small(1, "sigmoid")
        artifact = facelime.artifact(
            "import-model", self.save(model, tmp_path), "--classes", "no,yes", "--scaling", "-1..1"
        )
        both = wrapping.load(artifact.file("model.keras"))(pictures.astype(np.float32)).numpy()
        p = model(pictures.astype(np.float32) / 127.5 - 1).numpy()[:, 0]
        assert np.abs(both - np.stack([1 - p, p], 1)).max() < 1e-6

    def test_a_grey_network_in_an_old_format(self, small, facelime, tmp_path):
        artifact = facelime.artifact(
            "import-model", self.save(small(channels=1), tmp_path, "old.h5"), "--classes", "a,b", "--scaling", "0..1"
        )
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
        assert "NaN" in facelime.fails(
            "import-model", self.save(model, tmp_path), "--classes", "a,b", "--scaling", "0..1"
        )

    def test_open_shapes_need_a_size(self, keras, facelime, tmp_path):
        inputs = keras.Input((None, None, 3))
        path = self.save(
            keras.Model(
                inputs, keras.layers.Dense(2, activation="softmax")(keras.layers.GlobalAveragePooling2D()(inputs))
            ),
            tmp_path,
        )
        words = ["import-model", path, "--classes", "a,b", "--scaling", "0..1"]
        assert "--size" in facelime.fails(*words)
        assert facelime.artifact(*words, "--size", 40).facts["size"] == 40

    @pytest.mark.parametrize(("classes", "code"), [("a,b", 1), ("a", 2), ("a,,b", 2), ("@nothing.txt", 1)])
    def test_wrong_class_names(self, small, facelime, tmp_path, classes, code):
        facelime.fails(
            "import-model", self.save(small(4), tmp_path), "--classes", classes, "--scaling", "0..1", code=code
        )

    def test_names_from_a_file_keep_commas_and_repeats(self, small, facelime, tmp_path):
        (tmp_path / "names.txt").write_text("crane, bird\ncrane\ncrane\n<script>\n\n")
        artifact = facelime.artifact(
            "import-model",
            self.save(small(4), tmp_path),
            "--classes",
            f"@{tmp_path / 'names.txt'}",
            "--scaling",
            "0..1",
        )
        assert artifact.facts["classes"] == ["crane, bird", "crane", "crane", "<script>"]

    def test_what_is_no_model(self, facelime, tmp_path):
        (tmp_path / "x.keras").write_bytes(b"nothing")
        facelime.fails("import-model", tmp_path / "x.keras", "--classes", "a,b", "--scaling", "0..1")
        facelime.fails("import-model", tmp_path / "none.keras", "--classes", "a,b", "--scaling", "0..1")
        assert not facelime.store.exists()

    def test_the_digest_is_of_content(self, small, tmp_path):
        model = small()
        same = [wrapping.digest(wrapping.load(self.save(model, tmp_path, name))) for name in ("a.keras", "b.keras")]
        other = model
        other.set_weights([each + 1 for each in other.get_weights()])
        other.save(tmp_path / "c.keras")
        assert same[0] == same[1] != wrapping.digest(wrapping.load(tmp_path / "c.keras"))


class TestBuild:
    @pytest.mark.parametrize(("freeze", "trainable"), [("all", 2), ("none", 8), ("2", 6)])
    def test_freezing(self, freeze, trainable):
        net = building.build(Architecture("cnn-small", SIZE, 2, freeze=freeze, pooling="max")).whole
        assert len(net.trainable_weights) == trainable

    @pytest.mark.parametrize(
        "backbone", [name for name, entry in BACKBONES.items() if entry.application and name != "resnet101"]
    )
    def test_pretrained_networks_read_what_their_publishers_say(self, keras, backbone):
        """Each with its own input scaling: the same as its own `preprocess_input`."""
        entry = BACKBONES[backbone]
        built = building.build(Architecture(backbone, 96, 3, freeze="all"))
        pictures = np.random.default_rng(1).integers(0, 256, (2, 96, 96, 3)).astype(np.float32)
        found = np.asarray(built.whole(pictures))
        assert found.shape == (2, 3)
        assert found.sum(axis=1) == pytest.approx([1, 1], abs=1e-5)
        assert len(built.whole.trainable_weights) == 2
        module = next(
            module
            for name in dir(keras.applications)
            if entry.application in dir(module := getattr(keras.applications, name))
            and hasattr(module, "preprocess_input")
        )
        inputs = built.whole.inputs[0]
        scaled = keras.Model(inputs, wrapping.scaled(inputs, entry.scaling, 3))
        assert np.asarray(scaled(pictures)) == pytest.approx(module.preprocess_input(pictures.copy()), abs=1e-4)

    def test_both_halves_are_the_whole(self, rng):
        built = building.build(Architecture("cnn-small", SIZE, 3, pooling="max", head=(7,), dropout=(0.5,)))
        pictures = rng.integers(0, 256, (4, SIZE, SIZE, 3)).astype(np.float32)
        assert np.asarray(built.head(built.bare(pictures))) == pytest.approx(
            np.asarray(built.whole(pictures)), abs=1e-6
        )

    def test_one_unit_answers_for_two_classes(self, rng):
        built = building.build(Architecture("cnn-small", SIZE, 2, pooling="max", output="sigmoid"))
        pictures = rng.integers(0, 256, (4, SIZE, SIZE, 3)).astype(np.float32)
        found = np.asarray(built.whole(pictures))
        assert found.shape == (4, 2)
        assert found.sum(axis=1) == pytest.approx(np.ones(4), abs=1e-6)
        assert built.whole.get_layer("probability").count_params() == 64 + 1
        with pytest.raises(FacelimeError, match="--output softmax"):
            building.build(Architecture("cnn-small", SIZE, 3, pooling="max", output="sigmoid"))

    @pytest.mark.parametrize(
        ("backbone", "units"),
        [
            ("ann", [10]),
            ("ann-deep", [256, 128, 64, 32, 10]),
            ("cnn", [8]),
            ("cnn-deep", [128, 64]),
            ("cnn-skin", [512, 128]),
        ],
    )
    def test_the_systems_own_networks_have_their_published_layers(self, keras, backbone, units):
        entry = BACKBONES[backbone]
        built = building.build(Architecture(backbone, 32, 2, pooling=entry.pooling, head=entry.head, output="sigmoid"))
        dense = [layer.units for layer in built.head.layers if isinstance(layer, keras.layers.Dense)]
        assert dense == [*units, 1, 2]
        filters = {"cnn": [8], "cnn-deep": [32, 64, 128], "cnn-skin": [64, 128, 256, 512]}.get(backbone, [])
        convolutions = [layer for layer in built.backbone.layers if isinstance(layer, keras.layers.Conv2D)]
        assert [layer.filters for layer in convolutions] == filters
        assert {layer.kernel_size for layer in convolutions} <= {(3, 3)}
        assert sum(isinstance(layer, keras.layers.MaxPooling2D) for layer in built.backbone.layers) == len(filters)
        assert sum(isinstance(layer, keras.layers.BatchNormalization) for layer in built.backbone.layers) == (
            4 if backbone == "cnn-skin" else 0
        )

    def test_the_rosacea_recipe_has_the_published_layers(self, keras):
        settings = RECIPES["rosacea"].settings_of("inceptionv3", 2)
        built = building.build(
            Architecture("inceptionv3", 299, 2, freeze=settings.freeze, head=settings.head, output=settings.output)
        )
        layers = built.backbone.layers
        assert (
            len(layers)
            == len(keras.applications.InceptionV3(weights=None, include_top=False, input_shape=(299, 299, 3)).layers)
            == 311
        )
        assert [layer.trainable for layer in layers] == [False] * 249 + [True] * 62
        assert [layer.units for layer in built.head.layers if isinstance(layer, keras.layers.Dense)] == [1024, 1, 2]

    @pytest.mark.parametrize(
        ("rates", "places"), [((), []), ((0.4,), [1, 2]), ((0.3, 0.1), [1, 2]), ((0.3, 0.3, 0.1), [0, 1, 2])]
    )
    def test_where_dropout_stands(self, keras, rates, places):
        built = building.build(Architecture("cnn-small", SIZE, 2, pooling="max", head=(6, 5), dropout=rates))
        kinds = [type(layer).__name__ for layer in built.head.layers if not isinstance(layer, keras.layers.InputLayer)]
        found, dense = [], 0
        for kind in kinds:
            found += [dense] if kind == "Dropout" else []
            dense += kind == "Dense"
        assert found == places

    def test_the_seed_is_that_of_the_weights(self):
        one, same, other = (
            building.build(Architecture("cnn-small", SIZE, 2, pooling="max", seed=seed)).whole.get_weights()
            for seed in (1, 1, 2)
        )
        assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
        assert not np.array_equal(one[0], other[0])

    def test_unfreezing_leaves_batch_norm_as_it_is(self, keras, rng):
        built = building.build(Architecture("mobilenetv2", 96, 2, freeze="all"))
        building.unfreeze(built.backbone, "20")
        norms = [layer for layer in built.backbone.layers if isinstance(layer, keras.layers.BatchNormalization)]
        assert not any(layer.trainable for layer in norms)
        assert [layer.trainable for layer in built.backbone.layers[-20:] if layer not in norms] == [True] * (
            20 - sum(layer in norms for layer in built.backbone.layers[-20:])
        )
        before = [np.array(layer.moving_mean) for layer in norms]
        built.whole.compile("sgd", "sparse_categorical_crossentropy")
        weights = built.whole.get_weights()
        built.whole.fit(rng.integers(0, 256, (8, 96, 96, 3)).astype(np.float32), np.zeros(8), verbose=0)
        assert all(np.array_equal(np.array(layer.moving_mean), mean) for layer, mean in zip(norms, before, strict=True))
        assert not all(np.array_equal(a, b) for a, b in zip(weights, built.whole.get_weights(), strict=True))

    @pytest.mark.parametrize("name", list(AUGMENTATIONS))
    def test_every_augmentation_changes_pictures_in_training_only(self, keras, name, rng):
        inputs = keras.Input((SIZE, SIZE, 3))
        net = augmenting.augmented(
            keras.Model(inputs, keras.layers.Identity()(inputs)),
            {name: "both" if name == "flip" else 30.0 if name == "rotation" else 0.2},
            3,
        )
        pictures = rng.integers(0, 256, (6, SIZE, SIZE, 3)).astype(np.float32)
        assert np.array_equal(np.asarray(net(pictures, training=False)), pictures)
        assert np.abs(np.asarray(net(pictures, training=True)) - pictures).mean() > 1

    def test_amounts_are_what_they_say(self, keras):
        """Up to the amount, to both sides: contrast as a factor around 1, hue as a share of the circle, brightness as a share of white."""
        inputs = keras.Input((8, 8, 3))
        picture = np.zeros((400, 8, 8, 3), np.float32)
        picture[:, :4] = (120, 60, 60)
        picture[:, 4:] = (100, 50, 50)

        def changed(**amounts):
            return np.asarray(
                augmenting.augmented(keras.Model(inputs, keras.layers.Identity()(inputs)), amounts, 3)(
                    picture, training=True
                )
            )

        factors = np.ptp(changed(contrast=0.2)[..., 0].reshape(400, -1), axis=1) / 20
        assert (factors.min(), factors.max()) == pytest.approx((0.8, 1.2), abs=0.01)
        brighter = changed(brightness=0.1)[:, 0, 0, 0] - 120
        assert (brighter.min(), brighter.max()) == pytest.approx((-25.5, 25.5), abs=0.5)
        hue = skimage.color.rgb2hsv(changed(hue=0.1)[:, :1, :1] / 255)[..., 0].ravel()
        hue = np.where(hue > 0.5, hue - 1, hue)
        assert (hue.min(), hue.max()) == pytest.approx((-0.1, 0.1), abs=0.005)

    def test_mixed_precision_computes_with_sixteen_bits_and_answers_with_32(self, keras):
        built = building.build(Architecture("cnn-small", SIZE, 2, pooling="max"), "mixed")
        assert built.backbone.layers[0].compute_dtype == "bfloat16"
        assert built.whole.outputs[0].dtype == "float32"
        assert keras.config.dtype_policy().name == "float32"

    def test_imagenet_weights_offline_name_the_way_out(self, monkeypatch, tmp_path):
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        with pytest.raises(FacelimeError, match="--weights FILE"):
            building.build(Architecture("mobilenetv2", 96, 2, "imagenet", "all"))

    def test_a_file_with_another_networks_weights(self, keras, tmp_path):
        keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save_weights(tmp_path / "x.weights.h5")
        with pytest.raises(FacelimeError, match="does not hold weights of"):
            building.build(Architecture("mobilenetv2", 96, 2, str(tmp_path / "x.weights.h5"), "all"))

    def test_a_file_that_holds_no_weights(self, tmp_path):
        (tmp_path / "junk.keras").write_text("junk")
        with pytest.raises(FacelimeError, match="does not hold weights of"):
            building.build(Architecture("mobilenetv2", 96, 2, str(tmp_path / "junk.keras"), "all"))

    def test_weights_with_their_top_serve_a_backbone(self, keras, tmp_path):
        whole = keras.applications.MobileNetV2(weights=None)
        whole.save_weights(tmp_path / "x.weights.h5")
        built = building.build(Architecture("mobilenetv2", 96, 2, str(tmp_path / "x.weights.h5"), "all"))
        assert all(
            np.array_equal(a, b) for a, b in zip(built.backbone.get_weights(), whole.get_weights(), strict=False)
        )

    def test_the_last_batch_is_padded(self, chain):
        """The bits of an answer do not depend on how many pictures come after it."""
        net = wrapping.load(chain["finetune"].file("model.keras"))
        images = chain["preprocess"].read("images")
        few, many = (
            running.probabilities(
                net, running.Labelled(lambda rows: images[rows], np.arange(n), np.zeros(n, np.int64)), 8
            )
            for n in (11, 16)
        )
        assert few.shape == (11, 2)
        assert np.array_equal(few, many[:11])


def test_a_model_of_another_size_is_refused(chain, facelime, faces):
    del facelime
    run = chain.facelime
    other = run.artifact("preprocess", faces, "--size", 40, "--name", "other-size")
    masks = run.artifact(
        "perturb", run.artifact("segment", other.id, "--first", 1, "--method", "slic").id, "--samples", 4
    )
    assert "--size 48" in run.fails("predict", masks.id, "--model", "small")
    assert Store(run.store).find("predictions", "0" * 64) is None
