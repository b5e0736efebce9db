"""Every DICOM file is read right, or refused in one sentence. Each answer is computed here, by another way."""

import io
import struct
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageCms
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import pixel_array
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from facelime_cli.core.dicom import patient_of, read_dicom
from facelime_cli.core.images import AS_IT_SAYS, Reading, UnreadableError, decode

FOLDER = Path(pydicom.__path__[0]) / "data" / "test_files"
SYNTAX = b"\x02\x00\x10\x00UI"
"""How the element begins that says the transfer syntax."""
NOT_SQUARE = "has pixels that are not square, so that the picture looks stretched"
JPEG = 3
"""Levels of 255 that a JPEG of two plain colours loses."""
ROUNDING = 1
"""Levels of 255 between two ways to calculate the same."""
GREY, COLOUR = "MONOCHROME2", "RGB"
RAMP = np.arange(64, dtype=np.int64).reshape(8, 8) * 65
"""0…4095: of 12 bits."""
HUES = np.random.default_rng(5).integers(0, 256, (8, 8, 3), dtype=np.uint8)
STREAK = np.repeat(np.array([[[200, 60, 30], [20, 90, 220]]], np.uint8), 16, axis=1).repeat(32, axis=0)
"""Red beside blue, of even sides and no detail that a JPEG could lose."""


