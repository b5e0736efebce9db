"""`segment` from the command line: presets, the number of segments, label maps, zones, statistics, what it refuses."""

import os

import numpy as np
import pytest
import skimage.data
from PIL import Image

from facelime_cli import choices
from facelime_cli.console import Console
from facelime_cli.core import regions, superpixels, zones
from facelime_cli.engine import Context
from facelime_cli.presets import PRESETS
from facelime_cli.stages import segment
from facelime_cli.store.references import Store
from tests.support import Facelime, fingerprint, write_faces

SIDE = 96
PICTURES = ("faces/a", "faces/b", "other/c")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A store with one dataset, `three`: two crops of a photographed face, and noise."""
    folder = tmp_path_factory.mktemp("three")
    rng = np.random.default_rng(0)
    astronaut = skimage.data.astronaut()
    made = [astronaut[20:240, 110:330], astronaut[40:220, 130:310], rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)]
    for name, pixels in zip(PICTURES, made, strict=True):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).resize((SIDE, SIDE)).save(folder / f"{name}.png")
    facelime = Facelime(tmp_path_factory.mktemp("segment") / "store")
    facelime.json("preprocess", folder, "--size", SIDE, "--name", "three")
    return facelime


@pytest.fixture
def fingerprint_of(run):
    """The fingerprint that some parameters make, without the work."""
    context = Context(Store(run.store), Console(quiet=True))
    return lambda **given: fingerprint(segment.STAGE, segment.Params(dataset="three", **given), context)


def spelled_out(method, parameters):
    return [
        word
        for name, value in {"method": method, **parameters}.items()
        for word in (f"--{name.replace('_', '-')}", value)
    ]


class TestPresets:
    @pytest.mark.parametrize("preset", PRESETS)
    def test_a_preset_is_its_values_spelled_out(self, preset, fingerprint_of):
        meant = {
            name: value
            for name, value in PRESETS[preset].options.items()
            if name in {"method", *choices.SEGMENTERS[PRESETS[preset].options["method"]].settings}
        }
        assert fingerprint_of(preset=preset) == fingerprint_of(**meant)

    def test_lime_and_rosacea_are_the_default_of_quickshift(self, fingerprint_of):
        assert (
            fingerprint_of(preset="lime-defaults")
            == fingerprint_of(preset="rosacea")
            == fingerprint_of(method="quickshift")
        )

    @pytest.mark.parametrize(
        ("name", "value"),
        [("segments", 9), ("compactness", 3.0), ("sigma", 0.5), ("min_size", 8), ("connectivity", "8")],
    )
    def test_every_parameter_counts_more_than_the_preset(self, name, value):
        _, own = segment.resolved(segment.Params(dataset="three", preset="face", **{name: value}))
        assert own[name] == int(value) if name == "connectivity" else value
        rest = {
            name: PRESETS["face"].options.get(name, default)
            for name, default in choices.SEGMENTERS["slic"].settings.items()
        }
        assert {other: found for other, found in own.items() if other != name} == {
            other: found for other, found in rest.items() if other != name
        }

    def test_another_method_keeps_what_means_the_same(self):
        method, own = segment.resolved(segment.Params(dataset="three", preset="histology", method="watershed"))
        assert (method, own) == ("watershed", {**choices.SEGMENTERS["watershed"].settings, "segments": 80})
        _, own = segment.resolved(segment.Params(dataset="three", preset="histology", method="quickshift"))
        assert own == {
            "segments": 80,
            "max_dist": 200.0,
            "ratio": 0.2,
            "sigma": 0.0,
            "min_size": 0,
            "connectivity": None,
        }
        _, own = segment.resolved(
            segment.Params(dataset="three", preset="histology", method="felzenszwalb", scale=90.0)
        )
        assert own == {"scale": 90.0, "sigma": 0.8, "min_size": 100, "connectivity": None}

    def test_the_manifest_holds_what_was_meant(self, run):
        made = run.artifact("segment", "three", "--preset", "xray", "--segments", 16)
        assert "preset" not in made.parameters
        for name, value in {
            "method": "slic",
            "segments": 16,
            "compactness": 20.0,
            "sigma": 2.0,
            "min_size": 0,
            "connectivity": None,
            "zones": None,
        }.items():
            assert made.parameters[name] == value

    def test_each_has_its_reason_in_the_help(self, run):
        said = " ".join(run("segment", "--help").stdout.split())
        for name, preset in PRESETS.items():
            assert name in said
            assert preset.reason in said


class TestNumber:
    @pytest.mark.parametrize(
        "method", [method for method, entry in choices.SEGMENTERS.items() if "segments" in entry.settings]
    )
    def test_every_method_takes_one(self, run, method):
        result = run("segment", "three", "--method", method, "--segments", 16, "--min-size", 4)
        assert result.exit_code == 0, result.stderr
        made = Store(run.store).resolve(result.stdout.strip())
        counts = made.read("n_segments")
        assert np.array_equal(counts, made.read("segments").reshape(3, -1).max(axis=1) + 1)
        assert (abs(counts - 16) <= (7 if method == "slic" else 3)).all()
        number = made.facts["segments_per_picture"]
        assert number == {"asked": 16, "median": np.median(counts), "least": counts.min(), "most": counts.max()}
        assert f"median {np.median(counts):g}, {counts.min()} to {counts.max()}; asked for 16" in result.stderr
        assert np.isnan(made.read("scale")).all() == (choices.SEGMENTERS[method].scale is None)

    def test_the_scale_that_was_found_makes_the_same_segments(self, run):
        made = run.artifact("segment", "three", "--method", "quickshift", "--segments", 16)
        again = run.artifact(
            "segment",
            "three",
            "--images",
            PICTURES[1],
            "--method",
            "quickshift",
            "--kernel-size",
            made.read("scale")[1],
        )
        assert np.array_equal(again.read("segments")[0], made.read("segments")[1])
        assert np.isnan(again.read("scale")).all()
        assert again.facts["segments_per_picture"]["asked"] is None

    def test_what_decides_alone_stands_alone_in_the_manifest(self, run):
        assert (
            "kernel_size" not in run.artifact("segment", "three", "--method", "quickshift", "--segments", 16).parameters
        )
        assert (
            "segments"
            not in run.artifact(
                "segment", "three", "--method", "felzenszwalb", "--scale", 50, "--min-size", 20
            ).parameters
        )

    def test_processes_change_no_bit(self, facelime, tmp_path):
        faces = write_faces(tmp_path / "some", 6, 48)
        words = [
            "segment",
            "faces",
            "--first",
            5,
            "--method",
            "felzenszwalb",
            "--segments",
            12,
            "--min-size",
            30,
            "--zones",
            "face",
        ]
        made = []
        for workers in (1, 2):
            facelime.store = tmp_path / f"store{workers}"
            facelime.json("preprocess", faces, "--size", 48, "--name", "faces", "--workers", 1)
            made.append(facelime.artifact(*words, "--workers", workers))
        assert made[0].path != made[1].path
        assert made[0].content == made[1].content


class TestStatistics:
    def test_are_kept_per_picture_and_shown(self, run):
        made = run.artifact("segment", "three", "--method", "watershed", "--segments", 20)
        images = made.input("datasets").read("images")
        for row, (image, labels) in enumerate(zip(images, made.read("segments"), strict=True)):
            found = superpixels.statistics(image, labels, "watershed")
            assert made.read("size_quartiles")[row].tolist() == found.size_quartiles.tolist()
            assert made.read("boundary_recall")[row] == found.boundary_recall
            assert made.read("flat_share")[row] == found.flat_share
            assert 0 < found.boundary_recall <= 1
        shown = run.json("show", f"segments/{made.id}")["arrays"]
        assert shown["size_quartiles"]["unit"] == "pixels"
        assert shown["boundary_recall"]["least"] == pytest.approx(made.read("boundary_recall").min())

    def test_flat_pictures_have_flat_segments(self, facelime, tmp_path):
        Image.fromarray(np.repeat(np.repeat([[10, 200]], 48, axis=0), 48, axis=1).astype(np.uint8)).save(
            tmp_path / "two.png"
        )
        data = facelime.artifact("preprocess", tmp_path / "two.png", "--size", 96)
        assert facelime.artifact("segment", data.id, "--method", "grid", "--segments", 4).read(
            "flat_share"
        ).tolist() == [1.0]
        assert facelime.artifact("segment", data.id, "--method", "grid", "--segments", 9).read("flat_share")[0] < 1


class TestFile:
    @pytest.fixture
    def labels(self, tmp_path):
        """Label maps of the three pictures, with gaps: in a folder, at half the size, beside the folders."""
        folder = tmp_path / "labels"
        (folder / "faces").mkdir(parents=True)
        numbers = np.arange(SIDE * SIDE, dtype=np.uint16).reshape(SIDE, SIDE) // (SIDE * 20) * 11 + 5
        Image.fromarray(numbers.astype(np.uint8)).save(folder / "faces" / "a.png")
        np.save(folder / "faces" / "b.npy", numbers[::2, ::2])
        Image.fromarray(numbers).save(folder / "c.tif")
        return folder

    def test_found_by_id_and_renumbered(self, run, labels):
        made = run.artifact("segment", "three", "--method", "file", "--labels", labels)
        assert made.read("n_segments").tolist() == [5] * 3
        expected = np.arange(SIDE)[:, None].repeat(SIDE, axis=1) // 20
        assert all(np.array_equal(each, expected) for each in made.read("segments"))
        assert made.parameters["method"] == "file"
        assert set(made.parameters) == {"method", "min_size", "connectivity", "zones", "pictures"}

    def test_content_counts_and_place_does_not(self, run, labels):
        words = ["segment", "three", "--method", "file", "--labels"]
        first = run.artifact(*words, labels)
        assert first.manifest["inputs"]["labels"]["digest"]
        moved = labels.rename(labels.with_name("moved"))
        assert run.json(*words, moved)["reused"] is True
        np.save(moved / "unused.npy", np.zeros(3))
        assert run.json(*words, moved)["reused"] is True
        Image.fromarray((np.arange(SIDE * SIDE).reshape(SIDE, SIDE) // (SIDE * 48)).astype(np.uint8)).save(
            moved / "c.tif"
        )
        assert run.artifact(*words, moved).read("n_segments").tolist() == [5, 5, 2]

    def test_what_does_not_fit_is_one_sentence_and_writes_nothing(self, run, labels):
        words = ["segment", "three", "--method", "file", "--labels", labels]
        before = {each["artifact"] for each in run.json("status")["artifacts"]}
        np.save(labels / "c.npy", np.zeros((SIDE, SIDE), int))
        assert "c.npy and c.tif" in run.fails(*words)
        (labels / "c.npy").unlink()
        Image.fromarray(np.zeros((50, 70), np.uint8)).save(labels / "c.tif")
        said = run.fails(*words)
        assert said.startswith("error: other/c: ")
        assert "c.tif is 50×70, but the dataset's pictures are 96×96 (height first); save" in said
        (labels / "c.tif").unlink()
        said = run.fails(*words)
        assert "1 of 3 pictures have no label map" in said
        assert "other/c.png, .tif or .npy" in said
        assert "no folder" in run.fails(*words[:-1], labels / "none")
        assert {each["artifact"] for each in run.json("status")["artifacts"]} == before
        assert run.artifact(*words, "--images", "a,b").n == 2

    def test_a_name_that_two_pictures_share_is_not_enough(self, facelime, tmp_path):
        for folder in ("x", "y"):
            (tmp_path / "pictures" / folder).mkdir(parents=True)
            Image.effect_noise((SIDE, SIDE), 9).save(tmp_path / "pictures" / folder / "same.png")
        facelime.json("preprocess", tmp_path / "pictures", "--size", SIDE, "--name", "two")
        (tmp_path / "labels").mkdir()
        np.save(tmp_path / "labels" / "same.npy", np.arange(SIDE * SIDE).reshape(SIDE, SIDE) // 2000)
        words = ["segment", "two", "--method", "file", "--labels", tmp_path / "labels"]
        assert "2 of 2 pictures have no label map" in facelime.fails(*words)
        assert facelime.artifact(*words, "--images", "x/same").n == 1


class TestZones:
    def test_stand_beside_the_segments(self, run):
        result = run("segment", "three", "--method", "grid", "--zones", "face")
        assert "no face was found in 1 of 3 pictures, such as other/c" in result.stderr
        made = Store(run.store).resolve(result.stdout.strip())
        assert made.facts["zones"] == list(zones.NAMES["face"])
        assert made.facts["faces_not_found"] == ["other/c"]
        kept = made.read("zones")
        assert kept.dtype == np.uint8
        images = made.input("datasets").read("images")
        assert all(
            np.array_equal(found, zones.find(image, "face").zones) for found, image in zip(kept, images, strict=True)
        )
        shares = zones.overlap(made.read("segments")[0], kept[0], len(made.facts["zones"]))
        assert shares.shape == (49, 5)
        plain = run.artifact("segment", "three", "--method", "grid")
        assert "zones" not in plain.layout["arrays"]
        assert plain.id != made.id

    @pytest.mark.parametrize("kind", segment.ZONES)
    def test_can_be_the_segments(self, run, kind):
        made = run.artifact("segment", "three", "--method", "zones", "--zones", kind)
        assert made.read("n_segments").tolist() == [len(zones.NAMES[kind]) + 1] * 3
        assert np.array_equal(made.read("segments"), made.read("zones"))

    def test_left_is_the_persons(self, run):
        made = run.artifact("segment", "three", "--method", "zones", "--zones", "face")
        left, right = (
            np.argwhere(made.read("zones")[0] == made.facts["zones"].index(f"{side} cheek") + 1)[:, 1].mean()
            for side in ("left", "right")
        )
        assert left > right


class TestErrors:
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--method", "file"], "--method file needs --labels"),
            (["--method", "zones"], "--method zones needs --zones: face or lungs"),
            (["--method", "slic", "--labels", "x"], "--labels belongs to file, not to --method slic"),
            (["--labels", "x"], "--labels belongs to file, not to --method slic"),
            (
                ["--method", "file", "--labels", "x", "--segments", "9"],
                "--segments belongs to quickshift, slic, felzenszwalb, watershed, grid, not to --method file",
            ),
            (["--method", "grid", "--sigma", "1"], "--sigma belongs to"),
            (["--preset", "face", "--max-dist", "9"], "--max-dist belongs to quickshift, not to --method slic"),
            (["--method", "slic", "--cell", "hexagon"], "--cell belongs to grid"),
            (
                ["--method", "quickshift", "--segments", "60", "--kernel-size", "3"],
                "--segments 60 and --kernel-size 3 both decide",
            ),
            (
                ["--method", "felzenszwalb", "--segments", "60", "--scale", "9"],
                "--segments 60 and --scale 9 both decide",
            ),
        ],
    )
    def test_options_that_do_not_go_together(self, run, words, said):
        assert said in run.fails("segment", "three", *words, code=2)

    @pytest.mark.parametrize(
        "words",
        [
            ["--method", "voronoi"],
            ["--preset", "mri"],
            ["--zones", "brain"],
            ["--connectivity", "6"],
            ["--cell", "round"],
            ["--segments", "1"],
            ["--segments", "5000"],
        ],
    )
    def test_values_that_there_are_not(self, run, words):
        assert run("segment", "three", *words).exit_code == 2

    @pytest.mark.parametrize("method", [method for method in choices.SEGMENTERS if method != "file"])
    def test_one_region(self, run, method):
        said = run.fails(
            "segment",
            "three",
            "--method",
            method,
            "--min-size",
            SIDE * SIDE,
            *(["--zones", "lungs"] if method == "zones" else []),
        )
        assert said.startswith("error: faces/a: only one region, so there is nothing to compare; ")
        assert said.endswith("or leave the picture out with --images.")


def test_what_follows_on_a_method(run):
    made = run.artifact(
        "segment", "three", "--method", "quickshift", "--kernel-size", 2, "--connectivity", 4, "--min-size", 60
    )
    assert (made.parameters["connectivity"], made.parameters["min_size"]) == (4, 60)
    for image, labels in zip(made.input("datasets").read("images"), made.read("segments"), strict=True):
        assert np.bincount(labels.ravel()).min() >= 60
        alone = superpixels.segment(
            image, "quickshift", {**choices.SEGMENTERS["quickshift"].settings, "kernel_size": 2.0}
        )
        merged = regions.merged(image, regions.numbered(regions.connected(alone, 4)), 60)
        assert np.array_equal(labels, regions.numbered(merged))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, faces):
    """A store with one dataset, `one`: a picture of 32×32 pixels."""
    run = Facelime(tmp_path_factory.mktemp("tiny") / "store")
    run.json("preprocess", faces / "normal" / "face-000.png", "--size", 32, "--name", "one")
    return run


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--method", "quickshift", "--kernel-size", 33), 1),
        (("--method", "quickshift", "--kernel-size", 1e300), 2),
        (("--method", "quickshift", "--max-dist", 1e308), 2),
        (("--method", "quickshift", "--ratio", 1.5), 2),
        (("--method", "slic", "--sigma", 1e9), 2),
        (("--method", "slic", "--compactness", 1e308), 2),
        (("--method", "slic", "--segments", 1_000_000_000), 2),
        (("--method", "slic", "--segments", 1), 2),
        (("--method", "slic", "--segments", 1025), 1),
        (("--method", "felzenszwalb", "--scale", 1e308), 2),
        (("--method", "felzenszwalb", "--min-size", 1_000_000), 1),
        (("--method", "slic", "--min-size", 10**18), 2),
        (("--method", "grid", "--cell", "round"), 2),
        (("--connectivity", 6), 2),
        (("--zones", "knees"), 2),
        (("--images", ""), 2),
        (("--images", ",,"), 2),
        (("--images", "a\nb"), 2),
        (("--images", "x" * 200_000), 2),
        (("--first", 0), 2),
        (("--workers", 10**9), 2),
        (("--method", "file", "--labels", ""), 2),
        (("--missing", 10**8), 2),
        (("--missing", 0), 2),
        (("--shard", "1/100000000"), 2),
        (("--shard", f"1/{'9' * 5000}"), 2),
    ],
)
def test_options_that_make_no_sense(tiny, words, code):
    result = tiny("segment", "one", *words)
    assert result.exit_code == code, result.stderr
    assert not result.stdout
    assert "unexpected" not in result.stderr
    assert not (tiny.store / "segments").exists()


def test_label_maps_that_are_no_files(facelime, faces, tmp_path):
    facelime.json("preprocess", faces / "normal" / "face-000.png", "--size", 32, "--name", "one")
    words = ["segment", "one", "--method", "file", "--labels", tmp_path / "labels"]
    (tmp_path / "labels").mkdir()
    os.mkfifo(tmp_path / "labels" / "face-000.png")
    assert "1 of 1 pictures have no label map" in facelime.fails(*words)
    np.save(tmp_path / "labels" / "face-000.npy", np.eye(32, dtype=np.int64))
    assert facelime.artifact(*words).n == 1
    whole = (tmp_path / "labels" / "face-000.npy").read_bytes()
    (tmp_path / "labels" / "face-000.npy").write_bytes(whole[:200])
    assert "cannot be read as a map" in facelime.fails(*words)
