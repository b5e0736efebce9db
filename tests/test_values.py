"""Models that answer with values, such as an age: imported, explained, checked, reported and evaluated in a unit."""

import csv
import html
import importlib
import importlib.util
import re

import h5py
import numpy as np
import pytest
from PIL import Image

from facelime_cli.answering import runtimes
from facelime_cli.answering.around import Around
from facelime_cli.core import fidelity, surrogate, value_figures
from facelime_cli.core.masks import unpack
from facelime_cli.core.verdict import NOTHING
from facelime_cli.errors import FacelimeError
from facelime_cli.models import backend
from facelime_cli.predicting.comparing import furthest
from tests.support import Facelime

SIZE, CELL, N = 48, 12, 6
HALF = SIZE // 2
MODULE = """
import numpy as np

def redness(pictures):
    '''100 times the mean red of the upper left quadrant: the sum of what its four cells hold.'''
    return 100 * pictures[:, :{half}, :{half}, 0].mean(axis=(1, 2))

def both(pictures):
    return np.stack([redness(pictures), 1000 - 40 * pictures[:, {half}:, {half}:, 1].mean(axis=(1, 2))], axis=1)

def still(pictures):
    return np.full((len(pictures), 1), 7000.0)

def broken(pictures):
    return np.full((len(pictures), 1), np.nan)

def wide(pictures):
    return np.zeros((len(pictures), 3))
"""
TORCH = """
import torch

def build():
    torch.manual_seed(0)
    maps = torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1)
    net = torch.nn.Sequential(*maps, torch.nn.Flatten(), torch.nn.Linear(4, 1))
    torch.nn.init.constant_(net[-1].bias, 120.0)
    return net
"""
VALUE = ("--output-kind", "value", "--size", SIZE)
UNIT = "months"
NO_WORDS = re.compile(r"probab|\bpoints\b|log-odds|\bclass(es)?\b|speaks? (for|against)", re.IGNORECASE)
"""What no sentence about a value says."""


