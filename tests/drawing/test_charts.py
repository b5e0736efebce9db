"""Charts of a dataset: bars as long as their counts, boxes of what is finite, sheets of any number of pictures."""

import warnings

import numpy as np
import pytest

from facelime_cli.drawing import charts, figures
from tests.reporting.reading import root_of


def test_bars_are_as_long_as_the_counts():
    counts = np.array([[7, 2, 0], [300, 40, 5]])
    figure = charts.class_counts(counts, ["a", "b"], ["train", "validation", "test"])
    bars = figure.axes[0].containers
    assert np.array([[bar.get_width() for bar in part] for part in bars]).T.tolist() == counts.tolist()
    assert [bar.get_x() for bar in bars[1]] == [7, 300]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["a", "b"]
    assert {"9", "345", "300"} <= {text.get_text() for text in figure.axes[0].texts}


def test_boxes_are_drawn_of_the_finite_numbers_of_each_class():
    values = np.array([1.0, 2, 9, np.nan, np.inf, 4, np.nan])
    figure = charts.numbers_by_class(values, np.array([0, 0, 0, 0, 0, 2, 1]), ["a", "b", "c"], "mm")
    medians = {
        round(float(line.get_ydata().mean())): float(line.get_xdata()[0])
        for line in figure.axes[0].lines
        if line.get_linewidth() == 2
    }
    assert medians == {0: 2.0, 2: 4.0}
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["a (3)", "b (0)", "c (1)"]
    assert figure.axes[0].get_xlabel() == "mm"


def test_bars_of_values_are_shares():
    figure = charts.shares_by_class(np.array([[1, 3], [5, 0]]), ["a", "b"], ["x", "y"], "site", 1)
    assert [[bar.get_width() for bar in part] for part in figure.axes[0].containers] == [[25, 100], [75, 0]]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["a (4)", "b (5)"]
    assert figure.axes[0].get_xlim() == (0, 100)


def test_a_legend_names_every_value():
    counts, values = np.ones((2, 14), int), [f"_{k}" for k in range(12)] + ["3 other values", "no value"]
    figure = charts.shares_by_class(counts, ["a", "b"], values, "x", 2)
    assert [text.get_text().strip() for text in figure.legends[0].get_texts()] == values
    colours = [part.patches[0].get_facecolor() for part in figure.axes[0].containers]
    assert len(set(colours)) == 14


@pytest.mark.parametrize(("n", "height", "width"), [(1, 8, 8), (7, 20, 60), (13, 60, 20)])
def test_any_number_and_form_of_pictures(n, height, width, rng):
    images = rng.integers(0, 256, (n, height, width, 3), dtype=np.uint8)
    figure = charts.sheet(images, [f"class\n{'long' * 20}{k}" for k in range(n)])
    assert len(figure.axes) == n
    boxes = [axes.get_window_extent() for axes in figure.axes]
    for box, axes in zip(boxes, figure.axes, strict=True):
        title = axes.title.get_window_extent()
        assert box.width / box.height == pytest.approx(width / height, rel=0.05)
        assert title.width <= figure.bbox.width / charts.sheet_columns(n)
        assert title.y1 <= figure.bbox.height
        assert not any(title.overlaps(other) for other in boxes if other is not box)


def test_large_pictures_are_shrunk():
    large = np.zeros((600, 300, 3), np.uint8)
    large[:300] = 200
    small = charts.shrunk(large, 100)
    assert small.shape == (100, 50, 3)
    assert small[:49].min() == 200
    assert charts.shrunk(small, 100) is small


def test_letters_that_the_font_lacks_are_boxes_without_a_warning(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures.write(
            charts.class_counts(np.array([[3]]), ["图片 \x01 $x^$"], ["no\npart"]),
            [tmp_path / "x.png", tmp_path / "x.svg"],
        )
    assert root_of(tmp_path / "x.svg") == "svg"


def test_the_test_above_can_fail(tmp_path):
    figure = charts.class_counts(np.array([[3]]), ["a"], ["b"])
    figure.axes[0].set_title("图片")
    with pytest.warns(UserWarning, match="missing from"):
        figures.write(figure, [tmp_path / "x.png"])
