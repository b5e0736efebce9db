"""`describe`: its numbers are those that one counts by hand, whatever the dataset has or lacks."""

import csv
import re
import statistics
import warnings
from collections import Counter
from dataclasses import dataclass
from xml.dom import minidom

import numpy as np
import pytest
from PIL import Image

from facelime_cli.core import summaries
from facelime_cli.drawing import charts, figures
from facelime_cli.reporting import columns, description
from facelime_cli.sources import PARTS
from facelime_cli.store.artifacts import Artifact
from tests.conftest import Facelime, write_faces

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


@pytest.fixture(scope="module")
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


@dataclass
class Described:
    """A dataset and its description in one store; read it, do not change it."""

    facelime: Facelime
    data: Artifact
    report: Artifact


@pytest.fixture(scope="module")
def described(planted, tmp_path_factory):
    run = Facelime(tmp_path_factory.mktemp("described") / "store")
    return Described(run, run.artifact(*planted), run.artifact("describe", "planted"))


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


class TestCounts:
    def test_pictures_and_groups_by_class_and_part(self, described):
        data, report = described.data, described.report
        by_id = {row["image_id"]: row for row in rows_of_table()}
        found, groups = Counter(), {}
        for picture, part in zip(data.texts("id"), data.read("split"), strict=True):
            key = by_id[picture]["dx"], PARTS[part]
            found[key] += 1
            groups.setdefault(key, set()).add(by_id[picture]["lesion"])
        rows = read_csv(report, "counts.csv")
        assert {(row["class"], row["part"]): int(row["pictures"]) for row in rows if int(row["pictures"])} == found
        assert {(row["class"], row["part"]): int(row["groups"]) for row in rows if int(row["groups"])} == {
            key: len(each) for key, each in groups.items()
        }
        assert len(rows) == 6
        assert report.facts["counts"]["mel"] == {part: found["mel", part] for part in PARTS}
        assert report.facts["unlabelled"] == 0
        table = cells(page_of(report), "Classes and splits")
        assert table[0] == ["class", *PARTS, "all"]
        assert table[2] == ["mel", *(str(found["mel", part]) for part in PARTS), "10"]
        assert table[3][-1] == str(PICTURES)

    def test_bars_are_as_long_as_the_counts(self):
        counts = np.array([[7, 2, 0], [300, 40, 5]])
        figure = charts.class_counts(counts, ["a", "b"], ["train", "validation", "test"])
        bars = figure.axes[0].containers
        assert np.array([[bar.get_width() for bar in part] for part in bars]).T.tolist() == counts.tolist()
        assert [bar.get_x() for bar in bars[1]] == [7, 300]
        assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["a", "b"]
        assert {"9", "345", "300"} <= {text.get_text() for text in figure.axes[0].texts}

    def test_folds(self, facelime, planted):
        data = facelime.artifact(*planted, "--folds", 4)
        report = facelime.artifact("describe", data.id)
        fold, labels = data.read("fold"), data.read("labels")
        rows = read_csv(report, "counts.csv")
        wanted = Counter((data.facts["classes"][label], str(each)) for label, each in zip(labels, fold, strict=True))
        assert {(row["class"], row["fold"]): int(row["pictures"]) for row in rows if int(row["pictures"])} == wanted
        assert {row["fold"]: row["part"] for row in rows} == {
            "0": "test",
            "1": "validation",
            "2": "train",
            "3": "train",
        }
        assert cells(page_of(report), "Classes and splits")[0][1:5] == [
            "fold 0 (test)",
            "fold 1 (validation)",
            "fold 2 (train)",
            "fold 3 (train)",
        ]
        assert sum(report.facts["counts"]["mel"].values()) == 10

    def test_more_classes_than_a_chart_has_room_for(self):
        labels = np.array([0, *range(50), 49, -1])
        classes = columns.Classes.of(labels, [f"c{k}" for k in range(50)])
        assert len(classes.shown) == 41
        assert classes.shown[0] == "c0"
        assert "c49" in classes.shown
        assert classes.shown[-1] == "11 other classes"
        assert classes.every[-1] == ""
        assert (classes.rows == 40).sum() == 11


