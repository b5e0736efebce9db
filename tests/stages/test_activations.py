"""Feature maps by layer, as tiled pictures."""

import numpy as np
import pytest
from PIL import Image

from facelime_cli.drawing.sheets import tiled
from facelime_cli.models import wrapping


@pytest.fixture
def face(faces):
    return next((faces / "rosacea").iterdir())


def test_layers_are_listed_with_their_shapes(chain, face, tmp_path):
    told = chain.facelime.json("activations", "small", face, "--to", tmp_path / "maps")
    assert {"layer": "cnn_small/conv2d", "kind": "Conv2D", "shape": [48, 48, 16]} in told["layers"]
    assert told["layers"][-1]["shape"] == [2]
    assert "cnn_small/conv2d" in chain.facelime("activations", "small", face).stdout
    assert list(tmp_path.iterdir()) == []


def test_maps_are_what_the_layer_answers(chain, face, tmp_path):
    told = chain.facelime.json(
        "activations", "small", face, "--layers", "conv2d,input_scaling", "--to", tmp_path / "maps"
    )
    assert [each["layer"] for each in told["drawn"]] == ["cnn_small/conv2d", "input_scaling"]
    net = wrapping.load(chain["finetune"].file("model.keras"))
    inner = net.get_layer("cnn_small")
    scaled = net.get_layer("input_scaling")(np.asarray(Image.open(face).convert("RGB"), dtype=np.float32)[None])
    expected = tiled(np.asarray(inner.get_layer("conv2d")(scaled))[0], 4)
    found = np.asarray(Image.open(told["drawn"][0]["file"]))
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1
    again = chain.facelime.fails("activations", "small", face, "--layers", "conv2d", "--to", tmp_path / "maps")
    assert "new or empty" in again


def test_every_layer_with_maps(chain, face, tmp_path):
    told = chain.facelime.json("activations", "small", face, "--layers", "all", "--to", tmp_path / "maps")
    assert [each["layer"] for each in told["drawn"]] == [
        each["layer"] for each in told["layers"] if len(each["shape"]) == 3
    ]
    assert len(list((tmp_path / "maps").iterdir())) == len(told["drawn"])


def test_what_is_wrong(chain, face, tmp_path):
    run, to = chain.facelime, tmp_path / "maps"
    assert "no picture" in run.fails("activations", "small", tmp_path / "none.png")
    assert "no layer 'nothing'" in run.fails("activations", "small", face, "--layers", "nothing", "--to", to)
    assert "not maps of places" in run.fails("activations", "small", face, "--layers", "probabilities", "--to", to)
    assert "no folder" in run.fails(
        "activations", "small", face, "--layers", "conv2d", "--to", tmp_path / "none" / "maps"
    )
    assert list(tmp_path.iterdir()) == []
