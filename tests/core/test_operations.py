"""What is done to every picture on its way into a dataset."""

import numpy as np
import pytest
import skimage.data
from PIL import Image

from facelime_cli.core import shapes
from facelime_cli.core.operations import Operations, contrasted, prepare, prepare_mask, shades_of_gray


@pytest.fixture
def wide():
    image = np.zeros((40, 80, 3), np.uint8)
    image[:, 20:60] = (200, 120, 40)
    return image


def test_stretch_pad_and_crop(wide):
    shapes = {fit: prepare(wide, Operations(20, fit)).image for fit in ("stretch", "pad", "crop")}
    assert all(each.shape == (20, 20, 3) for each in shapes.values())
    assert (shapes["crop"] == (200, 120, 40)).all()
    assert not shapes["pad"][:4].any()
    assert not shapes["pad"][-4:].any()
    assert shapes["stretch"][10, 10].tolist() == [200, 120, 40]
    assert not shapes["stretch"][10, 1].any()


def test_a_picture_that_is_not_square_keeps_the_wanted_aspect_ratio():
    """Height comes first: 20 rows of 10 pixels, from 60 rows of 90, whose middle is a mark of 20 x 10."""
    image = np.full((60, 90, 3), 50, np.uint8)
    image[20:40, 40:50] = 250
    image[:, 75:] = 0
    sizes = {fit: prepare(image, Operations([20, 10], fit)).image for fit in ("stretch", "pad", "crop")}
    assert all(each.shape == (20, 10, 3) for each in sizes.values())
    # Cropped to its middle 60 x 30, the mark covers a third of each side, and the dark right end is gone.
    assert (sizes["crop"][7:13, 4:6] > 240).all()
    assert sizes["crop"].min() == 50
    # Padded to 180 x 90, a third of the rows is the picture.
    assert not sizes["pad"][:6].any()
    assert not sizes["pad"][-6:].any()
    assert (np.abs(sizes["pad"][7, 1:7].astype(int) - 50) < 2).all()
    assert not sizes["pad"][:, 9].any()
    # Stretched, every column of the picture is there.
    assert not sizes["stretch"][:, 9].any()
    assert (sizes["stretch"][1:5, :7] == 50).all()


@pytest.mark.parametrize("size", [[30, 20], [20, 30], [17, 64], 24])
@pytest.mark.parametrize("shape", [(40, 80), (80, 40), (33, 33), (7, 90), (60, 90)])
def test_every_shape_becomes_every_size_with_its_mask(size, shape):
    """The mask shows where the picture is bright, whatever is cut away or padded."""
    image = np.zeros((*shape, 3), np.uint8)
    top, left = shape[0] // 4, shape[1] // 2
    image[top : 3 * shape[0] // 4, left:] = 255
    for fit in ("stretch", "pad", "crop"):
        how = Operations(size, fit)
        done = prepare(image, how)
        mask = prepare_mask((image[..., 0] > 0).astype(np.uint8), done.box, how)
        assert done.image.shape[:2] == mask.shape == shapes.sides(size)
        # Only at its edges, which are means of both.
        assert ((done.image[..., 0] > 127) != mask).mean() < 0.15
        assert mask.any()


def test_a_face_is_not_distorted_in_a_picture_that_is_not_square():
    face = skimage.data.astronaut()
    square = prepare(face, Operations(64, crop_face=True)).box
    wide, high = (prepare(face, Operations(size, crop_face=True)).box for size in ([60, 80], [80, 60]))
    for box, ratio in ((square, 1), (wide, 60 / 80), (high, 80 / 60)):
        top, left, bottom, right = box
        assert (bottom - top) / (right - left) == pytest.approx(ratio, abs=0.02)
        assert (top + bottom) / 2 == pytest.approx((square[0] + square[2]) / 2, abs=1)


def test_a_border_is_cut_from_each_side():
    image = np.zeros((100, 100, 3), np.uint8)
    image[10:90, 10:90] = 255
    assert (prepare(image, Operations(32, crop_border=10)).image == 255).all()


def test_a_mask_goes_the_way_of_its_picture(wide):
    for how in (Operations(20, "pad"), Operations(20, "crop"), Operations(20, crop_border=20)):
        done = prepare(wide, how)
        mask = prepare_mask((wide[..., 0] > 0).astype(np.uint8), done.box, how)
        assert np.abs((done.image[..., 0] > 100).astype(int) - mask).mean() < 0.06


def test_contrast_is_around_the_middle():
    assert contrasted(np.array([[[0, 100, 155]]], np.uint8), 2.0).tolist() == [[[0, 72, 182]]]


def test_the_colour_of_the_light_goes(rng):
    scene = rng.integers(40, 200, (30, 30, 3))
    lit = (scene * np.array([1.2, 0.9, 0.6])).astype(np.uint8)
    before, after = (
        np.abs(image.mean(axis=(0, 1)) / image.mean() - scene.mean(axis=(0, 1)) / scene.mean()).max()
        for image in (lit, shades_of_gray(lit))
    )
    assert after < before / 4


def test_equalising_spreads_a_dull_picture(rng):
    dull = (rng.random((64, 64, 1)).repeat(3, axis=2) * 20 + 100).astype(np.uint8)
    assert prepare(dull, Operations(64, equalize=True)).image.std() > 2 * dull.std()


def test_a_face_is_found_and_cropped():
    found = prepare(skimage.data.astronaut(), Operations(64, crop_face=True))
    assert found.face_found
    top, left, bottom, right = found.box
    assert 30 < top < 120
    assert 120 < left < 220
    assert bottom - top < 220
    assert right - left < 220


def test_where_there_is_no_face_the_picture_stays_whole():
    plain = np.asarray(Image.effect_noise((90, 90), 5).convert("RGB"))
    found = prepare(plain, Operations(32, crop_face=True))
    assert not found.face_found
    assert found.box == (0, 0, 90, 90)
