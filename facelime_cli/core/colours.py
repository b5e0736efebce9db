"""Colours become sRGB: by the profile in a picture file, or by what the file says in its place."""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image, ImageCms

from facelime_cli.core.depths import rawmode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SRGB = "sRGB"
UNUSABLE = "unusable"
NEARLY_SRGB = 2
"""Levels of 255 by which a profile may differ from sRGB and still be taken as it.

Makers of cameras and programs write sRGB with tables of their own, which are rounded differently.
"""
GRID = 9
"""Values of each channel of the colours by which a profile is compared with sRGB."""
KEPT_PROFILES = 16
"""Profiles that a process remembers: the pictures of one device have the same."""
FAMILIES = (
    (r"display p3|^p3", "Display P3"),
    (r"adobe ?rgb|\(1998\)", "Adobe RGB"),
    (r"pro ?photo|romm", "ProPhoto RGB"),
    (r"apple ?rgb", "Apple RGB"),
    (r"2020", "BT.2020"),
    (r"dot gain", "dot gain"),
    (r"gr[ae]y", "grey gamma"),
    (r"swop|fogra|gracol|coated|japan color", "printing"),
)
"""Descriptions of profiles that are named. The text of any other may name a person's device."""
GREY, RGB, CMYK = "GRAY", "RGB", "CMYK"
GREY_MODES = {"L", "LA", "I;16"}
SPACE_OF_MODE = {"L": GREY, "LA": GREY, "RGB": RGB, "RGBA": RGB, "CMYK": CMYK}
D65 = (0.3127, 0.329)
SRGB_PRIMARIES = (0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
PRIMARIES = {
    4: (0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (0.64, 0.33, 0.29, 0.6, 0.15, 0.06),
    6: (0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    7: (0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    9: (0.708, 0.292, 0.17, 0.797, 0.131, 0.046),
    12: (0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
}
"""Red, green and blue of the code points of ITU-T H.273, where they differ from those of sRGB."""
PRIMARY_NAMES = {12: "Display P3", 9: "BT.2020"}
GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0, 17: 2.6}
"""Exponents of those curves of ITU-T H.273 that have one alone. All others of usual range are shown as sRGB."""
HIGH_RANGE = {16: "PQ", 18: "HLG"}
ADOBE_PRIMARIES = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
ADOBE_GAMMA = 563 / 256
ADOBE_IN_EXIF = re.compile(rb"R03\0|\x01\xa0\x03\0\x01\0\0\0\x02\0|\xa0\x01\0\x03\0\0\0\x01\0\x02")
"""How a camera says Adobe RGB without a profile: the index R03 of DCF 2.0, or 2 as the colour space."""
USUAL_GAMMA = 0.45455
USUAL_SPREAD = 0.05
"""Of the gAMA of a PNG file that is taken as sRGB, as libpng does: a share of it."""
USUAL_PLACES = 0.01
"""By which chromaticities may differ from those of sRGB and still be taken as these."""
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
D50 = np.array([0.9642, 1.0, 0.8249])
CHUNK = 8
SEARCHED = 2**20
"""Bytes at the start of a file in which its colours are looked for."""


class RangeError(ValueError):
    """Colours of a high dynamic range, which a screen shows in its own way."""


@dataclass(frozen=True)
class Colours:
    """What a file says of its colours.

    Attributes
    ----------
    profile : bytes
        An ICC profile: that of the file, or one that says the same as it.
    name : str or None
        What it is called, where the file itself has no profile.
    """

    profile: bytes
    name: str | None = None


@dataclass(frozen=True)
class Known:
    """A profile that can be used.

    Attributes
    ----------
    space : str
        Of its numbers: `GREY`, `RGB` or `CMYK`.
    name : str
        Of its family, or its kind and a part of its digest.
    """

    space: str
    name: str


def said(picture: Image.Image, stream: BinaryIO) -> Colours | None:
    """Return what a file says of its colours, or None where it says nothing but sRGB.

    Parameters
    ----------
    picture : Image
        As it was opened.
    stream : binary stream
        Of the whole file; its position is kept.

    Returns
    -------
    Colours or None

    Raises
    ------
    RangeError
        When its colours are of a high dynamic range.

    Notes
    -----
    The order is that of PNG's third edition (W3C 2025) and of browsers: code points, profile, sRGB, gamma and
    chromaticities. In HEIC and AVIF a profile comes first.
    """
    points = _chunk(stream, b"cICP") if picture.format == "PNG" else None
    if points is not None:
        return _of_points(points[0], points[1])
    profile = picture.info.get("icc_profile")
    if profile:
        return Colours(profile)
    other = OTHERWISE.get(picture.format or "")
    return _of_exif(picture, stream) if other is None else other(picture, stream)


def _chunk(stream: BinaryIO, name: bytes) -> bytes | None:
    """Return a chunk of a PNG file that stands before its pixels."""
    place = stream.tell()
    try:
        stream.seek(CHUNK)
        while len(start := stream.read(CHUNK)) == CHUNK:
            length, found = struct.unpack(">I4s", start)
            if found == name:
                content = stream.read(length)
                return content if len(content) == length else None
            if found == b"IDAT":
                return None
            stream.seek(length + 4, 1)
        return None
    finally:
        stream.seek(place)


def _of_points(primaries: int, transfer: int) -> Colours | None:
    """Return what two code points of ITU-T H.273 say."""
    if transfer in HIGH_RANGE:
        raise RangeError(
            f"is an HDR picture ({HIGH_RANGE[transfer]}), which screens show in different ways; save it as sRGB"
        )
    gamma, places = GAMMAS.get(transfer), PRIMARIES.get(primaries)
    if gamma is None and places is None:
        return None
    name = PRIMARY_NAMES.get(primaries, f"colour code {primaries}/{transfer}")
    return Colours(_profile_bytes(places or SRGB_PRIMARIES, D65, gamma), name)


def _of_exif(picture: Image.Image, _stream: BinaryIO) -> Colours | None:
    """Return what a camera says in EXIF."""
    exif = picture.info.get("exif")
    if exif and ADOBE_IN_EXIF.search(exif):
        return Colours(_profile_bytes(ADOBE_PRIMARIES, D65, ADOBE_GAMMA), "Adobe RGB")
    return None


def _of_png(picture: Image.Image, _stream: BinaryIO) -> Colours | None:
    """Return what gAMA and cHRM of a PNG file say, as browsers apply them."""
    if "srgb" in picture.info:
        return None
    gamma, places = picture.info.get("gamma"), picture.info.get("chromaticity")
    usual = not gamma or abs(gamma / USUAL_GAMMA - 1) <= USUAL_SPREAD
    standard = places is None or max(map(_apart, places, (*D65, *SRGB_PRIMARIES))) <= USUAL_PLACES
    if usual and standard:
        return None
    white, primaries = (D65, SRGB_PRIMARIES) if places is None or standard else (places[:2], places[2:])
    exponent = None if usual or not gamma else 1 / gamma
    name = f"PNG gamma {exponent:.2f}" if exponent else "PNG colours"
    if picture.mode in GREY_MODES or rawmode(picture).startswith("LA"):
        return Colours(_grey_profile_bytes(exponent), name)
    return Colours(_profile_bytes(primaries, white, exponent), name)


def _apart(one: float, other: float) -> float:
    return abs(one - other)


def _of_container(picture: Image.Image, stream: BinaryIO) -> Colours | None:
    """Return what the colour box of a HEIC or AVIF file says."""
    points = picture.info.get("nclx_profile")
    if points:
        return _of_points(int(points["color_primaries"]), int(points["transfer_characteristics"]))
    head = _start(stream)
    place = head.find(b"colrnclx")
    if place < 0 or len(head) < place + 12:
        return None
    return _of_points(*struct.unpack(">HH", head[place + 8 : place + 12]))


def _of_jp2(_picture: Image.Image, stream: BinaryIO) -> Colours | None:
    """Return the profile in the colour box of a JPEG 2000 file, which Pillow leaves out."""
    head = _start(stream)
    place = head.find(b"colr\x02")
    if place < 4:  # noqa: PLR2004 - the length of the box stands before its name
        return None
    length = struct.unpack(">I", head[place - 4 : place])[0]
    return Colours(head[place + 7 : place - 4 + length])


OTHERWISE = {"PNG": _of_png, "AVIF": _of_container, "HEIF": _of_container, "JPEG2000": _of_jp2}
"""What says the colours of a file without a profile, by Pillow's name of its format; of any other, EXIF does."""


def _start(stream: BinaryIO) -> bytes:
    place = stream.tell()
    try:
        stream.seek(0)
        return stream.read(SEARCHED)
    finally:
        stream.seek(place)


def in_srgb(picture: Image.Image, colours: Colours) -> tuple[Image.Image, str]:
    """Return a picture with its colours as sRGB.

    Parameters
    ----------
    picture : Image
        Of 8 bits: L, LA, RGB, RGBA or CMYK.
    colours : Colours
        What its file says.

    Returns
    -------
    picture : Image
        RGB or RGBA; the same where the profile is sRGB or cannot be used.
    name : str
        Of the profile; `SRGB` where nothing was changed, `UNUSABLE` where it is broken or is for other pixels.

    Notes
    -----
    Grey pixels with an RGB profile are taken as equal red, green and blue, as Chromium does.
    """
    known = _known(colours.profile)
    own = SPACE_OF_MODE[picture.mode]
    if known is None or (known.space != own and (own, known.space) != (GREY, RGB)):
        return picture, UNUSABLE
    if known.name == SRGB:
        return picture, SRGB
    opacity = picture.getchannel("A") if picture.mode.endswith("A") else None
    plain = picture if opacity is None else picture.convert("L" if own == GREY else "RGB")
    if own == GREY and known.space == GREY:
        levels = np.floor(_grey_curve(colours.profile) + 0.5).astype(int)
        converted = plain.point(levels.tolist()).convert("RGB")
    else:
        converted = _applied(plain if own == CMYK else plain.convert("RGB"), colours.profile)
    if opacity is not None:
        converted.putalpha(opacity)
    return converted, colours.name or known.name


def grey_levels(values: NDArray[Any], white: int, colours: Colours) -> tuple[NDArray[np.uint8], str]:
    """Return grey values of more than 8 bits as sRGB grey, without rounding them to 8 bits first.

    Parameters
    ----------
    values : (H, W) int array
        0…`white`.
    white : int
        What the file means by white.
    colours : Colours
        What its file says.

    Returns
    -------
    levels : (H, W) uint8 array
    name : str
        As `in_srgb` gives it. Where that is `SRGB` or `UNUSABLE`, the levels are those without a profile.
    """
    known = _known(colours.profile)
    curve = np.arange(256.0)
    name = UNUSABLE if known is None or known.space == CMYK else known.name
    if name not in {SRGB, UNUSABLE}:
        curve, name = _grey_curve(colours.profile), colours.name or name
    table = np.interp(np.arange(white + 1) * (255 / white), np.arange(256), curve)
    return np.floor(table + 0.5).astype(np.uint8)[values], name


def _applied(picture: Image.Image, profile: bytes) -> Image.Image:
    converted = ImageCms.applyTransform(picture, _transform(profile, picture.mode))
    assert converted is not None
    return converted


@lru_cache(maxsize=KEPT_PROFILES)
def _grey_curve(profile: bytes) -> Floats:
    """Return what a profile makes of 256 grey values, 0…255."""
    known = _known(profile)
    grey = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    ramp = grey if known is not None and known.space == GREY else grey.convert("RGB")
    # Its shortcut for whole pictures is 10 levels off in the dark where a curve is steep.
    transform = _transform(profile, ramp.mode, ImageCms.Flags.NOOPTIMIZE)
    after = ImageCms.applyTransform(ramp, transform)
    assert after is not None
    curve: Floats = np.asarray(after.convert("L"), dtype=np.float64)[0]
    return curve


@lru_cache(maxsize=KEPT_PROFILES)
def _known(profile: bytes) -> Known | None:
    """Return what kind of profile it is; None where it cannot be used."""
    try:
        opened = ImageCms.ImageCmsProfile(BytesIO(profile))
        space = opened.profile.xcolor_space.strip()
        if space not in {GREY, RGB, CMYK}:
            return None
        text = str(opened.profile.profile_description or "")
        if _is_srgb(profile, space):
            return Known(space, SRGB)
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None
    family = next((name for pattern, name in FAMILIES if re.search(pattern, text, re.IGNORECASE)), None)
    return Known(space, family or f"{space} profile {hashlib.sha256(profile).hexdigest()[:6]}")


def _is_srgb(profile: bytes, space: str) -> bool:
    """Return whether a profile changes no colour of a grid by more than rounding."""
    if space == CMYK:
        # Making the transform shows whether the profile is whole.
        _transform(profile, "CMYK")
        return False
    if space == GREY:
        grid = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    else:
        steps = np.linspace(0, 255, GRID).round().astype(np.uint8)
        colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1)
        grid = Image.fromarray(np.ascontiguousarray(colours.reshape(1, -1, 3)))
    after = _applied(grid, profile)
    change = np.asarray(after, dtype=np.int16) - np.asarray(grid.convert("RGB"), dtype=np.int16)
    return bool(np.abs(change).max() <= NEARLY_SRGB)


@lru_cache(maxsize=KEPT_PROFILES)
def _transform(profile: bytes, mode: str, flags: ImageCms.Flags = ImageCms.Flags.NONE) -> ImageCms.ImageCmsTransform:
    opened = ImageCms.ImageCmsProfile(BytesIO(profile))
    return ImageCms.buildTransform(opened, ImageCms.createProfile("sRGB"), mode, "RGB", flags=flags)


@lru_cache(maxsize=KEPT_PROFILES)
def _profile_bytes(primaries: Sequence[float], white: Sequence[float], gamma: float | None) -> bytes:
    """Return an ICC profile of primaries and a curve: sRGB's where there is no gamma.

    References
    ----------
    ICC.1:2010, 7.2, 10.15 and E.1: header, parametric curves, and adaptation to the white of profiles.
    """
    colorants = _adapted(primaries, white)
    tags = {b"wtpt": _xyz(D50)}
    for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants.T, strict=True):
        tags[name] = _xyz(column)
    curve = _curve(gamma)
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    return _file(b"RGB ", tags)


@lru_cache(maxsize=KEPT_PROFILES)
def _grey_profile_bytes(gamma: float | None) -> bytes:
    """Return an ICC profile for grey with a curve."""
    return _file(b"GRAY", {b"wtpt": _xyz(D50), b"kTRC": _curve(gamma)})


def _adapted(primaries: Sequence[float], white: Sequence[float]) -> Floats:
    """Return red, green and blue as XYZ under D50, a column each: (3, 3)."""
    places = np.array(primaries).reshape(3, 2)
    columns = np.stack([places[:, 0] / places[:, 1], np.ones(3), (1 - places.sum(axis=1)) / places[:, 1]])
    source = np.array([white[0] / white[1], 1.0, (1 - white[0] - white[1]) / white[1]])
    to_xyz = columns * np.linalg.solve(columns, source)
    cones = (BRADFORD @ D50) / (BRADFORD @ source)
    adapted: Floats = np.linalg.inv(BRADFORD) @ np.diag(cones) @ BRADFORD @ to_xyz
    return adapted


def _xyz(values: Floats) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(_fixed(each) for each in values)


def _curve(gamma: float | None) -> bytes:
    if gamma is not None:
        return b"para\0\0\0\0\0\0\0\0" + _fixed(gamma)
    # IEC 61966-2-1, in the form of the fourth parametric curve.
    numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    return b"para\0\0\0\0\0\3\0\0" + b"".join(_fixed(each) for each in numbers)


def _fixed(number: float) -> bytes:
    return struct.pack(">i", round(number * 65536))


def _file(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    start = 128 + 4 + 12 * len(tags)
    table, content = struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(content), len(value))
        content += value + b"\0" * (-len(value) % 4)
    header = struct.pack(">I4sI4s4s4s12s4s", start + len(content), b"\0" * 4, 0x04300000, b"mntr", space, b"XYZ ",
                         b"\0" * 12, b"acsp")  # fmt: skip
    header = header.ljust(64, b"\0") + struct.pack(">I", 0) + b"".join(_fixed(each) for each in D50)
    return header.ljust(128, b"\0") + table + content
