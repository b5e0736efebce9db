"""Two sources of small pictures with labels of every kind, and functions that answer with classes, findings and values.

The second source is paler: what is told by colour is told less well there. Its classes have other shares.
"""

import csv
import importlib

import numpy as np
from PIL import Image

from tests.support import Facelime

SIDE = 16
NAMES = ("red", "green", "blue")
MODULE = """
import numpy as np

def colours(pictures):
    return 255 * pictures.mean(axis=(1, 2)) - 100

def of_two(pictures):
    p = 1 / (1 + np.exp(-(colours(pictures)[:, 0] - colours(pictures)[:, 1]) / 6))
    return np.stack([1 - p, p], axis=1)

def another(pictures):
    return of_two(pictures) ** 2 / (of_two(pictures) ** 2).sum(axis=1, keepdims=True)

def of_three(pictures):
    raised = np.exp(colours(pictures) / 8)
    return raised / raised.sum(axis=1, keepdims=True)

def of_findings(pictures):
    return 1 / (1 + np.exp(-(colours(pictures) - 10) / 4))

def of_value(pictures):
    return colours(pictures)[:, 0]
"""


def write_source(folder, n, contrast, shares, seed):
    """Write pictures whose raised colour is their class, two for each patient, and a table of all that is known."""
    rng = np.random.default_rng(seed)
    (folder / "pictures").mkdir(parents=True)
    rows = [("file", "patient", "two", "three", "value", *NAMES)]
    for number in range(n):
        kind = int(rng.choice(3, p=shares))
        raised = 20 * (np.arange(3) == kind) + rng.normal(0, 9, 3)
        levels = 100 + contrast * raised
        picture = np.clip(levels + rng.normal(0, 4, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / "pictures" / f"{number}.png")
        known = ["" if rng.random() < 0.1 else int(each == kind) for each in range(3)]
        two = "other" if kind else "red"
        rows.append((f"{number}.png", f"p{number // 2}", two, NAMES[kind], round(float(raised[0]), 2), *known))
    with (folder / "table.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)


def store_of(folder, monkeypatch, shares=(0.2, 0.5, 0.3)):
    """Return a store with both sources, read as two classes, three classes, findings and values, and the models."""
    write_source(folder / "own", 160, 1.0, (0.4, 0.3, 0.3), 1)
    write_source(folder / "far", 100, 0.4, shares, 2)
    (folder / "answering.py").write_text(MODULE)
    monkeypatch.chdir(folder)
    importlib.invalidate_caches()
    run = Facelime(folder / "store")
    ways = {
        "two": ("--label-column", "two"),
        "three": ("--label-column", "three"),
        "findings": ("--label-columns", ",".join(NAMES)),
        "values": (),
    }
    for source, split in (("own", "10:45:45"), ("far", "0:0:100")):
        for way, words in ways.items():
            table = ("--table", folder / source / "table.csv", "--id-column", "file", "--group-column", "patient")
            # Pictures without labels are not divided.
            more = ("--split", split) if words else ()
            more += ("--size", SIDE, "--workers", 1, "--name", f"{source}-{way}")
            run.json("preprocess", folder / source / "pictures", *table, *words, *more)
    model = ("--size", SIDE, "--name")
    run.json("import-model", "answering:of_two", "--classes", "other,red", *model, "two")
    run.json("import-model", "answering:another", "--classes", "other,red", *model, "another")
    run.json("import-model", "answering:of_three", "--classes", ",".join(NAMES), *model, "three")
    run.json("import-model", "answering:of_findings", "--classes", ",".join(NAMES), "--multi-label", *model, "findings")
    value = ("--output-kind", "value", "--names", "value", "--unit", "levels")
    run.json("import-model", "answering:of_value", *value, *model, "values")
    return run
