"""A dataset's description: its numbers are those that one counts by hand, whatever the dataset has or lacks."""

import re
from collections import Counter

import numpy as np
from PIL import Image

from facelime_cli.reporting import description
from facelime_cli.sources import SPLITS
from tests.reporting.reading import NASTY, PICTURES, SIZE, cells, noise, page_of, read_csv, root_of, rows_of_table
from tests.support import write_faces


def test_pictures_and_groups_by_class_and_part(described):
    data, report = described.data, described.report
    by_id = {row["image_id"]: row for row in rows_of_table()}
    found, groups = Counter(), {}
    for picture, part in zip(data.texts("id"), data.read("split"), strict=True):
        key = by_id[picture]["dx"], SPLITS[part]
        found[key] += 1
        groups.setdefault(key, set()).add(by_id[picture]["lesion"])
    rows = read_csv(report, "counts.csv")
    assert {(row["class"], row["part"]): int(row["pictures"]) for row in rows if int(row["pictures"])} == found
    assert {(row["class"], row["part"]): int(row["groups"]) for row in rows if int(row["groups"])} == {
        key: len(each) for key, each in groups.items()
    }
    assert len(rows) == 6
    assert report.facts["counts"]["mel"] == {part: found["mel", part] for part in SPLITS}
    assert report.facts["unlabelled"] == 0
    table = cells(page_of(report), "Classes and splits")
    assert table[0] == ["class", *SPLITS, "all"]
    assert table[2] == ["mel", *(str(found["mel", part]) for part in SPLITS), "10"]
    assert table[3][-1] == str(PICTURES)


def test_folds(facelime, planted):
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


def test_files_of_columns_have_safe_names_of_their_own():
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


def test_it_shows_pictures_of_each_class_under_their_ids(described):
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


def test_the_choice_follows_the_seed_and_is_extended_by_a_larger_sheet(described):
    data = described.data

    def sample(sheet, seed):
        return description.Description(data, sheet, seed, 120).sample

    assert sample(3, 0) == sample(3, 0)
    assert sample(3, 0) != sample(3, 1)
    assert set(sample(2, 0)) < set(sample(3, 0))
    assert len(sample(100, 0)) == PICTURES


def test_a_sheet_has_an_end(described):
    data = described.data
    sample = description.Description(data, 4, 0, 5).sample
    assert Counter(data.read("labels")[sample].tolist()) == {0: 3, 1: 2}


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


def test_every_sentence_and_figure_is_on_the_page(facelime, tmp_path):
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


def test_names_that_are_markup_stay_text(described):
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


def test_it_asks_nothing_of_outside_and_its_files_are_there(described):
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


def test_it_says_how_the_pictures_were_prepared(facelime, planted):
    facelime.json(*planted, "--contrast", 1.5, "--equalize", "--split", "50:25:25")
    table = dict(cells(page_of(facelime.artifact("describe", "planted")), "How it was made"))
    assert (table["contrast"], table["equalize"], table["split"], table["crop"]) == (
        "1.5",
        "yes",
        "0.5 : 0.25 : 0.25",
        "none",
    )


def test_the_same_dataset_gives_the_same_files(described, facelime, planted):
    facelime.json(*planted)
    first, second = (
        artifact.manifest["files"] for artifact in (described.report, facelime.artifact("describe", "planted"))
    )
    assert {name for name in first if first[name] != second[name]} <= {
        "index.html"
    }  # which names the software that was loaded
    assert set(first) == set(second)
