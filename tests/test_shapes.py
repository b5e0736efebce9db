"""Pictures that are not square, through every command. An exchange of height and width makes these tests fail.

The pictures are 24 rows of 40 pixels. A class differs from the other by a red mark in columns 31 to 38, which a picture
of 40 rows of 24 pixels does not have.
"""

import importlib.util
import itertools
import json
import re

import h5py
import numpy as np
import pytest
from PIL import Image

from facelime_cli.choices import FILLS, SEGMENTERS
from facelime_cli.core import compose, fills, lattices, shapes, superpixels, zones
from facelime_cli.core.masks import unpack
from facelime_cli.drawing import thumbnails
from facelime_cli.errors import BrokenError
from facelime_cli.models import backend, building, wrapping
from facelime_cli.models.backbones import BACKBONES
from facelime_cli.reporting import pages
from tests.browser import Browser, needs_chromium
from tests.support import Facelime, FewRounds, save_picture

HEIGHT, WIDTH = 24, 40
TYPED = "24x40"
PICTURES = 30
MARK = (slice(10, 20), slice(31, 39))
RED, BLUE = (220, 40, 40), (60, 110, 160)
CORNER = (slice(0, 8), slice(0, 10))
MANY = pytest.mark.long
TWO = ("--classes", "marked,plain", "--scaling", "0..1")


def picture_of(number):
    """Return a drawn picture: noise, a blue corner, and in every second one the mark."""
    rng = np.random.default_rng(number)
    image = rng.integers(90, 130, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    image[CORNER] = BLUE
    if number % 2:
        image[MARK] = RED
    return image


def write_pictures(folder):
    """Write the pictures by class, their masks of the truth, and maps that have the mark."""
    for number in range(PICTURES):
        image, name = picture_of(number), f"{('plain', 'marked')[number % 2]}/p{number:02d}"
        truth = np.zeros((HEIGHT, WIDTH), np.uint8)
        truth[MARK] = 255 * (number % 2)
        save_picture(folder / "pictures" / f"{name}.png", image)
        save_picture(folder / "truth" / f"{name}.png", truth)
        redder = image[..., 0].astype(int) - image[..., 1]
        save_picture(folder / "maps" / f"{name}.png", redder.clip(0, 255).astype(np.uint8))
        np.save(folder / "maps" / "unused.npy", np.ones((2, 2)))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("marks"))


def seer():
    """Return a network that looks at the place of the mark alone: how much redder it is there than green."""
    keras = backend.keras()
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = keras.layers.Conv2D(1, 1, activation="relu", name="redness")(inputs)
    x = keras.layers.Flatten()(x)
    made = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    there = np.zeros((HEIGHT, WIDTH))
    there[MARK] = 1 / there[MARK].size
    weights = 8 * np.stack([there.ravel(), -there.ravel()], axis=1)
    made.set_weights([np.array([1.0, -1.0, 0.0]).reshape(1, 1, 3, 1), np.zeros(1), weights, np.array([-2.0, 2.0])])
    return made


@pytest.fixture(scope="module")
def marks(folder, tmp_path_factory):
    """A store with the dataset, and a network that tells the classes apart."""
    run = FewRounds(tmp_path_factory.mktemp("shapes") / "store")
    words = ["--size", TYPED, "--split", "60:20:20", "--truth", folder / "truth", "--workers", 1]
    run.json("preprocess", folder / "pictures", *words, "--name", "marks")
    seer().save(folder / "seer.keras")
    run.json("import-model", folder / "seer.keras", *TWO, "--name", "net")
    run.json("segment", "marks", "--method", "grid", "--segments", 15, "--name", "cells", "--workers", 1, *marked())
    return run


def marked(*numbers):
    """Return the words that choose marked pictures."""
    return ["--images", ",".join(f"p{number:02d}" for number in numbers or (1, 3, 5))]


@pytest.fixture(scope="module")
def explained(marks):
    """Masks, predictions and surrogates of three marked pictures."""
    found = {"perturb": marks.artifact("perturb", "cells", "--samples", 100, "--workers", 1)}
    found["predict"] = marks.artifact("predict", found["perturb"].id, "--model", "net", "--batch-size", 32)
    found["fit"] = marks.artifact("fit-surrogate", found["predict"].id, "--workers", 1)
    return found


def place_of_the_strongest(surrogates, row=0):
    """Return row and column of the middle of the segment that speaks most for the mark's class."""
    segments = surrogates.input("segments").read("segments")[row]
    assert segments.shape == (HEIGHT, WIDTH)
    c = surrogates.facts["classes"].index("marked")
    strongest = int(np.nanargmax(surrogates.read("coefficients")[row, c]))
    rows, columns = np.nonzero(segments == strongest)
    return rows.mean(), columns.mean()


