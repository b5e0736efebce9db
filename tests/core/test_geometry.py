"""Back to the original: what a dataset's picture says lies where the original's pixels lie."""

import numpy as np
import pytest
from PIL import Image

from facelime_cli.core.geometry import Placement
from facelime_cli.core.operations import Operations, prepare, prepare_mask

CASES = [
    ((90, 60), Operations(30)),
    ((90, 60), Operations(30, fit="pad")),
    ((91, 60), Operations(30, fit="crop")),
    ((60, 91), Operations([20, 40], fit="pad")),
    ((60, 91), Operations([20, 40], fit="crop", crop_border=7.5)),
    ((77, 53), Operations([32, 16], fit="stretch", crop_border=12)),
    ((200, 130), Operations(64, fit="pad", crop_border=20)),
    ((20, 24), Operations(48, fit="crop")),
]


def placed(sides, how):
    image = np.zeros((*sides, 3), np.uint8)
    done = prepare(image, how)
    return done, Placement(done.image.shape[:2], done.original, done.seen)


@pytest.mark.parametrize(("sides", "how"), CASES)
def test_a_map_comes_back_to_where_it_was_and_there_again(sides, how):
    """Pillow itself takes the map from the original again: the same map, wherever a pixel shows the original."""
    done, placement = placed(sides, how)
    height, width = done.image.shape[:2]
    numbers = np.arange(1, height * width + 1).reshape(height, width)
    back = placement.restored(numbers, outside=0)
    assert back.shape == sides
    if min(sides) < min(height, width):
        # Enlarged pictures have more pixels than their originals.
        assert set(np.unique(back)) <= {0, *range(1, numbers.max() + 1)}
        return
    top, left, bottom, right = placement.seen
    there = Image.fromarray(back.astype(np.int32)).transform(
        (right - left, bottom - top), Image.Transform.AFFINE, (1, 0, left, 0, 1, top), Image.Resampling.NEAREST
    )
    again = np.asarray(there.resize((width, height), Image.Resampling.NEAREST))
    shown = placement.shows()
    middles = again > 0
    assert middles.sum() >= shown.sum() * 0.8
    assert (again[middles] == numbers[middles]).all()
    assert not middles[~shown].any()


@pytest.mark.parametrize(("sides", "how"), CASES)
def test_a_mask_of_the_original_is_found_again(sides, how):
    """A region that is drawn on the original, prepared as truth is, comes back to within a pixel of the dataset."""
    done, placement = placed(sides, how)
    height, width = sides
    mask = np.zeros(sides, np.uint8)
    mask[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = 1
    back = placement.restored(prepare_mask(mask, done.box, how), outside=0)
    top, left, bottom, right = placement.seen
    off = max((bottom - top) / done.image.shape[0], (right - left) / done.image.shape[1], 1)
    found = np.argwhere(back)
    wanted = np.argwhere(mask)
    assert np.abs(found.min(axis=0) - wanted.min(axis=0)).max() <= off
    assert np.abs(found.max(axis=0) - wanted.max(axis=0)).max() <= off


@pytest.mark.parametrize(("sides", "how"), CASES)
def test_points_and_pixels_agree(sides, how):
    _, placement = placed(sides, how)
    height, width = placement.sides
    y, x = placement.points(np.arange(height + 1), np.arange(width + 1))
    rows = placement.restored(np.repeat(np.arange(height)[:, None], width, axis=1), outside=-1).max(axis=1)
    for pixel, row in enumerate(rows):
        if row >= 0:
            assert y[row] <= pixel + 0.5 <= y[row + 1]
    assert (np.diff(x) >= 0).all()
    assert (y.min(), x.min()) >= (0, 0)
    assert y.max() <= sides[0]
    assert x.max() <= sides[1]


def test_what_was_cropped_away_is_outside():
    _, placement = placed((100, 100), Operations(40, crop_border=10))
    back = placement.restored(np.ones((40, 40)), outside=np.nan)
    assert np.isnan(back[:10]).all()
    assert np.isnan(back[:, 90:]).all()
    assert (back[10:90, 10:90] == 1).all()
