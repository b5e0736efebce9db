"""From a DICOM file to display space: RGB uint8, by what the file says of its pixels, or refused in a sentence.

Nothing else of the file is kept: its header names the patient.
"""

from __future__ import annotations

import math
import warnings
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core import dicom_greys, dicom_tables
from facelime_cli.core.colours import UNUSABLE, Colours, in_srgb
from facelime_cli.core.dicom_greys import number
from facelime_cli.core.formats import DICOM, DICOM_MARK, DICOM_SUFFIXES, HEAD, is_dicom
from facelime_cli.core.images import (
    DAMAGED,
    FRAMES,
    MOST_PIXELS,
    NO_DECODER,
    TOO_LARGE,
    TOO_LARGE_SHORT,
    TRUNCATED,
    UNREADABLE,
    Decoded,
    Reading,
    UnreadableError,
    silent,
    unreadable,
)
from facelime_cli.core.opening import opened

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

EXTRA = "facelime[dicom]"
"""What brings the decoders of compressed pixels."""
DECODERS = "pylibjpeg"
"""Its name in pydicom."""
WHOLE = {DECODERS, "pydicom"}
"""Those that decode all of a syntax."""
GREYS = ("MONOCHROME1", "MONOCHROME2")
NUMBERED = "PALETTE COLOR"
"""The kind whose pixels are numbers of colours."""
RGB = "RGB"
SAMPLES = {
    **dict.fromkeys((*GREYS, NUMBERED), 1),
    **dict.fromkeys((RGB, "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"), 3),
}
"""How many numbers a pixel has, by what they mean (PS3.3, C.7.6.3.1.2). Other kinds are retired, or of videos."""
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
COMPRESSIONS = (
    *("High-Throughput JPEG 2000", "JPEG 2000", "JPEG-LS", "JPEG Lossless", "JPEG Baseline", "JPEG Extended"),
    *("JPEG XL", "RLE", "MPEG2", "MPEG-4", "HEVC", "JPEG", "JPIP", "Deflated Image Frame"),
)
"""How names of transfer syntaxes begin, with what is enough of them for a person."""
NATIVE = {f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".1.99", ".2")}
"""Transfer syntaxes in which pixels are not compressed."""
NO_DICOM = "is not a DICOM file"
NO_PICTURE = "without a picture"
"""What counts such objects."""
DISC_INDEX = "1.2.840.10008.1.3.10"
SIDES = ("Rows", "Columns")
SPACINGS = ("PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
"""Where a file says how high and how wide a pixel is: the first that it has counts."""
SQUARE = 0.01
"""How much higher than wide, as a share, a pixel may be and still look square."""
MIXED = {"COLOR", "MIXED"}
"""Grey pictures with colours laid over them (PS3.3, C.7.6.19)."""
FRAME_GROUPS = {
    "PixelValueTransformationSequence": dicom_greys.RESCALING,
    "FrameVOILUTSequence": (*dicom_greys.WINDOW, "VOILUTFunction", "VOILUTSequence"),
    "PixelMeasuresSequence": ("PixelSpacing",),
}
"""Where enhanced objects say of each frame what others say once (PS3.3, C.7.6.16.2)."""
ADOBE = b"\xff\xee"
"""The marker of a JPEG that says which colours it holds; and in its segment, after its length:"""
ADOBE_NAME, ADOBE_TRANSFORM = b"Adobe", 11
SCAN = b"\xff\xda"
"""The marker after which a JPEG holds pixels."""
FRAGMENT = b"\xfe\xff\x00\xe0"
"""How compressed pixels begin: the tag of an item."""
END = b"\xff\xd9"
"""The marker at its end."""
CODING, CODING_TRANSFORM = b"\xff\x52", 6
"""The marker of a JPEG 2000 that says how it is coded; and in its segment: whether decoding gives RGB."""
YCBCR = 1
"""What Adobe's marker says of a JPEG of luminance and two differences of colour."""
PANIC = "PanicException"
BYTE_BITS = 8
DESCRIPTION = "(0028,"
"""How pydicom names elements that describe pixels."""
TOO_SHORT = "less than expected"
"""What pydicom says of pixels whose bytes are too few."""


def read_dicom(path: Path, how: Reading) -> Decoded:
    """Return a DICOM file as display space: what a person sees.

    Parameters
    ----------
    path : Path
    how : Reading
        Which frame of several is meant.

    Returns
    -------
    Decoded

    Raises
    ------
    UnreadableError
        When the file is damaged, is no picture, holds several, or has numbers of unknown meaning.
    """
    remarks: list[str] = []
    try:
        # What pydicom and NumPy warn of, such as a number that overflows, is checked for.
        with opened(path) as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = _object_in(stream)
            index = _frame_index(data, how.frame)
            _settle(data, index or 0)
            image, notes = _shown(data, index, remarks)
            _check_square(data, remarks)
    except UNREADABLE as why:
        raise _refused(why) from why
    return Decoded(image, DICOM, notes, tuple(dict.fromkeys(remarks)))


def _refused(why: Exception) -> UnreadableError:
    """Return what went wrong, to stand behind the name of the file.

    What pydicom says of a header is left out: it may quote what stands there of the patient.
    """
    # Of the ends of files, too, pydicom speaks by an OSError, but by one without a number.
    if isinstance(why, MemoryError | UnreadableError) or (isinstance(why, OSError) and why.strerror):
        return unreadable(why)
    return UnreadableError("has a header that cannot be read; it may be damaged", DAMAGED)


def patient_of(path: Path) -> str | None:
    """Return the patient id of a DICOM file, for its salted hash.

    Parameters
    ----------
    path : Path
        Any file.

    Returns
    -------
    str or None
        None where the id is empty, the file is damaged, or it is no DICOM file.
    """
    if not (path.suffix.lower() in DICOM_SUFFIXES or is_dicom(path)):
        return None
    import pydicom

    try:
        with opened(path) as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # The one tag that is needed: names and dates are never read into memory.
            data = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=["PatientID"], force=True)
            patient = data.get("PatientID")
    except UNREADABLE:
        return None
    # "None" is what an absent id looks like as text: it would make one patient of all that have none.
    if patient is None:
        return None
    return str(patient) or None