class TestColumns:
    def test_numbers_by_class(self, described):
        report = described.report
        rows = {row["class"]: row for row in read_csv(report, "columns.csv") if row["column"] == "age"}
        for name in ("mel", NASTY):
            of = [row["age"] for row in rows_of_table() if row["dx"] == name]
            ages = [float(age) for age in of if age]
            row = rows[name]
            assert (row["kind"], int(row["pictures"]), int(row["missing"])) == ("number", len(ages), of.count(""))
            assert float(row["mean"]) == pytest.approx(statistics.mean(ages))
            assert float(row["sd"]) == pytest.approx(statistics.stdev(ages))
            quarters = statistics.quantiles(ages, method="inclusive")
            assert [float(row[each]) for each in ("minimum", "q1", "median", "q3", "maximum")] == pytest.approx(
                [min(ages), *quarters, max(ages)]
            )
        assert report.facts["columns"]["age"]["missing"] == 2
        table = cells(page_of(report), "<h3>age</h3>")
        assert table[2][:3] == ["mel", rows["mel"]["pictures"], rows["mel"]["missing"]]

    def test_boxes_are_drawn_of_the_finite_numbers_of_each_class(self):
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

    def test_values_by_class_and_empty_ones(self, described):
        report = described.report
        rows = [row for row in read_csv(report, "columns.csv") if row["column"] == "sex"]
        wanted = Counter((row["dx"], row["sex"]) for row in rows_of_table())
        assert {(row["class"], row["value"]): int(row["pictures"]) for row in rows} == wanted
        assert sum(float(row["share"]) for row in rows if row["class"] == "mel") == pytest.approx(1)
        assert next(row["share"] for row in rows if (row["class"], row["value"]) == ("mel", "")) == "0.1"
        assert report.facts["columns"]["sex"] == {
            "kind": "text",
            "n": 29,
            "missing": 1,
            "distinct": 2,
            "most_frequent": [["female", 21], ["male", 8]],
        }
        assert cells(page_of(report), "<h3>sex</h3>")[0] == ["class", "female", "male", "no value"]

    def test_bars_of_values_are_shares(self):
        figure = charts.shares_by_class(np.array([[1, 3], [5, 0]]), ["a", "b"], ["x", "y"], "site", 1)
        assert [[bar.get_width() for bar in part] for part in figure.axes[0].containers] == [[25, 100], [75, 0]]
        assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["a (4)", "b (5)"]
        assert figure.axes[0].get_xlim() == (0, 100)

    def test_of_many_values_the_most_frequent_and_the_rest_are_shown(self, described):
        report = described.report
        table = cells(page_of(report), "<h3>site &lt;i&gt;&amp;</h3>")
        assert table[0][1] == "back"
        assert len(table[0]) == 14
        assert table[0][-1] == "8 other values"
        assert sum(int(cell) for row in table[1:] for cell in row[1:]) == PICTURES
        assert len({row["value"] for row in read_csv(report, "columns.csv") if row["column"] == "site <i>&"}) == 20

    def test_a_legend_names_every_value(self):
        counts, values = np.ones((2, 14), int), [f"_{k}" for k in range(12)] + ["3 other values", "no value"]
        figure = charts.shares_by_class(counts, ["a", "b"], values, "x", 2)
        assert [text.get_text().strip() for text in figure.legends[0].get_texts()] == values
        colours = [part.patches[0].get_facecolor() for part in figure.axes[0].containers]
        assert len(set(colours)) == 14

    def test_a_class_without_any_number_or_value(self, tmp_path):
        classes = columns.Classes.of(np.array([0, 0, 1, -1]), ["a", "b"])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for each in (
                columns.column("x", np.array([1.0, np.nan, np.nan, 2.0]), classes),
                columns.column("y", np.array(["", "u", "", ""], dtype=object), classes),
            ):
                figures.write(each.chart(), [tmp_path / f"{each.name}.png"])
                assert [row[1] for row in each.rows()].count("b") == 1
                assert each.table()[-1][0] == "no label"
        assert summaries.spread(np.array([np.nan])) == summaries.Spread(0, 1, *[None] * 7)

    @pytest.mark.parametrize("values", [[1.0] * 4, [np.nan] * 4, [1e308, -1e308, 1e308, 5.0], [1e-300] * 4])
    def test_odd_numbers_can_be_drawn(self, values, tmp_path):
        each = columns.column("x", np.array(values), columns.Classes.of(np.array([0, 0, 1, 1]), ["a", "b"]))
        figures.write(each.chart(), [tmp_path / "x.png", tmp_path / "x.svg"])
        assert (tmp_path / "x.png").stat().st_size > 1000
        assert {type(value) for value in each.facts().values()} <= {str, int, float, type(None)}

    def test_files_of_columns_have_safe_names_of_their_own(self):
        stems = description.stems(["age", "Age", "../a b", "a-b", "größe", "图", "<>", "a-b-2"])
        assert stems == [
            "column-age",
            "column-Age-2",
            "column-a-b",
            "column-a-b-2",
            "column-gr-e",
            "column-unnamed",
            "column-unnamed-2",
            "column-a-b-2-2",
        ]


