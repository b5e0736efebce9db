"""Masks of one picture, and what answers to them."""

import pytest

from tests.support import Facelime, write_faces

SIZE = 48


@pytest.fixture(scope="package")
def masks(tmp_path_factory):
    """A store with masks of one picture, of 48×48 pixels."""
    run = Facelime(tmp_path_factory.mktemp("importing") / "store")
    run.json("preprocess", write_faces(tmp_path_factory.mktemp("two"), 4), "--size", SIZE, "--name", "two")
    run.json("segment", "two", "--method", "slic", "--segments", 12, "--name", "parts")
    run.json("perturb", "parts", "--samples", 40, "--name", "masks")
    return run