def check_finds_the_mark(surrogates, row=0):
    y, x = place_of_the_strongest(surrogates, row)
    assert 8 <= y <= 21
    assert 28 <= x < WIDTH


# Sizes


def test_a_square_is_the_same_however_it_is_typed(facelime, folder):
    words = ["preprocess", folder / "pictures" / "plain" / "p00.png", "--workers", 1, "--size"]
    square = facelime.artifact(*words, "24")
    assert square.facts["size"] == square.parameters["size"] == 24
    for text in ("24x24", "24×24", "24X24", "024x24"):
        again = facelime.json(*words, text)
        assert (again["artifact"], again["reused"]) == (square.id, True)
    assert facelime.artifact(*words, "24×40").id == facelime.artifact(*words, "24x40").id
    assert facelime.artifact(*words, "40x24").shape("images") == (1, 40, 24, 3)


def test_the_dataset_has_the_pictures_as_they_are(marks, folder):
    dataset = marks.artifact("segment", "marks", "--method", "grid", "--segments", 15, *marked()).input("datasets")
    assert dataset.facts["size"] == dataset.parameters["size"] == [HEIGHT, WIDTH]
    assert dataset.shape("images") == (PICTURES, HEIGHT, WIDTH, 3)
    assert dataset.shape("truth") == (PICTURES, HEIGHT, WIDTH)
    for row, name in enumerate(dataset.texts("id")):
        stored = np.asarray(Image.open(folder / "pictures" / f"{name}.png"))
        assert np.array_equal(dataset.read("images", [row])[0], stored)
        assert dataset.read("truth", [row])[0].sum() == 80 * name.startswith("marked")
    assert f"--size {TYPED} " in pages.command(dataset) + " "


@pytest.mark.parametrize(("height", "width", "count"), [(16, 200, 10), (200, 16, 10), (24, 40, 15), (16, 400, 97)])
def test_narrow_pictures_have_their_cells(height, width, count):
    cells = lattices.squares((height, width), count)
    assert cells.shape == (height, width)
    assert np.bincount(cells.ravel()).size == count
    rows, columns = (np.ptp(each) + 1 for each in np.nonzero(cells == 0))
    assert rows / columns == pytest.approx(1, abs=0.7)
    honeycomb = np.bincount(lattices.hexagons((height, width), count).ravel())
    assert honeycomb.min() > 0
    assert honeycomb.size == pytest.approx(count, rel=0.3)
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    basins = superpixels.segment(noise, "watershed", {"segments": count, "compactness": 0.001, "sigma": 2.0})
    assert basins.max() + 1 == count


def test_the_blur_follows_the_area():
    assert fills.usual_sigma(96) == fills.usual_sigma([96, 96]) == 9.6
    assert fills.usual_sigma([24, 40]) == fills.usual_sigma([40, 24]) == round(0.1 * 960**0.5, 3)


def test_zones_of_a_face_that_is_not_found_are_those_of_a_square_in_the_middle():
    wide, high = np.zeros((60, 100, 3), np.uint8), np.zeros((100, 60, 3), np.uint8)
    square = zones.face(np.zeros((60, 60, 3), np.uint8)).zones
    assert np.array_equal(zones.face(wide).zones[:, 20:80], square)
    assert np.array_equal(zones.face(high).zones[20:80], square)
    assert not zones.face(wide).zones[:, :20].any()


def test_padding_that_would_fill_the_memory(facelime, tmp_path):
    """At 4096 rows of 16 pixels, a picture of moderate size would become one of 768,000 rows."""
    Image.new("1", (3_000, 1_000)).save(tmp_path / "wide.png")
    Image.fromarray(picture_of(1)).save(tmp_path / "small.png")
    result = facelime("preprocess", tmp_path, "--size", "4096x16", "--fit", "pad", "--workers", 1)
    assert result.exit_code == 0
    assert (
        "wide.png has 3000×1000 pixels, which --fit pad makes a picture in the proportions of 4096×16" in result.stderr
    )


# Composition and runtimes


def test_composed_pictures_are_those_of_numpy(explained):
    """What the compiled call answers is what the saved network answers for pictures composed by the formula."""
    masks, predictions = explained["perturb"], explained["predict"]
    network = wrapping.load(predictions.input("models").file("model.keras"))
    assert network.inputs[0].shape[1:] == (HEIGHT, WIDTH, 3)
    segments = masks.input("segments").read("segments")
    rows = masks.input("segments").read("row").tolist()
    images = masks.input("datasets").read("images", rows)
    for row, labels in enumerate(segments):
        kept = unpack(masks.read("masks")[row], int(labels.max()) + 1)
        pictures = np.where(kept[:, labels][..., None], images[row], masks.read("fill")[row])
        wanted = np.asarray(network(pictures.astype(np.float32)))
        found = predictions.read("probabilities")[row]
        assert np.ptp(found[:, 0]) > 0.3
        assert np.abs(found - wanted).max() < 1e-5


