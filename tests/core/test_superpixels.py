"""Every segmenter: numbering, the number asked for, what follows on a method, and when it refuses."""

import inspect

import numpy as np
import pytest
import skimage.data
from PIL import Image
from skimage.measure import label
from skimage.segmentation import quickshift, slic

from facelime_cli import choices
from facelime_cli.core import faces, fills, lattices, regions, superpixels, zones
from facelime_cli.errors import FacelimeError
from facelime_cli.stages import segment as stage

SIDE = 128
PICTURES = ("chelsea", "astronaut", "coffee")
QUICKSHIFT = {"kernel_size": 4.0, "max_dist": 200.0, "ratio": 0.2, "sigma": 0.0}
SLIC = {"segments": 20, "compactness": 10.0, "sigma": 0.0}


def photograph(name, side=SIDE):
    return np.asarray(Image.fromarray(getattr(skimage.data, name)()).resize((side, side)))


def count(labels):
    return int(labels.max()) + 1


@pytest.fixture(scope="module")
def face():
    return faces.draw(0, 1, 64, flushed=True)


@pytest.fixture(scope="module")
def pictures():
    return {name: photograph(name) for name in PICTURES}


@pytest.fixture
def parameters(tmp_path):
    """Each method's defaults, with what the stage adds for one picture."""
    np.save(tmp_path / "labels.npy", np.arange(SIDE * SIDE, dtype=np.int32).reshape(SIDE, SIDE) // 1000 * 7)
    own = {method: dict(entry.settings) for method, entry in choices.SEGMENTERS.items()}
    return {
        **own,
        "file": {**own["file"], "labels": tmp_path / "labels.npy"},
        "zones": {**own["zones"], "zones": "lungs"},
    }


@pytest.mark.parametrize(("method", "parameters"), [("quickshift", QUICKSHIFT), ("slic", SLIC)])
def test_segments_are_gap_free_and_the_same_bits_each_time(face, method, parameters):
    labels = superpixels.segment(face.image, method, parameters)
    assert labels.dtype == np.uint16
    assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))
    _, first = np.unique(labels, return_index=True)
    assert (np.diff(first) > 0).all()
    assert np.array_equal(labels, superpixels.segment(face.image.copy(), method, parameters))


def test_quickshift_is_limes(face):
    theirs = quickshift(face.image, kernel_size=4, max_dist=200, ratio=0.2)
    ours = superpixels.segment(face.image, "quickshift", QUICKSHIFT)
    pairs = set(zip(ours.ravel().tolist(), theirs.ravel().tolist(), strict=True))
    assert len(pairs) == len(np.unique(theirs)) == ours.max() + 1


def test_one_region_is_an_error_with_a_remedy():
    with pytest.raises(FacelimeError, match=r"only one region.*--segments"):
        superpixels.segment(
            np.full((40, 40, 3), 7, np.uint8),
            "quickshift",
            {"kernel_size": 20.0, "max_dist": 1000.0, "ratio": 0.2, "sigma": 0.0},
        )


def test_too_many_regions_are_an_error(rng):
    with pytest.raises(FacelimeError, match="more than 4096"):
        superpixels.segment(
            rng.integers(0, 256, (120, 120, 3), dtype=np.uint8),
            "quickshift",
            {"kernel_size": 1.0, "max_dist": 1.0, "ratio": 1.0, "sigma": 0.0},
        )


@pytest.mark.parametrize("method", choices.SEGMENTERS)
@pytest.mark.parametrize("name", PICTURES)
def test_segments_are_numbered_without_gaps_by_their_first_pixel_and_the_same_each_time(
    method, name, pictures, parameters
):
    found = superpixels.segmented(pictures[name], method, parameters[method])
    assert found.labels.dtype == np.uint16
    assert found.labels.shape == (SIDE, SIDE)
    values, first = np.unique(found.labels, return_index=True)
    assert values.tolist() == list(range(len(values)))
    assert (np.diff(first) > 0).all()
    again = superpixels.segmented(pictures[name].copy(), method, parameters[method])
    assert np.array_equal(found.labels, again.labels)
    assert np.array_equal(found.scale, again.scale, equal_nan=True)


