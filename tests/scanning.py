"""A scanner of every byte below a folder, also of what lies packed in files; and pictures with secrets planted."""

import base64
import io
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import zarr
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from facelime_cli.core.faces import draw
from tests.support import write_scan

PNG, JPEG, HDF5, ZIP, PDF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"%PDF"
DATA_ADDRESS = re.compile(rb"data:[\w/+.-]+;base64,([A-Za-z0-9+/=\s]+)")
STREAM = re.compile(rb"stream\r?\n(.*?)endstream", re.DOTALL)
ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le")


def secrets_in(folder: Path, secrets: dict[str, str]) -> dict[str, list[str]]:
    """Return where each secret that is found lies, by what it is; capital letters make no difference."""
    wanted = {what: [secret.lower().encode(each) for each in ENCODINGS] for what, secret in secrets.items()}
    found: dict[str, list[str]] = {}
    for place, content in contents(folder):
        lower = content.lower()
        for what, spellings in wanted.items():
            if any(each in lower for each in spellings):
                found.setdefault(what, []).append(place)
    return found


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every name and every content below a folder, packed ones unpacked, with the place of each."""
    for path in sorted(folder.rglob("*")):
        place = str(path.relative_to(folder))
        yield f"name of {place}", os.fsencode(path.name)
        if path.is_symlink():
            yield f"link {place}", os.fsencode(path.readlink())
        elif path.is_file():
            yield from unpacked(place, path.read_bytes())
            # The chunks are compressed: an array is read through its library.
            if path.name == "zarr.json" and b'"array"' in path.read_bytes():
                yield f"array {path.parent.relative_to(folder)}", _bytes_of(zarr.open_array(path.parent, mode="r")[...])


def unpacked(place: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield a content, and everything that it holds packed."""
    yield place, content
    if content.startswith(ZIP):
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            yield f"{place}: comment", packed.comment
            for each in packed.infolist():
                yield f"{place}: name", each.filename.encode() + each.comment + each.extra
                yield from unpacked(f"{place}: {each.filename}", packed.read(each))
    elif content.startswith(b"\x93NUMPY"):
        yield f"{place}: values", _bytes_of(np.load(io.BytesIO(content), allow_pickle=False))
    elif content.startswith(HDF5):
        with h5py.File(io.BytesIO(content)) as packed:
            yield from _of_hdf5(place, packed)
    elif content.startswith(PNG):
        yield from _of_png(place, content)
    elif content.startswith(PDF):
        for number, packed in enumerate(STREAM.findall(content)):
            yield f"{place}: stream {number}", _inflated(packed)
    else:
        for number, packed in enumerate(DATA_ADDRESS.findall(content)):
            yield from unpacked(f"{place}: data {number}", base64.b64decode(packed))


def _of_hdf5(place: str, packed: h5py.File) -> Iterator[tuple[str, bytes]]:
    items = [packed]
    packed.visititems(lambda _, item: items.append(item))
    for item in items:
        yield f"{place}: name of {item.name}", item.name.encode()
        for name, value in item.attrs.items():
            if not isinstance(value, np.ndarray) or value.dtype.kind != "V":
                yield f"{place}: {item.name}.{name}", name.encode() + _bytes_of(np.asarray(value))
        if isinstance(item, h5py.Dataset):
            content = _bytes_of(np.asarray(item[()]))
            yield from unpacked(f"{place}: {item.name}", content)


def _of_png(place: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    start = len(PNG)
    while start + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[start : start + 8])
        chunk = content[start + 8 : start + 8 + length]
        if kind in {b"zTXt", b"iCCP"}:
            yield f"{place}: {kind.decode()}", _inflated(chunk.partition(b"\0")[2][1:])
        elif kind == b"iTXt":
            keyword, _, rest = chunk.partition(b"\0")
            text = rest[2:].split(b"\0", 2)[-1]
            yield f"{place}: iTXt {keyword.decode()}", _inflated(text) if rest[:1] == b"\1" else text
        start += 12 + length


def _inflated(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed)
    except zlib.error:
        return packed