def test_the_mark_at_the_far_right_is_found(explained):
    for row in range(3):
        check_finds_the_mark(explained["fit"], row)


@pytest.mark.parametrize("runtime", ["onnx", pytest.param("openvino", marks=MANY)])
def test_other_runtimes_agree(marks, explained, runtime):
    if importlib.util.find_spec({"onnx": "tf2onnx", "openvino": "openvino"}[runtime]) is None:
        pytest.skip(f"needs the extra {runtime}")
    found = marks.artifact("predict", explained["perturb"].id, "--model", "net", "--runtime", runtime)
    assert found.parameters["runtime"] == runtime
    assert np.abs(found.read("probabilities") - explained["predict"].read("probabilities")).max() < 1e-4


def test_another_size_is_refused_height_first(marks, folder):
    one = folder / "pictures" / "marked" / "p01.png"
    marks.json("preprocess", one, "--size", "40x24", "--name", "turned", "--workers", 1)
    said = marks.fails("explain", "turned", "--model", "net")
    assert "reads pictures of 24×40" in said
    assert "are 40×24; preprocess them again with --size 24x40" in said


def test_resized_pictures_are_those_of_pillow(rng):
    image = rng.integers(0, 256, (2, 30, 50, 3)).astype(np.float32)
    found = compose.resized(image, (HEIGHT, WIDTH))
    assert found.shape == (2, HEIGHT, WIDTH, 3)
    red = Image.fromarray(image[1, ..., 0]).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    assert np.array_equal(found[1, ..., 0], np.asarray(red))


@MANY
def test_resize_stretches_another_aspect_ratio_and_says_so(marks, folder):
    """Twice the size is the same picture; with another aspect ratio there is a warning, and runtimes agree."""
    answers = {}
    runtimes = ["keras", *(["onnx"] if importlib.util.find_spec("tf2onnx") else [])]
    for size in ("48x80", "32"):
        marks.json("preprocess", folder / "pictures", "--size", size, "--name", f"of-{size}", "--workers", 1)
        words = ["--method", "grid", "--segments", 15, "--name", f"cells-{size}", "--workers", 1, *marked()]
        marks.json("segment", f"of-{size}", *words)
        masks = marks.artifact("perturb", f"cells-{size}", "--samples", 40, "--workers", 1)
        assert "or add --resize" in marks.fails("predict", masks.id, "--model", "net")
        for runtime in runtimes:
            result = marks("predict", masks.id, "--model", "net", "--resize", "--runtime", runtime, "--json")
            assert result.exit_code == 0, result.stderr
            assert ("--resize stretches pictures of 32×32 to 24×40" in result.stderr) == (size == "32")
            answers[size, runtime] = marks.artifact(
                "predict", masks.id, "--model", "net", "--resize", "--runtime", runtime
            ).read("probabilities")
        assert np.abs(answers[size, "keras"] - answers[size, runtimes[-1]]).max() < 1e-3
    assert (answers["48x80", "keras"][:, 0, 0] > 0.5).all()


# Segments


@MANY
@pytest.mark.parametrize(
    "words",
    [
        *([name, "--segments", 12] for name in SEGMENTERS if name not in {"file", "zones"}),
        ["grid", "--cell", "hexagon", "--segments", 14],
        ["zones", "--zones", "lungs"],
        ["zones", "--zones", "face"],
    ],
    ids=lambda words: "-".join(map(str, words)),
)
def test_every_method_finds_the_mark(marks, words):
    segments = marks.artifact("segment", "marks", "--method", *words, *marked(1), "--workers", 1)
    assert segments.shape("segments") == (1, HEIGHT, WIDTH)
    masks = marks.artifact("perturb", segments.id, "--samples", 200, "--workers", 1)
    predictions = marks.artifact("predict", masks.id, "--model", "net", "--batch-size", 32)
    surrogates = marks.artifact("fit-surrogate", predictions.id, "--workers", 1)
    labels = segments.read("segments")[0]
    c = surrogates.facts["classes"].index("marked")
    strongest = int(np.nanargmax(surrogates.read("coefficients")[0, c]))
    # The zones of a face lie in the middle, so that the rest around them has the mark.
    assert (labels[MARK] == strongest).mean() > 0.15
    assert np.unique(labels[MARK]).tolist() != np.unique(labels).tolist()