def colourful(rng):
    """Return a picture whose cells have different reds."""
    cells = rng.integers(40, 250, (SIZE // CELL, SIZE // CELL, 3), dtype=np.uint8)
    return cells.repeat(CELL, 0).repeat(CELL, 1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A store with pictures, a table of their redness, and a function that answers with it."""
    folder = tmp_path_factory.mktemp("values")
    rng = np.random.default_rng(5)
    rows = ["file,patient,red,other,site"]
    (folder / "pictures").mkdir()
    for number in range(N):
        picture = colourful(rng)
        Image.fromarray(picture).save(folder / "pictures" / f"{number}.png")
        red = 100 * picture[:HALF, :HALF, 0].mean() / 255
        rows.append(
            f"{number}.png,p{number // 2},{red + (-1) ** number * (number + 1):.3f},{number},{'ab'[number % 2]}"
        )
    (folder / "table.csv").write_text("\n".join(rows) + "\n")
    (folder / "valued.py").write_text(MODULE.format(half=HALF))
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        importlib.invalidate_caches()
        found = Facelime(folder / "store")
        words = ("--table", folder / "table.csv", "--id-column", "file", "--group-column", "patient")
        found.json("preprocess", folder / "pictures", *words, "--size", SIZE, "--name", "d")
        found.json("import-model", "valued:redness", *VALUE, "--names", "red", "--unit", UNIT, "--name", "m")
        yield found


@pytest.fixture(scope="module")
def fitted(run):
    """Surrogates without a penalty, on cells of which four make the value."""
    run.json("segment", "d", "--method", "grid", "--segments", (SIZE // CELL) ** 2, "--name", "cells")
    run.json("perturb", "cells", "--samples", 200, "--fill", "black", "--name", "masks")
    run.json("predict", "masks", "--model", "m", "--name", "answers")
    return run.artifact("fit-surrogate", "answers", "--surrogate", "linear", "--name", "fitted")


@pytest.fixture(scope="module")
def checked(run, fitted):
    return run.artifact("check", fitted.id, "--name", "checked")


def shares(picture, segments):
    """Return what each cell adds to the value, exactly."""
    red = np.where(np.arange(SIZE)[:, None] < HALF, picture[..., 0], 0) * (np.arange(SIZE) < HALF)
    return 100 * np.bincount(segments.ravel(), red.ravel()) / HALF**2 / 255


def sentences(path):
    """Return what a page says, its labels and titles too, without code and file names."""
    page = re.sub(
        r"<script.*?</script>|<style.*?</style>|<code>.*?</code>|<pre.*?</pre>", "", path.read_text(), flags=re.DOTALL
    )
    page = page[: page.find("Where this comes from")] if "Where this comes from" in page else page
    spoken = re.findall(r'(?:aria-label|alt|data-hint)="([^"]*)"', page)
    return re.sub(r"\s+", " ", html.unescape(" ".join([*spoken, re.sub(r"<[^>]+>", " ", page)])))


# Small parts


def test_what_stands_around_hands_values_on():
    around = Around("0..1", 3, channels_first=False, activation=None, classes=1, values=True)
    pictures = np.zeros((4, 8, 8, 3), np.float32)
    for answers in (np.array([-3.0, 0.5, 900.0, 1.0]), np.array([[-3.0], [0.5], [900.0], [1.0]])):
        found = around.probabilities(lambda _, answers=answers: answers, "it")(pictures)
        assert found.ravel().tolist() == [-3.0, 0.5, 900.0, 1.0]
        assert found.shape == (4, 1)
    with pytest.raises(FacelimeError, match="one column per value of --names"):
        around.probabilities(lambda _: np.zeros((4, 2)), "it")(pictures)
    assert Around.read(around.facts()) == around
    assert "values" not in Around("0..1", 3, channels_first=False, activation=None, classes=2).facts()["around"]


def test_surrogates_of_values_do_not_depend_on_the_unit(rng):
    masks = rng.random((120, 10)) < 0.5
    masks[0] = True
    weights, blocks = np.ones(120), np.arange(120, dtype=np.int32)
    values = (masks @ rng.normal(size=(10, 2)) + rng.normal(scale=0.2, size=(120, 2))).astype(np.float32)
    for name, keywords in (("ridge", {"alpha": 1.0}), ("lasso", {"alpha": 0.01}), ("bayesian-ridge", {})):
        method = fidelity.Method(surrogate.fitter(name, keywords), "analytic", 3, 0)
        before, after = (
            fidelity.explain_values(masks, given, weights, blocks, method, "p")
            for given in (values, (values * 64).astype(np.float32))
        )
        for each in ("coefficients", "interval", "intercept", "local_prediction", "rmse"):
            one, other = getattr(before, each), getattr(after, each)
            assert np.allclose(64 * one, other, rtol=1e-9, equal_nan=True), (name, each)
        assert np.allclose(before.r2, after.r2)
        assert before.verdict == after.verdict


def test_a_value_that_hardly_moves_has_nothing_to_explain(rng):
    masks = rng.random((200, 8)) < 0.5
    masks[0] = True
    method = fidelity.Method(surrogate.fitter("ridge", {"alpha": 1.0}), "analytic", 3, 0)
    moving, still = (7000 + masks[:, :1] * size for size in (70.0, 0.1))
    verdicts = [
        fidelity.explain_values(
            masks, given.astype(np.float32), np.ones(200), np.arange(200, dtype=np.int32), method, "p"
        ).verdict
        for given in (moving, still)
    ]
    assert verdicts[1] == [NOTHING]
    assert verdicts[0] != [NOTHING]


def test_figures_of_agreement_are_those_of_their_definitions(rng):
    true = rng.normal(100, 20, 60)
    said = true + rng.normal(2, 5, 60)
    found, difference = value_figures.figures(true, said), said - true
    assert found["mae"] == pytest.approx(np.abs(difference).mean())
    assert found["rmse"] == pytest.approx(np.sqrt((difference**2).mean()))
    assert found["r2"] == pytest.approx(1 - (difference**2).sum() / ((true - true.mean()) ** 2).sum())
    assert found["bias"] == pytest.approx(difference.mean())
    limits = difference.mean() + np.array([-1.96, 1.96]) * difference.std(ddof=1)
    assert [found["lower_limit"], found["upper_limit"]] == pytest.approx(limits.tolist())
    # A round of the bootstrap is the same as pictures that are there so often.
    counts = rng.integers(0, 3, (5, 60)).astype(np.int16)
    rounds = value_figures.resampled(true, said, counts)
    for place, often in enumerate(counts):
        again = value_figures.figures(true.repeat(often), said.repeat(often))
        assert {name: values[place] for name, values in rounds.items()} == pytest.approx(again)


def test_figures_that_cannot_be_told_are_none():
    assert value_figures.figures(np.array([3.0]), np.array([4.0]))["lower_limit"] is None
    assert value_figures.figures(np.array([3.0, 3.0]), np.array([4.0, 5.0]))["r2"] is None


def test_a_difference_between_runtimes_is_a_share_of_the_range():
    wanted = np.array([[100.0, 0.0], [140.0, 1.0]], np.float32)
    assert furthest(wanted + np.float32(0.4), wanted, values=True) == pytest.approx(0.4)
    assert furthest(wanted + np.array([0.4, 0], np.float32), wanted, values=True) == pytest.approx(0.01, rel=1e-3)
    assert furthest(wanted + np.float32(0.4), wanted, values=False) == pytest.approx(0.4, rel=1e-4)


def test_no_figure_of_a_surrogate_is_left_as_a_share():
    # A field that `explain_values` forgot to turn back would stay a share of the range.
    turned = {"coefficients", "interval", "intercept", "local_prediction", "rmse"}
    without_unit = {"p_sign", "r2", "effective_samples", "topk_repeat", "verdict"}
    assert turned | without_unit == set(fidelity.Explanation.__dataclass_fields__)


# What comes in


@pytest.mark.long
class TestImport:
    @pytest.mark.parametrize(
        ("words", "said", "code"),
        [
            (["--names", "age", "--classes", "a,b"], "--classes does not go with --output-kind value", 2),
            (["--unit", "months"], "--names is missing", 2),
            (["--names", "age", "--activation", "sigmoid"], "--activation sigmoid belongs to models", 2),
            (["--names", "age", "--multi-label"], "--multi-label belongs to models", 2),
            (["--names", "age,age"], "names 'age' twice", 2),
            (["--names", ""], "--names", 2),
            (["--names", "age", "--unit", "a\nb"], "cannot stand behind a number", 2),
            (["--names", "age", "--unit", "m" * 25], "at most 24 characters", 2),
            (["--names", "age,sex"], "one column per value of --names", 1),
        ],
    )
    def test_what_is_refused(self, run, words, said, code):
        before = sorted(run.store.rglob("*"))
        assert said in run.fails("import-model", "valued:redness", *VALUE, *words, code=code)
        assert sorted(run.store.rglob("*")) == before

    def test_names_and_a_unit_are_for_values(self, run):
        words = ["import-model", "valued:redness", "--size", SIZE, "--classes", "a,b"]
        assert "--unit months belongs to --output-kind value" in run.fails(*words, "--unit", "months", code=2)
        assert "use --classes instead" in run.fails(*words, "--names", "age", code=2)
        assert "--classes is missing" in run.fails("import-model", "valued:redness", "--size", SIZE, code=2)

    def test_numbers_alone_come_in(self, run):
        assert "NaN or infinity" in run.fails("import-model", "valued:broken", *VALUE, "--names", "age")
        assert "one column per value" in run.fails("import-model", "valued:wide", *VALUE, "--names", "age")

    def test_what_a_model_says_of_itself(self, run):
        model = run.artifact("import-model", "valued:redness", *VALUE, "--names", "red", "--unit", UNIT)
        assert model.facts["classes"] == ["red"]
        assert runtimes.answers_values(model)
        assert runtimes.unit_of(model) == UNIT
        # The unit is what numbers mean: another one is another model.
        other = run.artifact("import-model", "valued:redness", *VALUE, "--names", "red")
        assert other.id != model.id
        assert runtimes.unit_of(other) == ""


@pytest.fixture
def net():
    """Return a function that makes a tiny network of one linear unit, or of two."""
    keras = backend.keras()

    def make(outputs=1, activation=None):
        keras.utils.set_random_seed(3)
        inputs = keras.Input((SIZE, SIZE, 3))
        x = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
        x = keras.layers.GlobalAveragePooling2D()(x)
        layer = keras.layers.Dense(outputs, activation=activation, bias_initializer=keras.initializers.Constant(120.0))
        return keras.Model(inputs, layer(x))

    return make


@pytest.mark.long
class TestNetworks:
    NAMES = ("--output-kind", "value", "--names", "age", "--unit", UNIT, "--scaling", "0..1")

    def answers(self, run, model):
        found = run.artifact("predict", "masks", "--model", model, "--batch-size", 16)
        return found.read("probabilities")[:, 0]

    def test_keras(self, run, fitted, net, tmp_path):
        network = net()
        network.save(tmp_path / "age.keras")
        model = run.artifact("import-model", tmp_path / "age.keras", *self.NAMES, "--name", "age")
        assert model.facts["output"] == "value"
        images = fitted.input("datasets").read("images").astype(np.float32)
        assert np.allclose(self.answers(run, "age"), np.asarray(network(images / 255)), atol=1e-3)
        assert self.answers(run, "age").min() > 1
        # A linear unit that is imported as classes: the advice names both ways.
        said = run.fails("import-model", tmp_path / "age.keras", "--classes", "a,b", "--scaling", "0..1")
        assert "--activation sigmoid" in said
        assert "--output-kind value" in said

    def test_two_values_are_no_probability_and_its_complement(self, run, fitted, net, tmp_path):
        network = net(2)
        network.save(tmp_path / "two.keras")
        words = [each if each != "age" else "age,weight" for each in self.NAMES]
        run.json("import-model", tmp_path / "two.keras", *words, "--name", "two")
        images = fitted.input("datasets").read("images").astype(np.float32)
        assert np.allclose(self.answers(run, "two"), np.asarray(network(images / 255)), atol=1e-3)
        said = run.fails("import-model", tmp_path / "two.keras", *self.NAMES)
        assert "has 2 outputs, but --names names 1 values" in said

    def test_a_saved_model(self, run, fitted, net, tmp_path):
        if backend.keras().backend.backend() != "tensorflow":
            pytest.skip("a SavedModel is TensorFlow's")
        network = net()
        network.export(tmp_path / "exported", verbose=False)
        run.json("import-model", tmp_path / "exported", *self.NAMES, "--trust", "--name", "saved")
        images = fitted.input("datasets").read("images").astype(np.float32)
        assert np.allclose(self.answers(run, "saved"), np.asarray(network(images / 255)), atol=1e-3)

    def test_onnx_by_file_and_by_runtime(self, run, fitted, net, tmp_path):
        if importlib.util.find_spec("onnxruntime") is None or importlib.util.find_spec("tf2onnx") is None:
            pytest.skip("needs the extra `onnx`")
        network = net()
        network(np.zeros((1, SIZE, SIZE, 3), np.float32))  # Keras exports what has been called
        network.export(tmp_path / "age.onnx", format="onnx", verbose=False)
        run.json("import-model", tmp_path / "age.onnx", *self.NAMES, "--name", "as-onnx")
        images = fitted.input("datasets").read("images").astype(np.float32)
        wanted = np.asarray(network(images / 255))
        assert np.allclose(self.answers(run, "as-onnx"), wanted, atol=1e-3)
        network.save(tmp_path / "converted.keras")
        run.json("import-model", tmp_path / "converted.keras", *self.NAMES, "--name", "converted")
        result = run("predict", "masks", "--model", "converted", "--runtime", "onnx")
        assert result.exit_code == 0, result.stderr
        assert "of the range of the values at most" in result.stderr

    def test_a_torch_module_of_one_value_and_its_maps(self, run, fitted, tmp_path, monkeypatch):
        pytest.importorskip("torch")
        import torch

        (tmp_path / "seen.py").write_text(TORCH)
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()
        run.json("import-model", "seen:build", *self.NAMES, "--size", SIZE, "--name", "seen")
        network = importlib.import_module("seen").build().eval()
        images = torch.from_numpy(fitted.input("datasets").read("images").astype(np.float32) / 255)
        with torch.inference_mode():
            wanted = network(images.permute(0, 3, 1, 2)).numpy()
        assert wanted.min() > 1
        assert np.allclose(self.answers(run, "seen"), wanted, atol=1e-3)
        found = run.artifact("gradcam", "cells", "--model", "seen")
        assert found.read("probabilities") == pytest.approx(wanted, abs=1e-3)
        assert not np.isnan(found.read("coefficients")).any()

    def test_gradcam_follows_the_value_itself(self, run, fitted, net, tmp_path):
        # Behind a sigmoid the score of a class would be the logit; of a value it is the value.
        from facelime_cli.models import gradients, wrapping

        network = net(activation="sigmoid")
        network.layers[-1].set_weights([network.layers[-1].get_weights()[0] * 9, np.zeros(1, np.float32)])
        network.save(tmp_path / "severity.keras")
        run.json("import-model", tmp_path / "severity.keras", *self.NAMES, "--name", "severity")
        found = run.artifact("gradcam", "cells", "--model", "severity")
        assert not np.isnan(found.read("coefficients")).any()
        assert "unit" in found.facts
        loaded = wrapping.load(found.input("models").file("model.keras"))
        images = fitted.input("datasets").read("images")[:2]
        _, slopes = gradients.maps_and_gradients(loaded, found.facts["layer"], images, np.zeros(2, np.int64))
        p = np.asarray(loaded(images.astype(np.float32)))[:, 0]
        weights = network.layers[-1].get_weights()[0][:, 0]
        by_hand = (p * (1 - p))[:, None] * weights / slopes.shape[1] / slopes.shape[2]
        assert np.allclose(slopes.mean(axis=(1, 2)), by_hand, rtol=1e-3, atol=1e-9)
        report = run.artifact("render", found.id)
        said = sentences(report.path / "index.html")
        assert "of what the network's map holds for this value" in said
        assert not NO_WORDS.search(said), NO_WORDS.search(said)


# What is said of them


@pytest.mark.long
class TestExplained:
    def test_coefficients_are_what_each_region_adds_in_the_unit(self, fitted):
        segments, images = fitted.input("segments").read("segments"), fitted.input("datasets").read("images")
        for row in range(N):
            wanted = shares(images[row], segments[row])
            assert np.abs(fitted.read("coefficients")[row, 0] - wanted).max() < 1e-3
            assert fitted.read("local_prediction")[row, 0] == pytest.approx(wanted.sum(), abs=1e-3)
        assert fitted.read("r2").min() > 1 - 1e-6
        assert fitted.spec("coefficients").measure == fitted.spec("rmse").measure == UNIT
        assert fitted.facts["unit"] == UNIT
        assert fitted.input("predictions").spec("probabilities").measure == UNIT

    @pytest.mark.parametrize("name", ["ridge", "lasso", "forward", "bayesian-ridge"])
    def test_every_surrogate_finds_the_quadrant(self, run, fitted, name):
        found = run.artifact("fit-surrogate", "answers", "--surrogate", name)
        inside = shares(np.full((SIZE, SIZE, 3), 255, np.uint8), fitted.input("segments").read("segments")[0]) > 0
        coefficients = found.read("coefficients")[:, 0]
        assert (coefficients[:, inside].min(axis=1) > np.abs(coefficients[:, ~inside]).max(axis=1)).all()

    @pytest.mark.usefixtures("fitted")
    def test_shapley_values_add_up_to_the_value(self, run):
        masks = run.artifact("perturb", "cells", "--samples", 200, "--fill", "black", "--design", "shapley")
        predictions = run.artifact("predict", masks.id, "--model", "m")
        found = run.artifact("fit-surrogate", predictions.id, "--surrogate", "shapley")
        full = predictions.read("probabilities")[:, 0, 0]
        assert np.abs(found.read("coefficients")[:, 0].sum(axis=1) - full).max() < 1e-3

    def test_the_check_confirms_them_with_effects_in_the_unit(self, checked, fitted):
        assert set(checked.read("verdict").ravel()) <= {"strong", "fair"}
        assert checked.spec("effect").measure == UNIT
        segments, images = fitted.input("segments").read("segments"), fitted.input("datasets").read("images")
        fills, numbers = checked.facts["fills"], checked.facts["numbers"]
        for row in range(N):
            black = shares(images[row], segments[row])
            probabilities = checked.read("probabilities")[row, fills.index("black"), :, 0]
            kept = unpack(checked.read("masks")[row], len(black))[: checked.read("n_samples")[row]]
            assert np.abs(probabilities[: len(kept)] - kept @ black).max() < 1e-3
            # Without the first region, beyond the mean of each other one alone.
            first = np.sort(black)[::-1]
            wanted = first[0] - first[1:].mean()
            assert checked.read("effect")[row, 0, numbers.index(1), fills.index("black")] == pytest.approx(
                wanted, abs=1e-3
            )
            least = checked.read("least_effect")[row, 0]
            everything = checked.read("probabilities")[row, :, : len(kept), 0]
            assert least == pytest.approx(0.05 * np.ptp(everything.astype(np.float64)))

    def test_a_value_that_stands_still_is_nothing_to_explain(self, run):
        run.json("import-model", "valued:still", *VALUE, "--names", "steady", "--name", "still")
        run.json("predict", "masks", "--model", "still", "--name", "steady")
        found = run.artifact("fit-surrogate", "steady")
        assert set(found.read("verdict").ravel()) == {NOTHING}
        assert set(run.artifact("check", found.id).read("verdict").ravel()) == {NOTHING}

    def test_explain_speaks_in_the_unit_alone(self, run):
        found = run.artifact(
            "explain", "d", "--model", "m", "--samples", 60, "--segments", 16, "--first", 2, "--figures", "svg"
        )
        said = sentences(found.path / "index.html")
        assert not NO_WORDS.search(said), said[max(0, NO_WORDS.search(said).start() - 80) :][:200]
        assert re.search(r"means: keeping this region raises the estimate by [\d.]+ months, on average", said)
        assert "What raises and lowers red" in said
        assert re.search(r"the value is [\d.]+ months (lower|higher) than without", said)
        # The known value of the table stands beside the answer.
        assert re.search(r"red label [\d.]+ months [\d.]+ months", said)
        with (found.path / "predictions.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert rows[0].keys() == {"id", "red label", "red"}
        assert float(rows[0]["red"]) > 1
        (figure, *_) = found.path.glob("figures/*.svg")
        assert figure.stat().st_size
        told = run.json("show", found.id, "--format", "json")
        assert told["unit"] == UNIT
        assert told["pictures"][0]["explanations"][0]["value"] == pytest.approx(float(rows[0]["red"]))

    def test_the_terminal_speaks_in_the_unit(self, run, checked, tmp_path):
        said = run("show", checked.id, "--format", "text").stdout
        assert re.search(r"red [\d.]+ months, the label is [\d.]+ months", said)
        assert "months" in said
        assert not NO_WORDS.search(said), said
        regions = run.json("show", checked.id)["pictures"][0]["regions"]
        assert regions[0]["change"] == pytest.approx(np.nanmax(checked.input("surrogates").read("coefficients")[0]))
        for kind in ("predictions", "surrogates", "checks"):
            reference = {"predictions": "answers", "surrogates": "fitted", "checks": "checked"}[kind]
            run.json("show", reference, "--png", tmp_path / f"{kind}.png")
            assert (tmp_path / f"{kind}.png").stat().st_size

    @pytest.mark.usefixtures("fitted")
    def test_what_is_handed_over_says_the_unit(self, run, tmp_path):
        run.json("export", "fitted", "--to", tmp_path / "run.h5")
        with h5py.File(tmp_path / "run.h5") as file:
            found = {}
            file.visititems(lambda name, each: found.update({name: dict(each.attrs)}))
        (its,) = (attributes for name, attributes in found.items() if name.rpartition("/")[2] == "coefficients")
        assert its["unit"] == UNIT
        assert run("verify", "answers").exit_code == 0

    def test_other_methods_speak_in_the_unit(self, run, fitted):
        found = run.artifact("occlusion", "masks", "--model", "m")
        segments, images = fitted.input("segments").read("segments"), fitted.input("datasets").read("images")
        assert np.abs(found.read("coefficients")[0, 0] - shares(images[0], segments[0])).max() < 1e-3
        said = sentences(run.artifact("render", found.id).path / "index.html")
        assert "switching this region off alone lowers the estimate by" in said
        assert not NO_WORDS.search(said), NO_WORDS.search(said)

    def test_two_values_are_both_explained_and_contrasted(self, run, fitted):
        run.json("import-model", "valued:both", *VALUE, "--names", "red,green", "--unit", UNIT, "--name", "both")
        run.json("predict", "masks", "--model", "both", "--name", "both")
        pair = run.artifact("fit-surrogate", "predictions/both", "--surrogate", "linear")
        assert np.abs(pair.read("coefficients")[:, 0] - fitted.read("coefficients")[:, 0]).max() < 1e-3
        assert (pair.read("coefficients")[:, 1].min(axis=1) < -1).all()
        verdicts = run.artifact("check", pair.id).read("verdict")
        assert (verdicts != "").all()
        contrast = run.artifact("contrast", pair.id, "--class", "red", "--versus", "green")
        difference = pair.read("coefficients")[:, 0] - pair.read("coefficients")[:, 1]
        assert np.abs(contrast.read("coefficients")[:, 0] - difference).max() < 1e-3
        of_contrast = run.artifact("check", contrast.id)
        assert of_contrast.spec("effect").measure == UNIT
        said = sentences(run.artifact("render", of_contrast.id).path / "index.html")
        assert "red minus green" in said
        assert "raises red over green by" in said
        assert not NO_WORDS.search(said), NO_WORDS.search(said)

    def test_repeated_and_compared(self, run, fitted):
        views = [run.artifact("perturb", "cells", "--samples", 100, "--fill", fill).id for fill in ("black", "grey")]
        fits = [
            run.artifact("fit-surrogate", run.artifact("predict", each, "--model", "m").id, "--surrogate", "linear").id
            for each in views
        ]
        joined = run.artifact("consensus", *fits)
        assert joined.facts["unit"] == UNIT
        assert joined.spec("coefficients").measure == UNIT
        segments, images = fitted.input("segments").read("segments"), fitted.input("datasets").read("images")
        inside = shares(np.full((SIZE, SIZE, 3), 1, np.uint8), segments[0]) > 0
        grey = (shares(images[0], segments[0]) * 2 - 100 * 128 / 255 / 4 * inside) / 2
        assert np.abs(joined.read("coefficients")[0, 0] - grey).max() < 0.2
        said = sentences(run.artifact("render", run.artifact("check", joined.id).id).path / "index.html")
        assert not NO_WORDS.search(said), NO_WORDS.search(said)
        run.json("compare", *fits)
        assert run.json("stability", "fitted", "--repeats", 1)["pairs"]
        assert run.json("sensitivity", "fitted", "--fills", "black,grey")["pairs"]


# How well they answer


@pytest.mark.long
class TestEvaluated:
    def test_figures_against_a_table_column(self, run):
        found = run.artifact("evaluate", "m", "--dataset", "d", "--split", "all", "--bootstrap", 200)
        its = found.facts["values"]["red"]
        errors = [(-1) ** number * (number + 1) for number in range(N)]
        assert its["mae"] == pytest.approx(np.abs(errors).mean(), abs=1e-3)
        assert its["bias"] == pytest.approx(-np.mean(errors), abs=1e-3)
        assert its["groups"] == 3
        low, high = its["intervals"]["mae"]
        assert low <= its["mae"] <= high
        assert found.read("labels").shape == (N, 1)
        assert {each["column"] for each in found.facts["subgroups"]} == {"red", "other", "site"}
        assert [abs(each["error"]) for each in found.facts["mistakes"]] == pytest.approx([6, 5, 4, 3, 2, 1], abs=1e-3)
        assert {f"figures/{name}.png" for name in ("scatter", "bland-altman", "farthest-0")} <= set(found.made["files"])
        said = sentences(found.path / "index.html")
        assert "The mean absolute error of red is 3.50 months" in said
        assert not NO_WORDS.search(said), NO_WORDS.search(said)
        with (found.path / "predictions.csv").open() as file:
            assert next(csv.reader(file)) == ["id", "group", "red label", "red"]
        printed = run("evaluate", "m", "--dataset", "d", "--split", "all", "--bootstrap", 200).stderr
        assert "upper limit of agreement" in printed

    def test_another_column_may_be_named(self, run):
        words = ["evaluate", "m", "--dataset", "d", "--split", "all", "--bootstrap", 100]
        one, other = run.artifact(*words, "--truth", "other"), run.artifact(*words, "--truth", "red=other")
        assert one.id == other.id
        assert one.read("labels").ravel().tolist() == list(range(N))
        assert run.artifact(*words, "--truth", "red").id == run.artifact(*words).id

    @pytest.mark.parametrize(
        ("words", "said", "code"),
        [
            (["--truth", "nothing"], "no table column of numbers called 'nothing' (those of numbers: other, red)", 1),
            (["--truth", "site"], "no table column of numbers called 'site'", 1),
            (["--truth", "red", "--truth", "other"], "--truth 'red' should be VALUE=COLUMN", 2),
            (["--truth", "red=red", "--truth", "red=other"], "--truth names red twice", 2),
            (["--thresholds", "f1"], "--thresholds f1 is for models that answer with probabilities", 1),
            (["--target-recall", "red=0.9"], "is for models that answer with probabilities", 1),
            (["--split", "test"], "choose another --split, such as all", 1),
        ],
    )
    def test_what_is_refused(self, run, words, said, code):
        assert said in run.fails("evaluate", "m", "--dataset", "d", "--split", "all", *words, code=code)

    def test_models_are_compared_by_their_errors(self, run):
        run.json("import-model", "valued:still", *VALUE, "--names", "red", "--unit", UNIT, "--name", "worse")
        words = ["--dataset", "d", "--split", "all", "--bootstrap", 100]
        found = run.json("compare-models", "m", "worse", *words)
        (pair,) = found["pairs"]
        figures = [each["values"]["red"]["mae"] for each in found["models"]]
        assert pair["values"]["red"]["mae"]["difference"] == pytest.approx(figures[1] - figures[0])
        assert pair["values"]["red"]["mae"]["interval"][0] > 0
        assert "mcnemar" not in pair
        table = run("compare-models", "m", "worse", *words).stdout
        assert "mean absolute error (months)" in table
        run.json("import-model", "valued:redness", *VALUE, "--names", "red", "--unit", "years", "--name", "years")
        assert "in another unit" in run.fails("compare-models", "m", "years", *words)
