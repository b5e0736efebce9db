"""Every kind of picture file becomes what a person sees: upright RGB uint8."""

import struct
import warnings
import zlib

import numpy as np
import pydicom
import pytest
from PIL import Image

from facelime_cli.core import images
from facelime_cli.core.leakage import traits
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


def png_of(width, height, kind=0, bits=8, more=b"", body=b""):
    """Return a PNG file whose header may say anything."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(body))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + more + data + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (png_of(2**31 - 1, 2**31 - 1), "more than 178,956,970 pixels"),
        (png_of(20_000, 20_000, bits=1), "more than 178,956,970 pixels"),
        (png_of(0, 5), "not a picture|no pixels|damaged"),
        (png_of(4, 4), "trunc|broken|unrecognized|data"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n", "not a picture"),
        (b"P5 0 7 255\n", "not a picture|no pixels|must be|damaged"),
        (b"P5 99999999 99999999 255\n", "more than 178,956,970 pixels"),
    ],
    ids=["both sides 2**31", "one bit", "no width", "no data", "program", "empty", "large grey map"],
)
def test_headers_that_promise_something_else(tmp_path, content, said):
    (tmp_path / "a.png").write_bytes(content)
    for read in (images.decode, images.decode_mask):
        with pytest.raises(images.UnreadableError, match=said):
            read(tmp_path / "a.png")


def test_numbers_beyond_a_palette(tmp_path):
    """A palette of one colour, and pixels that ask for the 201st: black, as viewers show them."""
    palette = struct.pack(">I", 3) + b"PLTE\xff\0\0" + struct.pack(">I", zlib.crc32(b"PLTE\xff\0\0"))
    (tmp_path / "a.png").write_bytes(png_of(2, 1, kind=3, more=palette, body=b"\0\0\xc8"))
    assert images.decode(tmp_path / "a.png")[0].tolist() == [[255, 0, 0], [0, 0, 0]]


def test_what_libraries_warn_of_stays_away_from_the_terminal(tmp_path, corner, capfd, recwarn):
    path = save(corner, tmp_path / "a.tif", compression="tiff_lzw")
    whole = bytearray(path.read_bytes())
    whole[10:40] = bytes(30)
    path.write_bytes(whole)
    with pytest.raises(images.UnreadableError):
        images.decode(path)
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_an_array_without_pixels_is_no_picture():
    with pytest.raises(images.UnreadableError, match="no pixels"):
        images.display(np.zeros((0, 5, 3), np.uint8))


@pytest.mark.parametrize("shape", [(1, 20_000), (20_000, 1), (1, 1)])
def test_extreme_sides(rng, shape):
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    for how in (Operations(16), Operations(16, fit="crop", equalize=True), Operations(16, crop_border=45.0)):
        assert prepare(image, how).image.shape == (16, 16, 3)
    assert traits(image, ".png").figures[:2] == (shape[1], shape[0])


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

    @pytest.mark.parametrize(
        ("more", "said"),
        [
            ({"RescaleSlope": "nan", "RescaleIntercept": 0}, "RescaleSlope nan"),
            ({"RescaleSlope": 1, "RescaleIntercept": "inf"}, "RescaleIntercept inf"),
            ({"RescaleSlope": 0, "RescaleIntercept": 0}, "slope 0 and"),
            ({"RescaleSlope": 2}, "slope 2 and intercept none"),
            ({"RescaleSlope": "1e308", "RescaleIntercept": 0}, "not finite"),
            ({"WindowCenter": "nan", "WindowWidth": 10}, "WindowCenter nan"),
            ({"WindowCenter": 10, "WindowWidth": "NaN"}, "WindowWidth NaN"),
            ({"WindowCenter": ["inf", "1"], "WindowWidth": [1, 1]}, "WindowCenter inf"),
            ({"WindowCenter": 10, "WindowWidth": 0}, "width 0"),
            ({"WindowCenter": 10, "WindowWidth": -4}, "width -4"),
            ({"WindowCenter": 10, "WindowWidth": 0.5}, "width 0.5, which shows nothing"),
            ({"WindowCenter": "1e300", "WindowWidth": 10}, r"center 1e\+300"),
            ({"WindowCenter": 10}, "width none"),
            ({"NumberOfFrames": -1}, "-1 frames"),
            ({"NumberOfFrames": 10**9}, "1000000000 frames"),
            ({"Rows": 0}, "0 rows"),
            ({"Rows": 65535, "Columns": 65535}, "more than 178,956,970 pixels"),
            ({"Rows": 500}, "pixel data"),
            ({"BitsAllocated": 13}, "Bits Allocated"),
            ({"BitsStored": 20}, "Bits Stored"),
            ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR"),
            ({"PhotometricInterpretation": "NONSENSE"}, "NONSENSE"),
            ({"PixelRepresentation": 7}, "Pixel Representation"),
            ({"SamplesPerPixel": 77}, "SamplesPerPixel 77 for MONOCHROME2, not 1"),
        ],
    )
    def test_numbers_that_mean_nothing(self, tmp_path, more, said):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = write_scan(tmp_path / "a.dcm", self.ramp, **more)
        with pytest.raises(images.UnreadableError, match=said):
            images.decode(path)

    @pytest.mark.parametrize("tag", ["Rows", "PixelData", "BitsAllocated", "PhotometricInterpretation"])
    def test_missing_tags(self, tmp_path, tag):
        path = write_scan(tmp_path / "a.dcm", self.ramp)
        scan = pydicom.dcmread(path)
        del scan[tag]
        scan.save_as(path)
        with pytest.raises(images.UnreadableError):
            images.decode(path)

    def test_empty_tags_say_as_little_as_absent_ones(self, tmp_path):
        plain = images.decode(write_scan(tmp_path / "a.dcm", self.ramp))
        empty = dict.fromkeys(("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth"), "")
        assert np.array_equal(images.decode(write_scan(tmp_path / "b.dcm", self.ramp, **empty)), plain)

    def test_a_scan_that_is_cut(self, tmp_path):
        path = write_scan(tmp_path / "a.dcm", self.ramp)
        whole = path.read_bytes()
        for length in (0, 100, 140, 300, len(whole) - 3):
            path.write_bytes(whole[:length])
            with pytest.raises(images.UnreadableError):
                images.decode(path)

    def test_what_is_no_dicom(self, tmp_path):
        (tmp_path / "a.dcm").write_bytes(b"nothing")
        with pytest.raises(images.UnreadableError):
            images.decode(tmp_path / "a.dcm")
