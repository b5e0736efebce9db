"""Drawn pictures with two labels: how bright they are, and their tint, which some rows of the table leave open."""

import csv

import numpy as np
from PIL import Image

TINTS = {"red": (1.0, 0.2, 0.2), "green": (0.2, 1.0, 0.2), "blue": (0.2, 0.2, 1.0)}
LABELS_SIZE = 24
OPEN = 5
"""Every so many pictures have no tint in the table."""


def write_tinted(folder, count=90, seed=0):
    """Write pictures into `folder/pictures` and their table, and return the words of `preprocess` that read them."""
    rng = np.random.default_rng(seed)
    (folder / "pictures").mkdir(parents=True)
    rows = [("image_id", "label", "tint", "grade", "weight", "nobody")]
    for number in range(count):
        shade, tint = ("bright", "dark")[number % 2], tuple(TINTS)[number % 3]
        level = 230 if shade == "bright" else 70
        picture = np.asarray(TINTS[tint]) * level + rng.normal(0, 12, (LABELS_SIZE, LABELS_SIZE, 3))
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / "pictures" / f"p{number:03d}.png")
        told = "" if number % OPEN == 0 else tint
        rows.append((f"p{number:03d}", shade, told, number % 4, number / 7, f"n{number}"))
    with (folder / "table.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    table = ("--table", folder / "table.csv", "--label-column", "label", "--size", LABELS_SIZE)
    return ("preprocess", folder / "pictures", *table, "--name", "tinted")


TRAINED = ("--backbone", "cnn-small", "--epochs", 25, "--learning-rate", 5e-3, "--batch-size", 16)
