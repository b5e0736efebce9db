"""Pictures that are unlike those that a model learned from: what is kept, and what every reader is told."""

import csv
import shutil

import numpy as np
import pytest

from facelime_cli.store import familiarity
from tests.support import ROUNDS, SIZE, save_picture


@pytest.fixture(scope="module")
def strange(tmp_path_factory):
    """Noise in two folders, which no drawn face is like, and one of the faces' own kind among it."""
    folder = tmp_path_factory.mktemp("strange")
    rng = np.random.default_rng(3)
    for place in range(4):
        blocks = rng.integers(0, 2, (6, 6, 3), dtype=np.uint8) * 255
        save_picture(folder / ("normal", "rosacea")[place % 2] / f"blocks{place}.png", blocks.repeat(8, 0).repeat(8, 1))
    return folder


@pytest.fixture(scope="module")
def others(chain, strange):
    """The strange pictures as a dataset of the chain's store."""
    return chain.facelime.artifact("preprocess", strange, "--size", SIZE, "--name", "strange", "--split", "0:0:100")


def test_training_keeps_a_summary(chain):
    model = chain["finetune"]
    fact = model.facts["reference"]
    assert fact["method"] == "neighbours"
    assert fact["percentile"] == 99
    assert familiarity.read(model).projection.shape == (fact["features"], fact["dimensions"])
    assert familiarity.FILE in model.manifest["files"]


def test_an_evaluation_says_which_pictures_are_strange(chain, others):
    run = chain.facelime
    words = ["evaluate", "small", "--dataset", others.id, "--split", "all", "--bootstrap", ROUNDS]
    found = run.json(*words)["unlike"]
    assert (found["pictures"], found["unlike"], found["share"]) == (4, 4, 1.0)
    assert set(found["distances"]) == set(others.texts("id"))
    assert min(found["distances"].values()) > 1
    artifact = run.artifact(*words)
    page = (artifact.path / "index.html").read_text()
    assert "4 of 4 pictures are unlike anything in the training data (beyond its 99th percentile" in page
    rows = list(csv.DictReader((artifact.path / "predictions.csv").open()))
    assert {row["id"]: float(row["distance"]) for row in rows} == found["distances"]
    said = run(*words).stderr
    assert "warning: 4 of 4 pictures are unlike anything" in said
    own = run.json("evaluate", "small", "--bootstrap", ROUNDS)["unlike"]
    assert own["share"] < 1


@pytest.mark.long
def test_explain_and_its_report_say_it_before_any_map(chain, others):
    run = chain.facelime
    words = ["explain", others.id, "--model", "small", "--samples", 40, "--method", "grid", "--segments", 9]
    done = run(*words, "--views", "single", "--no-check")
    assert "warning: 4 of 4 pictures are unlike anything in the training data" in done.stderr
    report = run.artifact(*words, "--views", "single", "--no-check")
    page = (report.path / "index.html").read_text()
    sentence, figure = "This picture is unlike anything in the training data: its distance is", "<figure"
    article = page[page.index("<article") :]
    assert article.count(sentence) == 4
    assert article.index(sentence) < article.index(figure)
    rows = list(csv.DictReader((report.path / "predictions.csv").open()))
    assert all(float(row["distance"]) > 1 for row in rows)
    predictions = report.input("surrogates").input("predictions")
    answer = run.json("predict", predictions.input("masks").id, "--model", "small")
    assert answer["reused"]
    assert answer["unlike"]["distances"] == {row["id"]: float(row["distance"]) for row in rows}
    assert answer["facts"]["unlike"]["unlike"] == 4
    assert report.facts["unlike"]["share"] == 1.0


def test_the_page_of_a_usual_picture_tells_its_distance_quietly(chain):
    page = (chain["render"].path / "index.html").read_text()
    assert "Distance from the training pictures: 0." in page
    assert "This picture is unlike anything" not in page


@pytest.fixture
def network(tmp_path, chain):
    """The chain's network as a file from outside."""
    return shutil.copy(chain["finetune"].file("model.keras"), tmp_path / "outside.keras")


WORDS = ("--classes", "normal,rosacea", "--scaling", "0..255")


@pytest.mark.long
def test_a_model_without_a_reference_says_nothing(chain, network, others):
    run = chain.facelime
    run.artifact("import-model", network, *WORDS, "--name", "bare")
    words = ["evaluate", "bare", "--dataset", others.id, "--split", "all", "--bootstrap", ROUNDS]
    answer = run.json(*words)
    assert "unlike" not in answer
    artifact = run.artifact(*words)
    assert "unlike" not in (artifact.path / "index.html").read_text()
    assert "distance" not in (artifact.path / "predictions.csv").read_text()
    assert "unlike" not in run(*words).stderr


@pytest.mark.long
def test_an_imported_network_is_told_from_a_dataset(chain, network, others):
    run = chain.facelime
    model = run.artifact("import-model", network, *WORDS, "--reference", "faces", "--name", "referred")
    trained, imported = (familiarity.read(each) for each in (chain["finetune"], model))
    # The same network and the same training pictures.
    assert imported.threshold == pytest.approx(trained.threshold, rel=1e-4)
    assert model.inputs["reference"]["digest"] == chain["preprocess"].content
    words = ["evaluate", "referred", "--dataset", others.id, "--split", "all", "--bootstrap", ROUNDS]
    assert run.json(*words)["unlike"]["unlike"] == 4
    # What was imported without is another model, and stays as it is.
    assert run.artifact("import-model", network, *WORDS).fingerprint != model.fingerprint