def test_limits_are_those_of_the_whole_picture(marks):
    words = ["segment", "marks", "--method", "slic", *marked(1)]
    assert "--segments 961 is beyond pictures of 24×40 pixels; give at most 960" in marks.fails(
        *words, "--segments", 961
    )
    assert "--min-size 961 is beyond pictures of 24×40" in marks.fails(*words, "--min-size", 961)
    assert "--sigma 41 is beyond pictures of 24×40 pixels; give at most 40" in marks.fails(*words, "--sigma", 41)


@MANY
def test_label_maps_are_as_large_as_the_picture_or_a_whole_fraction(marks, tmp_path):
    labels = np.arange(60).reshape(6, 10)
    (tmp_path / "marked").mkdir()
    np.save(tmp_path / "marked" / "p01.npy", labels)
    words = ["segment", "marks", "--method", "file", "--labels", tmp_path, *marked(1)]
    found = marks.artifact(*words).read("segments")[0]
    assert np.array_equal(found, labels.repeat(4, axis=0).repeat(4, axis=1))
    np.save(tmp_path / "marked" / "p01.npy", labels.T)
    assert "p01.npy is 10×6, but the dataset's pictures are 24×40 (height first)" in marks.fails(*words)


# Fills


@MANY
@pytest.mark.parametrize("fill", [name for name, entry in FILLS.items() if not entry.from_file])
def test_every_fill_finds_the_mark(marks, fill):
    masks = marks.artifact("perturb", "cells", "--samples", 100, "--fill", fill, "--workers", 1)
    assert masks.shape("fill") == (3, HEIGHT, WIDTH, 3)
    predictions = marks.artifact("predict", masks.id, "--model", "net", "--batch-size", 32)
    surrogates = marks.artifact("fit-surrogate", predictions.id, "--workers", 1)
    check_finds_the_mark(surrogates)


@MANY
def test_a_file_stands_in_at_the_size_of_the_pictures(marks, folder):
    other = folder / "pictures" / "plain" / "p00.png"
    masks = marks.artifact("perturb", "cells", "--samples", 40, "--fill", f"image:{other}", "--workers", 1)
    assert np.array_equal(masks.read("fill")[0], picture_of(0))
    blurred = marks.artifact("perturb", "cells", "--samples", 40, "--fill", "blur", "--workers", 1)
    assert blurred.parameters["fill_sigma"] == fills.usual_sigma([HEIGHT, WIDTH])


# Everything that reads an explanation


@pytest.fixture(scope="module")
def consensus(marks, explained):
    blurred = marks.artifact("perturb", "cells", "--samples", 80, "--fill", "blur", "--workers", 1)
    predictions = marks.artifact("predict", blurred.id, "--model", "net", "--batch-size", 32)
    witness = marks.artifact("fit-surrogate", predictions.id, "--workers", 1)
    return marks.artifact("consensus", explained["fit"].id, witness.id)


@MANY
def test_a_consensus_and_its_check(marks, consensus):
    check_finds_the_mark(consensus)
    check = marks.artifact("check", consensus.id)
    n_fills = len(check.facts["fills"])
    assert check.shape("fill") == (3, n_fills, HEIGHT, WIDTH, 3)
    c = check.facts["classes"].index("marked")
    labels = consensus.input("segments").read("segments")[0]
    # The first region that is switched off has the mark, and without it the model changes its mind.
    assert (labels[MARK] == check.read("regions")[0, c, 0]).mean() > 0.15
    assert (check.read("effect")[0, c, 0] > 0).all()
    report = marks.artifact("render", check.id)
    assert (report.path / "index.html").exists()


@MANY
@pytest.mark.parametrize("command", ["gradcam", "occlusion"])
def test_explanations_without_masks(marks, explained, command):
    found = marks.artifact(command, explained["perturb"].id if command == "occlusion" else "cells", "--model", "net")
    check_finds_the_mark(found)
    if command == "gradcam":
        maps = found.read("maps")[0, found.facts["classes"].index("marked")]
        assert maps.shape == (HEIGHT, WIDTH)
        y, x = np.unravel_index(maps.argmax(), maps.shape)
        assert 8 <= y <= 21
        assert x >= 28


@MANY
def test_maps_from_elsewhere(marks, folder):
    found = marks.artifact("import-maps", "cells", "--model", "net", "--maps", folder / "maps")
    check_finds_the_mark(found)


