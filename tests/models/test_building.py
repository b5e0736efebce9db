"""Networks for training: their layers, heads, weights and precision."""

import numpy as np
import pytest

from facelime_cli.errors import FacelimeError
from facelime_cli.models import backend, building, wrapping
from facelime_cli.models.backbones import BACKBONES
from facelime_cli.models.building import Architecture
from facelime_cli.training.recipes import RECIPES

SIZE = 32


@pytest.fixture(scope="module")
def keras():
    return backend.keras()


class TestBuild:
    @pytest.mark.parametrize(("freeze", "trainable"), [("all", 2), ("none", 8), ("2", 6)])
    def test_freezing(self, freeze, trainable):
        net = building.build(Architecture("cnn-small", SIZE, 2, freeze=freeze, pooling="max")).whole
        assert len(net.trainable_weights) == trainable

    def test_early_layers_are_those_before_coarse_maps(self):
        backbone = building.build(Architecture("mobilenetv2", 96, 2, freeze="early")).backbone
        count = building.early_layers(backbone)
        assert all(layer.output.shape[1] > 96 / 16 for layer in backbone.layers[:count])
        assert backbone.layers[count].output.shape[1] == 96 / 16
        assert not any(layer.trainable for layer in backbone.layers[:count])
        assert all(layer.trainable for layer in backbone.layers[count:])

    def test_a_network_whose_maps_stay_fine_has_no_early_layers(self):
        assert building.early_layers(building.build(Architecture("cnn-small", SIZE, 2, pooling="max")).backbone) == 0

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

    @pytest.mark.long
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

    @pytest.mark.long
    def test_unfreezing_leaves_batch_norm_as_it_is(self, keras, rng):
        built = building.build(Architecture("mobilenetv2", 96, 2, freeze="all"))
        building.unfreeze(built.backbone, "20")
        norms = [layer for layer in built.backbone.layers if isinstance(layer, keras.layers.BatchNormalization)]
        assert not any(layer.trainable for layer in norms)
        assert [layer.trainable for layer in built.backbone.layers[-20:] if layer not in norms] == [True] * (
            20 - sum(layer in norms for layer in built.backbone.layers[-20:])
        )
        before = [np.asarray(layer.moving_mean).copy() for layer in norms]
        built.whole.compile("sgd", "sparse_categorical_crossentropy")
        weights = built.whole.get_weights()
        built.whole.fit(rng.integers(0, 256, (8, 96, 96, 3)).astype(np.float32), np.zeros(8), verbose=0)
        assert all(
            np.array_equal(np.asarray(layer.moving_mean).copy(), mean)
            for layer, mean in zip(norms, before, strict=True)
        )
        assert not all(np.array_equal(a, b) for a, b in zip(weights, built.whole.get_weights(), strict=True))

    def test_mixed_precision_computes_with_sixteen_bits_and_answers_with_32(self, keras):
        built = building.build(Architecture("cnn-small", SIZE, 2, pooling="max"), "mixed")
        assert built.backbone.layers[0].compute_dtype == "bfloat16"
        assert built.whole.outputs[0].dtype == "float32"
        assert keras.config.dtype_policy().name == "float32"

    def test_imagenet_weights_offline_name_the_way_out(self, monkeypatch, tmp_path):
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        with pytest.raises(FacelimeError, match="--weights FILE"):
            building.build(Architecture("mobilenetv2", 96, 2, "imagenet", "all"))

    @pytest.mark.long
    def test_a_file_with_another_networks_weights(self, keras, tmp_path):
        keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save_weights(tmp_path / "x.weights.h5")
        with pytest.raises(FacelimeError, match="does not hold weights of"):
            building.build(Architecture("mobilenetv2", 96, 2, str(tmp_path / "x.weights.h5"), "all"))

    @pytest.mark.long
    def test_a_file_that_holds_no_weights(self, tmp_path):
        (tmp_path / "junk.keras").write_text("junk")
        with pytest.raises(FacelimeError, match="does not hold weights of"):
            building.build(Architecture("mobilenetv2", 96, 2, str(tmp_path / "junk.keras"), "all"))

    @pytest.mark.long
    def test_weights_with_their_top_serve_a_backbone(self, keras, tmp_path):
        whole = keras.applications.MobileNetV2(weights=None)
        whole.save_weights(tmp_path / "x.weights.h5")
        built = building.build(Architecture("mobilenetv2", 96, 2, str(tmp_path / "x.weights.h5"), "all"))
        assert all(
            np.array_equal(a, b) for a, b in zip(built.backbone.get_weights(), whole.get_weights(), strict=False)
        )