@pytest.mark.parametrize("name", PICTURES)
def test_defaults_make_a_number_that_can_be_explained(name, parameters):
    picture = photograph(name, 224)
    for method in ("quickshift", "slic", "felzenszwalb", "watershed", "grid"):
        assert 28 <= count(superpixels.segment(picture, method, parameters[method])) <= 80, method


def test_the_tables_of_stage_and_core_agree():
    for method, entry in choices.SEGMENTERS.items():
        takes = set(inspect.signature(entry.load()).parameters) - {"image"}
        searched = {"segments"} if entry.scale is not None else set()
        needs = {entry.needs[0]} if entry.needs is not None else set()
        assert (set(entry.settings) - set(choices.COMMON) - searched) | needs == takes, method
    assert set(stage.CELLS) == set(lattices.CELLS)
    assert set(stage.ZONES) == set(zones.NAMES) == set(zones.FINDERS)
    assert [int(each) for each in stage.CONNECTIVITIES] == list(regions.NEIGHBOURHOODS)


def test_slic_is_scikit_images_to_the_bit(pictures, parameters):
    theirs = slic(pictures["coffee"], n_segments=40, compactness=30, sigma=0, start_label=0, channel_axis=-1)
    assert np.array_equal(superpixels.segment(pictures["coffee"], "slic", parameters["slic"]), regions.numbered(theirs))


class TestNumberAskedFor:
    @pytest.mark.parametrize("method", ["quickshift", "felzenszwalb"])
    @pytest.mark.parametrize("wanted", [25, 60])
    @pytest.mark.parametrize("name", PICTURES)
    def test_is_searched(self, method, wanted, name, parameters):
        picture = photograph(name, 224)
        asked = {**parameters[method], "segments": wanted, choices.SEGMENTERS[method].scale.parameter: None}
        found = superpixels.segmented(picture, method, asked)
        assert abs(count(found.labels) - wanted) <= 0.1 * wanted
        spelled = {**asked, "segments": None, choices.SEGMENTERS[method].scale.parameter: found.scale}
        assert np.array_equal(superpixels.segment(picture, method, spelled), found.labels)

    @pytest.mark.parametrize("method", ["watershed", "grid"])
    @pytest.mark.parametrize("wanted", [2, 3, 7, 23, 60, 97, 400])
    def test_is_made(self, method, wanted, pictures, parameters):
        assert (
            count(superpixels.segment(pictures["astronaut"], method, {**parameters[method], "segments": wanted}))
            == wanted
        )

    @pytest.mark.parametrize("wanted", [9, 36, 49, 64, 100])
    def test_is_made_by_slic_where_it_is_a_square(self, wanted, pictures, parameters):
        assert (
            abs(
                count(superpixels.segment(pictures["chelsea"], "slic", {**parameters["slic"], "segments": wanted}))
                - wanted
            )
            <= 0.1 * wanted
        )

    @pytest.mark.parametrize("wanted", [2, 7, 12, 23, 40, 60, 97, 400])
    def test_is_nearly_made_of_hexagons(self, wanted, pictures, parameters):
        found = superpixels.segment(
            pictures["coffee"], "grid", {**parameters["grid"], "segments": wanted, "cell": "hexagon"}
        )
        assert abs(count(found) - wanted) <= max(1, 0.1 * wanted)

    def test_counts_what_is_left_after_merging(self, pictures, parameters):
        asked = {**parameters["quickshift"], "segments": 30, "kernel_size": None, "min_size": 200, "connectivity": 4}
        found = superpixels.segment(pictures["chelsea"], "quickshift", asked)
        assert abs(count(found) - 30) <= 3
        assert np.bincount(found.ravel()).min() >= 200

    @pytest.mark.parametrize(("wanted", "power"), [(3, 2), (50, 2), (50, 0.3), (900, 1), (5000, 2)])
    def test_takes_few_steps_whatever_the_law(self, wanted, power):
        tried = []

        def made(value):
            tried.append(value)
            return np.arange(max(1, int(3000 * value**-power)))[None]

        scale = choices.Scale(parameter="s", least=1.0, most=64.0, start=lambda _: 4.0, power=2.0)
        labels, chosen = superpixels._searched(made, scale, wanted, 1000)
        assert len(tried) <= superpixels.MOST_STEPS
        assert len(tried) == len(set(tried))
        assert all(1 <= value <= 64 for value in tried)
        misses = [abs(int(3000 * value**-power) - wanted) for value in tried]
        assert abs(labels.size - wanted) == min(misses)
        assert chosen == tried[misses.index(min(misses))]
        reachable = 3000 * 64.0**-power <= wanted <= 3000
        assert (min(misses) <= superpixels.TOLERANCE * wanted) == reachable

    @pytest.mark.parametrize("method", ["quickshift", "felzenszwalb"])
    @pytest.mark.parametrize("side", [16, 24, 48])
    def test_is_never_missed_by_a_single_region(self, method, side, rng):
        noise = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        found = superpixels.segment(
            noise, method, {**choices.SEGMENTERS[method].settings, "segments": 2, "min_size": 0}
        )
        assert 2 <= count(found) <= 4