@MANY
def test_layers_and_their_maps(marks, folder, tmp_path):
    words = [
        "activations",
        "net",
        folder / "pictures" / "marked" / "p01.png",
        "--layers",
        "all",
        "--to",
        tmp_path / "m",
    ]
    told = marks.json(*words)
    shapes_of = {each["layer"].rpartition("/")[2]: each["shape"] for each in told["layers"]}
    assert shapes_of["redness"] == [HEIGHT, WIDTH, 1]
    assert shapes_of["input_scaling"] == [HEIGHT, WIDTH, 3]
    drawn = {each["layer"]: Image.open(each["file"]).size for each in told["drawn"]}
    assert drawn["input_scaling"] == (2 * WIDTH + 1, 2 * HEIGHT + 1)


@MANY
def test_the_other_commands(marks, explained, consensus, tmp_path):
    fit = explained["fit"].id
    contrast = marks.artifact("contrast", fit, "--class", "marked", "--versus", "plain")
    labels = explained["fit"].input("segments").read("segments")[0]
    assert (labels[MARK] == int(np.nanargmax(contrast.read("coefficients")[0, 0]))).mean() > 0.15
    assert marks.artifact("evaluate", "net", "--dataset", "marks").facts["accuracy"] > 0.9
    described = marks.artifact("describe", "marks")
    assert f"{PICTURES} pictures of 24×40 pixels" in (described.path / "index.html").read_text()
    assert "24x40" in (described.path / "index.html").read_text()
    compared = marks.artifact("compare", fit, consensus.id)
    assert compared.complete
    assert marks("stability", fit, "--stored", 2).exit_code == 0
    assert marks("sensitivity", fit, "--fills", "grey", "--methods", "slic").exit_code == 0
    marks.json("export", "datasets/marks", "--to", tmp_path / "marks.h5")
    with h5py.File(tmp_path / "marks.h5") as out:
        dataset = explained["perturb"].input("datasets")
        assert np.array_equal(out["images"][:], dataset.read("images"))
        assert np.array_equal(out["truth"][:], dataset.read("truth"))
        assert [each.label for each in out["images"].dims] == ["picture", "y", "x", "channel"]
    assert marks.json("verify")["faults"] == []


def test_a_preview_in_the_terminal(marks, explained, tmp_path):
    shown = marks("show", explained["fit"].id, "--format", "text", "--images", "p01", "--classes", "marked").stdout
    lines = [line for line in shown.splitlines() if re.fullmatch(r"[ .:oO@+-]{48}", line)]
    assert len(lines) == round(48 * HEIGHT / WIDTH / 2)
    # Half of the mark is in the cell of the picture's right end.
    assert lines[8].rstrip(" .:oO@-").rfind("+") > 40
    marks.json("show", explained["fit"].id, "--png", tmp_path / "fit.png", "--images", "p01", "--classes", "marked")
    assert Image.open(tmp_path / "fit.png").size[0] > 100


def test_a_tall_picture_fits_into_a_terminal():
    """A picture ten times as high as wide is drawn narrower, not ten times as high."""
    shapes_of = {(24, 40): 48, (96, 48): 48, (400, 40): 9, (4096, 16): 1}
    for sides, columns in shapes_of.items():
        image = np.zeros((*sides, 3), np.uint8)
        assert thumbnails.across(image, 48) == columns
        rows = thumbnails.coloured(image, np.zeros(sides, np.uint16), np.ones(1), 1, columns)
        assert len(rows) <= 256


@MANY
def test_a_picture_is_prepared_at_the_models_size(marks, tmp_path):
    large = np.asarray(Image.fromarray(picture_of(1)).resize((400, 240), Image.Resampling.NEAREST))
    save_picture(tmp_path / "large.png", large)
    words = ["explain", tmp_path / "large.png", "--model", "net", "--method", "grid", "--segments", 15]
    report = marks.artifact(*words, "--samples", 100, "--views", "single", "--workers", 1)
    surrogates = report.input("surrogates")
    assert surrogates.input("datasets").facts["size"] == [HEIGHT, WIDTH]
    check_finds_the_mark(surrogates)


# The report


@pytest.fixture(scope="module")
def report(marks, explained):
    return marks.artifact("render", explained["fit"].id)


def test_the_page_draws_pictures_as_they_are(report):
    page = (report.path / "index.html").read_text()
    assert 'viewBox="0 0 40 24"' in page
    assert 'viewBox="0 0 24 40"' not in page
    assert 'width="40" height="24"' in page
    assert "calc(1px * 0.0930)" in page
    for picture in (report.path / "pictures").rglob("*.jpg"):
        assert Image.open(picture).size == (WIDTH, HEIGHT)
    assert next((report.path / "pictures").rglob("*.jpg"), None) is not None