@pytest.mark.long
def test_a_reference_of_another_size_or_of_few_pictures_is_refused(chain, network, others, strange):
    run = chain.facelime
    assert "and 20 are the fewest" in run.fails("import-model", network, *WORDS, "--reference", others.id)
    run.artifact("preprocess", strange, "--size", 32, "--name", "narrow")
    said = run.fails("import-model", network, *WORDS, "--reference", "narrow")
    assert "reads pictures of 48×48" in said
    assert "preprocess them again with --size 48" in said


@pytest.mark.long
def test_a_network_without_features_trains_all_the_same(facelime, faces):
    run = facelime
    run.artifact("preprocess", faces, "--size", SIZE, "--name", "few", "--split", "20:20:60")
    model = run.artifact("finetune", "few", "--backbone", "cnn-small", "--epochs", 1, "--name", "untold")
    assert "reference" not in model.facts
    assert not (model.path / familiarity.FILE).exists()


@pytest.mark.long
def test_a_damaged_summary_is_a_sentence(chain, tmp_path):
    run = chain.copy(tmp_path / "store")
    model = run.artifact("finetune", "faces", "--backbone", "cnn-small", "--epochs", 2)
    model.file(familiarity.FILE).write_bytes(b"nothing")
    said = run.fails("evaluate", model.id, "--split", "validation", "--bootstrap", ROUNDS)
    assert f"facelime verify {model.reference}" in said


@pytest.mark.long
@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_every_runtime_tells_the_same(chain, runtime):
    pytest.importorskip({"onnx": "tf2onnx"}.get(runtime, runtime))
    run = chain.facelime
    masks = run.artifact("perturb", chain["segment"].id, "--samples", 8, "--seed", 71)
    usual = run.json("predict", masks.id, "--model", "small")["unlike"]["distances"]
    other = run.json("predict", masks.id, "--model", "small", "--runtime", runtime)["unlike"]["distances"]
    assert other == pytest.approx(usual, rel=1e-2)


@pytest.mark.long
def test_an_onnx_file_is_looked_into(chain, tmp_path, others):
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    rng = np.random.default_rng(0)
    kernel, weights = rng.standard_normal((8, 3, 3, 3)), rng.standard_normal((2, 8))
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["maps"], kernel_shape=[3, 3]),
        helper.make_node("GlobalAveragePool", ["maps"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights"], ["scores"], transB=1),
        helper.make_node("Softmax", ["scores"], ["y"]),
    ]
    values = {"kernel": kernel, "weights": weights}
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", 1, ["n", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("y", 1, ["n", 2])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in values.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, tmp_path / "net.onnx")
    run = chain.facelime
    words = [tmp_path / "net.onnx", "--classes", "normal,rosacea", "--scaling", "0..1", "--name", "graph"]
    model = run.artifact("import-model", *words, "--reference", "faces")
    assert model.facts["reference"]["features"] == 8
    masks = run.artifact("perturb", chain["segment"].id, "--samples", 8, "--seed", 72)
    told = [
        run.json("predict", masks.id, "--model", "graph", *more)["unlike"] for more in ((), ("--runtime", "openvino"))
    ]
    assert told[0]["distances"] == pytest.approx(told[1]["distances"], rel=1e-2)
    # By hand, from the summary and the network's own arithmetic.
    data = chain["preprocess"]
    row = int(chain["segment"].read("row")[0])
    image = data.read("images", [row])[0].astype(np.float64) / 255
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3), axis=(0, 1))
    pooled = np.einsum("hwcij,ocij->o", windows, kernel) / (SIZE - 2) ** 2
    expected = familiarity.read(model).distances(pooled[None].astype(np.float32))[0]
    assert next(iter(told[0]["distances"].values())) == pytest.approx(expected, rel=1e-2, abs=1e-3)
    assert run.json("evaluate", "graph", "--dataset", others.id, "--split", "all", "--bootstrap", ROUNDS)["unlike"]


@pytest.mark.long
def test_a_network_of_pytorch_is_watched(chain, tmp_path):
    torch = pytest.importorskip("torch")
    from facelime_cli.answering import torch_features, torch_networks
    from facelime_cli.answering.around import Around
    from facelime_cli.answering.torch_networks import Reading

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.maps, self.scores = torch.nn.Conv2d(3, 8, 3), torch.nn.Linear(8, 2)

        def forward(self, x):
            return torch.softmax(self.scores(torch.relu(self.maps(x)).mean((2, 3))), 1)

    torch.manual_seed(0)
    own = Net().eval()
    exported = torch.export.export(own, (torch.zeros(2, 3, SIZE, SIZE),), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    images = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3)).astype(np.float32)
    with torch.inference_mode():
        x = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
        expected = torch.relu(own.maps(x)).mean((2, 3)).numpy()
    around = Around("0..1", 3, channels_first=True, activation=None, classes=2)
    for net in (own, torch.jit.script(own), exported.module()):
        its = torch_networks.surrounded(net, around, Reading(), what="net", resize_to=None, precision="float32")
        assert torch_features.features_of(its)(images) == pytest.approx(expected, abs=1e-5)
    torch.export.save(exported, str(tmp_path / "net.pt2"))
    words = [tmp_path / "net.pt2", "--classes", "normal,rosacea", "--scaling", "0..1", "--trust", "--name", "watched"]
    run = chain.facelime
    assert run.artifact("import-model", *words, "--reference", "faces").facts["reference"]["features"] == 8
    masks = run.artifact("perturb", chain["segment"].id, "--samples", 8, "--seed", 73)
    assert len(run.json("predict", masks.id, "--model", "watched")["unlike"]["distances"]) == 3