class TestSheet:
    def test_it_shows_pictures_of_each_class_under_their_ids(self, described):
        data = described.data
        drawn = description.Description(data, 4, 0, 120).sheet()
        images, ids, labels = data.read("images"), data.texts("id"), data.read("labels")
        shown = []
        for axes in drawn.axes:
            name, picture = axes.get_title().replace(r"\$", "$").split("\n")
            row = ids.index(picture)
            assert np.array_equal(axes.images[0].get_array(), images[row])
            assert data.facts["classes"][labels[row]] == name
            shown.append(picture)
        assert Counter(int(labels[ids.index(each)]) for each in shown) == {0: 4, 1: 4}
        assert len(set(shown)) == 8

    def test_the_choice_follows_the_seed_and_is_extended_by_a_larger_sheet(self, described):
        data = described.data

        def sample(sheet, seed):
            return description.Description(data, sheet, seed, 120).sample

        assert sample(3, 0) == sample(3, 0)
        assert sample(3, 0) != sample(3, 1)
        assert set(sample(2, 0)) < set(sample(3, 0))
        assert len(sample(100, 0)) == PICTURES

    def test_a_sheet_has_an_end(self, described):
        data = described.data
        sample = description.Description(data, 4, 0, 5).sample
        assert Counter(data.read("labels")[sample].tolist()) == {0: 3, 1: 2}

    @pytest.mark.parametrize(("n", "height", "width"), [(1, 8, 8), (7, 20, 60), (13, 60, 20)])
    def test_any_number_and_form_of_pictures(self, n, height, width, rng):
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

    def test_large_pictures_are_shrunk(self):
        large = np.zeros((600, 300, 3), np.uint8)
        large[:300] = 200
        small = charts.shrunk(large, 100)
        assert small.shape == (100, 50, 3)
        assert small[:49].min() == 200
        assert charts.shrunk(small, 100) is small


class TestWhatADatasetMayLack:
    def test_no_labels(self, facelime, tmp_path):
        facelime.json("preprocess", noise(tmp_path / "flat", 7), "--size", SIZE, "--name", "flat")
        report = facelime.artifact("describe", "flat")
        assert report.facts["counts"] == {}
        assert report.facts["unlabelled"] == 7
        page = page_of(report)
        assert "no labels" in page
        assert "Not divided into splits" in page
        assert "had no table" in page
        rows = read_csv(report, "counts.csv")
        assert [(row["class"], row["part"], row["pictures"]) for row in rows if row["pictures"] != "0"] == [
            ("", "", "7")
        ]
        assert read_csv(report, "columns.csv") == []

    def test_one_picture(self, facelime, tmp_path):
        folder = noise(tmp_path / "one", 1)
        facelime.json("preprocess", folder / "p00.png", "--size", SIZE, "--name", "one")
        page = page_of(facelime.artifact("describe", "one"))
        assert "1 picture of" in page
        assert "Nothing was found" in page

    def test_one_class_and_pictures_beside_it(self, facelime, tmp_path):
        noise(tmp_path / "some" / "normal", 8)
        noise(tmp_path / "some", 2, seed=5)
        facelime.json("preprocess", tmp_path / "some", "--size", SIZE, "--name", "some")
        report = facelime.artifact("describe", "some")
        assert report.facts["unlabelled"] == 2
        assert sum(report.facts["counts"]["normal"].values()) == 8
        assert [row[0] for row in cells(page_of(report), "Classes and splits")] == [
            "class",
            "normal",
            "no label",
            "all",
        ]

    def test_what_could_not_be_read_is_named_and_makes_another_report(self, facelime, tmp_path):
        folder = noise(tmp_path / "some" / "normal", 6).parent
        whole = facelime.artifact("preprocess", folder, "--size", SIZE)
        first = facelime.artifact("describe", whole.id)
        (folder / "normal" / "z<u>.png").write_bytes(b"no picture")
        broken = facelime.artifact("preprocess", folder, "--size", SIZE)
        assert broken.content == whole.content
        second = facelime.artifact("describe", f"datasets/{broken.id}")
        assert second.id != first.id
        assert "normal/z&lt;u&gt;.png" in page_of(second)
        assert "1 of 7 files could not be read" in page_of(second)
        assert "could not be read" not in page_of(first)