def _bytes_of(values: np.ndarray) -> bytes:
    """Return the bytes of numbers, and texts in UTF-8."""
    values = np.asarray(values)
    if values.dtype.kind in "OTUS":
        return b"\n".join(v if isinstance(v, bytes) else str(v).encode() for v in values.ravel().tolist())
    return np.ascontiguousarray(values).tobytes()


# Planting

SECRETS = {
    "EXIF artist": "Artistin Planted",
    "EXIF copyright": "Copyright Planted",
    "EXIF comment": "Comment Planted",
    "EXIF serial number of the camera": "SER-PLANTED-77",
    "GPS": "PLANTED-DATUM-84",
    "XMP": "xmp-planted-creator",
    "PNG text": "Text Planted",
    "compressed PNG text": "Packed Text Planted",
    "ICC description": "ICC Planted 7",
    "DICOM name": "Planted^Jane",
    "DICOM id": "PID-4711-PLANTED",
    "DICOM birth date": "19610203",
    "DICOM institution": "Hospital Planted",
    "DICOM accession number": "ACC-PLANTED",
    "DICOM UID": "1.2.826.0.1.3680043.8.498.4711471147114711",
    "DICOM private element": "Private Planted",
}
"""What is planted in pictures and must be in nothing that is made of them."""
FILE_NAMES = {"file name": "Planted-Jane-1961", "group in a file name": "Jane-1961"}
"""What is in the names of the files."""


def write_planted(folder: Path, count: int, size: int) -> Path:
    """Write drawn faces of two classes as PNG, JPEG and DICOM files in turn, with every secret planted."""
    for number in range(count):
        label = ("normal", "rosacea")[number % 2]
        face = draw(0, number, size, flushed=label == "rosacea").image
        place = folder / label
        place.mkdir(parents=True, exist_ok=True)
        write_picture = (_write_png, _write_jpeg, _write_dicom)[number // 2 % 3]
        write_picture(place / f"{FILE_NAMES['file name']}-{number:03d}", face)
    return folder


def _write_png(path: Path, face: np.ndarray) -> None:
    text = PngInfo()
    text.add_text("Comment", SECRETS["PNG text"])
    text.add_text("Author", SECRETS["compressed PNG text"] * 20, zip=True)
    text.add_itxt("XML:com.adobe.xmp", _xmp(), zip=True)
    Image.fromarray(face).save(path.with_suffix(".png"), pnginfo=text, exif=_exif(), icc_profile=_profile())


def _write_jpeg(path: Path, face: np.ndarray) -> None:
    picture = Image.fromarray(face)
    comment = SECRETS["PNG text"]
    picture.save(path.with_suffix(".jpg"), exif=_exif(), icc_profile=_profile(), xmp=_xmp().encode(), comment=comment)


def _write_dicom(path: Path, face: np.ndarray) -> None:
    grey = face.mean(axis=-1).astype(np.uint16) * 16
    write_scan(
        path.with_suffix(".dcm"),
        grey,
        PatientName=SECRETS["DICOM name"],
        PatientID=SECRETS["DICOM id"],
        PatientBirthDate=SECRETS["DICOM birth date"],
        InstitutionName=SECRETS["DICOM institution"],
        AccessionNumber=SECRETS["DICOM accession number"],
        StudyInstanceUID=SECRETS["DICOM UID"],
        SeriesInstanceUID=SECRETS["DICOM UID"],
        PatientComments=SECRETS["DICOM private element"],
    )


def _exif() -> bytes:
    exif = Image.Exif()
    exif[0x013B], exif[0x8298] = SECRETS["EXIF artist"], SECRETS["EXIF copyright"]
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0" + SECRETS["EXIF comment"].encode()
    exif.get_ifd(0x8769)[0xA431] = SECRETS["EXIF serial number of the camera"]
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 18: SECRETS["GPS"]})
    return exif.tobytes()


def _xmp() -> str:
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><creator>{SECRETS["XMP"]}</creator></x:xmpmeta>'


def _profile() -> bytes:
    """Return a colour profile with the planted description in place of its own, which has as many letters."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace("sRGB built-in".encode("utf-16-be"), SECRETS["ICC description"].encode("utf-16-be"))