def dicom(values, kind=GREY, *, syntax=ExplicitVRLittleEndian, stored=None, frames=None, **more):
    """Return an object with pixels; `more` are further attributes by their keywords."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = SecondaryCaptureImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = "1.2.3"
    data.file_meta.TransferSyntaxUID = syntax
    data.PatientID = "4711"
    values = np.asarray(values)
    order = values.dtype.newbyteorder("<" if syntax.is_little_endian else ">")
    data.SamplesPerPixel = 3 if values.ndim == 3 and values.shape[-1] == 3 else 1
    sides = values.shape[-3:-1] if data.SamplesPerPixel == 3 else values.shape[-2:]
    data.Rows, data.Columns = sides
    data.PhotometricInterpretation = kind
    if data.SamplesPerPixel == 3:
        data.PlanarConfiguration = 0
    if frames is not None:
        data.NumberOfFrames = frames
    bits = 8 * values.dtype.itemsize
    data.BitsAllocated = bits
    if values.dtype.kind == "f":
        setattr(data, "FloatPixelData" if bits == 32 else "DoubleFloatPixelData", values.astype(order).tobytes())
    else:
        data.BitsStored = stored or bits
        data.HighBit = data.BitsStored - 1
        data.PixelRepresentation = int(values.dtype.kind == "i")
        data.PixelData = values.astype(order).tobytes()
        data["PixelData"].VR = "OW" if bits > 8 else "OB"
    for name, value in more.items():
        setattr(data, name, value)
    return data


def compressed(encoded, kind, syntax, values=STREAK, **more):
    """Return an object whose pixels are encoded frames; `values` says their sides."""
    data = dicom(values, kind, syntax=syntax, **more)
    data.PixelData = encapsulate(list(encoded))
    data["PixelData"].is_undefined_length = True
    data["PixelData"].VR = "OB"
    return data


def no_descriptor():
    made = table([1], 12)
    del made[0].LUTDescriptor
    return made


def table(entries, bits, *, first=0, count=None):
    """Return a sequence with one table of grey values."""
    made = Dataset()
    made.add_new("LUTDescriptor", "US" if first >= 0 else "SS", [len(entries) if count is None else count, first, bits])
    made.add_new("LUTData", "US", list(map(int, entries)))
    return Sequence([made])


def packed(entries, bits, kind):
    """Return a sequence with one table of grey values, which are stored as bytes."""
    made = table(entries, bits)
    made[0].add_new("LUTData", "OW", np.asarray(entries).astype(kind).tobytes())
    return made


def palette(entries, bits, kind="<u2", *, first=0):
    """Return the attributes of a palette: (n, 3) entries."""
    entries = np.asarray(entries)
    found = {}
    for channel, colour in enumerate(("Red", "Green", "Blue")):
        name = f"{colour}PaletteColorLookupTable"
        found[f"{name}Descriptor"] = [len(entries) % 65536, first, bits]
        found[f"{name}Data"] = entries[:, channel].astype(kind).tobytes()
    return found


def jpeg(values, *, marker="JFIF", **how):
    """Return a JPEG of a picture with the marker that says its colours: JFIF's, Adobe's number, or none."""
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "JPEG", quality=95, subsampling=0, **how)
    whole = stream.getvalue()
    if marker == "JFIF":
        return whole
    length = struct.unpack(">H", whole[4:6])[0]
    adobe = b"" if marker is None else b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([marker])
    return whole[:2] + adobe + whole[4 + length :]


def damaged_runs():
    """Return an object whose runs are longer than its picture: the decoder of the extra panics on it."""
    data = runs(dicom(U12, stored=12))
    data.Rows = 7
    return data


def with_overlay(data):
    """Return an object with a drawing over all its pixels, which a viewer can switch off."""
    data.add_new(0x60000010, "US", 8)
    data.add_new(0x60000011, "US", 8)
    data.add_new(0x60000040, "CS", "G")
    data.add_new(0x60000050, "SS", [1, 1])
    data.add_new(0x60000100, "US", 1)
    data.add_new(0x60000102, "US", 0)
    data.add_new(0x60003000, "OW", b"\xff" * 8)
    return data


def jpeg_2000(values):
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "JPEG2000", no_jp2=True, irreversible=False, mct=int(values.ndim == 3))
    return stream.getvalue()


def runs(data):
    data.compress(RLELossless, generate_instance_uid=False)
    return data


def saved(data, path, **how):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pydicom.dcmwrite(path, data, **({"enforce_file_format": True} | how))
    if hasattr(data, "relabelled"):
        new = data.relabelled + "\0" * (len(data.relabelled) % 2)
        start, end = path.read_bytes().split(SYNTAX, 1)
        length = struct.unpack("<H", end[:2])[0]
        # The length of the whole group stands at its start.
        whole = struct.unpack("<I", start[140:144])[0] + len(new) - length
        start = start[:140] + struct.pack("<I", whole) + start[144:]
        path.write_bytes(start + SYNTAX + struct.pack("<H", len(new)) + new.encode() + end[2 + length :])
    return path


def greys(levels):
    """Return grey levels 0…1 as a picture."""
    return np.repeat(np.round(255 * np.clip(levels, 0, 1))[..., None], 3, axis=-1)


def ybr(colours):
    """Return RGB as luminance and differences, by the formulas of PS3.3, C.7.6.3.1.2."""
    red, green, blue = np.moveaxis(np.asarray(colours, float), -1, 0)
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue
    return np.stack(
        [
            luminance,
            -0.1687 * red - 0.3313 * green + 0.5 * blue + 128,
            0.5 * red - 0.4187 * green - 0.0813 * blue + 128,
        ],
        axis=-1,
    ).round()


def halved(colours):
    """Return the numbers of YBR_FULL_422: two luminances, then the differences that they share."""
    parts = ybr(colours).astype(np.uint8)
    pairs = parts.reshape(parts.shape[0], -1, 2, 3)
    return np.concatenate([pairs[..., 0], pairs[:, :, 0, 1:]], axis=-1)


DARK = (np.arange(256)[:, None] * np.array([1, 0.5, 0.25])).astype(int)
"""A palette of 256 colours of 8 bits."""
U12 = RAMP.astype(np.uint16)
S16 = (RAMP - 2000).astype(np.int16)
BYTES = (RAMP // 16).astype(np.uint8)
WIDE = np.arange(64, dtype=np.uint16).reshape(8, 8) * 15
"""0…945: more numbers of colours than a byte holds."""
MANY = np.stack([np.arange(1000) // 4, 255 - np.arange(1000) // 4, np.arange(1000) % 256], axis=-1)
WINDOW = {"WindowCenter": 1000, "WindowWidth": 401}
WITH_WINDOW = (RAMP - 999.5) / 400 + 0.5
BY_RANGE = RAMP / 4095
SIGNED_12 = np.where(RAMP >= 2048, RAMP - 4096, RAMP)

RIGHT = {
    "grey of 12 bits": (dicom(U12, stored=12), greys(BY_RANGE)),
    "grey of 8 bits": (dicom(BYTES), greys(BYTES / 255)),
    "grey of 32 bits": (dicom((RAMP * 1_000_000).astype(np.uint32)), greys(BY_RANGE)),
    "grey of one number": (dicom(np.full((8, 8), 7, np.uint16)), greys(np.zeros((8, 8)))),
    "MONOCHROME1": (dicom(U12, "MONOCHROME1", stored=12), greys(1 - BY_RANGE)),
    "an inverse shape": (dicom(U12, "MONOCHROME1", stored=12, PresentationLUTShape="INVERSE"), greys(1 - BY_RANGE)),
    "an identity": (dicom(U12, stored=12, PresentationLUTShape="IDENTITY"), greys(BY_RANGE)),
    "an empty window": (dicom(U12, stored=12, WindowCenter="", WindowWidth=""), greys(BY_RANGE)),
    "no window, but a kind of it": (dicom(U12, stored=12, VOILUTFunction=""), greys(BY_RANGE)),
    "a window": (dicom(U12, stored=12, **WINDOW), greys(WITH_WINDOW)),
    "a window of an empty kind": (dicom(U12, stored=12, VOILUTFunction="", **WINDOW), greys(WITH_WINDOW)),
    "the first of several windows": (
        dicom(U12, stored=12, WindowCenter=[1000, 40], WindowWidth=[401, 80]),
        greys(WITH_WINDOW),
    ),
    "a window that is exact": (
        dicom(U12, stored=12, VOILUTFunction="LINEAR_EXACT", WindowCenter=1000, WindowWidth=400),
        greys((RAMP - 1000) / 400 + 0.5),
    ),
    "an exact window of less than 1": (
        dicom(U12, stored=12, VOILUTFunction="LINEAR_EXACT", WindowCenter=1000, WindowWidth=0.5),
        greys(RAMP > 1000),
    ),
    "a sigmoid": (
        dicom(U12, stored=12, VOILUTFunction="SIGMOID", WindowCenter=1000, WindowWidth=400),
        greys(1 / (1 + np.exp(-4 * (RAMP - 1000) / 400))),
    ),
    "a window after rescaling": (
        dicom(U12, stored=12, RescaleSlope=2, RescaleIntercept=-1000, **WINDOW),
        greys((2 * RAMP - 1000 - 999.5) / 400 + 0.5),
    ),
    "a window after a slope below zero": (
        dicom(U12, stored=12, RescaleSlope=-1, RescaleIntercept=2000, **WINDOW),
        greys((2000 - RAMP - 999.5) / 400 + 0.5),
    ),
    "a slope below zero": (dicom(U12, stored=12, RescaleSlope=-2, RescaleIntercept=0), greys(1 - BY_RANGE)),
    "signed numbers": (dicom(S16, WindowCenter=0, WindowWidth=2001), greys((S16 + 0.5) / 2000 + 0.5)),
    "signed numbers of 12 bits": (
        dicom((RAMP - 2048).astype(np.int16), stored=12),
        greys(BY_RANGE),
    ),
    "signed numbers without the bits of their sign": (
        dicom(RAMP.astype(np.int16), stored=12),
        greys((SIGNED_12 - SIGNED_12.min()) / np.ptp(SIGNED_12)),
    ),
    "an overlay in the high bits": (dicom(U12 | np.uint16(0xF000) * (U12 % 2), stored=12), greys(BY_RANGE)),
    "an overlay beside the pixels": (
        with_overlay(dicom(U12, stored=12)),
        greys(BY_RANGE),
    ),
    "12 bits at the upper end of 16": (dicom(U12 << 4, stored=12, HighBit=15), greys(BY_RANGE)),
    "12 bits in the middle of 16": (dicom((U12 << 2) | np.uint16(0xC003), stored=12, HighBit=13), greys(BY_RANGE)),
    "signed bits at the upper end": (
        dicom(((RAMP - 2048) << 4).astype(np.int16), stored=12, HighBit=15),
        greys(BY_RANGE),
    ),
    "upper bits, big-endian": (dicom(U12 << 4, stored=12, HighBit=15, syntax=ExplicitVRBigEndian), greys(BY_RANGE)),
    "one bit to a pixel": (
        dicom(BYTES, PixelData=b"\x0f" * 8, BitsAllocated=1, BitsStored=1, HighBit=0),
        greys(np.tile([1, 1, 1, 1, 0, 0, 0, 0], (8, 1))),
    ),
    "fractions": (dicom((RAMP / 100).astype(np.float32)), greys(BY_RANGE)),
    "fractions of two words": (dicom(RAMP / 100), greys(BY_RANGE)),
    "fractions with a window": (
        dicom((RAMP / 100).astype(np.float32), WindowCenter=20, WindowWidth=11),
        greys((RAMP / 100 - 19.5) / 10 + 0.5),
    ),
    "padding without a window": (
        dicom(np.where(RAMP == 0, -2000, RAMP).astype(np.int16), PixelPaddingValue=-2000),
        greys(np.where(RAMP == 0, 0, (RAMP - 65) / (4095 - 65))),
    ),
    "padding with a range": (
        dicom(U12, stored=12, PixelPaddingValue=4095, PixelPaddingRangeLimit=3900),
        greys(np.where(RAMP >= 3900, 0, RAMP / RAMP[RAMP < 3900].max())),
    ),
    "padding of a negative": (
        dicom(U12, "MONOCHROME1", stored=12, PixelPaddingValue=0),
        greys(np.where(RAMP == 0, 0, 1 - (RAMP - 65) / (4095 - 65))),
    ),
    "nothing but padding": (dicom(np.zeros((8, 8), np.uint16), PixelPaddingValue=0), greys(np.zeros((8, 8)))),
    "a VOI table of 12 bits": (
        dicom(U12, stored=12, VOILUTSequence=table(4095 - np.arange(4096), 12)),
        greys(1 - BY_RANGE),
    ),
    "a VOI table of few entries": (
        dicom(U12, stored=12, VOILUTSequence=table([0, 1000, 4095], 12)),
        greys(np.array([0, 1000, 4095])[np.minimum(RAMP, 2)] / 4095),
    ),
    "a VOI table of 8 bits": (
        dicom(U12, stored=12, VOILUTSequence=table(np.arange(4096) // 16, 8)),
        greys(RAMP // 16 / 255),
    ),
    "a VOI table that is preferred to a window": (
        dicom(U12, stored=12, VOILUTSequence=table(np.arange(4096), 12), WindowCenter=40, WindowWidth=80),
        greys(BY_RANGE),
    ),
    "a VOI table as bytes": (
        dicom(U12, stored=12, VOILUTSequence=packed(np.arange(4096), 12, "<u2")),
        greys(BY_RANGE),
    ),
    "a VOI table as single bytes": (
        dicom(U12, stored=12, VOILUTSequence=packed(np.arange(4096) // 16, 8, "u1")),
        greys(RAMP // 16 / 255),
    ),
    "a VOI table, big-endian": (
        dicom(U12, stored=12, VOILUTSequence=packed(np.arange(4096), 12, ">u2"), syntax=ExplicitVRBigEndian),
        greys(BY_RANGE),
    ),
    "a VOI table that begins later": (
        dicom(U12, stored=12, VOILUTSequence=table(np.arange(1024) * 4, 12, first=1000)),
        greys(np.clip(RAMP - 1000, 0, 1023) * 4 / 4095),
    ),
    "a VOI table that begins below zero": (
        dicom(S16, VOILUTSequence=table(np.arange(4096), 12, first=-2000)),
        greys((S16 + 2000) / 4095),
    ),
    "a VOI table after rescaling": (
        dicom(U12, stored=12, RescaleSlope=0.5, RescaleIntercept=0, VOILUTSequence=table(np.arange(2048) * 2, 12)),
        greys(RAMP // 2 * 2 / 4095),
    ),
    "a modality table": (
        dicom(U12, stored=12, ModalityLUTSequence=table(4095 - np.arange(4096), 12)),
        greys(1 - BY_RANGE),
    ),
    "a modality table and a window": (
        dicom(U12, stored=12, ModalityLUTSequence=table(np.arange(4096) * 2, 16), **WINDOW),
        greys((2 * RAMP - 999.5) / 400 + 0.5),
    ),
    "implicit elements": (dicom(U12, stored=12, syntax=ImplicitVRLittleEndian, **WINDOW), greys(WITH_WINDOW)),
    "big-endian": (dicom(U12, stored=12, syntax=ExplicitVRBigEndian, **WINDOW), greys(WITH_WINDOW)),
    "deflated": (dicom(U12, stored=12, syntax=DeflatedExplicitVRLittleEndian, **WINDOW), greys(WITH_WINDOW)),
    "colours": (dicom(HUES, COLOUR), HUES),
    "colours by planes": (
        dicom(HUES, COLOUR, PlanarConfiguration=1, PixelData=np.moveaxis(HUES, -1, 0).tobytes()),
        HUES,
    ),
    "colours of 16 bits": (dicom(HUES.astype(np.uint16) * 257, COLOUR), HUES),
    "colours of 12 bits": (dicom(HUES.astype(np.uint16) * 16, COLOUR, stored=12), HUES * (16 * 255 / 4095)),
    "colours of 8 bits in 16": (dicom(HUES.astype(np.uint16), COLOUR, stored=8), HUES),
    "colours of 32 bits": (dicom(HUES.astype(np.uint32) * 16_843_009, COLOUR), HUES),
    "colours, big-endian": (dicom(HUES.astype(np.uint16) * 257, COLOUR, syntax=ExplicitVRBigEndian), HUES),
    "YBR_FULL": (dicom(ybr(STREAK).astype(np.uint8), "YBR_FULL"), STREAK),
    "YBR_FULL_422": (dicom(STREAK, "YBR_FULL_422", PixelData=halved(STREAK).tobytes()), STREAK),
    "a JPEG": (compressed([jpeg(STREAK)], "YBR_FULL_422", JPEGBaseline8Bit), STREAK),
    "a JPEG whose header says RGB": (compressed([jpeg(STREAK)], COLOUR, JPEGBaseline8Bit), STREAK),
    "a JPEG without a marker": (compressed([jpeg(STREAK, marker=None)], "YBR_FULL", JPEGBaseline8Bit), STREAK),
    "a JPEG with Adobe's marker": (compressed([jpeg(STREAK, marker=1)], "YBR_FULL_422", JPEGBaseline8Bit), STREAK),
    "a JPEG in grey": (
        compressed([jpeg(STREAK[..., 0])], GREY, JPEGBaseline8Bit, STREAK[..., 0]),
        greys((STREAK[..., 0] == 200) * 1.0),
    ),
    "a JPEG 2000": (compressed([jpeg_2000(HUES)], "YBR_RCT", JPEG2000Lossless, HUES), HUES),
    "a JPEG 2000 in grey": (compressed([jpeg_2000(BYTES)], GREY, JPEG2000Lossless, BYTES), greys(BYTES / 255)),
    "a palette of 8 bits": (dicom(BYTES, "PALETTE COLOR", **palette(DARK, 8)), DARK[BYTES]),
    "a palette of single bytes": (dicom(BYTES, "PALETTE COLOR", **palette(DARK, 8, "u1")), DARK[BYTES]),
    "a palette of 16 bits": (dicom(BYTES, "PALETTE COLOR", **palette(DARK * 257, 16)), DARK[BYTES]),
    "a palette in the high bytes": (dicom(BYTES, "PALETTE COLOR", **palette(DARK * 256, 16)), DARK[BYTES]),
    "a dark palette of 16 bits": (
        dicom(BYTES, "PALETTE COLOR", **palette(DARK * 40 + 1, 16)),
        (DARK[BYTES] * 40 + 1) / 257,
    ),
    "a palette, big-endian": (
        dicom(BYTES, "PALETTE COLOR", syntax=ExplicitVRBigEndian, **palette(DARK * 257, 16, ">u2")),
        DARK[BYTES],
    ),
    "a palette that begins later": (
        dicom(BYTES, "PALETTE COLOR", **palette(DARK[:100], 8, first=50)),
        DARK[np.clip(BYTES.astype(int) - 50, 0, 99)],
    ),
    "a palette of more than 256 colours": (dicom(WIDE, "PALETTE COLOR", **palette(MANY, 8)), MANY[WIDE]),
    "a palette beside grey values": (dicom(BYTES, **palette(DARK, 8)), greys(BYTES / 255)),
    "RLE": (runs(dicom(U12, stored=12)), greys(BY_RANGE)),
    "RLE at the upper end of 16 bits": (runs(dicom(U12 << 4, stored=12, HighBit=15)), greys(BY_RANGE)),
    "RLE in colour": (runs(dicom(HUES, COLOUR)), HUES),
    "the icon of a picture": (
        dicom(U12, stored=12, IconImageSequence=Sequence([dicom(BYTES[:4, :4])])),
        greys(BY_RANGE),
    ),
    "square pixels": (dicom(U12, stored=12, PixelSpacing=[0.5, 0.501]), greys(BY_RANGE)),
    "a spacing of one number": (dicom(U12, stored=12, PixelSpacing=0.5), greys(BY_RANGE)),
    "fewer frames than one": (dicom(U12, stored=12, frames=0), greys(BY_RANGE)),
    "one frame": (dicom(U12, stored=12, frames=1), greys(BY_RANGE)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right(tmp_path, name):
    data, wanted = RIGHT[name]
    found = read_dicom(saved(data, tmp_path / "a.dcm"), AS_IT_SAYS)
    assert found.image.dtype == np.uint8
    assert found.image.shape == np.shape(wanted)
    assert np.abs(found.image - np.asarray(wanted, float)).max() <= (JPEG if "JPEG" in name else ROUNDING)
    assert found.warnings == ()


WITH_A_WARNING = {
    "a VOI table of 12 bits that declares 16": (
        dicom(U12, stored=12, VOILUTSequence=table(np.arange(4096), 16)),
        greys(BY_RANGE),
        "declares 16 bits and uses 12",
    ),
    "a VOI table of 12 bits that declares 8": (
        dicom(U12, stored=12, VOILUTSequence=table(np.arange(4096), 8)),
        greys(BY_RANGE),
        "declares 8 bits and uses 12",
    ),
    "a VOI table with fewer entries than it declares": (
        dicom(U12, stored=12, VOILUTSequence=table(np.arange(2048), 11, count=4096)),
        greys(RAMP / 2047),
        "declares 4096 entries and holds 2048",
    ),
    "a VOI table with more entries than it declares": (
        dicom(U12, stored=12, VOILUTSequence=table(np.arange(4096), 11, count=2048)),
        greys(RAMP / 2047),
        "declares 2048 entries and holds 4096",
    ),
    "a modality table with fewer entries": (
        dicom(U12, stored=12, ModalityLUTSequence=table(np.arange(2048), 12, count=4096)),
        greys(RAMP / 2047),
        "modality table that declares 4096 entries and holds 2048",
    ),
    "a palette of 8 bits that declares 16": (
        dicom(BYTES, "PALETTE COLOR", **palette(DARK, 16)),
        DARK[BYTES],
        "declares 16 bits and uses 8",
    ),
    "a palette of 16 bits that declares 8": (
        dicom(BYTES, "PALETTE COLOR", **palette(DARK * 257, 8)),
        DARK[BYTES],
        "declares 8 bits and uses 16",
    ),
    "MONOCHROME1 as it is": (
        dicom(U12, "MONOCHROME1", stored=12, PresentationLUTShape="IDENTITY"),
        greys(1 - BY_RANGE),
        "MONOCHROME1 and the presentation shape IDENTITY",
    ),
    "MONOCHROME2 inverted": (
        dicom(U12, stored=12, PresentationLUTShape="INVERSE"),
        greys(1 - BY_RANGE),
        "MONOCHROME2 and the presentation shape INVERSE",
    ),
    "pixels that are twice as high as wide": (
        dicom(U12, stored=12, PixelSpacing=[1, 0.5]),
        greys(BY_RANGE),
        NOT_SQUARE,
    ),
    "pixels of an aspect": (
        dicom(U12, stored=12, PixelAspectRatio=[3, 4], PixelSpacing=[1, 1]),
        greys(BY_RANGE),
        NOT_SQUARE,
    ),
    "pixels of a detector": (dicom(HUES, COLOUR, ImagerPixelSpacing=[0.2, 0.1]), HUES, NOT_SQUARE),
    "a JPEG with Adobe's marker whose header says RGB": (
        compressed([jpeg(STREAK, marker=1)], COLOUR, JPEGBaseline8Bit),
        STREAK,
        "a header that says RGB",
    ),
    "a JPEG 2000 of RGB whose header says otherwise": (
        compressed([jpeg_2000(ybr(STREAK).astype(np.uint8))], "YBR_FULL", JPEG2000Lossless),
        STREAK,
        "has a JPEG 2000 of RGB, and a header that says YBR_FULL",
    ),
    "a JPEG of more bits than its header says": (
        compressed([jpeg(BYTES)], GREY, JPEGBaseline8Bit, BYTES, stored=7),
        greys(BYTES / 255),
        "has numbers above 127, the largest of the 7 bits",
    ),
    "a profile that is none": (dicom(HUES, COLOUR, ICCProfile=b"nothing"), HUES, "colour profile that is damaged"),
}


@pytest.mark.parametrize("name", WITH_A_WARNING)
def test_what_contradicts_itself_is_said(tmp_path, name):
    data, wanted, said = WITH_A_WARNING[name]
    found = read_dicom(saved(data, tmp_path / "a.dcm"), AS_IT_SAYS)
    assert np.abs(found.image - np.asarray(wanted, float)).max() <= (JPEG if "JPEG" in name else ROUNDING)
    assert len(found.warnings) == 1
    assert said in found.warnings[0]


def without(data, *names):
    for name in names:
        del data[name]
    return data


def of_kind(kind):
    """Return an object of a kind that has no pixels."""
    data = without(dicom(U12), "PixelData", "Rows", "Columns")
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = UID(kind)
    return data


def relabelled(data, syntax):
    """Return an object whose file shall say another transfer syntax than that in which it is written."""
    data.relabelled = UID(syntax)
    return data


COLOURS_OVER_GREY = dicom(BYTES, PixelPresentation="COLOR", **palette(DARK, 8))
STORAGE = "1.2.840.10008.5.1.4.1.1"
REFUSED = {
    "two frames": (dicom(np.stack([U12, U12]), frames=2), "holds 2 frames; choose one with `preprocess --frame N`"),
    "more pixels than declared": (
        dicom(np.stack([U12, U12])),
        "holds 2 frames; choose one with `preprocess --frame N`",
    ),
    "ARGB": (dicom(HUES, "ARGB"), "kind ARGB, which is not read"),
    "HSV": (dicom(HUES, "HSV"), "kind HSV, which is not read"),
    "CMYK": (dicom(HUES, "CMYK"), "kind CMYK, which is not read"),
    "YBR_PARTIAL_422": (dicom(HUES, "YBR_PARTIAL_422"), "kind YBR_PARTIAL_422, which is not read"),
    "no kind": (dicom(U12, ""), "does not say what its pixels mean"),
    "one number to a colour": (dicom(U12, COLOUR), "has the SamplesPerPixel 1 for RGB, not 3"),
    "three numbers to a grey": (dicom(HUES, GREY), "has the SamplesPerPixel 3 for MONOCHROME2, not 1"),
    "colours with a sign": (dicom(HUES.astype(np.int8), COLOUR), "kind RGB and the type int8"),
    "YBR_FULL of 16 bits": (dicom(HUES.astype(np.uint16), "YBR_FULL"), "kind YBR_FULL and not of 8 bits"),
    "YBR_ICT that is not compressed": (dicom(HUES, "YBR_ICT"), "kind YBR_ICT"),
    "numbers above their bits": (
        compressed([jpeg_2000(HUES)], "YBR_RCT", JPEG2000Lossless, HUES, stored=7),
        "numbers above 127",
    ),
    "a highest bit that cannot be": (dicom(U12, stored=12, HighBit=3), "HighBit 3 for 12 bits of 16"),
    "a highest bit beyond the last": (dicom(U12, stored=12, HighBit=16), "HighBit 16 for 12 bits of 16"),
    "fractions that are none": (dicom(np.full((8, 8), np.nan, np.float32)), "not finite"),
    "colours over grey values": (COLOURS_OVER_GREY, "has colours laid over its grey values"),
    "no palette": (dicom(BYTES, "PALETTE COLOR"), "no palette that says which colours"),
    "a palette without entries": (
        without(dicom(BYTES, "PALETTE COLOR", **palette(DARK, 8)), "RedPaletteColorLookupTableData"),
        "a palette without entries",
    ),
    "a palette of 4 bits": (dicom(BYTES, "PALETTE COLOR", **palette(DARK, 4)), "a table of 4 bits"),
    "a VOI table without entries": (dicom(U12, VOILUTSequence=table([], 12)), "VOI table without entries"),
    "a VOI table of 20 bits": (dicom(U12, VOILUTSequence=table([1, 2], 20)), "a table of 20 bits"),
    "a VOI table without a descriptor": (dicom(U12, VOILUTSequence=no_descriptor()), "without a descriptor"),
    "a window of an unknown kind": (dicom(U12, VOILUTFunction="CUBIC", **WINDOW), "window of the kind CUBIC"),
    "a linear window of less than 1": (dicom(U12, WindowCenter=5, WindowWidth=0.5), "width 0.5, which shows nothing"),
    "a video": (relabelled(compressed([b"1"], COLOUR, JPEGBaseline8Bit), "1.2.840.10008.1.2.4.102"), "as MPEG-4"),
    "JPEG XL": (relabelled(compressed([b"1"], COLOUR, JPEGBaseline8Bit), "1.2.840.10008.1.2.4.110"), "unknown format"),
    "a private compression": (relabelled(compressed([b"1"], COLOUR, JPEGBaseline8Bit), "1.2.3.4"), "unknown format"),
    "compressed pixels that shall be none": (
        relabelled(compressed([jpeg(STREAK)], COLOUR, JPEGBaseline8Bit), ExplicitVRLittleEndian),
        "has compressed pixels, and a header that says that they are not",
    ),
    "pixels that shall be compressed": (
        relabelled(dicom(STREAK, COLOUR), JPEGBaseline8Bit),
        "has pixels that are not compressed, and a header that says that they are",
    ),
    "a JPEG without its end": (
        compressed([jpeg(STREAK)[:-40]], COLOUR, JPEGBaseline8Bit),
        "has a JPEG picture without its end",
    ),
    "a JPEG-LS without its end": (
        compressed([b"\xff\xd8\xff\xda\0\0"], COLOUR, JPEGLSLossless),
        "has a JPEG picture without its end",
    ),
    "a JPEG 2000 that was cut off": (
        compressed([jpeg_2000(HUES)[:150]], "YBR_RCT", JPEG2000Lossless, HUES),
        "is compressed as JPEG 2000 and cannot be decoded",
    ),
    "runs that end in the middle": (damaged_runs(), "is compressed as RLE and cannot be decoded"),
    "runs that are too short": (compressed([bytes(64)], GREY, RLELossless, U12), "is compressed as RLE and cannot"),
    "too few pixels": (dicom(U12, Rows=9), "has less pixel data than its header declares"),
    "two kinds of pixels": (dicom(U12, FloatPixelData=bytes(256)), "has pixels that are not as its header describes"),
    "no pixels": (without(dicom(U12), "PixelData"), "picture (Secondary Capture Image Storage) without pixels"),
    "empty pixels": (dicom(U12, PixelData=b""), "picture (Secondary Capture Image Storage) without pixels"),
    "an icon alone": (
        without(dicom(U12, IconImageSequence=Sequence([dicom(BYTES[:4, :4])])), "PixelData"),
        "without pixels",
    ),
    "a presentation state": (of_kind(f"{STORAGE}.11.1"), "(Grayscale Softcopy Presentation State Storage)"),
    "a structured report": (of_kind(f"{STORAGE}.88.11"), "of another kind (Basic Text SR Storage), not a picture"),
    "a document": (of_kind(f"{STORAGE}.104.1"), "(Encapsulated PDF Storage)"),
    "a key object": (of_kind(f"{STORAGE}.88.59"), "(Key Object Selection Document Storage)"),
    "a waveform": (of_kind(f"{STORAGE}.9.1.1"), "(12-lead ECG Waveform Storage)"),
    "a plan of radiation": (of_kind(f"{STORAGE}.481.5"), "(RT Plan Storage)"),
    "an object of a private kind": (of_kind("1.2.3.4711"), "is a DICOM object of another kind, not a picture"),
    "the index of a disc": (of_kind("1.2.840.10008.1.3.10"), "is a DICOMDIR, the index of a disc, not a picture"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(tmp_path, capfd, name):
    data, said = REFUSED[name]
    with pytest.raises(UnreadableError) as raised:
        read_dicom(saved(data, tmp_path / "a.dcm"), AS_IT_SAYS)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    # Nothing that could be of a patient, and nothing that a decoder says itself.
    assert "4711" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "notes"),
    [
        ("a window", ("pixel_kind:MONOCHROME2", "compression:none", "window:window")),
        ("an empty window", ("pixel_kind:MONOCHROME2", "compression:none", "window:range")),
        ("a VOI table that is preferred to a window", ("pixel_kind:MONOCHROME2", "compression:none", "window:table")),
        ("a JPEG", ("pixel_kind:YBR_FULL_422", "compression:JPEG Baseline")),
        ("RLE in colour", ("pixel_kind:RGB", "compression:RLE")),
        ("a palette of 8 bits", ("pixel_kind:PALETTE COLOR", "compression:none")),
    ],
)
def test_what_may_go_with_a_device_is_noted(tmp_path, name, notes):
    assert read_dicom(saved(RIGHT[name][0], tmp_path / "a.dcm"), AS_IT_SAYS).notes == notes


class TestFrames:
    frames = np.stack([U12, U12[::-1], U12.T])

    def path(self, folder, **more):
        return saved(dicom(self.frames, stored=12, frames=3, **more), folder / "a.dcm")

    @pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless])
    @pytest.mark.parametrize("frame", [1, 2, 3])
    def test_one_is_chosen(self, tmp_path, frame, syntax):
        data = dicom(
            self.frames, stored=12, frames=3, syntax=ExplicitVRLittleEndian if syntax == RLELossless else syntax
        )
        path = saved(runs(data) if syntax == RLELossless else data, tmp_path / "a.dcm")
        found = read_dicom(path, Reading(frame=frame)).image
        assert np.abs(found - greys(self.frames[frame - 1] / 4095)).max() <= ROUNDING

    def test_one_of_a_jpeg(self, tmp_path):
        data = compressed([jpeg(STREAK), jpeg(STREAK[:, ::-1])], "YBR_FULL_422", JPEGBaseline8Bit, frames=2)
        found = read_dicom(saved(data, tmp_path / "a.dcm"), Reading(frame=2)).image
        assert np.abs(found - STREAK[:, ::-1].astype(int)).max() <= JPEG

    @pytest.mark.parametrize(
        ("frames", "said"), [(3, "has 3 frames, so"), (None, "has 1 frame, so"), (1, "has 1 frame,")]
    )
    def test_one_that_is_not_there(self, tmp_path, frames, said):
        data = dicom(self.frames[: frames or 1], stored=12, frames=frames)
        with pytest.raises(UnreadableError, match=f"{said}.* there is no frame 4"):
            read_dicom(saved(data, tmp_path / "a.dcm"), Reading(frame=4))

    def test_the_first_of_one(self, tmp_path):
        found = read_dicom(saved(dicom(U12, stored=12), tmp_path / "a.dcm"), Reading(frame=1)).image
        assert np.abs(found - greys(BY_RANGE)).max() <= ROUNDING

    def test_a_number_that_is_none(self):
        with pytest.raises(UnreadableError, match="has a NumberOfFrames that is no number"):
            read_dicom(FOLDER / "badVR.dcm", AS_IT_SAYS)

    def test_each_frame_has_its_own_window(self, tmp_path):
        """Enhanced objects say windows and rescaling of all frames in one place, or of each in another."""
        shared, windows = Dataset(), []
        shared.PixelValueTransformationSequence = one(RescaleSlope=2, RescaleIntercept=-1000)
        for center in (1000, 3000, 5000):
            group = Dataset()
            group.FrameVOILUTSequence = one(WindowCenter=center, WindowWidth=401)
            windows.append(group)
        path = self.path(
            tmp_path,
            SharedFunctionalGroupsSequence=Sequence([shared]),
            PerFrameFunctionalGroupsSequence=Sequence(windows),
        )
        for frame, center in enumerate((1000, 3000, 5000)):
            wanted = greys((self.frames[frame] * 2.0 - 1000 - center + 0.5) / 400 + 0.5)
            assert np.abs(read_dicom(path, Reading(frame=frame + 1)).image - wanted).max() <= ROUNDING

    def test_a_frame_has_its_own_table(self, tmp_path):
        group = Dataset()
        group.FrameVOILUTSequence = one(VOILUTSequence=table(4095 - np.arange(4096), 12))
        data = dicom(U12, stored=12, frames=1, PerFrameFunctionalGroupsSequence=Sequence([group]))
        found = read_dicom(saved(data, tmp_path / "a.dcm"), AS_IT_SAYS)
        assert np.abs(found.image - greys(1 - BY_RANGE)).max() <= ROUNDING

    def test_a_single_frame_has_its_window_there_too(self, tmp_path):
        shared = Dataset()
        shared.FrameVOILUTSequence = one(WindowCenter=1000, WindowWidth=401)
        shared.PixelMeasuresSequence = one(PixelSpacing=[1, 2])
        data = dicom(U12, stored=12, frames=1, SharedFunctionalGroupsSequence=Sequence([shared]))
        found = read_dicom(saved(data, tmp_path / "a.dcm"), AS_IT_SAYS)
        assert np.abs(found.image - greys(WITH_WINDOW)).max() <= ROUNDING
        assert found.warnings == (NOT_SQUARE,)


def one(**more):
    """Return a sequence with one item."""
    made = Dataset()
    for name, value in more.items():
        setattr(made, name, value)
    return Sequence([made])


class TestWithoutPreamble:
    """Files of old begin with their first element, and may not say how they are written."""

    @pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
    def test_a_scan(self, tmp_path, syntax):
        data = dicom(U12, stored=12, syntax=syntax, **WINDOW)
        stream = io.BytesIO()
        pydicom.dcmwrite(stream, data, enforce_file_format=True)
        whole = stream.getvalue()
        first = 144 + struct.unpack("<I", whole[140:144])[0]
        (tmp_path / "a.dcm").write_bytes(whole[first:])
        assert np.abs(decode(tmp_path / "a.dcm") - greys(WITH_WINDOW)).max() <= ROUNDING
        assert patient_of(tmp_path / "a.dcm") == "4711"

    def test_a_scan_that_keeps_its_group(self, tmp_path):
        data = dicom(U12, stored=12, **WINDOW)
        whole = saved(data, tmp_path / "a.dcm").read_bytes()
        (tmp_path / "b.dcm").write_bytes(whole[132:])
        assert np.abs(decode(tmp_path / "b.dcm") - greys(WITH_WINDOW)).max() <= ROUNDING

    def test_compressed_pixels_of_an_unknown_syntax(self, tmp_path):
        data = compressed([jpeg(STREAK)], "YBR_FULL_422", JPEGBaseline8Bit)
        whole = saved(data, tmp_path / "a.dcm").read_bytes()
        first = 144 + struct.unpack("<I", whole[140:144])[0]
        (tmp_path / "a.dcm").write_bytes(whole[first:])
        with pytest.raises(UnreadableError, match="does not say how its pixels are compressed"):
            decode(tmp_path / "a.dcm")

    @pytest.mark.parametrize("content", [b"", b"nothing", bytes(10_000), b"\xff" * 10_000, b"GIF89a" * 100])
    def test_what_is_no_dicom(self, tmp_path, content):
        (tmp_path / "a.dcm").write_bytes(content)
        with pytest.raises(UnreadableError, match="is not a DICOM file"):
            decode(tmp_path / "a.dcm")
        assert patient_of(tmp_path / "a.dcm") is None


def test_a_scan_is_read_by_its_content_whatever_its_name(tmp_path):
    data = dicom(U12, stored=12, **WINDOW)
    for name in ("IM0001", "a.png", "b.jpg", "1.2.840.7"):
        path = saved(data, tmp_path / name)
        assert np.abs(decode(path) - greys(WITH_WINDOW)).max() <= ROUNDING
        assert patient_of(path) == "4711"


def test_a_scan_that_is_cut_off_anywhere_is_refused(tmp_path):
    """Compressed files, whose bytes say less of where they end, and plain ones."""
    plain = dicom(U12, stored=12)
    sources = [saved(plain, tmp_path / "plain.dcm"), saved(RIGHT["a JPEG 2000"][0], tmp_path / "2000.dcm")]
    sources.append(saved(RIGHT["a JPEG"][0], tmp_path / "jpeg.dcm"))
    for source in sources:
        whole = source.read_bytes()
        for share in np.linspace(0, 1, 40, endpoint=False):
            (tmp_path / "cut.dcm").write_bytes(whole[: int(share * len(whole))])
            with pytest.raises(UnreadableError) as raised:
                decode(tmp_path / "cut.dcm")
            assert "\n" not in str(raised.value)


class TestFragments:
    """Compressed pixels lie in items, each with its length; the whole has none."""

    @pytest.fixture
    def parts(self, tmp_path):
        """A file's bytes up to the length of its pixels, and its items."""
        whole = saved(RIGHT["a JPEG"][0], tmp_path / "a.dcm").read_bytes()
        place = whole.index(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff") + 8
        return whole[:place], whole[place + 4 : -8]

    def test_a_length_where_there_should_be_none(self, tmp_path, parts):
        start, items = parts
        (tmp_path / "b.dcm").write_bytes(start + struct.pack("<I", len(items)) + items)
        assert np.abs(decode(tmp_path / "b.dcm") - STREAK.astype(int)).max() <= JPEG

    def test_several_fragments_of_one_frame(self, tmp_path):
        data = compressed([], "YBR_FULL_422", JPEGBaseline8Bit)
        data.PixelData = encapsulate([jpeg(STREAK)], fragments_per_frame=3)
        assert np.abs(decode(saved(data, tmp_path / "b.dcm")) - STREAK.astype(int)).max() <= JPEG

    @pytest.mark.parametrize("change", [-200, 200, 10**6])
    def test_a_wrong_length_of_an_item(self, tmp_path, parts, change):
        """Where it is too short, the end of the JPEG is missing. Where it is too long, the JPEG says its end."""
        start, items = parts
        # A table of offsets comes first.
        first = 8 + struct.unpack("<I", items[4:8])[0]
        length = struct.unpack("<I", items[first + 4 : first + 8])[0] + change
        items = items[: first + 4] + struct.pack("<I", length) + items[first + 8 :]
        (tmp_path / "b.dcm").write_bytes(start + b"\xff" * 4 + items + b"\xfe\xff\xdd\xe0" + bytes(4))
        if change > 0:
            assert np.abs(decode(tmp_path / "b.dcm") - STREAK.astype(int)).max() <= JPEG
            return
        with pytest.raises(UnreadableError, match=r"has a JPEG picture without its end|cannot be"):
            decode(tmp_path / "b.dcm")


def swapped(profile):
    """Return a profile whose red is another's green, and the reverse."""
    red, green = (profile.index(name) + 4 for name in (b"rXYZ", b"gXYZ"))
    places = {red: profile[green : green + 8], green: profile[red : red + 8]}
    for place, value in places.items():
        profile = profile[:place] + value + profile[place + 8 :]
    return profile


def test_a_colour_profile_is_applied(tmp_path):
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    light_path = Dataset()
    light_path.ICCProfile = swapped(own)
    for more in ({"ICCProfile": swapped(own)}, {"OpticalPathSequence": Sequence([light_path])}):
        found = read_dicom(saved(dicom(HUES, COLOUR, **more), tmp_path / "a.dcm"), AS_IT_SAYS)
        assert np.abs(found.image - HUES[..., [1, 0, 2]].astype(int)).max() <= ROUNDING + 1
        assert sum(note.startswith("profile:RGB profile") for note in found.notes) == 1
    found = read_dicom(saved(dicom(HUES, COLOUR, ICCProfile=own), tmp_path / "a.dcm"), AS_IT_SAYS)
    assert np.array_equal(found.image, HUES)
    assert "profile:sRGB" in found.notes


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_in_segments(tmp_path, bits):
    """A run of single colours, a straight line to another, and both again (PS3.3, C.7.9.2)."""
    white = 2**bits - 1
    line = np.round(np.linspace(2, 100, 51))[1:]
    wanted = np.concatenate([[0, white, 2], line, np.linspace(100, 100, 10)])
    segments = np.array([0, 3, 0, white, 2, 1, 50, 100, 1, 10, 100], "<u2" if bits == 16 else "u1")
    names = [f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue")]
    more = {f"{name}Descriptor": [len(wanted), 0, bits] for name in names}
    more |= {f"Segmented{name}Data": segments.tobytes() + b"\0" * (segments.nbytes % 2) for name in names}
    path = saved(dicom(np.arange(64, dtype=np.uint8).reshape(8, 8), "PALETTE COLOR", **more), tmp_path / "a.dcm")
    found = decode(path)[..., 0].ravel()
    assert np.abs(found[: len(wanted)] - wanted * 255 / white).max() <= ROUNDING


WITHOUT_THE_EXTRA = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"pylibjpeg", "libjpeg", "openjpeg", "rle", "jpeg_ls"}:
            raise ImportError(name)

sys.meta_path.insert(0, Missing())
from pathlib import Path
import numpy as np
from facelime_cli.core.images import UnreadableError, decode
for path in sys.argv[1:]:
    try:
        print("mean", decode(Path(path)).mean(axis=(0, 1)).round(1).tolist())
    except UnreadableError as why:
        print(why)
"""


def test_without_the_extra(tmp_path):
    """What Pillow and pydicom decode alone is right; the rest says what to install."""
    files = [
        saved(RIGHT[name][0], tmp_path / f"{number}.dcm")
        for number, name in enumerate(("a JPEG", "a JPEG with Adobe's marker", "a JPEG 2000", "RLE"))
    ]
    adobe = WITH_A_WARNING["a JPEG with Adobe's marker whose header says RGB"][0]
    files.append(saved(adobe, tmp_path / "adobe.dcm"))
    lacking = ["SC_rgb_jpeg_gdcm.dcm", "JPEGLSNearLossless_08.dcm", "JPGExtended.dcm", "GDCMJ2K_TextGBR.dcm"]
    command = [sys.executable, "-c", WITHOUT_THE_EXTRA, *map(str, files), *(str(FOLDER / name) for name in lacking)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    for path, line in zip(files, lines, strict=False):
        found = np.array(eval(line.removeprefix("mean ")))  # noqa: S307 - three numbers that this test has printed
        assert np.abs(found - decode(path).mean(axis=(0, 1))).max() < 1.5
    assert lines[len(files) :] == [
        f"is compressed as {kind}; install facelime[dicom]"
        for kind in ("JPEG Lossless", "JPEG-LS", "JPEG Extended", "JPEG 2000")
    ]
    assert done.stderr == ""


NOT_READ = {
    "JPEG-lossy.dcm": "is compressed as JPEG Extended and cannot be decoded",
    "JPEG2000-embedded-sequence-delimiter.dcm": "is compressed as JPEG 2000 and cannot be decoded",
    "MR_truncated.dcm": "has less pixel data than its header declares",
    "badVR.dcm": "has a NumberOfFrames that is no number",
    "meta_missing_tsyntax.dcm": "has 0 rows and 0 columns",
    "nested_priv_SQ.dcm": "has 0 rows and 0 columns",
}
"""Files with pixels that pydicom cannot decode either, but those with several frames."""
FRAMES = {
    "SC_rgb_rle_16bit_2frame.dcm": 2,
    "SC_rgb_rle_2frame.dcm": 2,
    "SC_rgb_rle_32bit_2frame.dcm": 2,
    "examples_ybr_color.dcm": 30,
    "rtdose.dcm": 15,
    "rtdose_expb.dcm": 15,
    "rtdose_rle.dcm": 15,
}
WARNED = {"6293": (NOT_SQUARE,), "6924": (NOT_SQUARE,)}
FILES = sorted(path for path in FOLDER.rglob("*") if path.is_file())
WITH_PIXELS = 95
OF_ONE_FRAME = 82


class TestFolder:
    """Every file of pydicom's own test folder is as pydicom decodes it, with its tables, or is refused."""

    @staticmethod
    def wanted(data, index=None):
        """Return what a person sees of an object, by pydicom's own functions."""
        values = pixel_array(data, index=index)
        if data.PhotometricInterpretation == "PALETTE COLOR":
            return apply_color_lut(values, data) / 65535 * 255
        if values.ndim == 3:
            return values / (2.0**data.BitsStored - 1) * 255
        seen = apply_modality_lut(values, data)
        least, most = seen.min(), seen.max()
        if data.get("WindowWidth"):
            width = data.WindowWidth if data["WindowWidth"].VM == 1 else data.WindowWidth[0]
            seen = apply_voi_lut(seen, data)
            least, most = apply_voi_lut(np.array([-1e9, 1e9]), data)
            assert width > 1
        levels = (seen - least) / (most - least)
        return greys(1 - levels if data.PhotometricInterpretation == "MONOCHROME1" else levels)

    @pytest.mark.filterwarnings("ignore:The pixel data is", "ignore:Expected explicit VR")
    def test_each_file(self):
        """Known special cases stand in the tables above; their numbers are counted, so that none is passed over."""
        right, several, refused, empty = [], [], [], []
        for path in FILES:
            try:
                data = pydicom.dcmread(path, force=True)
                has_pixels = any(name in data for name in ("PixelData", "FloatPixelData"))
                found = read_dicom(path, AS_IT_SAYS)
            except UnreadableError as why:
                sentence = str(why)
                assert "\n" not in sentence
                if not has_pixels:
                    empty.append(path.name)
                elif path.name in FRAMES:
                    several.append(path.name)
                    assert sentence.startswith(
                        f"holds {FRAMES[path.name]} frames; choose one with `preprocess --frame N`"
                    )
                else:
                    refused.append(path.name)
                    assert NOT_READ[path.name] in sentence
                continue
            right.append(path.name)
            assert np.abs(found.image - self.wanted(data)).max() <= 1.01, path.name
            assert found.warnings == WARNED.get(path.name, ()), path.name
        assert sorted(refused) == sorted(NOT_READ)
        assert sorted(several) == sorted(FRAMES)
        assert len(right) == OF_ONE_FRAME
        assert len(right) + len(several) + len(refused) == WITH_PIXELS

    @pytest.mark.parametrize("name", FRAMES)
    def test_a_frame_of_several(self, name):
        data = pydicom.dcmread(FOLDER / name)
        for frame in (1, FRAMES[name]):
            found = read_dicom(FOLDER / name, Reading(frame=frame)).image
            assert np.abs(found - self.wanted(data, frame - 1)).max() <= ROUNDING
