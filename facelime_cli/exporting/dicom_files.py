"""Explanations as DICOM objects that refer to the scan: a Secondary Capture, and a SEG of confirmed regions."""

from __future__ import annotations

import hashlib
import io
import uuid
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from facelime_cli import __version__
from facelime_cli.errors import FacelimeError
from facelime_cli.exporting.pictures import drawn
from facelime_cli.store.pictures import UIDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from facelime_cli.core.geometry import Placement
    from facelime_cli.exporting.folders import Folder
    from facelime_cli.exporting.maps import Map
    from facelime_cli.store.artifacts import Artifact

EXTRA = "facelime[dicom]"
"""What brings highdicom."""
MAKER = "facelime"
WARNING = "NOT FOR DIAGNOSTIC USE"
ENCODING = "ISO_IR 192"
"""UTF-8, by DICOM's name (PS3.3, C.12.1.1.2)."""
CAPTURES, SEGMENTATIONS = 9001, 9002
"""Numbers of the series, which stand behind those of a scanner."""
LONG_STRING, SHORT_TEXT = 64, 1024
"""The most letters of the value representations LO and ST (PS3.5, 6.2)."""
REGION = ("region", "99FACELIME", "Region that an image classifier's answer rests on")
"""Value, scheme and meaning of a private code: no terminology has one for what a classifier looks at."""
PLACE = ("309825002", "SCT", "Spatial and Relational Concept")
LEARNED = ("123110", "DCM", "Artificial Intelligence")
BANNER_SHARE, LINE_SHARE = 25, 16
"""Letters of the warning are so many times smaller than the picture is high, and than it is wide."""
SMALLEST_LETTERS = 8
LETTER_WIDTH, LINE_HEIGHT = 0.75, 1.3
"""Of a letter and a line, by the size of letters: capitals of Pillow's own font are that wide."""
UNKNOWN = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime"),
)
"""What DICOM allows to be empty, and no dataset keeps."""


@dataclass(frozen=True)
class Source:
    """The scan that a picture was made from.

    Attributes
    ----------
    study, series, instance, kind : str
        UIDs of the study, the series, the scan itself, and its SOP class.
    frame : int or None
        Number of the frame, where it holds several.
    """

    study: str
    series: str
    instance: str
    kind: str
    frame: int | None


def check(dataset: Artifact) -> None:
    """Refuse a dataset whose scans cannot be referred to.

    Parameters
    ----------
    dataset : Artifact

    Raises
    ------
    FacelimeError
        When it keeps no UIDs, or highdicom is not installed.
    """
    if not all(dataset.has(name) for name in UIDS):
        raise FacelimeError(
            f"{dataset.reference} keeps no UIDs of DICOM files, so that nothing can refer to them; make it from the "
            "files with `facelime preprocess --keep-dicom-uids`."
        )
    try:
        import highdicom  # noqa: F401 - asked before any map is drawn
    except ImportError:
        raise FacelimeError(f"--format dicom takes highdicom; install it with: pip install '{EXTRA}'") from None


def write(maps: Iterable[Map], folder: Folder) -> Iterator[tuple[Map, list[str]]]:
    """Write the objects of every map whose scan has UIDs.

    Parameters
    ----------
    maps : iterable of Map
    folder : Folder

    Yields
    ------
    Map, list of str
        What was written, and the names of the files: the second only where the model confirmed regions.
    """
    sources: dict[int, Source | None] = {}
    for number, each in enumerate(maps, start=1):
        if each.row not in sources:
            sources[each.row] = _source_of(each)
        source = sources[each.row]
        if source is None:
            continue
        names = [folder.write(folder.name(each, ".sc.dcm"), _bytes_of(_capture(each, source, number)))]
        segmentation = _segmentation(each, source, number)
        if segmentation is not None:
            names.append(folder.write(folder.name(each, ".seg.dcm"), _bytes_of(segmentation)))
        yield each, names


def _source_of(each: Map) -> Source | None:
    """Return the scan of a picture; None where it was no DICOM file, or had no UIDs."""
    explanations = each.explanations
    row = int(explanations.surrogates.read("row")[each.row])
    study, series, instance, kind = (str(explanations.dataset.read(name, [row])[0]) for name in UIDS)
    frame = explanations.dataset.parameters.get("frame")
    return Source(study, series, instance, kind, frame) if study else None


def _bytes_of(made: Any) -> bytes:
    stream = io.BytesIO()
    made.save_as(stream)
    return stream.getvalue()