UID_NAMES = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
"""What tells where a file stands in an archive."""


def uids_of(path: Path) -> tuple[str, ...] | None:
    """Return the UIDs of a DICOM file: study, series, the file itself, and its SOP class.

    Parameters
    ----------
    path : Path
        Any file.

    Returns
    -------
    tuple of four str, or None
        None where one of them is missing or none by the standard (PS3.5, 9.1), the file is damaged, or it is no DICOM
        file.
    """
    if not (path.suffix.lower() in DICOM_SUFFIXES or is_dicom(path)):
        return None
    import pydicom
    from pydicom.uid import UID

    try:
        with opened(path) as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=list(UID_NAMES), force=True)
            found = [str(data.get(name) or "") for name in UID_NAMES]
    except UNREADABLE:
        return None
    return tuple(found) if all(UID(each).is_valid for each in found) else None


def _object_in(stream: BinaryIO) -> Any:
    """Return the object in a file, with its transfer syntax; refuse what holds no pixels."""
    import pydicom
    from pydicom import uid

    marked = stream.read(HEAD).endswith(DICOM_MARK)
    stream.seek(0)
    try:
        # Files of old have no preamble. Of anything else, too, pydicom makes a few elements.
        data = pydicom.dcmread(stream, force=True)
    except UNREADABLE as why:
        if marked or isinstance(why, MemoryError):
            raise
        raise UnreadableError(NO_DICOM) from why
    held = [name for name in PIXELS if data.get(name)]
    if not held:
        raise UnreadableError(_without_pixels(data), NO_PICTURE)
    compressed = bool(data[held[0]].is_undefined_length)
    syntax = data.file_meta.get("TransferSyntaxUID")
    if not syntax:
        if compressed:
            raise UnreadableError("does not say how its pixels are compressed; export it again")
        implicit, little_endian = data.original_encoding
        syntax = uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian
        data.file_meta.TransferSyntaxUID = syntax if little_endian else uid.ExplicitVRBigEndian
    elif compressed and syntax in NATIVE:
        raise UnreadableError("has compressed pixels, and a header that says that they are not; export it again")
    return data


def _without_pixels(data: Any) -> str:
    """Return what an object without pixels is: its kind alone, which says nothing of the patient."""
    kinds = [data.get("SOPClassUID"), data.file_meta.get("MediaStorageSOPClassUID")]
    kind = next((each for each in kinds if each), None)
    if kind == DISC_INDEX:
        return "is a DICOMDIR, the index of a disc, not a picture; give the folder that it lies in"
    if kind is None and "Rows" not in data:
        return NO_DICOM if data.preamble is None else "is a DICOM file without a picture"
    name = getattr(kind, "name", str(kind))
    known = "" if kind is None or name == str(kind) else f" ({name})"
    if "Rows" in data or "Image Storage" in name:
        return f"is a DICOM picture{known} without pixels, such as one that was cut off; export it again"
    return f"is a DICOM object of another kind{known}, not a picture; leave it out"


