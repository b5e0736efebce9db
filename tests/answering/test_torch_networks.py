"""PyTorch networks: what comes in, how they read pictures, and what they answer."""

import importlib
import textwrap

import numpy as np
import pytest

from facelime_cli.answering import torch_frozen, torch_networks, torch_runtime
from facelime_cli.answering.around import Around
from facelime_cli.core import compose
from facelime_cli.core.masks import unpack
from facelime_cli.errors import BrokenError
from tests.support import Facelime, write_faces

torch = pytest.importorskip("torch", reason="needs the extra `torch`")

SIZE = 40
BUILDERS = """
import torch
from torch import nn


def net(channels=3, classes=2, last=None, dtype=torch.float32, order=None):
    torch.manual_seed(7)
    layers = [nn.Conv2d(channels, 6, 3, stride=2, bias=False), nn.BatchNorm2d(6), nn.ReLU()]
    layers += [nn.Conv2d(6, 6, 3, groups=6), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, classes)]
    made = nn.Sequential(*layers, *([] if last is None else [last]))
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 2)
        if isinstance(module, nn.Linear):
            module.weight.data *= 12
    return made.to(dtype)


def build():
    return net()


def grey():
    return net(channels=1, last=nn.Softmax(1))


def half():
    return net(dtype=torch.float16)


def brain():
    return net(dtype=torch.bfloat16)


def unit():
    return net(classes=1, last=nn.Sigmoid())


class Viewing(nn.Module):
    # `view` fails where channels lie together in memory.
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.first, self.last = nn.Conv2d(3, 2, 3), nn.Linear(2 * 38 * 38, 2)

    def forward(self, x):
        return self.last(torch.relu(self.first(x)).view(x.shape[0], -1))


class Deciding(nn.Module):
    # A graph would answer all pictures as it answered the first.
    def __init__(self):
        super().__init__()
        self.inner = net()

    def forward(self, x):
        y = self.inner(x)
        return y if x.mean() > 0.6 else -y


class Several(nn.Module):
    def __init__(self, names):
        super().__init__()
        self.inner, self.names = net(), names

    def forward(self, x):
        y = self.inner(x)
        values = {"features": torch.cat([y, y, y], 1), "logits": y, "map": x, "loss": y.mean()}
        return {name: values[name] for name in self.names}


class Doubled(Several):
    def forward(self, x):
        return self.inner(x), self.inner(x)


class Last(nn.Module):
    # Height, width, channels: as TensorFlow has them.
    def __init__(self):
        super().__init__()
        self.inner = net()

    def forward(self, x):
        return self.inner(x.permute(0, 3, 1, 2))


def viewing():
    return Viewing()


def deciding():
    return Deciding()


def several():
    return Several(["features", "logits", "map", "loss"])


def doubled():
    return Doubled([])


def maps():
    return nn.Conv2d(3, 2, 1)


def last():
    return Last()


def three():
    return net(classes=3)


def drawn():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 40 * 40, 2))


def no_module():
    return 3


def failing():
    raise OSError("no weights here")


ready = build()


def classify(pictures):
    return build()(torch.from_numpy(pictures).permute(0, 3, 1, 2)).softmax(1).detach().numpy()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder with a module of builders."""
    folder = tmp_path_factory.mktemp("torch")
    (folder / "builders.py").write_text(textwrap.dedent(BUILDERS))
    return folder


