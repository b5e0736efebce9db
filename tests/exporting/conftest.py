"""Explanations of scans that are larger than the network's pictures, and padded."""

import numpy as np
import pytest
from PIL import Image

from facelime_cli.core.faces import draw
from tests.support import SIZE, Facelime, Judged, write_scan

ROWS, COLUMNS = 132, 90
"""Of the scans."""
UIDS = {"StudyInstanceUID": "1.2.3.40", "SeriesInstanceUID": "1.2.3.40.5"}
MARKS = ((44, 23), (77, 56))
"""Upper left corners of the bright squares that the network looks for: each in the middle of a region of its own."""
MARK = 11


def write_scans(folder, count=4, **more):
    """Write grey faces with two bright squares each, as DICOM files that have UIDs."""
    for number in range(count):
        face = Image.fromarray(draw(0, number, ROWS, flushed=number % 2 == 1).image).convert("L")
        values = np.asarray(face.resize((COLUMNS, ROWS))).astype(np.uint16) * 8
        for top, left in MARKS:
            values[top : top + MARK, left : left + MARK] = 4095
        attributes = {**UIDS, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "SOPInstanceUID": f"1.2.3.40.5.{number + 1}"}
        write_scan(folder / f"scan-{number}.dcm", values, **{**attributes, "Modality": "OT", **more})
    return folder


def save_network(path):
    """Write a network whose second class is the more probable the more of the picture is bright."""
    import keras

    layers = keras.layers
    net = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            layers.Conv2D(1, 1, activation="relu"),
            layers.Flatten(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    # What is darker than 0.7 counts nothing, so that nothing but the squares does.
    net.layers[0].set_weights([np.full((1, 1, 3, 1), 1 / 3), np.array([-0.7])])
    net.layers[2].set_weights([np.full((SIZE * SIZE, 2), (0.0, 0.5)), np.array([0.0, -2.5])])
    net.save(path)
    return path


@pytest.fixture(scope="session")
def scans(tmp_path_factory):
    """Scans that were explained and checked."""
    place = tmp_path_factory.mktemp("scans")
    run = Facelime(place / "store")
    words = ("--size", SIZE, "--fit", "pad", "--keep-dicom-uids", "--name", "scans", "--workers", 1)
    run.json("preprocess", write_scans(place / "pictures"), *words)
    named = ("--classes", "normal,rosacea", "--scaling", "0..1", "--name", "bright")
    run.json("import-model", save_network(place / "net.keras"), *named)
    segments = run.artifact("segment", "datasets/scans", "--method", "grid", "--segments", 16, "--workers", 1)
    masks = run.artifact("perturb", segments.id, "--samples", 120, "--fill", "black", "--workers", 1)
    predictions = run.artifact("predict", masks.id, "--model", "bright", "--batch-size", 64, "--runtime", "keras")
    surrogates = run.artifact("fit-surrogate", predictions.id, "--workers", 1)
    return Judged(run, [surrogates], surrogates, run.artifact("check", surrogates.reference, "--workers", 1))