def _frame_index(data: Any, frame: int | None) -> int | None:
    """Return the frame to decode, counted from 0; None for the only one. Refuse several when none is chosen."""
    declared = number(data, "NumberOfFrames")
    frames = 1 if not declared else int(declared)
    if frames < 1:
        raise UnreadableError(f"declares {frames} frames; correct it")
    sides = [int(number(data, name) or 0) for name in SIDES]
    if min(sides) < 1:
        raise UnreadableError(f"has {sides[0]} rows and {sides[1]} columns, so there is no picture")
    if math.prod(sides) > MOST_PIXELS:
        raise UnreadableError(TOO_LARGE, TOO_LARGE_SHORT)
    if frame is None:
        if frames > 1:
            raise UnreadableError(_several(frames), FRAMES)
        return None
    if frame > frames:
        raise UnreadableError(f"has {frames} frame{'s' * (frames > 1)}, so there is no frame {frame}", FRAMES)
    return frame - 1


def _several(frames: int) -> str:
    return f"holds {frames} frames; choose one with `preprocess --frame N`, or save it as a file of its own"


def _settle(data: Any, index: int) -> None:
    """Put what an enhanced object says of a frame where other objects say it."""
    shared = data.get("SharedFunctionalGroupsSequence") or []
    of_frames = data.get("PerFrameFunctionalGroupsSequence") or []
    for groups in (*shared[:1], *of_frames[index : index + 1]):
        for sequence, names in FRAME_GROUPS.items():
            for item in (groups.get(sequence) or [])[:1]:
                for name in names:
                    if name in item:
                        data[name] = item[name]


def _shown(data: Any, index: int | None, remarks: list[str]) -> tuple[Bytes, tuple[str, ...]]:
    """Return the picture of a frame, and what is known of its pixels: files of one device are alike in that."""
    _check_kind(data)
    values, kind, bits = _decoded(data, index, remarks)
    syntax = data.file_meta.TransferSyntaxUID
    compression = _compression(syntax.name) if syntax.is_encapsulated else "none"
    notes = (f"pixel_kind:{data.PhotometricInterpretation}", f"compression:{compression}")
    order = "<" if syntax.is_little_endian else ">"
    if kind in GREYS:
        if bits and values.dtype.kind == "u" and values.max() >= 2**bits:
            remarks.append(f"has numbers above {2**bits - 1}, the largest of the {bits} bits that its header declares")
        greys = dicom_greys.shown_greys(values, data, kind, order, remarks)
        return np.repeat(greys[..., None], 3, axis=-1), (*notes, f"window:{dicom_greys.window_of(data)}")
    if kind == NUMBERED:
        tables = dicom_tables.palette(data, order, remarks)
        colours = [_eight_bits(each.replaced(values), each.bits) for each in tables]
        shown, profile = _to_srgb(np.stack(colours, axis=-1), data, remarks)
        return shown, (*notes, *profile)
    if kind != RGB or values.dtype.kind != "u":
        raise UnreadableError(
            f"has pixels of the kind {kind} and the type {values.dtype.name}, which are not read; save it as RGB"
        )
    shown, profile = _to_srgb(_eight_bits(values, bits), data, remarks)
    return shown, (*notes, *profile)


def _check_kind(data: Any) -> None:
    """Refuse pixels whose meaning is not known, before they are decoded."""
    kind = str(data.get("PhotometricInterpretation") or "").strip()
    if not kind:
        raise UnreadableError("does not say what its pixels mean (PhotometricInterpretation); correct it")
    if kind not in SAMPLES:
        raise UnreadableError(f"has pixels of the kind {kind}, which is not read; save it as a grey or an RGB picture")
    samples = number(data, "SamplesPerPixel")
    if samples != SAMPLES[kind]:
        found = "none" if samples is None else f"{samples:g}"
        raise UnreadableError(f"has the SamplesPerPixel {found} for {kind}, not {SAMPLES[kind]}; correct it")
    bits = number(data, "BitsAllocated")
    if kind.startswith("YBR_FULL") and bits != BYTE_BITS:
        raise UnreadableError(f"has pixels of the kind {kind} and not of 8 bits, which are not read; save it as RGB")
    mixed = kind in GREYS and str(data.get("PixelPresentation") or "").strip().upper() in MIXED
    if mixed and "RedPaletteColorLookupTableDescriptor" in data:
        raise UnreadableError("has colours laid over its grey values, which are not read; save it as an RGB picture")