class TestWhatFollows:
    @pytest.mark.parametrize("method", choices.SEGMENTERS)
    def test_smaller_segments_are_merged(self, method, pictures, parameters):
        found = superpixels.segment(pictures["coffee"], method, {**parameters[method], "min_size": 150})
        assert np.bincount(found.ravel()).min() >= 150
        assert found.max() > 0

    def test_merging_makes_no_new_borders(self, pictures, parameters):
        before = superpixels.segment(pictures["chelsea"], "quickshift", parameters["quickshift"])
        after = superpixels.segment(pictures["chelsea"], "quickshift", {**parameters["quickshift"], "min_size": 1200})
        assert after.max() < before.max()
        assert not (regions.borders(after) & ~regions.borders(before)).any()

    @pytest.mark.parametrize("neighbours", [4, 8])
    def test_what_does_not_hang_together_is_taken_apart(self, neighbours, pictures, parameters):
        before = superpixels.segment(pictures["astronaut"], "quickshift", parameters["quickshift"])
        after = superpixels.segment(
            pictures["astronaut"], "quickshift", {**parameters["quickshift"], "connectivity": neighbours}
        )
        pieces = label(before, background=-1, connectivity=neighbours // 4)
        assert np.array_equal(after, regions.numbered(pieces))
        assert all(label(after == k, connectivity=neighbours // 4).max() == 1 for k in range(count(after)))

    def test_by_default_nothing_is_taken_apart(self, tmp_path):
        halves = np.zeros((16, 16), np.uint8)
        halves[:, :3] = halves[:, -3:] = 1
        np.save(tmp_path / "a.npy", halves)
        image = np.zeros((16, 16, 3), np.uint8)
        given = {"labels": tmp_path / "a.npy"}
        assert superpixels.segment(image, "file", given).max() == 1
        assert superpixels.segment(image, "file", {**given, "connectivity": 8}).max() == 2


class TestLattices:
    @pytest.mark.parametrize("count", [6, 49, 60, 64, 97])
    def test_squares_are_of_nearly_one_size(self, count):
        sizes = np.bincount(lattices.squares((299, 299), count).ravel())
        assert len(sizes) == count
        assert sizes.min() > 0.85 * 299 * 299 / count
        assert sizes.max() < 1.15 * 299 * 299 / count

    def test_inner_hexagons_have_six_neighbours_and_one_size(self):
        cells = lattices.hexagons((299, 299), 60)
        inner = set(range(count(cells))) - set(
            np.concatenate([cells[0], cells[-1], cells[:, 0], cells[:, -1]]).tolist()
        )
        neighbours = regions._neighbours(cells, count(cells))
        assert len(inner) > 20
        assert {len(neighbours[k]) for k in inner} == {6}
        sizes = np.bincount(cells.ravel())
        assert sizes[list(inner)].std() < 0.03 * sizes[list(inner)].mean()

    def test_the_picture_says_nothing(self, pictures, parameters):
        found = [superpixels.segment(picture, "grid", parameters["grid"]) for picture in pictures.values()]
        assert all(np.array_equal(found[0], each) for each in found)

    def test_a_seed_of_the_watershed_lies_in_the_middle_of_each_cell(self, rng):
        cells = lattices.squares((120, 120), 20)
        gradient = rng.random((120, 120))
        seeds = superpixels._seeds(gradient, cells)
        assert sorted(seeds[seeds > 0].tolist()) == list(range(1, 21))
        assert (cells[seeds > 0] == seeds[seeds > 0] - 1).all()
        rim = regions.borders(cells)
        for y, x in zip(*np.nonzero(seeds), strict=True):
            assert not rim[max(0, y - 4) : y + 5, max(0, x - 4) : x + 5].any()


class TestErrors:
    @pytest.mark.parametrize("method", choices.SEGMENTERS)
    def test_one_region_names_a_remedy(self, method, pictures, parameters):
        with pytest.raises(FacelimeError, match=r"only one region, so there is nothing to compare; [a-z]+ "):
            superpixels.segment(pictures["coffee"], method, {**parameters[method], "min_size": SIDE * SIDE + 1})

    def test_nothing_to_tell_apart(self):
        with pytest.raises(FacelimeError, match=r"only one region.*--method, such as grid"):
            superpixels.segment(
                np.full((60, 60, 3), 7, np.uint8), "felzenszwalb", {"segments": 50, "scale": None, "sigma": 0.8}
            )

    @pytest.mark.parametrize(
        ("method", "own"),
        [
            ("quickshift", {"kernel_size": 1.0, "max_dist": 1.0, "ratio": 1.0, "sigma": 0.0}),
            ("slic", {"segments": 8000, "compactness": 30.0, "sigma": 0.0}),
            ("felzenszwalb", {"scale": 0.1, "sigma": 0.0}),
            ("watershed", {"segments": 6000, "compactness": 0.001, "sigma": 0.0}),
            ("grid", {"segments": 6000, "cell": "square"}),
            ("grid", {"segments": 6000, "cell": "hexagon"}),
        ],
    )
    def test_too_many(self, method, own, rng):
        image = rng.integers(0, 256, (160, 160, 3), dtype=np.uint8)
        with pytest.raises(FacelimeError, match=r"regions, more than 4096; ask for fewer segments"):
            superpixels.segment(image, method, own)

    def test_too_many_in_a_file(self, tmp_path):
        np.save(tmp_path / "a.npy", np.arange(10000).reshape(100, 100))
        with pytest.raises(FacelimeError, match="10000 regions, more than 4096; give a label map"):
            superpixels.segment(np.zeros((100, 100, 3), np.uint8), "file", {"labels": tmp_path / "a.npy"})


class TestFiles:
    image = np.zeros((24, 24, 3), np.uint8)
    labels = np.repeat(np.repeat(np.array([[3, 3, 9], [200, 9, 9]], np.uint8), 12, axis=0), 8, axis=1)
    expected = np.repeat(np.repeat(np.array([[0, 0, 1], [2, 1, 1]]), 12, axis=0), 8, axis=1)

    def read(self, path):
        return superpixels.segment(self.image, "file", {"labels": path})

    @pytest.mark.parametrize(
        ("name", "dtype"),
        [
            ("a.png", np.uint8),
            ("a.png", np.uint16),
            ("a.tif", np.uint8),
            ("a.TIFF", np.uint16),
            ("a.tif", np.int32),
            ("a.npy", np.int64),
            ("a.npy", np.uint16),
        ],
    )
    def test_gaps_are_closed(self, tmp_path, name, dtype):
        if name.endswith("npy"):
            np.save(tmp_path / name, self.labels.astype(dtype))
        else:
            Image.fromarray(self.labels.astype(dtype)).save(tmp_path / name)
        assert np.array_equal(self.read(tmp_path / name), self.expected)

    def test_a_palettes_numbers_count(self, tmp_path):
        picture = Image.fromarray(self.labels).convert("P")
        picture.putdata(self.labels.ravel().tolist())
        picture.putpalette([5, 5, 5] * 256)
        picture.save(tmp_path / "a.png")
        assert np.array_equal(self.read(tmp_path / "a.png"), self.expected)

    def test_negative_labels_are_labels(self, tmp_path):
        np.save(tmp_path / "a.npy", self.labels.astype(int) - 100)
        assert np.array_equal(self.read(tmp_path / "a.npy"), self.expected)

    def test_a_whole_fraction_is_enlarged(self, tmp_path):
        np.save(tmp_path / "a.npy", self.labels[::4, ::4])
        assert np.array_equal(self.read(tmp_path / "a.npy"), self.expected)

    @pytest.mark.parametrize("shape", [(23, 24), (24, 23), (48, 48), (16, 16), (12, 24), (10, 10)])
    def test_another_size_is_refused(self, tmp_path, shape):
        np.save(tmp_path / "a.npy", np.arange(shape[0] * shape[1]).reshape(shape) % 5)
        with pytest.raises(
            FacelimeError,
            match=rf"a.npy is {shape[0]}×{shape[1]}, but the dataset's pictures are 24×24 .height first.; save",
        ):
            self.read(tmp_path / "a.npy")

    @pytest.mark.parametrize(
        "wrong",
        [
            np.zeros((24, 24, 3), np.uint8),
            np.zeros((24, 24)),
            np.zeros((0, 24), int),
            np.zeros(24, int),
            np.array({"a": 1}),
        ],
    )
    def test_what_is_no_label_map_is_refused(self, tmp_path, wrong):
        np.save(tmp_path / "a.npy", wrong)
        with pytest.raises(
            FacelimeError, match=r"a.npy (holds .* not one whole number per pixel|cannot be read as a map)"
        ):
            self.read(tmp_path / "a.npy")

    def test_colours_films_and_damage_are_refused(self, tmp_path):
        Image.fromarray(np.zeros((24, 24, 3), np.uint8)).save(tmp_path / "colour.png")
        frames = [Image.fromarray(self.labels), Image.fromarray(self.labels.T.copy())]
        frames[0].save(tmp_path / "film.tif", save_all=True, append_images=frames[1:])
        (tmp_path / "text.png").write_text("labels")
        for name, words in (
            ("colour.png", "not one whole number"),
            ("film.tif", "2 frames"),
            ("text.png", "cannot be read"),
        ):
            with pytest.raises(FacelimeError, match=words):
                self.read(tmp_path / name)


class TestStatistics:
    def test_flat_segments_are_those_that_mean_fill_leaves(self, pictures, parameters):
        image = pictures["coffee"].copy()
        image[:70, :70] = (9, 50, 90)
        labels = superpixels.segment(image, "slic", parameters["slic"])
        expected = fills.unchanged(image, fills.mean(image, labels), labels)
        assert 0 < expected.sum() < len(expected)
        assert regions.flat(image, labels).tolist() == expected.tolist()
        assert superpixels.statistics(image, labels, "slic").flat_share == expected.mean()

    def test_a_segmentation_finds_the_borders_of_its_own_kind(self, pictures):
        """SLIC is compared with Felzenszwalb's method, everything else with SLIC."""
        image = pictures["astronaut"]
        labels = superpixels.segment(image, *superpixels.REFERENCES[0])
        as_other, as_slic = (
            superpixels.statistics(image, labels, method).boundary_recall for method in ("quickshift", "slic")
        )
        assert as_other > 0.8
        assert as_slic < as_other
        two = superpixels.segment(image, "grid", {"segments": 2, "cell": "square"})
        assert superpixels.statistics(image, two, "grid").boundary_recall < 0.15
