"""A planted dataset and its description, once a run."""

import csv

import pytest

from tests.reporting.reading import PICTURES, SIZE, Described, noise, rows_of_table
from tests.support import Facelime


@pytest.fixture(scope="session")
def planted(tmp_path_factory):
    """A folder of noise with a table, and the words that bring it into a store."""
    folder, rows = noise(tmp_path_factory.mktemp("planted"), PICTURES), rows_of_table()
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return [
        "preprocess",
        folder,
        "--table",
        folder / "table.csv",
        "--label-column",
        "dx",
        "--group-column",
        "lesion",
        "--size",
        SIZE,
        "--name",
        "planted",
        "--workers",
        1,
    ]


@pytest.fixture(scope="session")
def described(planted, tmp_path_factory):
    run = Facelime(tmp_path_factory.mktemp("described") / "store")
    return Described(run, run.artifact(*planted), run.artifact("describe", "planted"))