@needs_chromium
@MANY
def test_a_browser_distorts_nothing(report):
    with Browser() as browser:
        browser.open(report.path / "index.html")
        for selector in (".map svg.regions", ".map .photo, .map img"):
            ratios = browser.ask(
                f"[...document.querySelectorAll({json.dumps(selector)})].map(each => each.getBoundingClientRect())"
                ".filter(box => box.width > 0).map(box => box.width / box.height)"
            )
            assert ratios
            assert ratios == pytest.approx([WIDTH / HEIGHT] * len(ratios), rel=0.01)
        # The overview shows the whole picture in its square.
        assert browser.ask("getComputedStyle(document.querySelector('.overview .thumb img')).objectFit") == "contain"
        assert browser.console == []


# Models from elsewhere


def network(height, width, channels=3):
    """Return a network that says how red the right end of its pictures is; its sides may be open."""
    keras = backend.keras()
    inputs = keras.Input((height, width, channels))
    x = keras.layers.Conv2D(2, 3, padding="same", activation="relu")(inputs)
    x = keras.layers.GlobalMaxPooling2D()(x)
    made = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    made.set_weights([np.random.default_rng(5).normal(0, 1, each.shape) for each in made.get_weights()])
    return made


@pytest.mark.parametrize(
    ("sides", "typed", "size"),
    [
        ((24, 40), None, [24, 40]),
        ((24, 40), "24x40", [24, 40]),
        ((24, None), "24x40", [24, 40]),
        ((None, 40), "24x40", [24, 40]),
        ((None, None), "24x40", [24, 40]),
        ((None, None), "24", 24),
        ((24, None), None, 24),
    ],
)
def test_a_keras_file(facelime, tmp_path, sides, typed, size):
    made = network(*sides)
    made.save(tmp_path / "net.keras")
    more = [] if typed is None else ["--size", typed]
    model = facelime.artifact("import-model", tmp_path / "net.keras", *TWO, *more, "--name", "m")
    assert model.facts["size"] == size
    assert ("--size" in pages.command(model)) == (typed is not None)
    height, width = shapes.sides(size)
    pictures = np.random.default_rng(1).integers(0, 256, (2, height, width, 3)).astype(np.float32)
    own = wrapping.load(model.file("model.keras"))(pictures).numpy()
    assert np.abs(own - made(pictures / 255).numpy()).max() < 1e-5


@pytest.mark.parametrize(
    ("sides", "typed", "said"),
    [
        ((24, 40), "40x24", "reads pictures of 24×40, not of 40×24; leave --size out"),
        ((24, 40), "24", "reads pictures of 24×40, not of 24×24; leave --size out"),
        ((24, None), "40x24", "reads pictures of 24×any width, not of 40×24; give one that fits, height first"),
        ((None, 40), "24", "reads pictures of any height×40, not of 24×24; give one that fits, height first"),
        ((None, None), None, "takes pictures of any size; choose one with --size"),
    ],
)
def test_a_size_that_is_not_the_networks(facelime, tmp_path, sides, typed, said):
    network(*sides).save(tmp_path / "net.keras")
    more = [] if typed is None else ["--size", typed]
    assert said in facelime.fails("import-model", tmp_path / "net.keras", *TWO, *more)


