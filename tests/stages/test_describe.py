"""`describe`: what it writes to the terminal, and what its names mean."""

import re

from tests.reporting.reading import SIZE, noise


def test_where_the_page_is_goes_to_stderr(facelime, tmp_path):
    facelime.json("preprocess", noise(tmp_path / "some", 2), "--size", SIZE)
    result = facelime("describe", "some")
    assert re.fullmatch(r"some-description-[0-9a-f]{8}\n", result.stdout)
    assert f"page: {facelime.store / 'reports' / result.stdout.strip() / 'index.html'}" in result.stderr.splitlines()


def test_a_name_still_means_the_dataset(chain):
    run = chain.facelime
    assert run.json("show", "faces")["artifact"] == chain["preprocess"].id
    assert "reads datasets" in run.fails("describe", "faces-description")
    assert "nothing called" in run.fails("describe", "unknown")
