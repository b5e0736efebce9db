"""Every kind of picture file becomes what a person sees: upright RGB uint8."""

import numpy as np
import pytest
from PIL import Image

from facelime_cli.core import images
from facelime_cli.core.operations import Operations, prepare
from facelime_cli.sources import picture_files
from tests.support import write_scan


@pytest.fixture
def corner():
    """A picture whose upper left is red, so that its orientation shows."""
    array = np.full((20, 30, 3), 90, np.uint8)
    array[:8, :10] = (220, 10, 10)
    return array


def save(array, path, **more):
    Image.fromarray(array).save(path, **more)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, corner, orientation):
    stored = {
        1: corner,
        2: corner[:, ::-1],
        3: corner[::-1, ::-1],
        4: corner[::-1],
        5: corner.swapaxes(0, 1),
        6: np.rot90(corner),
        7: np.rot90(corner.swapaxes(0, 1), 2),
        8: np.rot90(corner, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = images.decode(save(np.ascontiguousarray(stored), tmp_path / "a.png", exif=exif))
    assert np.array_equal(found, corner)


def test_grey(tmp_path):
    grey = np.arange(200, dtype=np.uint8).reshape(10, 20)
    found = images.decode(save(grey, tmp_path / "a.png"))
    assert np.array_equal(found, np.repeat(grey[..., None], 3, -1))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_keeps_the_range_of_its_type(tmp_path, suffix):
    deep = np.array([[0, 257, 32896, 65535]], np.uint16)
    found = images.decode(save(deep, tmp_path / f"a{suffix}"))
    assert found[0, :, 0].tolist() == [0, 1, 128, 255]


def test_transparency_lies_on_white(tmp_path):
    layered = np.zeros((2, 2, 4), np.uint8)
    layered[0, 0] = (10, 20, 30, 255)
    found = images.decode(save(layered, tmp_path / "a.png"))
    assert found[0, 0].tolist() == [10, 20, 30]
    assert found[1, 1].tolist() == [255, 255, 255]


def test_palette(tmp_path, corner):
    palette = Image.fromarray(corner).convert("P", palette=Image.Palette.ADAPTIVE)
    palette.save(tmp_path / "a.gif")
    assert np.abs(images.decode(tmp_path / "a.gif").astype(int) - corner).max() < 8


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB"])
def test_every_mode_becomes_rgb(tmp_path, corner, mode):
    converted = Image.fromarray(corner).convert("RGB").convert(mode) if mode != "LAB" else None
    if converted is None:
        from PIL import ImageCms

        converted = ImageCms.profileToProfile(
            Image.fromarray(corner), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        )
    converted.save(
        tmp_path / ("a.tif" if mode in {"CMYK", "YCbCr", "LAB", "1"} else "a.png")
    ) if mode != "HSV" else converted.convert("RGB").save(tmp_path / "a.png")
    found = images.decode(next(tmp_path.iterdir()))
    assert found.dtype == np.uint8
    assert found.shape == (20, 30, 3)


def test_floats_in_0_to_1(tmp_path):
    Image.fromarray(np.array([[0, 0.5, 1]], np.float32)).save(tmp_path / "a.tif")
    assert images.decode(tmp_path / "a.tif")[0, :, 0].tolist() == [0, 128, 255]
    Image.fromarray(np.array([[0, 900.0]], np.float32)).save(tmp_path / "b.tif")
    with pytest.raises(images.UnreadableError, match="floating"):
        images.decode(tmp_path / "b.tif")


def test_what_cannot_be_read_is_said(tmp_path, corner):
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    whole = save(corner, tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    frames = [Image.fromarray(corner), Image.fromarray(corner[::-1])]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    for name, word in (
        ("text.jpg", "not a picture"),
        ("empty.png", "not a picture"),
        ("cut.png", "trunc|broken|end|large"),
        ("film.gif", "2 frames"),
        ("nothing.png", "no such file"),
    ):
        with pytest.raises(images.UnreadableError, match=word):
            images.decode(tmp_path / name)


@pytest.mark.parametrize("shape", [(100, 50), (17, 300), (64, 64)])
def test_stretching(rng, shape):
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    found = prepare(image, Operations(size=64)).image
    assert found.shape == (64, 64, 3)
    assert abs(found.mean() - image.mean()) < 3
    if shape == (64, 64):
        assert np.array_equal(found, image)


def test_files_are_found_once_below_links_in_circles(tmp_path, corner):
    (tmp_path / "a").mkdir()
    save(corner, tmp_path / "a" / "one.PNG")
    save(corner, tmp_path / "a" / ".hidden.png")
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "a" / "round").symlink_to(tmp_path)
    assert [path.name for path in picture_files(tmp_path, [])] == ["one.PNG"]


class TestDicom:
    ramp = np.linspace(0, 4000, 64).round().astype(np.uint16).reshape(8, 8)

    def test_a_window_is_applied_after_rescaling(self, tmp_path):
        found = images.decode(
            write_scan(
                tmp_path / "a.dcm",
                self.ramp,
                RescaleSlope=2,
                RescaleIntercept=-1000,
                WindowCenter=1000,
                WindowWidth=2001,
            )
        )
        values = self.ramp * 2.0 - 1000
        wanted = np.clip(((values - (1000 - 0.5)) / 2000 + 0.5) * 255, 0, 255)
        assert np.abs(found[..., 0] - wanted).max() < 1
        assert np.array_equal(found[..., 0], found[..., 2])

    def test_monochrome1_is_inverted(self, tmp_path):
        both = [
            images.decode(write_scan(tmp_path / f"{kind}.dcm", self.ramp, kind))[..., 0].astype(int)
            for kind in ("MONOCHROME1", "MONOCHROME2")
        ]
        assert np.abs(both[0] + both[1] - 255).max() <= 1
        assert both[1][0, 0] == 0
        assert both[1][-1, -1] == 255

    def test_several_frames_are_refused_with_a_sentence(self, tmp_path):
        with pytest.raises(images.UnreadableError, match="2 frames"):
            images.decode(write_scan(tmp_path / "a.dcm", np.stack([self.ramp, self.ramp]), NumberOfFrames=2))

    def test_what_is_no_dicom(self, tmp_path):
        (tmp_path / "a.dcm").write_bytes(b"nothing")
        with pytest.raises(images.UnreadableError):
            images.decode(tmp_path / "a.dcm")