def uid_of(*parts: str) -> str:
    """Return a UID that is the same for the same parts, and for nothing else.

    Parameters
    ----------
    *parts : str

    Returns
    -------
    str
        Of a UUID (PS3.5, B.2), which takes no root of its own.
    """
    digest = hashlib.sha256("\n".join((*parts, __version__)).encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


def _place(each: Map, source: Source, what: str, number: int, series_number: int) -> dict[str, Any]:
    """Return in which series an object stands, and as which: again the same when it is exported again."""
    explanations = each.explanations
    made_by = explanations.surrogates if explanations.check is None else explanations.check.artifact
    series = (source.study, made_by.content, what)
    return {
        "series_instance_uid": uid_of(*series),
        "series_number": series_number,
        "sop_instance_uid": uid_of(*series, source.instance, str(source.frame), str(each.c)),
        "instance_number": number,
        "manufacturer": MAKER,
        "manufacturer_model_name": MAKER,
        "software_versions": __version__,
        "specific_character_set": ENCODING,
    }


def _words(each: Map) -> str:
    """Return what an object shows, in words."""
    explanations = each.explanations
    answer = explanations.spoken.answer(float(explanations.explained_of(each.row)[each.c]))
    compared = explanations.compared_with
    return (
        f"{WARNING}. {explanations.method} of a classifier's answer {each.class_name} ({answer}); "
        f"verdict: {each.verdict}." + (f" Regions were replaced by: {compared}." if compared else "")
    )


def _capture(each: Map, source: Source, number: int) -> Any:
    """Return the picture with its map as a Secondary Capture."""
    from highdicom.sc import SCImage

    pixels = burnt_in(each.image, drawn(each), each.placement, each.verdict)
    made = SCImage(
        pixels,
        "RGB",
        8,
        "PATIENT",
        study_instance_uid=source.study,
        patient_orientation=("L", "F"),
        **_place(each, source, "capture", number, CAPTURES),
    )
    # highdicom takes no unknown orientation, and DICOM does.
    made.PatientOrientation = []
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.BurnedInAnnotation = "NO"
    _describe(made, each)
    made.DerivationDescription = _words(each)[:SHORT_TEXT]
    made.SourceImageSequence = [_reference(source)]
    return made


def _describe(made: Any, each: Map) -> None:
    made.SeriesDescription = f"{MAKER}: {WARNING}"
    made.ImageComments = _words(each)


def _reference(source: Source) -> Any:
    from pydicom.dataset import Dataset

    found = Dataset()
    found.ReferencedSOPClassUID, found.ReferencedSOPInstanceUID = source.kind, source.instance
    if source.frame is not None:
        found.ReferencedFrameNumber = source.frame
    return found


def burnt_in(
    image: NDArray[np.uint8], overlay: NDArray[np.uint8], placement: Placement, verdict: str
) -> NDArray[np.uint8]:
    """Return a picture at the size of its original, with a map and the warning in its pixels.

    Parameters
    ----------
    image : (h, w, 3) uint8 array
        As the network got it.
    overlay : (H, W, 4) uint8 array
        On the original.
    placement : Placement
    verdict : str
        Stands below the warning.

    Returns
    -------
    (H, W, 3) uint8 array
        Black where the network saw nothing.
    """
    height, width = placement.original
    top, left, bottom, right = placement.seen
    down, across = image.shape[0] / (bottom - top), image.shape[1] / (right - left)
    enlarged = Image.fromarray(image).transform(
        (width, height),
        Image.Transform.AFFINE,
        (across, 0, -left * across, 0, down, -top * down),
        Image.Resampling.BILINEAR,
    )
    picture = Image.alpha_composite(enlarged.convert("RGBA"), Image.fromarray(overlay)).convert("RGB")
    _write_words(picture, (WARNING, verdict))
    return np.asarray(picture)


def _write_words(picture: Image.Image, sentences: Iterable[str]) -> None:
    """Write sentences into the upper left corner of a picture, in lines that fit its width."""
    letters = max(SMALLEST_LETTERS, min(picture.height // BANNER_SHARE, picture.width // LINE_SHARE))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(letters)
    fitting = max(1, int((picture.width - letters) / (LETTER_WIDTH * letters)))
    lines = [line for each in sentences for line in wrap(each, fitting)]
    for number, line in enumerate(lines):
        place = (letters // 2, letters // 2 + round(number * LINE_HEIGHT * letters))
        draw.text(place, line, fill="white", font=font, stroke_width=max(1, letters // 12), stroke_fill="black")


def _segmentation(each: Map, source: Source, number: int) -> Any:
    """Return the confirmed regions; None where the model confirmed none that lie in the scan."""
    from highdicom.seg import Segmentation

    placed = each.placement.restored(each.segments.astype(np.int32), outside=-1)
    masks = [placed == k for k in each.confirmed]
    regions = [(k, mask) for k, mask in zip(each.confirmed, masks, strict=True) if mask.any()]
    if not regions:
        return None
    made = Segmentation(
        source_images=[_stand_in(source, each.placement)],
        pixel_array=np.stack([mask for _, mask in regions], axis=-1)[None].astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=[_segment(place, k, each) for place, (k, _) in enumerate(regions, start=1)],
        # The network takes the place of a device.
        device_serial_number=each.explanations.model.content[:LONG_STRING],
        content_label="FACELIME",
        content_description=f"{WARNING}: {each.class_name}"[:LONG_STRING],
        **_place(each, source, "segmentation", number, SEGMENTATIONS),
    )
    _describe(made, each)
    for frame in made.PerFrameFunctionalGroupsSequence:
        for derived in frame.DerivationImageSequence:
            for reference in derived.SourceImageSequence:
                if source.frame is not None:
                    reference.ReferencedFrameNumber = source.frame
    return made


def _segment(number: int, k: int, each: Map) -> Any:
    """Return what a region is called: the class that it speaks for, and its coefficient."""
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentDescription
    from highdicom.sr import CodedConcept

    unit = each.explanations.surrogates.spec("coefficients").measure
    label = f"region {k}: {each.coefficients[k]:+.3f} {unit}, {each.class_name}"
    algorithm = AlgorithmIdentificationSequence(each.explanations.method, CodedConcept(*LEARNED), __version__, MAKER)
    return SegmentDescription(
        number, label[:LONG_STRING], CodedConcept(*PLACE), CodedConcept(*REGION), "AUTOMATIC", algorithm
    )


def _stand_in(source: Source, placement: Placement) -> Any:
    """Return what highdicom asks of the scan; no artifact keeps more of it."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    scan = Dataset()
    scan.file_meta = FileMetaDataset()
    scan.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    scan.SOPClassUID, scan.SOPInstanceUID = source.kind, source.instance
    scan.StudyInstanceUID, scan.SeriesInstanceUID = source.study, source.series
    scan.Rows, scan.Columns = placement.original
    for name in UNKNOWN:
        setattr(scan, name, "")
    return scan
