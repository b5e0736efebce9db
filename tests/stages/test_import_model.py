"""Keras models from outside: what comes in, and what is refused."""

import numpy as np
import pytest

from facelime_cli.models import backend, wrapping

SIZE = 32


@pytest.fixture(scope="module")
def keras():
    return backend.keras()


@pytest.fixture
def pictures(rng):
    return rng.integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)


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