def onnx_file(path, *, first, sides):
    """Write an ONNX file that answers the softmax of twice the mean of two columns of its red, at the far right."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper

    height, width = sides
    shape = ["n", 3, height, width] if first else ["n", height, width, 3]
    place = [(0, 0, 10, 31), (1, 1, 20, 39)] if first else [(0, 10, 31, 0), (1, 20, 39, 1)]
    starts, ends = ([*each[1:]] for each in place)
    given = {"starts": starts, "ends": ends, "axes": [1, 2, 3]}
    made = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Slice", ["x", "starts", "ends", "axes"], ["cut"]),
                helper.make_node("ReduceMean", ["cut"], ["mean"], axes=[1, 2, 3], keepdims=0),
                helper.make_node("Unsqueeze", ["mean", "one"], ["column"]),
                helper.make_node("MatMul", ["column", "weights"], ["scores"]),
                helper.make_node("Softmax", ["scores"], ["y"], axis=1),
            ],
            "mark",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
            [
                *(helper.make_tensor(name, TensorProto.INT64, [3], values) for name, values in given.items()),
                helper.make_tensor("one", TensorProto.INT64, [1], [1]),
                helper.make_tensor("weights", TensorProto.FLOAT, [1, 2], [4.0, -4.0]),
            ],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.save(made, path)
    return path


@pytest.mark.parametrize(
    ("first", "sides"),
    [
        pytest.param(True, (24, 40), id="first"),
        pytest.param(False, (24, 40), id="last", marks=MANY),
        pytest.param(True, ("h", "w"), id="first-open", marks=MANY),
        pytest.param(False, ("h", 40), id="last-half-open"),
    ],
)
def test_an_onnx_file(marks, explained, tmp_path, first, sides):
    name = f"mark-{first}-{sides[0]}"
    path = onnx_file(tmp_path / f"{name}.onnx", first=first, sides=sides)
    is_open = "h" in sides
    words = ["import-model", path, *TWO, "--name", name]
    model = marks.artifact(*words, *(["--size", TYPED] if is_open else []))
    assert model.facts["size"] == [HEIGHT, WIDTH]
    assert model.facts["around"]["channels_first"] == first
    masks = explained["perturb"]
    answers = marks.artifact("predict", masks.id, "--model", name, "--batch-size", 32).read("probabilities")
    segments = masks.input("segments")
    images = masks.input("datasets").read("images", segments.read("row").tolist())
    for row, labels in enumerate(segments.read("segments")):
        kept = unpack(masks.read("masks")[row], int(labels.max()) + 1)
        pictures = np.where(kept[:, labels][..., None], images[row], masks.read("fill")[row])
        scores = 4 * pictures[:, 10:20, 31:39, 0].mean(axis=(1, 2)) / 255
        wanted = 1 / (1 + np.exp(-2 * scores))
        assert np.abs(answers[row, :, 0] - wanted).max() < 1e-4
    if is_open:
        return
    assert "reads pictures of 24×40, not of 40×24" in marks.fails(*words, "--size", "40x24")
    if importlib.util.find_spec("openvino"):
        other = marks.artifact("predict", masks.id, "--model", name, "--batch-size", 32, "--runtime", "openvino")
        assert np.abs(other.read("probabilities") - answers).max() < 1e-4


FUNCTION = """
import numpy as np

def classify(pictures):
    assert pictures.shape[1:] == (24, 40, 3)
    red = pictures[:, 10:20, 31:39, 0].mean(axis=(1, 2))
    return np.stack([1 - red, red], axis=1)