def _decoded(data: Any, index: int | None, remarks: list[str]) -> tuple[NDArray[Any], str, int]:
    """Return the numbers of the pixels, what they mean, and of how many bits they are."""
    decoder, compression = _decoder_of(data)
    shift = _unused_low_bits(data)
    options = _jpeg_options(data, index, decoder.available_plugins, remarks)
    _check_transform(data, index, remarks)
    if shift:
        options["correct_unused_bits"] = False
    values, facts = _run(decoder, compression, data, index, options)
    frames = int(facts["number_of_frames"])
    if index is None and frames > 1:
        raise UnreadableError(_several(frames), FRAMES)
    if shift:
        values = _aligned(values, data, shift)
    return values, str(facts["photometric_interpretation"]), int(facts.get("bits_stored", 0))


def _run(decoder: Any, compression: str, data: Any, index: int | None, options: dict[str, Any]) -> tuple[Any, Any]:
    """Return what a decoder gives: the numbers, and what they are."""
    try:
        with silent() if decoder.is_encapsulated else nullcontext():
            found: tuple[Any, Any] = decoder.as_array(data, index=index, **options)
            return found
    except RuntimeError as why:
        # Pillow alone decodes some files of a syntax, and not others.
        if not WHOLE.intersection(decoder.available_plugins):
            raise UnreadableError(f"is compressed as {compression}; install {EXTRA}", NO_DECODER) from why
        raise UnreadableError(_undecoded(compression), DAMAGED) from why
    except UNREADABLE as why:
        if TOO_SHORT in str(why):
            message = "has less pixel data than its header declares; it may have been cut off"
            raise UnreadableError(message, TRUNCATED) from why
        raise UnreadableError(_contradiction(str(why)), DAMAGED) from why
    except BaseException as why:
        # A decoder in Rust panics on a damaged file, and no `Exception` covers that.
        if type(why).__name__ != PANIC:
            raise
        raise UnreadableError(_undecoded(compression), DAMAGED) from why


def _contradiction(text: str) -> str:
    """Return what pydicom says of a description of pixels, which is nothing of the patient, or that it is wrong."""
    line = text.partition("\n")[0].strip().rstrip(".")
    if DESCRIPTION in line:
        return f"cannot be decoded ({line})"
    return "has pixels that are not as its header describes them; it may be damaged"


def _undecoded(compression: str) -> str:
    return f"is compressed as {compression} and cannot be decoded; it may be damaged"


def _decoder_of(data: Any) -> tuple[Any, str]:
    """Return pydicom's decoder of an object's pixels, and a name for how they are compressed."""
    from pydicom.pixels.decoders.base import get_decoder

    syntax = data.file_meta.TransferSyntaxUID
    compression = _compression(syntax.name)
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as why:
        raise UnreadableError(
            f"is compressed as {compression}, which is not read; save it uncompressed", NO_DECODER
        ) from why
    if decoder.is_encapsulated and not data.get("PixelData", b"").startswith(FRAGMENT):
        raise UnreadableError(
            "has pixels that are not compressed, and a header that says that they are; export it again"
        )
    if not decoder.is_available:
        raise UnreadableError(f"is compressed as {compression}; install {EXTRA}", NO_DECODER)
    return decoder, compression


def _compression(name: str) -> str:
    return next((each for each in COMPRESSIONS if name.startswith(each) or f" {each}" in name), "an unknown format")


def _unused_low_bits(data: Any) -> int:
    """Return how many bits lie below a number: old files have theirs at the upper end of two bytes."""
    allocated, stored, high = (number(data, name) for name in ("BitsAllocated", "BitsStored", "HighBit"))
    syntax = data.file_meta.TransferSyntaxUID
    # A decoder of JPEG gives numbers, not bits in bytes.
    encoded = syntax.is_encapsulated and not syntax.name.startswith("RLE")
    if allocated is None or stored is None or high is None or encoded or stored >= allocated:
        return 0
    shift = high - (stored - 1)
    if shift < 0 or high >= allocated:
        raise UnreadableError(
            f"has the HighBit {high:g} for {stored:g} bits of {allocated:g}, which cannot be; correct it"
        )
    return int(shift)


def _aligned(values: NDArray[Any], data: Any, shift: int) -> NDArray[Any]:
    """Return numbers without the bits above and below them; the sign is that of their own highest bit."""
    above = int(data.BitsAllocated) - int(data.BitsStored) - shift
    return (values << above) >> (above + shift)


