"""Picture files of every kind: each is read as an independent computation says, or refused in one sentence.

All files are made here, byte by byte where no program writes them. Expected values come from NumPy and the published
formulas, never from the code that is tested.
"""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps

from facelime_cli.core import images
from facelime_cli.core.images import Reading, UnreadableError

D50 = np.array([0.9642, 1.0, 0.8249])
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
D65 = (0.3127, 0.329)
SRGB = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
P3 = (0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
ADOBE = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
ADOBE_GAMMA = 563 / 256
ROUNDED = 1
"""Levels that two roundings may differ by."""
RIGHT, REFUSED = {}, {}


def right(name, within=0):
    """Register a function that writes a file and returns it with what it must look like."""

    def register(make):
        RIGHT[name] = (make, within)
        return make

    return register


def refused(name, sentence):
    """Register a function that writes a file which is refused, and returns it."""

    def register(make):
        REFUSED[name] = (make, sentence)
        return make

    return register


# Independent computations


def decoded_curve(values):
    """Return sRGB values 0…1 as light (IEC 61966-2-1)."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encoded(light):
    """Return light as sRGB values 0…255 (IEC 61966-2-1)."""
    clipped = np.clip(light, 0, 1)
    return 255 * np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)


def to_xyz(primaries):
    """Return the matrix from light of three primaries to XYZ, under D65."""
    places = np.array(primaries).reshape(3, 2)
    columns = np.stack([places[:, 0] / places[:, 1], np.ones(3), (1 - places.sum(axis=1)) / places[:, 1]])
    white = np.array([D65[0] / D65[1], 1, (1 - sum(D65)) / D65[1]])
    return columns * np.linalg.solve(columns, white)


def seen(colours, primaries, gamma=None):
    """Return 8-bit colours of other primaries as sRGB."""
    values = colours / 255
    light = decoded_curve(values) if gamma is None else values**gamma
    return encoded(light @ (np.linalg.inv(to_xyz(SRGB)) @ to_xyz(primaries)).T)


def grey(levels):
    return np.repeat(np.asarray(levels)[..., None], 3, axis=-1)


def eight(values, white=65535):
    """Return whole numbers as 8 bits."""
    return np.floor(np.asarray(values, np.float64) * 255 / white + 0.5)


def on_white(colours, opacity):
    return np.floor(colours * opacity[..., None] + 255 * (1 - opacity[..., None]) + 0.5)


def colours(seed=1, shape=(12, 16, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def numbers(most=65536, shape=(12, 16), seed=2):
    return np.random.default_rng(seed).integers(0, most, shape, dtype=np.uint16)


# Files


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(path, rows, kind, bits, width, more=b""):
    """Write a PNG file from the bytes of its rows."""
    header = struct.pack(">IIBBBBB", width, len(rows), bits, kind, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + more + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path


def deep_png(path, values, kind, more=b""):
    return png(path, [row.astype(">u2").tobytes() for row in values], kind, 16, values.shape[1], more)


def icc(space, description, tags):
    """Return an ICC profile of version 2."""
    text = description.encode()
    desc = b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + b"\0" * (1 + 8 + 3 + 67)
    every = {b"desc": desc, b"wtpt": xyz(D50), **tags}
    start = 128 + 4 + 12 * len(every)
    table, content = struct.pack(">I", len(every)), b""
    for name, value in every.items():
        table += name + struct.pack(">II", start + len(content), len(value))
        content += value + b"\0" * (-len(value) % 4)
    kind, pcs = (b"prtr", b"Lab ") if space == b"CMYK" else (b"mntr", b"XYZ ")
    header = struct.pack(">I4xI4s4s4s12x4s", start + len(content), 0x02400000, kind, space, pcs, b"acsp")
    return header.ljust(68, b"\0") + xyz(D50)[8:].ljust(60, b"\0") + table + content


def xyz(values):
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(each * 65536)) for each in values)


def curve(gamma):
    """Return a curve of a profile: an exponent, or that of sRGB."""
    if gamma is not None:
        return b"curv\0\0\0\0" + struct.pack(">IHxx", 1, round(gamma * 256))
    levels = np.round(decoded_curve(np.linspace(0, 1, 1024)) * 65535).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", 1024) + levels.tobytes()


def rgb_profile(description, primaries, gamma=None):
    source = np.array([D65[0] / D65[1], 1, (1 - sum(D65)) / D65[1]])
    cones = (BRADFORD @ D50) / (BRADFORD @ source)
    columns = np.linalg.inv(BRADFORD) @ np.diag(cones) @ BRADFORD @ to_xyz(primaries)
    tags = {name: xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns.T, strict=True)}
    return icc(b"RGB ", description, tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve(gamma)))


def grey_profile(description, gamma):
    return icc(b"GRAY", description, {b"kTRC": curve(gamma)})


def saved(path, array, mode=None, **more):
    Image.fromarray(array, mode).save(path, **more) if mode else Image.fromarray(array).save(path, **more)
    return path


def smooth(shape=(32, 32, 3)):
    """Return colours that JPEG keeps: one for each block of 8×8."""
    blocks = np.random.default_rng(5).integers(0, 256, (shape[0] // 8, shape[1] // 8, *shape[2:]), dtype=np.uint8)
    return blocks.repeat(8, 0).repeat(8, 1)


def jpeg(path, array, mode=None, **more):
    """Write a JPEG, and return what it holds without any profile: its own losses are no matter here."""
    saved(path, array, mode, quality=100, subsampling=0, **more)
    with Image.open(path) as picture:
        return np.asarray(picture)


# More than 8 bits


@right("PNG, 16 bits")
def _(folder):
    return deep_png(folder / "a.png", numbers()[..., None], 0), grey(eight(numbers())), "uses:16"


@right("PNG, 12 bits of 16")
def _(folder):
    return deep_png(folder / "a.png", numbers(4096)[..., None], 0), grey(eight(numbers(4096))), "uses:12"


@right("PNG, 12 bits of 16, with --bits 12")
def _(folder):
    path = deep_png(folder / "a.png", numbers(4096)[..., None], 0)
    return path, grey(eight(numbers(4096), 4095)), "bits:12", Reading(bits=12)


@refused("PNG, 16 bits, with --bits 12", "holds the value 65,067, above the 4,095 of --bits 12; give more bits")
def _(folder):
    return deep_png(folder / "a.png", numbers()[..., None], 0), Reading(bits=12)


@right("PNG, colours of 16 bits")
def _(folder):
    values = numbers(shape=(12, 16, 3))
    return deep_png(folder / "a.png", values, 2), eight(values), "uses:16"


@right("PNG, colours of 12 bits of 16, with --bits 12")
def _(folder):
    values = numbers(4096, (12, 16, 3))
    return deep_png(folder / "a.png", values, 2), eight(values, 4095), "bits:12", Reading(bits=12)


@right("PNG, colours of 10 bits of 16")
def _(folder):
    values = numbers(1024, (12, 16, 3))
    return deep_png(folder / "a.png", values, 2), eight(values), "uses:10"


@right("PNG, 16 bits with opacity", within=ROUNDED)
def _(folder):
    values = numbers(shape=(12, 16, 4))
    expected = on_white(values[..., :3] / 257, values[..., 3] / 65535)
    return deep_png(folder / "a.png", values, 6), expected, "uses:16"


@right("PNG, grey of 16 bits with opacity", within=ROUNDED)
def _(folder):
    values = numbers(shape=(12, 16, 2))
    expected = on_white(grey(values[..., 0] / 257), values[..., 1] / 65535)
    return deep_png(folder / "a.png", values, 4), expected, "uses:16"


@right("PNG, one grey of 16 bits is transparent")
def _(folder):
    values = np.array([[0, 300, 301, 65535]], np.uint16)
    path = deep_png(folder / "a.png", values[..., None], 0, chunk(b"tRNS", struct.pack(">H", 300)))
    return path, grey([[0, 255, 1, 255]]), "uses:16"


@right("PNG, one colour of 16 bits is transparent")
def _(folder):
    values = np.array([[[65535, 0, 0], [65534, 0, 0], [0, 0, 0]]], np.uint16)
    path = deep_png(folder / "a.png", values, 2, chunk(b"tRNS", struct.pack(">HHH", 65535, 0, 0)))
    return path, np.array([[[255, 255, 255], [255, 0, 0], [0, 0, 0]]]), "uses:16"


@pytest.fixture(params=["<", ">"], ids=["little-endian", "big-endian"])
def order(request):
    return request.param


def tiff(path, values, **more):
    tifffile.imwrite(path, values, metadata=None, **more)
    return path


@right("TIFF, 16 bits")
def _(folder):
    return tiff(folder / "a.tif", numbers(), photometric="minisblack"), grey(eight(numbers())), "uses:16"


@right("TIFF, 16 bits, 0 is white")
def _(folder):
    return tiff(folder / "a.tif", numbers(), photometric="miniswhite"), grey(eight(65535 - numbers())), "uses:16"


@right("TIFF, 12 bits of 16, 0 is white, with --bits 12")
def _(folder):
    path = tiff(folder / "a.tif", numbers(4096), photometric="miniswhite")
    return path, grey(eight(4095 - numbers(4096), 4095)), "bits:12", Reading(bits=12)


@right("TIFF, 8 bits, 0 is white")
def _(folder):
    values = colours(shape=(12, 16))
    return tiff(folder / "a.tif", values, photometric="miniswhite"), grey(255 - values.astype(int))


@right("TIFF, signed 16 bits")
def _(folder):
    values = numbers(32768).astype(np.int16)
    return tiff(folder / "a.tif", values, photometric="minisblack"), grey(eight(values)), "uses:15"


@right("TIFF, signed 16 bits, big-endian, compressed")
def _(folder):
    values = numbers(32768).astype(np.int16)
    more = {"photometric": "minisblack", "byteorder": ">", "compression": "deflate"}
    return tiff(folder / "a.tif", values, **more), grey(eight(values)), "uses:15"


@refused("TIFF, negative values", "holds integers outside 0…65535, whose meaning is not known")
def _(folder):
    return tiff(folder / "a.tif", np.array([[-1, 5]], np.int16), photometric="minisblack")


@refused("TIFF, signed 8 bits", "holds signed values of 8 bits, whose meaning is not known; save it with .*")
def _(folder):
    return tiff(folder / "a.tif", np.array([[-1, 5]], np.int8), photometric="minisblack")


@right("TIFF, 32 bits")
def _(folder):
    values = numbers().astype(np.uint32)
    return tiff(folder / "a.tif", values, photometric="minisblack"), grey(eight(values)), "uses:16"


@right("TIFF, fractions, big-endian, compressed")
def _(folder):
    values = np.random.default_rng(3).random((12, 16), dtype=np.float32)
    more = {"photometric": "minisblack", "byteorder": ">", "compression": "deflate"}
    return tiff(folder / "a.tif", values, **more), grey(np.round(values * 255))


@right("TIFF, fractions, 0 is white")
def _(folder):
    values = np.random.default_rng(3).random((12, 16), dtype=np.float32)
    return tiff(folder / "a.tif", values, photometric="miniswhite"), grey(np.round((1 - values) * 255))


@refused("TIFF, fractions beyond 1", "holds floating-point values outside 0…1, whose meaning is not known")
def _(folder):
    return tiff(folder / "a.tif", np.array([[0, 900.0]], np.float32), photometric="minisblack")


@refused("TIFF, colours as fractions", "is a TIFF file that is damaged or of a kind that is not read; save it again.*")
def _(folder):
    return tiff(folder / "a.tif", np.zeros((4, 4, 3), np.float32), photometric="rgb")


@right("TIFF, colours of 16 bits, big-endian, compressed")
def _(folder):
    values = numbers(shape=(12, 16, 3))
    more = {"photometric": "rgb", "byteorder": ">", "compression": "deflate"}
    return tiff(folder / "a.tif", values, **more), eight(values), "uses:16"


@right("TIFF, colours of 16 bits in planes")
def _(folder):
    values = numbers(shape=(12, 16, 3))
    planes = np.ascontiguousarray(values.transpose(2, 0, 1))
    return tiff(folder / "a.tif", planes, photometric="rgb", planarconfig="separate"), eight(values), "uses:16"


@refused("TIFF, colours of 16 bits in compressed planes", "has colours of 16 bits in separate planes; save it with .*")
def _(folder):
    planes = numbers(shape=(3, 12, 16))
    return tiff(folder / "a.tif", planes, photometric="rgb", planarconfig="separate", compression="deflate")


@right("TIFF, 12 bits packed")
def _(folder):
    values = numbers(4096)
    pairs = values.reshape(12, 8, 2).astype(np.uint32)
    packed = pairs[..., 0] << 12 | pairs[..., 1]
    rows = np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], axis=-1).astype(np.uint8)
    tags = [(256, 16), (257, 12), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 12), (279, rows.size)]
    body = rows.tobytes()
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    (folder / "a.tif").write_bytes(b"II*\0" + struct.pack("<I", 8 + len(body)) + body + directory + b"\0" * 4)
    return folder / "a.tif", grey(eight(values, 4095))


@right("TIFF, opacity multiplied already", within=ROUNDED)
def _(folder):
    values = colours(shape=(12, 16, 4))
    values[..., :3] = np.minimum(values[..., :3], values[..., 3:])
    expected = np.clip(values[..., :3].astype(int) + 255 - values[..., 3:], 0, 255)
    return tiff(folder / "a.tif", values, photometric="rgb", extrasamples=["assocalpha"]), expected


@right("TIFF, opacity of 16 bits, multiplied already", within=ROUNDED)
def _(folder):
    values = numbers(shape=(12, 16, 4))
    values[..., :3] = np.minimum(values[..., :3], values[..., 3:])
    expected = (values[..., :3].astype(int) + 65535 - values[..., 3:]) / 257
    return tiff(folder / "a.tif", values, photometric="rgb", extrasamples=["assocalpha"]), expected, "uses:16"


@right("PGM, 12 bits, which it says itself", within=ROUNDED)
def _(folder):
    values = numbers(4096)
    (folder / "a.pgm").write_bytes(b"P5 16 12 4095\n" + values.astype(">u2").tobytes())
    return folder / "a.pgm", grey(eight(values, 4095)), "uses:16"


# Tiles, compression, frames, orientation


@right("TIFF, tiles")
def _(folder):
    return tiff(folder / "a.tif", colours(shape=(40, 50, 3)), photometric="rgb", tile=(16, 16)), colours(
        shape=(40, 50, 3)
    )


@right("TIFF, JPEG inside", within=2)
def _(folder):
    Image.fromarray(smooth()).save(folder / "a.tif", compression="jpeg", quality=100)
    return folder / "a.tif", smooth()


@right("TIFF, fax")
def _(folder):
    dots = colours(shape=(12, 16)) > 127
    Image.fromarray(dots).save(folder / "a.tif", compression="group4")
    return folder / "a.tif", grey(dots * 255)


@right("TIFF, a palette of 16 bits", within=ROUNDED)
def _(folder):
    table = numbers(shape=(3, 256))
    values = colours(shape=(12, 16))
    return tiff(folder / "a.tif", values, photometric="palette", colormap=table), table.T[values] // 256


@right("TIFF, CMYK")
def _(folder):
    values = colours(shape=(12, 16, 4))
    path = tiff(folder / "a.tif", values, photometric="separated")
    return path, printed(values)


def printed(values):
    """Return ink as a screen shows it where no profile says more: what each ink leaves of the light."""
    left = 255 - values.astype(np.float64)
    return np.clip(np.round(left[..., :3] * left[..., 3:] / 255), 0, 255)


@right("TIFF, LAB", within=2)
def _(folder):
    lab = np.array([[[50, 20, -30], [80, -10, 40], [100, 0, 0], [20, 5, 5]]])
    stored = np.stack([np.round(lab[..., 0] * 2.55), lab[..., 1] % 256, lab[..., 2] % 256], axis=-1).astype(np.uint8)
    return tiff(folder / "a.tif", stored.repeat(4, 0), photometric="cielab"), from_lab(lab.repeat(4, 0))


def from_lab(lab):
    """Return CIE L*a*b* under D50 as sRGB."""
    y = (lab[..., 0] + 16) / 116
    three = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    values = np.where(three > 6 / 29, three**3, 3 * (6 / 29) ** 2 * (three - 4 / 29)) * D50
    source = np.array([D65[0] / D65[1], 1, (1 - sum(D65)) / D65[1]])
    back = np.linalg.inv(BRADFORD) @ np.diag((BRADFORD @ source) / (BRADFORD @ D50)) @ BRADFORD
    return encoded(values @ (np.linalg.inv(to_xyz(SRGB)) @ back).T)


@refused("TIFF, two pages", "holds 2 frames; name the one that is meant with --frame N, or save it as .*")
def _(folder):
    return tiff(folder / "a.tif", colours(shape=(2, 12, 16, 3)), photometric="rgb")


@right("TIFF, two pages, the second is meant")
def _(folder):
    values = colours(shape=(2, 12, 16, 3))
    return tiff(folder / "a.tif", values, photometric="rgb"), values[1], None, Reading(frame=2)


@refused("TIFF, two pages, the third is meant", "holds 2 frames, so that there is no frame 3; name another")
def _(folder):
    return tiff(folder / "a.tif", colours(shape=(2, 12, 16, 3)), photometric="rgb"), Reading(frame=3)


def film(path, **more):
    first, second = (Image.fromarray(np.full((12, 16, 3), level, np.uint8)) for level in (10, 200))
    first.save(path, save_all=True, append_images=[second], **more)
    return path


for ending, words in ((".gif", {}), (".png", {}), (".webp", {"lossless": True}), (".avif", {})):
    refused(f"{ending}, two frames", "holds 2 frames; name .*")(
        lambda folder, ending=ending: film(folder / f"a{ending}")
    )
    right(f"{ending}, two frames, the second is meant", within=2)(
        lambda folder, ending=ending, words=words: (
            film(folder / f"a{ending}", **words),
            np.full((12, 16, 3), 200),
            None,
            Reading(frame=2),
        )
    )


@right("MPO, whose second frame is a preview", within=2)
def _(folder):
    film(folder / "a.jpg", format="MPO")
    return folder / "a.jpg", np.full((12, 16, 3), 10)


SHARP = {".webp": {"lossless": True}, ".avif": {"quality": 100, "subsampling": "4:4:4"}}


def turned_exif():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


for ending in (".tif", ".png", ".webp", ".avif"):
    right(f"{ending}, held on its side", within=3 if ending == ".avif" else 0)(
        lambda folder, ending=ending: (
            saved(folder / f"a{ending}", smooth(), exif=turned_exif(), **SHARP.get(ending, {})),
            np.rot90(smooth(), -1),
        )
    )


@right("JPEG, whose EXIF cannot be written again", within=2)
def _(folder):
    exif = turned_exif()
    exif[0x8825] = {1: "N", 2: (1.0, 2.0, 3.0)}
    # Its place has 258 tags of 2. Pillow's own function for turning writes all tags anew, and raises a TypeError.
    place = struct.pack(">IHHH", 0, 2, 1, 2)
    broken = exif.tobytes().replace(place, struct.pack(">IHHH", 0, 258, 1, 2))
    jpeg(folder / "a.jpg", smooth(), exif=broken)
    with (
        pytest.raises(TypeError),
        pytest.warns(UserWarning, match="Corrupt EXIF"),
        Image.open(folder / "a.jpg") as picture,
    ):
        ImageOps.exif_transpose(picture)
    return folder / "a.jpg", np.rot90(smooth(), -1)


# Transparency and few bits


def packed(values, bits):
    """Return rows of greys of few bits as the bytes of a PNG file."""
    each = 8 // bits
    return [
        bytes(
            sum(int(v) << (8 - bits * (i + 1)) for i, v in enumerate(row[j : j + each]))
            for j in range(0, len(row), each)
        )
        for row in values
    ]


for bits in (1, 2, 4):
    right(f"PNG, {bits} bits, one grey is transparent")(
        lambda folder, bits=bits: (
            png(
                folder / "a.png",
                packed(np.arange(16).reshape(2, 8) % 2**bits, bits),
                0,
                bits,
                8,
                chunk(b"tRNS", b"\0\1"),
            ),
            grey(
                np.where(
                    np.arange(16).reshape(2, 8) % 2**bits == 1,
                    255,
                    np.arange(16).reshape(2, 8) % 2**bits * 255 // (2**bits - 1),
                )
            ),
        )
    )


@right("PNG, a palette with opacity", within=ROUNDED)
def _(folder):
    table = np.array([[10, 20, 30], [200, 100, 50]], np.uint8)
    more = chunk(b"PLTE", table.tobytes()) + chunk(b"tRNS", bytes([64, 255]))
    values = np.array([[0, 1, 1, 0]], np.uint8)
    path = png(folder / "a.png", [row.tobytes() for row in values], 3, 8, 4, more)
    return path, on_white(table[values].astype(float), np.array([64, 255])[values] / 255)


@right("BMP, whose fourth byte is empty")
def _(folder):
    return bmp(folder / "a.bmp", 0), np.array([[[3, 2, 1], [6, 5, 4]]])


@right("BMP, with opacity", within=ROUNDED)
def _(folder):
    return bmp(folder / "a.bmp", 128), on_white(np.array([[[3, 2, 1], [6, 5, 4]]]), np.full((1, 2), 128 / 255))


def bmp(path, opacity):
    body = bytes([1, 2, 3, opacity, 4, 5, 6, opacity])
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, 2, 1, 1, 32, 3, len(body), 0, 0, 0, 0) + masks + b"BGRs" + b"\0" * 48
    path.write_bytes(b"BM" + struct.pack("<IHHI", 14 + len(header) + 8, 0, 0, 14 + len(header)) + header + body)
    return path


# Colours


@right("JPEG, Display P3", within=ROUNDED)
def _(folder):
    held = jpeg(folder / "a.jpg", smooth(), icc_profile=rgb_profile("Display P3", P3))
    return folder / "a.jpg", seen(held, P3), "profile:Display P3"


@right("JPEG, Adobe RGB", within=ROUNDED)
def _(folder):
    held = jpeg(folder / "a.jpg", smooth(), icc_profile=rgb_profile("Adobe RGB (1998)", ADOBE, ADOBE_GAMMA))
    return folder / "a.jpg", seen(held, ADOBE, ADOBE_GAMMA), "profile:Adobe RGB"


@right("JPEG, Adobe RGB by the camera's index", within=ROUNDED)
def _(folder):
    exif = Image.Exif()
    exif.get_ifd(0xA005)[1] = "R03"
    exif[0xA005] = {1: "R03"}
    held = jpeg(folder / "a.jpg", smooth(), exif=exif)
    return folder / "a.jpg", seen(held, ADOBE, ADOBE_GAMMA), "profile:Adobe RGB"


@right("JPEG, a profile of nobody's")
def _(folder):
    held = jpeg(folder / "a.jpg", smooth(), icc_profile=rgb_profile("sRGB of A. Person's screen", SRGB))
    return folder / "a.jpg", held, "profile:sRGB"


@right("JPEG, Pillow's sRGB")
def _(folder):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return folder / "a.jpg", jpeg(folder / "a.jpg", smooth(), icc_profile=profile), "profile:sRGB"


@right("JPEG, a broken profile")
def _(folder):
    held = jpeg(folder / "a.jpg", smooth(), icc_profile=rgb_profile("Display P3", P3)[:200])
    return folder / "a.jpg", held, "profile:unusable"


@right("JPEG, a profile for grey in colours")
def _(folder):
    return folder / "a.jpg", jpeg(folder / "a.jpg", smooth(), icc_profile=grey_profile("g", 1.8)), "profile:unusable"


@right("JPEG, grey with a curve of 1.8", within=ROUNDED)
def _(folder):
    held = jpeg(folder / "a.jpg", smooth((32, 32)), icc_profile=grey_profile("Gray Gamma 1.8", 1.8))
    return folder / "a.jpg", grey(encoded((held / 255) ** 1.8)), "profile:grey gamma"


@right("JPEG, grey with a profile for colours", within=ROUNDED)
def _(folder):
    held = jpeg(folder / "a.jpg", smooth((32, 32)), icc_profile=rgb_profile("ProPhoto RGB", ADOBE, 1.8))
    return folder / "a.jpg", grey(encoded((held / 255) ** 1.8)), "profile:ProPhoto RGB"


@right("PNG, grey with opacity and a curve", within=ROUNDED)
def _(folder):
    values = colours(shape=(12, 16, 2))
    path = saved(folder / "a.png", values, "LA", icc_profile=grey_profile("g 1.8", 1.8))
    expected = on_white(grey(np.round(encoded((values[..., 0] / 255) ** 1.8))), values[..., 1] / 255)
    return path, expected, "profile:GRAY profile"


@right("PNG, opacity and Display P3", within=ROUNDED)
def _(folder):
    values = colours(shape=(12, 16, 4))
    path = saved(folder / "a.png", values, icc_profile=rgb_profile("Display P3", P3))
    return path, on_white(np.round(seen(values[..., :3], P3)), values[..., 3] / 255), "profile:Display P3"


@right("PNG, a palette and Display P3", within=ROUNDED)
def _(folder):
    palette = Image.fromarray(smooth()).convert("P", palette=Image.Palette.ADAPTIVE)
    palette.save(folder / "a.png", icc_profile=rgb_profile("Display P3", P3))
    return folder / "a.png", seen(np.asarray(palette.convert("RGB")), P3), "profile:Display P3"


@right("PNG, grey of 16 bits and light itself", within=ROUNDED)
def _(folder):
    values = numbers()
    more = chunk(b"iCCP", b"linear\0\0" + zlib.compress(grey_profile("linear", 1.0)))
    path = deep_png(folder / "a.png", values[..., None], 0, more)
    return path, grey(encoded(values / 65535)), "uses:16"


@right("JPEG, inks of a printer with its profile", within=3)
def _(folder):
    lab = np.random.default_rng(8).integers([30, -20, -20], [80, 20, 20], (16, 3))
    # Paper is white, and all inks together are black: else it is no matter of colours alone.
    lab[0], lab[15] = (100, 0, 0), (0, 0, 0)
    inks = np.array([[i >> 3 & 1, i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(16)], np.uint8) * 255
    picture = inks.reshape(4, 4, 4).repeat(8, 0).repeat(8, 1)
    Image.fromarray(picture, "CMYK").save(folder / "a.tif", icc_profile=ink_profile(lab))
    return folder / "a.tif", from_lab(lab.reshape(4, 4, 3)).repeat(8, 0).repeat(8, 1), "profile:printing"


def ink_profile(lab):
    """Return a profile of four inks that says a colour for each of their 16 mixtures (ICC.1:2001, lut8Type)."""
    straight = bytes(range(256))
    places = np.stack([np.round(lab[:, 0] * 2.55), lab[:, 1] + 128, lab[:, 2] + 128], axis=-1).astype(np.uint8)
    one, nothing = struct.pack(">i", 65536), b"\0" * 4
    matrix = b"".join(one if i % 4 == 0 else nothing for i in range(9))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + straight * 4 + places.tobytes() + straight * 3
    return icc(b"CMYK", "Coated of nobody", {b"A2B0": table})


@right("JPEG, CMYK as Adobe writes it, without a profile", within=ROUNDED)
def _(folder):
    held = jpeg(folder / "a.jpg", smooth((32, 32, 4)), "CMYK")
    return folder / "a.jpg", printed(held)


PNG_P3 = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)


@right("PNG, gamma of light itself", within=ROUNDED)
def _(folder):
    values = colours()
    path = png(
        folder / "a.png", list(map(np.ndarray.tobytes, values)), 2, 8, 16, chunk(b"gAMA", struct.pack(">I", 10**5))
    )
    return path, encoded(values / 255), "profile:PNG gamma 1.00"


@right("PNG, grey of 16 bits and gamma of light itself", within=ROUNDED)
def _(folder):
    path = deep_png(folder / "a.png", numbers()[..., None], 0, chunk(b"gAMA", struct.pack(">I", 10**5)))
    return path, grey(encoded(numbers() / 65535)), "profile:PNG gamma 1.00"


@right("PNG, the usual gamma")
def _(folder):
    values = colours()
    more = chunk(b"gAMA", struct.pack(">I", 45455))
    return png(folder / "a.png", list(map(np.ndarray.tobytes, values)), 2, 8, 16, more), values


@right("PNG, the primaries of Display P3", within=ROUNDED)
def _(folder):
    values = colours()
    more = chunk(b"gAMA", struct.pack(">I", 45455)) + chunk(b"cHRM", PNG_P3)
    return png(folder / "a.png", list(map(np.ndarray.tobytes, values)), 2, 8, 16, more), seen(values, P3)


@right("PNG, sRGB beside another gamma")
def _(folder):
    values = colours()
    more = chunk(b"sRGB", b"\0") + chunk(b"gAMA", struct.pack(">I", 10**5))
    return png(folder / "a.png", list(map(np.ndarray.tobytes, values)), 2, 8, 16, more), values


@right("PNG, a profile beside another gamma", within=ROUNDED)
def _(folder):
    values = colours()
    profile = chunk(b"iCCP", b"p\0\0" + zlib.compress(rgb_profile("Display P3", P3)))
    more = chunk(b"gAMA", struct.pack(">I", 10**5)) + profile
    return png(folder / "a.png", list(map(np.ndarray.tobytes, values)), 2, 8, 16, more), seen(values, P3)


@right("PNG, code points of Display P3 beside another profile", within=ROUNDED)
def _(folder):
    values = colours()
    profile = chunk(b"iCCP", b"p\0\0" + zlib.compress(rgb_profile("Adobe RGB", ADOBE, ADOBE_GAMMA)))
    more = chunk(b"cICP", bytes([12, 13, 0, 1])) + profile
    path = png(folder / "a.png", list(map(np.ndarray.tobytes, values)), 2, 8, 16, more)
    return path, seen(values, P3), "profile:Display P3"


@refused("PNG, of a high range", r"is an HDR picture \(PQ\), which screens show in different ways; save it as sRGB")
def _(folder):
    more = chunk(b"cICP", bytes([9, 16, 0, 1]))
    return png(folder / "a.png", list(map(np.ndarray.tobytes, colours())), 2, 8, 16, more)


@right("JPEG 2000, Display P3", within=ROUNDED)
def _(folder):
    content = io.BytesIO()
    Image.fromarray(colours()).save(content, "JPEG2000", irreversible=False)
    plain = content.getvalue()
    place = plain.index(b"colr") - 4
    length = struct.unpack(">I", plain[place : place + 4])[0]
    profile = rgb_profile("Display P3", P3)
    box = struct.pack(">I", 11 + len(profile)) + b"colr\2\0\0" + profile
    header = plain.index(b"jp2h") - 4
    longer = struct.unpack(">I", plain[header : header + 4])[0] + len(box) - length
    whole = plain[:header] + struct.pack(">I", longer) + plain[header + 4 : place] + box + plain[place + length :]
    (folder / "a.jp2").write_bytes(whole)
    return folder / "a.jp2", seen(colours(), P3), "profile:Display P3"


@right("JPEG 2000, 12 bits")
def _(folder):
    picture = Image.fromarray(numbers(4096) << 4)
    picture.save(folder / "a.j2k", irreversible=False)
    return folder / "a.j2k", grey(eight(numbers(4096) << 4)), "uses:16"


@right("WebP, Display P3", within=ROUNDED)
def _(folder):
    path = saved(folder / "a.webp", colours(), lossless=True, icc_profile=rgb_profile("Display P3", P3))
    return path, seen(colours(), P3), "profile:Display P3"


@right("AVIF, Display P3", within=6)
def _(folder):
    profile = rgb_profile("Display P3", P3)
    path = saved(folder / "a.avif", smooth(), quality=100, subsampling="4:4:4", icc_profile=profile)
    with Image.open(path) as picture:
        held = np.asarray(picture)
    return path, seen(held, P3), "profile:Display P3"


# HEIC


def heic(path, **more):
    heif = pytest.importorskip("pillow_heif", reason="HEIC is an extra")
    picture = heif.from_pillow(Image.fromarray(smooth()))
    picture.save(path, quality=-1, chroma=444, matrix_coefficients=0, **more)
    return path


@right("HEIC", within=2)
def _(folder):
    return heic(folder / "a.heic"), smooth()


@right("HEIC, held on its side", within=2)
def _(folder):
    return heic(folder / "a.heic", exif=turned_exif().tobytes()), np.rot90(smooth(), -1)


@right("HEIC, code points of Display P3", within=4)
def _(folder):
    return heic(folder / "a.heic", color_primaries=12, transfer_characteristics=13), seen(smooth(), P3)


# Names and damage


@right("a PNG that is called JPEG")
def _(folder):
    Image.fromarray(colours()).save(folder / "a.jpg", format="PNG")
    return folder / "a.jpg", colours()


@right("an icon")
def _(folder):
    Image.fromarray(colours(shape=(16, 16, 3))).save(folder / "a.png", format="ICO")
    return folder / "a.png", colours(shape=(16, 16, 3))


@refused("an empty file", "is empty, so it is not a picture")
def _(folder):
    (folder / "a.png").write_bytes(b"")
    return folder / "a.png"


@refused("text", "is not a picture in a known format")
def _(folder):
    (folder / "a.png").write_text("nothing")
    return folder / "a.png"


def content_of(format_):
    content = io.BytesIO()
    Image.fromarray(colours(shape=(64, 64, 3))).save(content, format_)
    return content.getvalue()


for format_ in ("JPEG", "PNG", "TIFF", "GIF", "BMP", "WEBP", "AVIF", "JPEG2000", "PPM"):

    @refused(f"half of {format_}", r"[^\n]+")
    def _(folder, format_=format_):
        whole = content_of(format_)
        (folder / "a.png").write_bytes(whole[: len(whole) // 2])
        return folder / "a.png"


def with_frame_header(path, kind, bits):
    """Write a JPEG whose frame says that it is of another kind."""
    content = bytearray(content_of("JPEG"))
    place = content.index(b"\xff\xc0")
    content[place + 1], content[place + 4] = kind, bits
    path.write_bytes(content)
    return path


@refused("JPEG, 12 bits", "is a 12-bit JPEG file that is damaged or of a kind that is not read; save it again as PNG")
def _(folder):
    return with_frame_header(folder / "a.jpg", 0xC1, 12)


@refused("JPEG-LS", "is a JPEG-LS file that is damaged or of a kind that is not read; save it again as PNG")
def _(folder):
    return with_frame_header(folder / "a.jpg", 0xF7, 8)


for name, start in (
    ("PSD", b"8BPS"),
    ("PDF", b"%PDF-1.4"),
    ("EPS", b"%!PS-Adobe"),
    ("JPEG XL", b"\xff\x0a"),
    ("ZIP", b"PK\3\4"),
):
    refused(f"{name} that is called PNG", f"is {name}, not a picture in a format that is read; save it as PNG or TIFF")(
        lambda folder, start=start: [(folder / "a.png").write_bytes(start + b"\0" * 200), folder / "a.png"][1]
    )


def test_there_are_enough_inputs():
    assert len(RIGHT) + len(REFUSED) >= 40


@pytest.mark.parametrize("name", RIGHT)
def test_an_input_is_read_right(tmp_path, name):
    make, within = RIGHT[name]
    path, expected, note, how = (*make(tmp_path), None, None)[:4]
    found = images.read(path, how or Reading())
    assert found.image.dtype == np.uint8
    assert found.image.shape == np.shape(expected)
    assert np.abs(found.image - np.asarray(expected, np.float64)).max() <= within + 0.5 * (
        np.asarray(expected).dtype.kind == "f"
    )
    assert note is None or any(each.startswith(note) for each in found.notes), found.notes


@pytest.mark.parametrize("name", REFUSED)
def test_an_input_is_refused_in_one_sentence(tmp_path, name):
    make, sentence = REFUSED[name]
    made = make(tmp_path)
    path, how = made if isinstance(made, tuple) else (made, Reading())
    with pytest.raises(UnreadableError, match=rf"^{sentence}$") as caught:
        images.read(path, how)
    assert caught.value.short