"""


def test_a_python_function(marks, explained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "right_end.py").write_text(FUNCTION)
    importlib.invalidate_caches()
    words = ["import-model", "right_end:classify", "--classes", "plain,marked", "--name", "function"]
    assert "--size is missing" in marks.fails(*words, code=2)
    assert "failed on an array of (3, 40, 24, 3)" in marks.fails(*words, "--size", "40x24")
    model = marks.artifact(*words, "--size", TYPED)
    assert model.facts["size"] == model.parameters["size"] == [HEIGHT, WIDTH]
    found = marks.artifact("predict", explained["perturb"].id, "--model", "function", "--batch-size", 32)
    surrogates = marks.artifact("fit-surrogate", found.id, "--workers", 1)
    check_finds_the_mark(surrogates)


@MANY
def test_a_saved_model(marks, explained, tmp_path):
    made = network(HEIGHT, WIDTH)
    made.export(tmp_path / "exported", verbose=False)
    model = marks.artifact("import-model", tmp_path / "exported", *TWO, "--trust", "--name", "saved")
    assert model.facts["size"] == [HEIGHT, WIDTH]
    answers = marks.artifact("predict", explained["perturb"].id, "--model", "saved").read("probabilities")
    images = np.stack([picture_of(number) for number in (1, 3, 5)]).astype(np.float32)
    assert np.abs(answers[:, 0] - made(images / 255).numpy()).max() < 1e-5


@MANY
def test_published_networks_are_built_and_take_weights(facelime, folder, tmp_path):
    """Weights of a network of keras.applications at 33×40, and one that is trained at this size."""
    keras = backend.keras()
    whole = keras.applications.MobileNetV2(weights=None, classes=2, input_shape=(33, 40, 3))
    whole.save_weights(tmp_path / "net.weights.h5")
    words = ["--classes", "plain,marked", "--scaling", "-1..1", "--backbone", "mobilenetv2", "--size", "33x40"]
    model = facelime.artifact("import-model", tmp_path / "net.weights.h5", *words, "--name", "published")
    assert model.facts["size"] == [33, 40]
    assert "--size 33x40" in pages.command(model)
    pictures = np.random.default_rng(1).integers(0, 256, (2, 33, 40, 3)).astype(np.float32)
    found = wrapping.load(model.file("model.keras"))(pictures).numpy()
    assert np.abs(found - whole(pictures / 127.5 - 1).numpy()).max() < 1e-5
    facelime.json("preprocess", folder / "pictures", "--size", "33x40", "--name", "small", "--workers", 1)
    more = ["--backbone", "mobilenetv2", "--weights", "none", "--epochs", 1, "--steps-per-epoch", 1]
    trained = facelime.artifact("finetune", "small", *more)
    assert trained.facts["size"] == [33, 40]
    assert wrapping.load(trained.file("model.keras")).inputs[0].shape[1:] == (33, 40, 3)


@MANY
def test_a_network_learns_the_mark(marks):
    words = ["--backbone", "cnn", "--epochs", 30, "--learning-rate", 0.003, "--batch-size", 8, "--name", "learned"]
    learned = marks.artifact("finetune", "marks", *words)
    assert learned.facts["size"] == [HEIGHT, WIDTH]
    assert marks.artifact("evaluate", "learned").facts["accuracy"] > 0.9
    masks = marks.artifact("perturb", "cells", "--samples", 200, "--fill", "grey", "--workers", 1)
    predictions = marks.artifact("predict", masks.id, "--model", "learned", "--batch-size", 32)
    check_finds_the_mark(marks.artifact("fit-surrogate", predictions.id, "--workers", 1))
    check_finds_the_mark(marks.artifact("occlusion", masks.id, "--model", "learned"))


@pytest.mark.parametrize("backbone", [name for name, entry in BACKBONES.items() if not entry.application])
def test_own_networks_are_built(backbone):
    entry = BACKBONES[backbone]
    what = building.Architecture(
        backbone, [HEIGHT, WIDTH], 2, pooling=entry.pooling, head=entry.head, dropout=entry.dropout
    )
    assert building.build(what).whole.inputs[0].shape[1:] == (HEIGHT, WIDTH, 3)


@MANY
@pytest.mark.parametrize("backbone", ["ann", "cnn-deep", "cnn-skin", "cnn-small"])
def test_own_networks_are_trained(marks, backbone):
    trained = marks.artifact(
        "finetune",
        "marks",
        "--backbone",
        backbone,
        "--epochs",
        1,
        "--augment",
        "flip=both,rotation=5,zoom=0.1,shift=0.1",
    )
    assert trained.facts["size"] == [HEIGHT, WIDTH]


# Real pictures


@MANY
@needs_chromium
def test_real_skin_lesions_at_the_size_of_many_networks(data, tmp_path):
    """HAM10000's pictures are 450 rows of 600 pixels: at 75x100 nothing is stretched."""
    run = Facelime(tmp_path / "store")
    folder = data / "skin"
    if not folder.is_dir():
        pytest.skip(f"no pictures at {folder}: set FACELIME_DATA to a folder that holds them")
    found = {each: sorted(path for path in folder.rglob("*.jpg")) for each in ("jpg",)}["jpg"][:40]
    for number, path in enumerate(found):
        save_picture(tmp_path / "some" / "ab"[number % 2] / f"{path.stem}.png", np.asarray(Image.open(path)))
    run.json("preprocess", tmp_path / "some", "--size", "75x100", "--name", "skin")
    run.json("finetune", "skin", "--backbone", "cnn", "--epochs", 2, "--name", "net")
    report = run.artifact("explain", "skin", "--model", "net", "--first", 2, "--samples", 100)
    dataset = report.input("datasets")
    assert dataset.shape("images")[1:] == (75, 100, 3)
    with Browser() as browser:
        browser.open(report.path / "index.html")
        browser.picture(tmp_path / "page.png", whole=True)
        ratios = browser.ask(
            "[...document.querySelectorAll('.map svg.regions')].map(each => each.getBoundingClientRect())"
            ".filter(box => box.width > 0).map(box => box.width / box.height)"
        )
        assert ratios == pytest.approx([100 / 75] * len(ratios), rel=0.01)
        assert browser.console == []
        assert all(url.startswith(("file:", "data:")) for url in browser.requests)


@pytest.mark.parametrize("size", ["224", [75], [75, 100, 3], [75, "100"], [0, 100], -1, None, {}, 75.0, [75.0, 100]])
def test_what_a_stranger_writes_as_a_size_is_refused(size):
    with pytest.raises(BrokenError, match="should be a size of pictures"):
        shapes.sides(size)


def test_all_pairs_of_sides_survive_a_round_trip():
    for height, width in itertools.product((16, 75, 100, 4096), repeat=2):
        size = shapes.parsed(f"{height}x{width}")
        assert shapes.sides(size) == (height, width)
        assert shapes.parsed(shapes.typed(size)) == size == json.loads(json.dumps(size))
        assert shapes.shown(size) == f"{height}×{width}"
