"""A planted dataset, and how its description is read."""

import csv
import re
from dataclasses import dataclass
from xml.dom import minidom

import numpy as np
from PIL import Image

from facelime_cli.store.artifacts import Artifact
from tests.support import Facelime

SIZE = 32
PICTURES = 30
NASTY = "<b>$nv_{</b>"


def rows_of_table():
    """Return a planted table: a class in three is `mel`; ages with gaps, sexes with gaps, twenty sites."""
    return [
        {
            "image_id": f"p{number:02d}",
            "lesion": f"L{number // 2}",
            "dx": "mel" if number // 2 % 3 == 0 else NASTY,
            "age": "" if number in {5, 6} else str(20.5 + number),
            "sex": "" if number == 7 else ("female", "male")[number % 4 == 1],
            "site <i>&": "back" if number < 11 else f"_site-{number}",
            "a/b $x$": "x",
            "A-B: $X$": "" if number % 2 else "<script>",
        }
        for number in range(PICTURES)
    ]


def noise(folder, count, seed=0):
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.fromarray(rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)).save(folder / f"p{number:02d}.png")
    return folder


@dataclass
class Described:
    """A dataset and its description in one store; read it, do not change it."""

    facelime: Facelime
    data: Artifact
    report: Artifact


def read_csv(artifact, name):
    with (artifact.path / name).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def page_of(artifact):
    return (artifact.path / "index.html").read_text(encoding="utf-8")


def root_of(path):
    """Return the root of an XML file; one that is not well-formed raises."""
    return minidom.parse(str(path)).documentElement.tagName  # noqa: S318 - a file that this test has made


def cells(page, heading):
    """Return the first table below a heading, as rows of text."""
    table = re.search(r"<table>.*?</table>", page[page.index(heading) :], re.DOTALL)[0]
    return [
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)
        for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL)
    ]