@pytest.fixture(autouse=True)
def _inside(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend("")
    importlib.invalidate_caches()


@pytest.fixture
def builders(_inside):
    return importlib.import_module("builders")


@pytest.fixture(scope="module")
def pictures(folder):
    """A store with masks of two pictures."""
    run = Facelime(folder / "store")
    run.json("preprocess", write_faces(folder / "faces", 2), "--size", SIZE, "--name", "two")
    run.json("segment", "two", "--method", "slic", "--segments", 12, "--name", "parts")
    run.json("perturb", "parts", "--samples", 20, "--name", "masks")
    return run


def words(source, *more, scaling="imagenet"):
    return ["import-model", source, "--classes", "no,yes", "--scaling", scaling, *more]


def named(name, *more, scaling="imagenet"):
    return words(f"builders:{name}", "--size", SIZE, *more, scaling=scaling)


SOFTMAX = ("--activation", "softmax")


def wanted_of(found, net, *, grey=False, softmax=True):
    """Return what the network itself answers to the composed pictures of some predictions: by hand, in NCHW."""
    masks, segments, data = found.input("masks"), found.input("segments"), found.input("datasets")
    rows = []
    for row in range(found.n):
        image, fill, labels = (
            array.read(name)[row] for array, name in ((data, "images"), (masks, "fill"), (segments, "segments"))
        )
        n = int(masks.read("n_samples")[row])
        kept = unpack(masks.read("masks")[row][:n], int(segments.read("n_segments")[row]))
        shown = np.stack([compose.composed(image, fill, labels, z[None])[0] for z in kept]).astype(np.float32) / 255
        x = shown @ np.array([[0.299], [0.587], [0.114]], np.float32) if grey else shown
        if not grey:
            x = (x - np.array([0.485, 0.456, 0.406], np.float32)) / np.array([0.229, 0.224, 0.225], np.float32)
        with torch.inference_mode():
            y = net.float().eval()(torch.from_numpy(x.astype(np.float32)).permute(0, 3, 1, 2).contiguous())
            rows.append((y.softmax(1) if softmax else y).numpy())
    return rows


def largest_difference(found, wanted):
    answers = found.read("probabilities")
    return max(float(np.abs(answers[row, : len(each)] - each).max()) for row, each in enumerate(wanted))


class TestModules:
    def test_a_module_that_python_builds_answers_as_it_does_alone(self, pictures, builders):
        result = pictures(*named("build", *SOFTMAX, "--name", "built"))
        assert result.exit_code == 0, result.stderr
        assert "is Python code, which runs on this machine" in result.stderr
        found = pictures.artifact("predict", "masks", "--model", "built", "--batch-size", 7)
        assert largest_difference(found, wanted_of(found, builders.build())) < 1e-5
        assert found.read("probabilities").std() > 0.01
        assert (found.parameters["runtime"], found.parameters["precision"]) == ("torch", "float32")
        model = found.input("models")
        assert (model.facts["format"], model.facts["around"]["channels"]) == ("torch-module", 3)
        assert model.facts["around"]["channels_first"] is True

    @pytest.mark.long
    def test_an_instance_is_a_network_too(self, pictures):
        model = pictures.artifact(*named("ready", *SOFTMAX, "--name", "ready"))
        assert model.facts["format"] == "torch-module"
        assert "a network of PyTorch" in pictures.fails(
            "import-model", "builders:ready", "--classes", "a,b", "--size", SIZE
        )

    def test_one_channel_is_found_out(self, pictures, builders):
        model = pictures.artifact(*named("grey", "--name", "grey", scaling="0..1"))
        assert model.facts["around"]["channels"] == 1
        found = pictures.artifact("predict", "masks", "--model", "grey")
        assert largest_difference(found, wanted_of(found, builders.grey(), grey=True, softmax=False)) < 1e-5
        assert "is for three channels, but the network reads one" in pictures.fails(*named("grey"))

    @pytest.mark.long
    @pytest.mark.parametrize("name", ["half", "brain"])
    def test_weights_of_16_bits_are_computed_with_32(self, pictures, builders, name):
        pictures.json(*named(name, *SOFTMAX, "--name", name))
        found = pictures.artifact("predict", "masks", "--model", name)
        assert largest_difference(found, wanted_of(found, getattr(builders, name)())) < 1e-5

    @pytest.mark.long
    def test_view_runs_with_pictures_that_lie_as_it_needs_them(self, pictures, builders):
        model = pictures.artifact(*named("viewing", *SOFTMAX, "--name", "viewing"))
        assert model.facts["reading"] == {"channels_last": False}
        found = pictures.artifact("predict", "masks", "--model", "viewing")
        assert largest_difference(found, wanted_of(found, builders.viewing())) < 1e-5

    @pytest.mark.long
    def test_channels_that_come_last_are_found_out(self, pictures):
        model = pictures.artifact(*named("last", *SOFTMAX, "--name", "last"))
        assert model.facts["around"]["channels_first"] is False
        first = pictures.artifact(*named("build", *SOFTMAX, "--name", "first"))
        one, other = (pictures.artifact("predict", "masks", "--model", each.id) for each in (model, first))
        assert np.abs(one.read("probabilities") - other.read("probabilities")).max() < 1e-6

    def test_the_only_output_that_fits_is_taken(self, pictures, builders):
        pictures.json(*named("several", *SOFTMAX, "--name", "several"))
        found = pictures.artifact("predict", "masks", "--model", "several")
        assert largest_difference(found, wanted_of(found, builders.build())) < 1e-5

    @pytest.mark.long
    def test_an_output_is_named(self, pictures, builders):
        pictures.json(*named("doubled", *SOFTMAX, "--output", "1", "--name", "second"))
        found = pictures.artifact("predict", "masks", "--model", "second")
        assert largest_difference(found, wanted_of(found, builders.build())) < 1e-5
        assert "these arrays: 0 (3, 2), 1 (3, 2)" in pictures.fails(*named("doubled", *SOFTMAX, "--output", "2"))
        assert "an array of (3, 6)" in pictures.fails(*named("several", *SOFTMAX, "--output", "features"))

    @pytest.mark.long
    def test_a_single_unit_becomes_two_columns(self, pictures):
        pictures.json(*named("unit", "--name", "unit"))
        answers = pictures.artifact("predict", "masks", "--model", "unit").read("probabilities")
        assert np.nanmax(np.abs(answers.sum(axis=2) - 1)) < 1e-6

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("doubled", "0 (3, 2), 1 (3, 2); name one of (3, 2)"),
            ("maps", "an array of (3, 2, 40, 40); it should be (3, 2)"),
            ("three", "an array of (3, 3); it should be (3, 2)"),
            ("build", "add --activation softmax"),
            ("drawn", "builds a network with other weights"),
            ("no_module", "returns int and no torch.nn.Module"),
            ("failing", "fails to build its network (OSError: no weights here)"),
            ("nothing_like_this", "has no function nothing_like_this"),
        ],
    )
    def test_what_does_not_fit_is_one_sentence_and_leaves_nothing(self, pictures, name, said):
        before = sorted(path.name for path in (pictures.store / "models").glob("[!.]*"))
        more = SOFTMAX if name == "drawn" else ()
        assert said in pictures.fails(*named(name, *more))
        assert sorted(path.name for path in (pictures.store / "models").glob("[!.]*")) == before

    @pytest.mark.long
    def test_a_size_that_does_not_fit_is_said(self, pictures):
        text = pictures.fails(*words("builders:viewing", "--size", 30, *SOFTMAX))
        assert "takes no pictures of 30×30 (with 3 channels: RuntimeError" in text
        assert "with 1 channel: RuntimeError" in text

    def test_a_function_of_arrays_stays_one(self, pictures):
        model = pictures.artifact("import-model", "builders:classify", "--classes", "a,b", "--size", SIZE)
        assert model.facts["format"] == "function"
        assert "leave it out" in pictures.fails(
            "import-model", "builders:classify", "--classes", "a,b", "--size", SIZE, "--scaling", "0..1", code=2
        )
        assert "--scaling is missing" in pictures.fails(
            "import-model", "builders:build", "--classes", "a,b", "--size", SIZE, code=2
        )

    @pytest.mark.long
    def test_weights_that_changed_since_are_refused(self, pictures, folder):
        source = (
            "import torch\n\ndef build():\n    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear({n}, 2))\n"
        )
        loading = (
            source.format(n=3 * SIZE * SIZE)
            + "    net.load_state_dict(torch.load('changing.weights'))\n    return net\n"
        )
        (folder / "changing.py").write_text(loading)
        made = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * SIZE * SIZE, 2))
        torch.save(made.state_dict(), folder / "changing.weights")
        pictures.json(*words("changing:build", "--size", SIZE, *SOFTMAX, "--name", "changing"))
        made[1].weight.data += 1
        torch.save(made.state_dict(), folder / "changing.weights")
        assert "other weights than when models/changing" in pictures.fails("predict", "masks", "--model", "changing")


