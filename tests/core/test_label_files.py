"""Maps in files: what a saliency map is, and what is none."""

import numpy as np
import pytest
from PIL import Image

from facelime_cli.core.label_files import read, saliency
from facelime_cli.errors import FacelimeError

GREY = np.arange(0, 240, 20, dtype=np.uint8).reshape(3, 4)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "I;16"])
def test_a_grey_map_is_the_same_in_every_form(tmp_path, mode):
    picture = Image.fromarray(GREY.astype(np.uint16)) if mode == "I;16" else Image.fromarray(GREY).convert(mode)
    picture.save(tmp_path / "map.png")
    assert np.array_equal(saliency(tmp_path / "map.png"), GREY)


def test_transparency_does_not_count(tmp_path):
    half = np.stack([GREY, np.full_like(GREY, 9)], axis=-1)
    Image.fromarray(half, mode="LA").save(tmp_path / "map.png")
    assert np.array_equal(saliency(tmp_path / "map.png"), GREY)


@pytest.mark.parametrize("kind", [np.int8, np.int64, np.float16, np.float64, bool])
def test_numbers_of_any_kind(tmp_path, kind):
    values = np.array([[1, 0], [-1, 1]]).astype(kind)
    np.save(tmp_path / "map.npy", values)
    found = saliency(tmp_path / "map.npy")
    assert found.dtype == np.float64
    assert np.array_equal(found, values)


@pytest.mark.parametrize(
    "values",
    [
        np.array([[np.nan, 1.0]]),
        np.array([[np.inf, 1.0]]),
        np.full((2, 2), 1e300),
        np.ones((0, 4)),
        np.ones(4),
        np.ones((4, 4, 3)),
        np.array([["a"]]),
        np.array([[1j]]),
    ],
    ids=["nan", "infinite", "too large", "empty", "one axis", "three axes", "text", "complex"],
)
def test_what_is_no_map(tmp_path, values):
    np.save(tmp_path / "map.npy", values)
    with pytest.raises(FacelimeError, match="not one finite number per cell"):
        saliency(tmp_path / "map.npy")


def test_what_cannot_be_read(tmp_path):
    (tmp_path / "map.png").write_bytes(b"no picture")
    np.save(tmp_path / "map.npy", np.array([[None]], dtype=object))
    frames = [Image.fromarray(GREY), Image.fromarray(GREY)]
    frames[0].save(tmp_path / "map.tif", save_all=True, append_images=frames[1:])
    for name, said in (("map.png", "cannot be read"), ("map.npy", "cannot be read"), ("map.tif", "2 frames")):
        with pytest.raises(FacelimeError, match=said):
            saliency(tmp_path / name)


def test_a_palette_s_colours_count_in_a_map_and_its_numbers_in_labels(tmp_path):
    picture = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "P")
    picture.putpalette([255, 255, 255, 0, 0, 0])
    picture.save(tmp_path / "a.png")
    assert saliency(tmp_path / "a.png").tolist() == [[255, 0], [0, 255]]
    assert read(tmp_path / "a.png", 2, 2).tolist() == [[0, 1], [1, 0]]


def test_a_map_that_promises_more_than_it_holds(tmp_path):
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**7, 10**7)}
    with (tmp_path / "map.npy").open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
    Image.new("1", (20_000, 10_000)).save(tmp_path / "map.png")
    np.save(tmp_path / "open.npy", np.eye(4))
    whole = (tmp_path / "open.npy").read_bytes()
    (tmp_path / "open.npy").write_bytes(whole.replace(b"(4, 4), }", b"((4, 4, "))
    for name in ("map.npy", "map.png", "open.npy"):
        with pytest.raises(FacelimeError, match="cannot be read as a map"):
            saliency(tmp_path / name)
