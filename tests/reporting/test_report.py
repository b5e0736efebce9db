"""A report: its tables and its figures."""

import csv

import pytest

from facelime_cli.core import zones


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


@pytest.mark.long
def test_every_shown_class_has_its_figures_and_rows(chain):
    both = chain.facelime.artifact(
        "render", chain["fit-surrogate"].id, "--classes", "1,normal", "--top", 2, "--figures", "png"
    )
    assert len(list((both.path / "figures").glob("*.png"))) == 6
    rows = list(csv.DictReader((both.path / "coefficients.csv").open()))
    assert {row["class"] for row in rows} == {"normal", "rosacea"}
    assert len(rows) == 2 * int(chain["segment"].read("n_segments").sum())
