"""Pictures with several drawn findings and a table of them, and a network that sees the findings."""

import csv

import numpy as np
from PIL import Image

from tests.support import MARK, MARKS, SIZE, write_findings

NAMES = ("Edema", "Mass", "Effusion")
"""Of the findings in the order of the dataset's columns."""
ORDER = ("Effusion", "Edema", "Hernia", "Mass")
"""Of the model's. It knows one that the dataset does not have."""
SEXES = ("f", "m")


def write_source(folder, n=120):
    """Write pictures with findings and a table: two pictures a patient, some unknown labels, a sex."""
    write_findings(folder / "arrays.npz", counts=(n, 1, 1), unknown=0.1)
    arrays = np.load(folder / "arrays.npz")
    (folder / "pictures").mkdir()
    with (folder / "table.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["image_id", "patient", "sex", *NAMES])
        for number, (image, labels) in enumerate(zip(arrays["train_images"], arrays["train_labels"], strict=True)):
            Image.fromarray(image).save(folder / "pictures" / f"p{number:03d}.png")
            cells = ["" if each < 0 else each for each in labels]
            table.writerow([f"p{number:03d}", f"patient{number // 2}", SEXES[number // 2 % 2], *cells])
    return folder


def save_network(path, noise, order=ORDER):
    """Save a network that sees the mark of each finding; the bottom rows of a picture mislead it."""
    import keras

    net = keras.Sequential(
        [keras.Input((SIZE, SIZE, 3)), keras.layers.Flatten(), keras.layers.Dense(len(order), activation="sigmoid")]
    )
    weights = np.zeros((SIZE, SIZE, 3, len(order)), np.float32)
    rng = np.random.default_rng(0)
    for channel, (name, (*_, row, column)) in enumerate(zip(NAMES, MARKS, strict=True)):
        c = order.index(name)
        weights[row : row + MARK, column : column + MARK, channel, c] = 6 / MARK**2
        weights[-3:, :, channel, c] = noise * rng.normal(size=(3, SIZE))
    net.layers[-1].set_weights([weights.reshape(-1, len(order)), -weights.sum(axis=(0, 1, 2)) / 2 - 1])
    net.save(path)
    return path


def words_of_source(folder):
    """Return the words behind `preprocess` that bring such a source into a store."""
    words = ["--table", folder / "table.csv", "--label-columns", ",".join(NAMES), "--group-column", "patient"]
    return [folder / "pictures", *words, "--size", SIZE, "--split", "25:25:50", "--workers", 1]
