"""A report: its tables, its figures and its pages by the number of pictures."""

import csv
import re

import pytest

from facelime_cli.core import zones


def test_many_pictures_have_a_page_each(chain, monkeypatch):
    monkeypatch.setattr("facelime_cli.reporting.report.MOST_ON_A_PAGE", 2)
    report = chain.facelime.artifact("render", chain["fit-surrogate"].id, "--top", 7)
    index = (report.path / "index.html").read_text(encoding="utf-8")
    assert index.count("<tr data-id=") == 3
    assert 'class="picture"' not in index
    for row in range(3):
        assert f'href="pages/{row:05d}.html"' in index
        page = (report.path / "pages" / f"{row:05d}.html").read_text(encoding="utf-8")
        for name in re.findall(r'(?:src|href)="([^"#:]+)"', page):
            assert (report.path / "pages" / name).is_file(), name


def test_coefficients_by_zone(chain):
    report = chain.facelime.artifact("render", chain["fit-surrogate"].id, "--by-zone", "lungs", "--classes", "rosacea")
    rows = list(csv.DictReader((report.path / "zones.csv").open()))
    coefficients, segments = chain["fit-surrogate"].read("coefficients")[0, 1], chain["segment"].read("segments")[0]
    expected = zones.attribution_by_zone(
        coefficients[: segments.max() + 1],
        zones.overlap(segments, zones.lungs(chain["preprocess"].read("images")[0]).zones, 6),
    )
    assert [row["zone"] for row in rows[:6]] == list(zones.LUNGS)
    assert [float(row["coefficient"]) for row in rows[:6]] == pytest.approx(expected.tolist())


def test_every_shown_class_has_its_figures_and_rows(chain):
    both = chain.facelime.artifact(
        "render", chain["fit-surrogate"].id, "--classes", "1,normal", "--top", 2, "--figures", "png"
    )
    assert len(list((both.path / "figures").glob("*.png"))) == 6
    rows = list(csv.DictReader((both.path / "coefficients.csv").open()))
    assert {row["class"] for row in rows} == {"normal", "rosacea"}
    assert len(rows) == 2 * int(chain["segment"].read("n_segments").sum())