class TestLeakage:
    def test_every_sentence_and_figure_is_on_the_page(self, facelime, tmp_path):
        folder = write_faces(tmp_path / "faces", 24, SIZE)
        for path in sorted((folder / "normal").glob("*.png")):
            Image.open(path).point(lambda value: value // 4).save(path)
        Image.open(folder / "rosacea" / "face-001.png").save(folder / "normal" / "copy.png")
        data = facelime.artifact("preprocess", folder, "--size", SIZE, "--name", "leaky")
        leaks = data.facts["leakage"]
        assert len(leaks["sentences"]) >= 2
        page = page_of(facelime.artifact("describe", "leaky")).replace("&#39;", "'")
        for sentence in leaks["sentences"]:
            assert f'<p class="verdict">{sentence}</p>' in page
        table = {row[0]: row for row in cells(page, 'id="leakage"')}
        assert table["duplicates"][1].startswith("1 pair: ")
        assert "with different labels" in table["duplicates"][1]
        assert "<code>normal/copy</code> and <code>rosacea/face-001</code>" in table["duplicates"][2]
        trivial = leaks["trivial_rule"]
        assert (
            f"{100 * trivial['balanced_accuracy']:.0f} % balanced accuracy"
            in table["classes told apart by trivial figures alone"][1]
        )
        assert trivial["strongest"][0][0].replace("_", " ") in table["classes told apart by trivial figures alone"][2]
        assert "Nothing was found" not in page


class TestPage:
    def test_names_that_are_markup_stay_text(self, described):
        report = described.report
        page = page_of(report)
        for raw, escaped in (
            (NASTY, "&lt;b&gt;$nv_{&lt;/b&gt;"),
            ("site <i>&", "site &lt;i&gt;&amp;"),
            ("<script>", "&lt;script&gt;"),
        ):
            assert raw not in page
            assert escaped in page
        drawn = sorted(path.name for path in (report.path / "figures").glob("*.svg"))
        assert drawn == sorted(
            f"{stem}.svg"
            for stem in (
                "classes",
                "sheet",
                "column-age",
                "column-sex",
                "column-site-i",
                "column-A-B-X",
                "column-a-b-x-2",
            )
        )
        for path in (report.path / "figures").glob("*.svg"):
            assert root_of(path) == "svg"

    def test_it_asks_nothing_of_outside_and_its_files_are_there(self, described):
        report = described.report
        page = page_of(report)
        assert not re.search(r"""(src|href|url)\s*[=(]\s*["']?\s*(https?:)?//""", page)
        links = [link for link in re.findall(r'(?:src|href)="([^"]+)"', page) if not link.startswith(("#", "data:"))]
        assert len(links) == 16
        for link in links:
            assert (report.path / link).is_file()
            assert link in report.manifest["files"]
        for anchor in re.findall(r'href="#([^"]+)"', page):
            assert f'id="{anchor}"' in page

    def test_it_says_how_the_pictures_were_prepared(self, facelime, planted):
        facelime.json(*planted, "--contrast", 1.5, "--equalize", "--split", "50:25:25")
        table = dict(cells(page_of(facelime.artifact("describe", "planted")), "How it was made"))
        assert (table["contrast"], table["equalize"], table["split"], table["crop"]) == (
            "1.5",
            "yes",
            "0.5 : 0.25 : 0.25",
            "none",
        )

    def test_the_same_dataset_gives_the_same_files(self, described, facelime, planted):
        facelime.json(*planted)
        first, second = (
            artifact.manifest["files"] for artifact in (described.report, facelime.artifact("describe", "planted"))
        )
        assert {name for name in first if first[name] != second[name]} <= {
            "index.html"
        }  # which names the software that was loaded
        assert set(first) == set(second)

    def test_where_the_page_is_goes_to_stderr(self, facelime, tmp_path):
        facelime.json("preprocess", noise(tmp_path / "some", 2), "--size", SIZE)
        result = facelime("describe", "some")
        assert re.fullmatch(r"some-description-[0-9a-f]{8}\n", result.stdout)
        assert (
            f"page: {facelime.store / 'reports' / result.stdout.strip() / 'index.html'}" in result.stderr.splitlines()
        )

    def test_a_name_still_means_the_dataset(self, described):
        run = described.facelime
        assert run.json("show", "planted")["artifact"] == described.data.id
        assert "reads datasets" in run.fails("describe", "planted-description")
        assert "nothing called" in run.fails("describe", "unknown")


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