def _jpeg_options(data: Any, index: int | None, plugins: Sequence[str], remarks: list[str]) -> dict[str, Any]:
    """Return what pydicom must be told of a JPEG; refuse one that was cut off."""
    from pydicom.encaps import get_frame
    from pydicom.uid import JPEGLSTransferSyntaxes, JPEGTransferSyntaxes

    syntax = data.file_meta.TransferSyntaxUID
    if syntax not in (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes):
        return {}
    frames = int(number(data, "NumberOfFrames") or 1)
    header, _, scans = get_frame(data.PixelData, index or 0, number_of_frames=frames).partition(SCAN)
    # Decoders fill what is missing with grey, and say nothing.
    if END not in scans:
        raise UnreadableError("has a JPEG picture without its end; it may have been cut off", TRUNCATED)
    if syntax in JPEGLSTransferSyntaxes:
        return {}
    options = _colour_options(header, data, plugins, remarks) if int(data.SamplesPerPixel) > 1 else {}
    # Of numbers that are larger than the header says, pydicom would leave the upper bits out.
    return options if number(data, "PixelRepresentation") else {**options, "correct_unused_bits": False}


def _colour_options(header: bytes, data: Any, plugins: Sequence[str], remarks: list[str]) -> dict[str, Any]:
    """Return what pydicom must be told of the colours of a JPEG.

    Where Adobe's marker says that it holds luminance and colours, Pillow decodes to RGB by itself, of which pydicom
    knows nothing: it would convert a second time.
    """
    segment = header.partition(ADOBE)[2][2:]
    transform = segment[ADOBE_TRANSFORM : ADOBE_TRANSFORM + 1]
    if not segment.startswith(ADOBE_NAME) or transform != bytes([YCBCR]):
        return {}
    if data.PhotometricInterpretation == RGB:
        remarks.append("has a JPEG of luminance and colour, and a header that says RGB, so that it is converted to RGB")
    if DECODERS in plugins:
        return {"photometric_interpretation": "YBR_FULL"}
    return {"photometric_interpretation": RGB, "raw": True}


def _check_transform(data: Any, index: int | None, remarks: list[str]) -> None:
    """Tell where a JPEG 2000 is turned to RGB when it is decoded, and the header says that this is left to do.

    pydicom then does it, as the header says; the two together may be once too often.
    """
    from pydicom.encaps import get_frame
    from pydicom.uid import JPEG2000TransferSyntaxes

    kind = str(data.PhotometricInterpretation)
    if data.file_meta.TransferSyntaxUID not in JPEG2000TransferSyntaxes or not kind.startswith("YBR_FULL"):
        return
    frames = int(number(data, "NumberOfFrames") or 1)
    codestream = get_frame(data.PixelData, index or 0, number_of_frames=frames)
    if codestream.partition(CODING)[2][CODING_TRANSFORM : CODING_TRANSFORM + 1] == b"\x01":
        remarks.append(f"has a JPEG 2000 of RGB, and a header that says {kind}, by which it is converted")


def _eight_bits(values: NDArray[Any], bits: int) -> Bytes:
    """Return numbers of so many bits as bytes, rounded."""
    if bits == BYTE_BITS and values.dtype == np.uint8:
        return values
    most = 2.0**bits - 1
    if values.size and values.max() > most:
        raise UnreadableError(f"has numbers above {most:.0f}, the largest of its {bits} bits; correct BitsStored")
    return (values * (255 / most)).round().astype(np.uint8)


def _to_srgb(colours: Bytes, data: Any, remarks: list[str]) -> tuple[Bytes, tuple[str, ...]]:
    """Return colours as sRGB by the file's profile, where it has one, and a note of that."""
    profile = data.get("ICCProfile") or _of_optical_path(data)
    if not profile:
        return colours, ()
    from PIL import Image

    converted, name = in_srgb(Image.fromarray(colours), Colours(profile))
    if name == UNUSABLE:
        remarks.append("has a colour profile that is damaged or is for other pixels, so that it is taken as sRGB")
    return np.asarray(converted), (f"profile:{name}",)


def _of_optical_path(data: Any) -> bytes | None:
    """Return the profile of a microscope's first light path."""
    paths: Sequence[Any] = data.get("OpticalPathSequence") or []
    return paths[0].get("ICCProfile") if paths else None


def _check_square(data: Any, remarks: list[str]) -> None:
    """Tell where pixels are not square: the picture is shown as it is stored, and so looks stretched."""
    for name in SPACINGS:
        try:
            high, wide = (float(each) for each in data.get(name))
        except (TypeError, ValueError):
            # Absent, empty, or no two numbers.
            continue
        if min(high, wide) > 0 and abs(high / wide - 1) > SQUARE:
            remarks.append("has pixels that are not square, so that the picture looks stretched")
        return
