"""import-model --check PICTURE --expect CLASS: a wrong scaling is found, and the right one is named."""

import importlib

import numpy as np
import pytest
from PIL import Image

from facelime_cli.models import backend

SIDE = 32
CLASSES = ["--classes", "dark,light"]


@pytest.fixture(scope="module")
def light(tmp_path_factory):
    """A light picture, of another size than the network reads."""
    path = tmp_path_factory.mktemp("light") / "light.png"
    Image.fromarray(np.full((60, 80, 3), 200, np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A network of -1..1 that calls a picture light whose mean lies above 0; far beyond 1 it is dark once more."""
    keras = backend.keras()
    inputs = keras.Input((SIDE, SIDE, 3))
    mean = keras.layers.GlobalAveragePooling2D()(inputs)
    logit = keras.layers.Dense(1, kernel_initializer="ones", use_bias=False, trainable=False)(mean)
    # 0 to 3 is light; 3.75 and more (0..255) is far beyond.
    hat = keras.layers.Dense(2, activation="relu", name="hat")(logit)
    out = keras.layers.Dense(2, activation="softmax", name="out")(hat)
    net = keras.Model(inputs, out)
    net.get_layer("hat").set_weights([np.array([[1, 1]], np.float32), np.array([-0.9, -3.0], np.float32)])
    net.get_layer("out").set_weights([np.array([[-4, 4], [16, -16]], np.float32), np.array([1, -1], np.float32)])
    path = tmp_path_factory.mktemp("network") / "net.keras"
    net.save(path)
    return path


def test_the_right_scaling_comes_in_and_keeps_its_fingerprint(facelime, network, light):
    words = ["import-model", network, *CLASSES, "--scaling", "-1..1"]
    plain = facelime.json(*words)
    result = facelime(*words, "--check", light, "--expect", "light", "--json")
    assert result.exit_code == 0, result.stderr
    assert plain["artifact"] in result.stdout
    assert "light.png is 'light' with a probability of" in " ".join(result.stderr.split())
    assert "with 0..255" in " ".join(result.stderr.split())


@pytest.mark.parametrize("scaling", ["0..255", pytest.param("caffe", marks=pytest.mark.long)])
def test_a_wrong_one_is_refused_with_the_right_one(facelime, network, light, scaling):
    words = ["import-model", network, *CLASSES, "--scaling", scaling]
    said = facelime.fails(*words, "--check", light, "--expect", "light")
    assert f"with --scaling {scaling}" in said
    assert "gives 'light' the highest probability" in said
    assert "sees 'dark' in light.png" in said
    assert not facelime.store.exists()
    # Without the check it comes in, and nobody is told.
    assert facelime.artifact(*words).complete


@pytest.mark.long
def test_it_is_tried_though_the_store_holds_the_model(facelime, network, light):
    words = ["import-model", network, *CLASSES, "--scaling", "0..255"]
    facelime.json(*words)
    assert "sees 'dark'" in facelime.fails(*words, "--check", light, "--expect", "light")


def test_where_the_scaling_is_missing_it_is_named(facelime, network, light):
    said = facelime.fails("import-model", network, *CLASSES, "--check", light, "--expect", "light", code=2)
    assert "--scaling is missing" in said
    assert "gives 'light' the highest probability" in said
    assert "--scaling is missing: say what" in facelime.fails("import-model", network, *CLASSES, code=2)


@pytest.mark.long
def test_where_no_scaling_shows_the_class(facelime, network, tmp_path):
    Image.fromarray(np.zeros((SIDE, SIDE, 3), np.uint8)).save(tmp_path / "black.png")
    words = ["import-model", network, *CLASSES, "--scaling", "-1..1"]
    said = facelime.fails(*words, "--check", tmp_path / "black.png", "--expect", "light")
    assert "no usual scaling shows 'light'" in said


@pytest.mark.long
def test_a_function_scales_for_itself(facelime, light, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "by_light.py").write_text(
        "import numpy as np\n\n\ndef classify(pictures):\n    p = pictures.mean(axis=(1, 2, 3))\n"
        "    return np.stack([1 - p, p], 1)\n"
    )
    importlib.invalidate_caches()
    words = ["import-model", "by_light:classify", *CLASSES, "--size", SIDE, "--check", light]
    assert facelime.artifact(*words, "--expect", "light").complete
    assert "sees 'light' in light.png, and 'dark'" in facelime.fails(*words, "--expect", "dark")


@pytest.mark.parametrize(
    ("more", "fragment", "code"),
    [
        (["--check", "{light}"], "--expect CLASS is missing", 2),
        (["--expect", "light"], "--check PICTURE is missing", 2),
        (["--check", "{light}", "--expect", "grey"], "--expect 'grey' is none of --classes", 2),
        (["--check", "{light}.txt", "--expect", "light"], "there is no picture", 1),
        (["--check", "{network}", "--expect", "light"], "give another picture", 1),
    ],
)
def test_what_cannot_be_checked(facelime, network, light, more, fragment, code):
    words = [str(word).format(light=light, network=network) for word in more]
    assert fragment in facelime.fails("import-model", network, *CLASSES, "--scaling", "-1..1", *words, code=code)
    assert not facelime.store.exists()
