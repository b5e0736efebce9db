"""Charts of an evaluation of several findings: everything is there and inside the picture."""

import numpy as np
import pytest

from facelime_cli.core import metrics
from facelime_cli.drawing import curves


def ranked(n, rng, true=None):
    true = rng.random(80) < 0.4 if true is None else true
    return [curves.Ranked(f"finding {c}", true, rng.random(80).astype(np.float32), c) for c in range(n)]


@pytest.mark.parametrize(("n", "named"), [(3, 3), (14, 14), (60, curves.MOST_NAMED)])
def test_every_legend_lies_inside_and_names_the_curves(n, named, rng):
    figure = curves.operating(ranked(n, rng))
    figure.canvas.draw()
    whole = figure.bbox
    legends = [axes.get_legend() for axes in figure.axes if axes.get_legend() is not None]
    assert len(legends) == 2
    for legend in legends:
        box = legend.get_window_extent()
        assert whole.x0 <= box.x0 < box.x1 <= whole.x1
        assert whole.y0 <= box.y0 < box.y1 <= whole.y1
        assert [text.get_text().split(":")[0] for text in legend.get_texts()] == [f"finding {c}" for c in range(named)]


def test_fourteen_lines_differ_in_colour_or_dashes(rng):
    styles = {tuple(each.style.values()) for each in ranked(14, rng)}
    assert len(styles) == 14


def test_a_finding_of_all_pictures_has_no_curve(rng):
    figure = curves.operating([*ranked(1, rng), *ranked(2, rng, np.ones(80, bool))[1:]])
    assert [len(axes.get_lines()) for axes in figure.axes] == [2, 1]


def test_figures_without_a_value_leave_a_gap():
    panels = {"AUC": [curves.Estimate(0.8, [0.7, 0.9]), curves.Estimate(None, None), curves.Estimate(0.6, None)]}
    (axes,) = curves.forest(["a", "b", "c"], panels, [False, True, True]).axes
    assert sorted({float(y) for line in axes.get_lines() for y in line.get_ydata()}) == [0, 2]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    # The first finding stands above the others.
    assert axes.get_ylim()[0] > axes.get_ylim()[1]


@pytest.mark.parametrize("n", [1, 4, 5, 14])
def test_calibration_has_a_panel_for_each_finding(n, rng):
    found = {
        f"finding {c}": vars(metrics.binned(rng.random(50).astype(np.float32), rng.random(50) < 0.5)) for c in range(n)
    }
    figure = curves.reliabilities(found)
    titles = [axes.get_title() for axes in figure.axes if axes.axison]
    assert [title.split("\n")[0] for title in titles] == list(found)