def saved(folder, builders, form, name="build", batch=2, **dynamic):
    """Write a network as a program, and return its file."""
    net = getattr(builders, name)().eval()
    dtype = next(net.parameters()).dtype
    channels = next(net.parameters()).shape[1]
    x = torch.rand(batch, channels, SIZE, SIZE).to(dtype)
    path = folder / f"{name}-{form}{'-'.join(dynamic)}{batch}.pt2"
    if form == "export":
        shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
        torch.export.save(torch.export.export(net, (x,), dynamic_shapes=shapes), path)
        return path
    path = path.with_suffix(".pt")
    torch.jit.save(torch.jit.trace(net, x) if form == "traced" else torch.jit.script(net), path)
    return path


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class TestPrograms:
    @pytest.mark.parametrize(
        ("form", "name", "options", "reading"),
        [
            ("export", "build", {"batch": 3}, {"batch": 3}),
            ("export", "build", {"batch": 1}, {"batch": 1}),
            ("export", "build", {"dynamic": True}, {}),
            ("export", "viewing", {"dynamic": True}, {"channels_last": False}),
            ("traced", "build", {}, {}),
            ("scripted", "build", {}, {}),
            ("scripted", "half", {}, {}),
        ],
    )
    def test_answers_as_the_network_it_was(self, pictures, folder, builders, form, name, options, reading):
        path = saved(folder, builders, form, name, **options)
        more = [] if form == "export" else ["--size", SIZE]
        ask = words(path, *SOFTMAX, *more)
        assert "add --trust" in pictures.fails(*ask)
        result = pictures(*ask, "--trust", "--name", path.stem)
        assert result.exit_code == 0, result.stderr
        assert "is a program for PyTorch, which runs with your rights" in result.stderr
        found = pictures.artifact("predict", "masks", "--model", path.stem, "--batch-size", 7)
        assert largest_difference(found, wanted_of(found, getattr(builders, name)())) < 1e-5
        model = found.input("models")
        assert model.facts["format"] == ("torch-export" if form == "export" else "torchscript")
        assert (model.facts["reading"], model.facts["size"]) == (reading, SIZE)
        assert pictures.json("verify", model.id)["faults"] == []

    def test_weights_of_16_bits_in_an_exported_program(self, pictures, folder, builders):
        path = saved(folder, builders, "export", "brain", dynamic=True)
        pictures.json(*words(path, *SOFTMAX, "--trust", "--name", "brained"))
        found = pictures.artifact("predict", "masks", "--model", "brained")
        assert largest_difference(found, wanted_of(found, builders.brain())) < 0.02

    def test_another_size_than_that_of_the_program(self, pictures, folder, builders):
        path = saved(folder, builders, "export", "build", batch=4)
        assert f"reads pictures of {SIZE}×{SIZE}" in pictures.fails(*words(path, "--trust", "--size", 30, *SOFTMAX))

    def test_a_store_that_was_copied_brings_no_trust(self, pictures, folder, builders, tmp_path, monkeypatch):
        path = saved(folder, builders, "traced", "unit")
        pictures.json(*words(path, "--size", SIZE, "--trust", "--name", "copied"))
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        assert "carries code (a TorchScript file)" in pictures.fails("predict", "masks", "--model", "copied")
        assert pictures("trust", "add", "copied", "--yes").exit_code == 0
        assert pictures.artifact("predict", "masks", "--model", "copied").complete


