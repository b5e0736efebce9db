"""Explanations of scans that are larger than the network's pictures, and padded."""

import numpy as np
import pytest
from PIL import Image

from facelime_cli.core.faces import draw
from tests.support import SIZE, Judged, write_scan

ROWS, COLUMNS = 132, 90
"""Of the scans."""
UIDS = {"StudyInstanceUID": "1.2.3.40", "SeriesInstanceUID": "1.2.3.40.5"}


def write_scans(folder, count=4, **more):
    for number in range(count):
        face = Image.fromarray(draw(0, number, ROWS, flushed=number % 2 == 1).image).convert("L")
        values = np.asarray(face.resize((COLUMNS, ROWS))).astype(np.uint16) * 16
        attributes = {**UIDS, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "SOPInstanceUID": f"1.2.3.40.5.{number + 1}"}
        write_scan(folder / f"scan-{number}.dcm", values, **{**attributes, "Modality": "OT", **more})
    return folder


@pytest.fixture(scope="session")
def scans(chain, tmp_path_factory):
    """Scans that were explained and checked, in the chain's store."""
    run, folder = chain.facelime, write_scans(tmp_path_factory.mktemp("scans"))
    words = ("--size", SIZE, "--fit", "pad", "--keep-dicom-uids", "--name", "scans", "--workers", 1)
    run.json("preprocess", folder, *words)
    segments = run.artifact("segment", "datasets/scans", "--method", "grid", "--segments", 16, "--workers", 1)
    masks = run.artifact("perturb", segments.id, "--samples", 120, "--workers", 1)
    predictions = run.artifact("predict", masks.id, "--model", "small", "--batch-size", 16)
    surrogates = run.artifact("fit-surrogate", predictions.id, "--workers", 1)
    return Judged(run, [surrogates], surrogates, run.artifact("check", surrogates.reference, "--workers", 1))
