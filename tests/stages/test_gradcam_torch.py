"""Grad-CAM, attention rollout and activations of PyTorch networks through the commands."""

import json

import numpy as np
import pytest
from PIL import Image

from facelime_cli.choices import ATTRIBUTIONS, MAPS
from facelime_cli.drawing.sheets import tiled
from tests.support import Facelime, write_faces

torch = pytest.importorskip("torch")

from tests.torch_networks import of_one_value, transformer, twin, twin_of_keras  # noqa: E402 - it imports torch

pytestmark = pytest.mark.long

SIZE = 48
TITLES = ("Grad-CAM", "Attention rollout")
BUILDING = f"""
from tests import torch_networks

def build_twin():
    return torch_networks.twin()

def build_age():
    return torch_networks.of_one_value()

def build_transformer():
    return torch_networks.transformer({SIZE})
"""
READING = ("--classes", "normal,rosacea", "--scaling", "0..1", "--size", SIZE)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A store with a network of Keras, the same of PyTorch as a module and in two kinds of files, and a transformer."""
    folder = tmp_path_factory.mktemp("torch")
    run = Facelime(folder / "store")
    run.json("preprocess", write_faces(folder / "faces", 4), "--size", SIZE, "--name", "faces")
    run.json("segment", "faces", "--method", "slic", "--segments", 12, "--name", "parts")
    (folder / "of_torch.py").write_text(BUILDING)
    twin_of_keras(SIZE).save(folder / "net.keras")
    picture = torch.zeros(2, 3, SIZE, SIZE)
    batch = {0: torch.export.Dim("batch", min=1)}
    torch.export.save(torch.export.export(twin(), (picture,), dynamic_shapes=(batch,)), folder / "net.pt2")
    torch.jit.save(torch.jit.trace(twin(), picture), folder / "net.pt")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        plain = ("--classes", "normal,rosacea", "--scaling", "0..255", "--name", "of-keras")
        run.json("import-model", "net.keras", *plain)
        run.json("import-model", "of_torch:build_twin", *READING, "--name", "module")
        run.json("import-model", "net.pt2", *READING[:4], "--trust", "--name", "exported")
        run.json("import-model", "net.pt", *READING, "--trust", "--name", "scripted")
        softmax = ("--activation", "softmax", "--name", "transformer")
        run.json("import-model", "of_torch:build_transformer", *READING, *softmax)
        yield run


def known(found):
    """Return what an explanation has that does not name its model or layer."""
    return {key: value for key, value in found.facts.items() if key != "layer"}, sorted(found.arrays)


class TestTheSameAsKeras:
    @pytest.mark.parametrize("variant", [name for name, each in ATTRIBUTIONS.items() if each.of == MAPS])
    @pytest.mark.parametrize("model", ["module", "exported"])
    def test_maps_shares_and_probabilities(self, run, model, variant):
        expected = run.artifact("gradcam", "parts", "--model", "of-keras", "--variant", variant)
        found = run.artifact("gradcam", "parts", "--model", model, "--variant", variant)
        assert expected.facts["layer"].endswith("/last")
        assert found.facts["layer"] == "5"
        assert known(found) == known(expected)
        assert np.nanmax(expected.read("maps")) > 1e-3
        for name in ("maps", "coefficients", "probabilities"):
            assert found.read(name) == pytest.approx(expected.read(name), abs=1e-4, nan_ok=True)
        assert list(found.read("verdict").ravel()) == list(expected.read("verdict").ravel())

    def test_a_layer_by_its_path(self, run):
        expected = run.artifact("gradcam", "parts", "--model", "of-keras", "--layer", "first")
        found = run.artifact("gradcam", "parts", "--model", "module", "--layer", "0")
        assert found.facts["layer"] == "0"
        assert found.read("maps") == pytest.approx(expected.read("maps"), abs=1e-4, nan_ok=True)

    def test_a_batch_of_another_size(self, run):
        whole = run.artifact("gradcam", "parts", "--model", "module")
        small = run.artifact("gradcam", "parts", "--model", "module", "--batch-size", 3, "--name", "three")
        assert small.read("maps") == pytest.approx(whole.read("maps"), abs=1e-6, nan_ok=True)

    def test_reports_and_comparisons(self, run):
        one, other = (run.artifact("gradcam", "parts", "--model", each) for each in ("of-keras", "module"))
        occluded = run.artifact("occlusion", "parts", "--model", "module", "--fill", "black")
        page = (run.artifact("render", other.id).path / "index.html").read_text(encoding="utf-8")
        assert page.count('class="picture"') == 4
        assert "percent of the map" in page
        report = run.artifact("compare", other.id, occluded.id, "--class", "rosacea")
        assert report.facts["compared"] == ["Grad-CAM", "Occlusion"]
        shown = [json.loads(run("show", each.id, "--format", "json").stdout)["pictures"] for each in (one, other)]
        assert shown[0][0].keys() == shown[1][0].keys()


class TestTransformers:
    def test_tokens_become_maps(self, run):
        found = run.artifact("gradcam", "parts", "--model", "transformer")
        assert found.facts["layer"] == "blocks.1.norm1"
        assert found.read("maps").shape == (4, 2, 12, 12)

    def test_rollout_is_the_attention_that_reaches_the_class_token(self, run):
        found = run.artifact("gradcam", "parts", "--model", "transformer", "--variant", "rollout")
        assert found.facts["method"] == "Attention rollout"
        assert found.facts["layer"] == "attention of 2 layers, as it reaches the class token"
        maps = found.read("maps")
        assert maps.shape == (4, 2, 12, 12)
        assert np.array_equal(maps[:, 0], maps[:, 1])
        net = transformer(SIZE).eval()
        images = found.input("datasets").read("images", [int(found.read("row")[1])])
        flow = np.eye(145)
        with torch.no_grad():
            x = torch.from_numpy(images.astype(np.float32) / 255).permute(0, 3, 1, 2)
            x = torch.cat([net.front, net.patches(x).flatten(2).transpose(1, 2)], 1) + net.where
            for block in net.blocks:
                q, k, _ = block.attn.qkv(block.norm1(x)).reshape(145, 3, 2, 4).permute(1, 2, 0, 3)
                flow = ((q @ k.transpose(-1, -2) / 2).softmax(-1).mean(0).numpy() + np.eye(145)) / 2 @ flow
                x = block(x)
        assert maps[1, 0] == pytest.approx(flow[0, 1:].reshape(12, 12), abs=1e-6)
        page = (run.artifact("render", found.id).path / "index.html").read_text(encoding="utf-8")
        assert "which is the same for every class, comes from this region" in page
        cam = run.artifact("gradcam", "parts", "--model", "transformer")
        report = run.artifact("compare", cam.id, found.id, "--class", "normal")
        assert all(each.startswith(title) for each, title in zip(report.facts["compared"], TITLES, strict=True))

    def test_what_has_no_attention_to_join(self, run):
        rollout = ("--variant", "rollout")
        assert "leave --layer norm out" in run.fails(
            "gradcam", "parts", "--model", "transformer", *rollout, "--layer", "norm", code=2
        )
        assert "PyTorch transformers, and models/of-keras" in run.fails(
            "gradcam", "faces", "--model", "of-keras", *rollout
        )
        assert "no layers of attention among the same tokens" in run.fails(
            "gradcam", "parts", "--model", "module", *rollout
        )


class TestActivations:
    def test_layers_are_listed_with_their_classes_and_shapes(self, run, tmp_path):
        face = next((write_faces(tmp_path / "one", 1) / "normal").iterdir())
        for model in ("module", "exported"):
            told = run.json("activations", model, face)["layers"]
            assert {"layer": "4", "kind": "Conv2d", "shape": [22, 22, 6]} in told
            assert told[-1]["shape"] == [2]
        told = run.json("activations", "transformer", face)["layers"]
        assert {"layer": "norm", "kind": "LayerNorm", "shape": [12, 12, 8], "tokens_dropped": 1} in told
        assert "12×12×8, 1 token dropped" in run("activations", "transformer", face).stdout

    def test_maps_are_what_the_module_answers(self, run, tmp_path):
        face = next((write_faces(tmp_path / "one", 1) / "normal").iterdir())
        told = run.json("activations", "module", face, "--layers", "all", "--to", tmp_path / "maps")
        assert [each["layer"] for each in told["drawn"]] == ["0", "1", "2", "3", "4", "5"]
        pixels = np.asarray(Image.open(face).convert("RGB"), dtype=np.float32) / 255
        with torch.no_grad():
            maps = twin()[:5](torch.from_numpy(pixels).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
        drawn = np.asarray(Image.open(told["drawn"][4]["file"])).astype(int)
        assert np.abs(drawn - tiled(maps, 3).astype(int)).max() <= 1
        assert "no layer 'nothing'" in run.fails(
            "activations", "module", face, "--layers", "nothing", "--to", tmp_path / "none"
        )
        assert "answers (2,), not maps of places" in run.fails(
            "activations", "module", face, "--layers", "8", "--to", tmp_path / "none"
        )


def test_what_a_torchscript_file_does_not_show(run, tmp_path):
    face = next((write_faces(tmp_path / "one", 1) / "normal").iterdir())
    for words in (("gradcam", "parts", "--model", "scripted"), ("activations", "scripted", face)):
        said = run.fails(*words)
        assert "a TorchScript file, whose layers cannot be looked into" in said
        assert "package.module:build" in said
    assert "`facelime activations models/module" in run.fails("show", "models/module", "--png", tmp_path / "a.png")


def test_a_value_is_explained_by_its_own_gradient(run):
    words = ("--output-kind", "value", "--names", "age", "--unit", "months", "--scaling", "0..1", "--size", SIZE)
    run.json("import-model", "of_torch:build_age", *words, "--name", "age")
    found = run.artifact("gradcam", "parts", "--model", "age", "--layer", "1")
    own = of_one_value()
    images = found.input("datasets").read("images", found.read("row"))
    with torch.no_grad():
        x = torch.from_numpy(images.astype(np.float32) / 255).permute(0, 3, 1, 2)
        maps, values = own[:2](x).permute(0, 2, 3, 1).numpy(), own(x).numpy()
    weights = own[-1].weight.detach().numpy()[0] / maps[0, ..., 0].size
    assert found.read("maps")[:, 0] == pytest.approx(np.maximum(maps @ weights, 0), abs=1e-6)
    assert found.read("probabilities") == pytest.approx(values, abs=1e-4)


def test_a_layer_without_maps(run):
    assert "not maps of places" in run.fails("gradcam", "parts", "--model", "module", "--layer", "8")
    assert "no layer 'nowhere'" in run.fails("gradcam", "parts", "--model", "module", "--layer", "nowhere")