@pytest.mark.long
class TestResize:
    def test_is_asked_about_pictures_of_another_size(self, pictures, builders, folder):
        pictures.json(*named("build", *SOFTMAX, "--name", "sized"))
        pictures.json("preprocess", write_faces(folder / "large", 1, 90), "--size", 90, "--name", "large")
        pictures.json("segment", "large", "--method", "slic", "--segments", 9, "--name", "large")
        pictures.json("perturb", "segments/large", "--samples", 9, "--name", "large")
        found = pictures.artifact("predict", "masks/large", "--model", "sized", "--resize")
        image = found.input("datasets").read("images").astype(np.float32)
        small = compose.resized(image, (SIZE, SIZE)) / 255
        x = (small - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
        with torch.inference_mode():
            y = builders.build().eval()(torch.from_numpy(x.astype(np.float32)).permute(0, 3, 1, 2)).softmax(1)
        assert np.abs(found.read("probabilities")[0, 0] - y[0].numpy()).max() < 1e-3


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class TestGraphs:
    """On a processor a network runs as a graph, where that answers as it does."""

    def network(self, own, **reading):
        around = Around("imagenet", 3, channels_first=True, activation="softmax", classes=2)
        return torch_networks.surrounded(
            own.eval() if "batch" not in reading else own,
            around,
            torch_networks.Reading(**reading),
            what="it",
            resize_to=None,
            precision="float32",
        )

    def graph_of(self, net, rng, batch=4):
        x = torch_networks.model_input(net, torch.from_numpy(rng.uniform(0, 255, (batch, SIZE, SIZE, 3))).float())
        with torch.inference_mode():
            return torch_frozen.frozen(net, x), x

    @pytest.mark.parametrize("name", ["build", "several", "ready"])
    def test_answers_as_the_module(self, builders, rng, name):
        found = getattr(builders, name)
        net = self.network(torch_networks.built_by(found, name))
        graph, x = self.graph_of(net, rng)
        assert graph is not None
        with torch.inference_mode():
            assert (net.scores_of(graph, x) - net.scores_of(net.own, x)).abs().max() < 1e-5

    @pytest.mark.parametrize("form", ["export", "traced", "scripted"])
    def test_programs_are_graphs_too(self, folder, builders, rng, form):
        path = saved(folder, builders, form, "build", batch=4)
        load = torch_networks.exported if form == "export" else torch_networks.scripted
        net = self.network(load(path, "it"), batch=4)
        graph, x = self.graph_of(net, rng)
        assert graph is not None
        with torch.inference_mode():
            assert (net.scores_of(graph, x) - net.scores_of(net.own, x)).abs().max() < 1e-5

    @pytest.mark.long
    def test_a_module_that_decides_by_values_runs_as_it_is(self, pictures, builders, rng):
        graph, _ = self.graph_of(self.network(builders.deciding()), rng)
        assert graph is None
        pictures.json(*named("deciding", *SOFTMAX, "--name", "deciding"))
        found = pictures.artifact("predict", "masks", "--model", "deciding", "--batch-size", 1)
        masks = found.input("masks")
        assert found.read("probabilities").shape[1] == masks.shape("masks")[1]

    @pytest.mark.long
    def test_memory_is_asked_for_in_halves(self, pictures, folder):
        source = "import builders\nimport torch\n\nclass Tight(torch.nn.Module):\n"
        source += "    def __init__(self):\n        super().__init__()\n        self.inner = builders.build()\n\n"
        source += "    def forward(self, x):\n        if x.shape[0] > 10:\n"
        source += "            raise RuntimeError('CUDA out of memory. Tried to allocate 2 GiB')\n"
        source += "        return self.inner(x)\n\ndef build():\n    return Tight()\n"
        (folder / "tight_network.py").write_text(source)
        pictures.json(*words("tight_network:build", "--size", SIZE, *SOFTMAX, "--name", "tight"))
        result = pictures("predict", "masks", "--model", "tight", "--batch-size", 32, "--name", "tight")
        assert result.exit_code == 0
        assert "a batch of 16 did not fit into memory; batches of 8 are used now" in result.stderr


@pytest.mark.long
class TestManifests:
    @pytest.mark.parametrize(
        "reading", [None, {"dtype": "load"}, {"batch": 0}, {"batch": "2"}, {"channels_last": 1}, {"other": 1}]
    )
    def test_what_no_import_has_written_is_refused(self, pictures, monkeypatch, reading):
        model = pictures.artifact(*named("build", *SOFTMAX, "--name", "written"))
        facts = {key: value for key, value in model.facts.items() if key != "reading"}
        if reading is not None:
            facts["reading"] = reading
        monkeypatch.setattr(type(model), "facts", facts)
        with pytest.raises(BrokenError, match="import it again"):
            torch_networks.Reading.read(model)


class TestComposition:
    def test_the_card_composes_as_the_processor(self, rng):
        n, k, batch, side = 3, 11, 9, 6
        pictures = rng.integers(0, 256, (n, 2, side * side, 3), dtype=np.uint8)
        segments = rng.integers(0, k, (n, side * side)).astype(np.int32)
        packed = rng.integers(0, 256, (batch, 16), dtype=np.uint8)
        index = rng.integers(0, n, batch).astype(np.int32)
        one = torch_runtime.processor_composer((side, side))(packed, index, pictures, segments)
        other = torch_runtime.composer((side, side))(
            packed, index, torch_runtime.on_device(pictures), torch_runtime.on_device(segments).long()
        )
        assert torch.equal(one, other.cpu())

    def test_tf32_is_a_mode_of_cards(self, pictures):
        if torch.cuda.is_available():
            pytest.skip("there is a card")
        pictures.json(*named("build", *SOFTMAX, "--name", "cardless"))
        assert "PyTorch sees none" in pictures.fails("predict", "masks", "--model", "cardless", "--precision", "tf32")

    @pytest.mark.long
    def test_bfloat16_is_compared_with_float32(self, pictures):
        pictures.json(*named("build", *SOFTMAX, "--name", "rounded"))
        words = ["predict", "masks", "--model", "rounded", "--precision", "bfloat16"]
        found = pictures.artifact(*words, "--tolerance", 0.1)
        exact = pictures.artifact("predict", "masks", "--model", "rounded")
        off = np.nanmax(np.abs(found.read("probabilities") - exact.read("probabilities")))
        assert 0 < off < 0.1
