"""What tables say of pictures: ids, findings, several rows, splits; nothing is decoded here."""

import numpy as np
import pytest

from facelime_cli.errors import CommandLineError, FacelimeError, NotFoundError
from facelime_cli.preparing.findings import Reading
from facelime_cli.preparing.listing import Table, read_table
from facelime_cli.preparing.settings import settings_of
from tests.published import catalogue, params_of
from tests.support import save_picture


@pytest.fixture
def read(tmp_path):
    """Return what a table says of the files of a folder."""

    def run(text, files, *words, source="pictures", settings=False, **more):
        for name in files:
            path = tmp_path / "pictures" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        for name, content in {"table.csv": text or "", **more}.items():
            (tmp_path / name.replace("__", ".")).write_text(content)
        given = [str(word).replace("@", f"{tmp_path}/") for word in words]
        sources = [tmp_path / each for each in source.split(",")]
        table = [] if text is None else ["--table", tmp_path / "table.csv"]
        line = ["preprocess", *sources, *table, "--id-column", "id", *given]
        found = catalogue(line, tmp_path / "store")
        return (params_of(line), found[0]) if settings else found

    return run


def labels(found):
    return {entry.id: entry.label for entry in found[0]}


def findings(found):
    return {entry.id: dict(entry.findings) for entry in found[0]}


class TestIds:
    def test_a_suffix_is_ignored_where_that_is_unique(self, read):
        found = read(
            "id,dx\na.png,x\nb.PNG,y\nc.jpg,x\nd,y\n", ["a.png", "b.png", "c.jpeg", "d.tif"], "--label-column", "dx"
        )
        assert labels(found) == {"a": "x", "b": "y", "c": "x", "d": "y"}

    def test_an_equal_suffix_decides(self, read):
        found = read("id,dx\na.png,x\na.jpg,y\n", ["a.png", "a.jpg"], "--label-column", "dx")
        assert {entry.id: (entry.path.name, entry.label) for entry in found[0]} == {
            "a.png": ("a.png", "x"),
            "a.jpg": ("a.jpg", "y"),
        }
        with pytest.raises(FacelimeError, match=r"a is there more than once: .*a\.(png|jpg), .*a\.(png|jpg);"):
            read("id\na\n", [])

    def test_what_only_looks_like_a_suffix_is_a_part_of_the_name(self, read):
        found = read("id,dx\na.png,x\n1.2.840.113,y\n", ["a.png.jpg", "1.2.840.113.dcm"], "--label-column", "dx")
        assert labels(found) == {"a.png": "x", "1.2.840.113": "y"}

    @pytest.mark.parametrize(
        "source",
        ["pictures/set", "pictures/set/train", "pictures/set/valid,pictures/set/train"],
    )
    def test_the_longest_common_end_of_the_path(self, read, source):
        files = [f"set/{split}/p{n}/view.png" for split in ("train", "valid") for n in (1, 2)]
        rows = [f"Published-v1/{name.removeprefix('set/')},{n}" for n, name in enumerate(files)]
        if "valid" not in source and source.endswith("train"):
            rows = rows[:2]
        found = read("\n".join(["id,dx", *rows]), files, "--label-column", "dx", source=source)
        assert {entry.label: entry.path.as_posix().partition("pictures/")[2] for entry in found[0]} == {
            str(n): files[n] for n in range(len(rows))
        }
        assert found[0][0].id == "Published-v1/train/p1/view"

    @pytest.mark.parametrize("place", [".", "../pictures", "./train", "../pictures/train/"])
    def test_the_source_may_be_the_folder_one_is_in(self, read, tmp_path, monkeypatch, place):
        text = "id\nset/train/p1/view.png\nset/train/p2/view.png\n"
        read(text, ["set/train/p1/view.png", "set/train/p2/view.png"])
        monkeypatch.chdir(tmp_path / "pictures" / "set")
        line = ["preprocess", place.replace("../pictures", "../set"), "--table", "../../table.csv", "--id-column", "id"]
        found, _ = catalogue(line, tmp_path / "store")
        assert [entry.path.absolute().parent.name for entry in found] == ["p1", "p2"]

    def test_other_marks_between_folders(self, read):
        text = "id,dx\n.\\a\\x.png,1\n/home/someone/b/x.png,2\n../input/c/x.png,3\n"
        found = read(text, ["a/x.png", "b/x.png", "c/x.png"], "--label-column", "dx")
        assert labels(found) == {"a/x": "1", "home/someone/b/x": "2", "input/c/x": "3"}

    def test_a_folder_that_is_called_otherwise_is_not_it(self, read):
        """Only a part was downloaded: the pictures of one patient must never stand for those of another."""
        with pytest.raises(
            NotFoundError,
            match=r"1 of 2 pictures .* such as set/p2/view.png; the path most like it is .*pictures/p1/view.png",
        ):
            read("id,dx\nset/p1/view.png,a\nset/p2/view.png,b\n", ["p1/view.png"], "--label-column", "dx")
        found = read(
            "id,dx\nset/p1/view.png,a\nset/p2/view.png,b\n", [], "--missing-pictures", "skip", source="pictures/p1"
        )
        assert [entry.id for entry in found[0]] == ["set/p1/view"]

    def test_an_id_that_may_be_two_files_or_two_ids_for_one_file(self, read):
        with pytest.raises(FacelimeError, match=r"view.png is there more than once: .*p1/view.png, .*p2/view.png"):
            read("id\nview.png\n", ["p1/view.png", "p2/view.png"])
        with pytest.raises(FacelimeError, match=r"a and a\.png .* both mean .*a\.png"):
            read("id\na\na.png\n", ["a.png"])

    def test_lost_zeros_are_said_and_not_guessed(self, read):
        for text in ("id\n1\n2\n", "id\n1.png\n2.png\n", "id\n1.0\n2.0\n"):
            with pytest.raises(
                NotFoundError, match=r"such as 1.*; 0001 is there, .* taken for numbers.*; save it as text"
            ):
                read(text, ["0001.png", "0002.png"])
        with pytest.raises(NotFoundError, match=r"such as 100\.0; 100 is there"):
            read("id\n100.0\n", ["100.png"])

    def test_pictures_that_are_in_no_row_are_counted(self, read):
        found = read("id,g\na,1\nb,1\n", ["a.png", "b.png", "c.png"], "--group-column", "g", "--one-per-group")
        assert [entry.id for entry in found[0]] == ["a"]
        assert found[1].said == ["1 pictures of the sources are in no row, and are left out"]

    def test_a_part_of_a_large_set(self, read):
        text = "id,dx,g\n" + "".join(f"{n:03d},{'xy'[n % 2]},{n // 3}\n" for n in range(12))
        words = ["--label-column", "dx", "--group-column", "g", "--missing-pictures", "skip"]
        found = read(text, ["004.png", "005.png", "008.png"], *words)
        assert labels(found) == {"004": "x", "005": "y", "008": "x"}
        assert found[1].facts["missing_pictures"] == 9
        assert "9 of 12 pictures of the table are in none of the sources, and are left out." in found[1].warnings
        # The first of a group is the first that is there.
        assert labels(read(text, [], *words, "--one-per-group")) == {"004": "x", "008": "x"}
        with pytest.raises(NotFoundError, match="12 of 12 pictures"):
            read(text.replace("0", "x"), [], *words)


class TestSeveralFindings:
    def test_one_cell_with_bars(self, read):
        found = read(
            "id,f\na,A|B\nb,No Finding\nc,B\nd,\n", ["a.png", "b.png", "c.png", "d.png"], "--label-column", "f"
        )
        assert findings(found) == {"a": {"A": 1, "B": 1}, "b": {"A": 0, "B": 0}, "c": {"A": 0, "B": 1}, "d": {}}
        assert found[1].labels == ["A", "B"]
        assert found[1].facts == {"separator": "|", "no_finding": "No Finding", "unlabelled": 1}

    def test_other_separators_are_named(self, read):
        text = "id,f\na,A; B\nb,healthy\n"
        found = read(
            text, ["a.png", "b.png"], "--label-column", "f", "--label-separator", ";", "--no-finding", "Healthy"
        )
        assert findings(found) == {"a": {"A": 1, "B": 1}, "b": {"A": 0, "B": 0}}
        assert labels(read(text, [], "--label-column", "f")) == {"a": "A; B", "b": "healthy"}
        none = read(text.replace(";", "|"), [], "--label-column", "f", "--label-separator", "none")
        assert labels(none) == {"a": "A| B", "b": "healthy"}

    def test_lists_as_python_writes_them(self, read):
        text = "id,f\na,\"['A', 'B b']\"\nb,['normal']\nc,[]\n"
        words = ["--label-column", "f", "--label-separator", ",", "--no-finding", "normal"]
        found = read(text, ["a.png", "b.png", "c.png"], *words)
        assert findings(found) == {"a": {"A": 1, "B b": 1}, "b": {"A": 0, "B b": 0}, "c": {}}

    def test_a_separator_makes_findings_even_of_single_ones(self, read):
        found = read("id,f\na,A\nb,B\n", ["a.png", "b.png"], "--label-column", "f", "--label-separator", "|")
        assert findings(found) == {"a": {"A": 1, "B": 0}, "b": {"A": 0, "B": 1}}

    def test_findings_and_none_in_one_cell(self, read):
        with pytest.raises(FacelimeError, match=r"f is 'A\|No Finding' in line 3 of .*, which are findings and none"):
            read("id,f\na,B\nb,A|No Finding\n", ["a.png", "b.png"], "--label-column", "f")

    def test_a_single_finding_makes_two_classes(self, read):
        found = read("id,f\na,A\nb,No Finding\n", ["a.png", "b.png"], "--label-column", "f", "--label-separator", "|")
        assert labels(found) == {"a": "A", "b": "no A"}
        assert found[1].labels == ["no A", "A"]


class TestColumns:
    TEXT = "id,A,B,C,x\na,1.0,,0,5\nb,-1.0,1,0,6\nc,,,,7\n"
    FILES = ("a.png", "b.png", "c.png")

    @pytest.mark.parametrize(
        ("words", "said", "facts"),
        [
            (
                [],
                {"a": {"A": 1, "C": 0}, "b": {"B": 1, "C": 0}, "c": {}},
                {"uncertain": {"unknown": 1}, "blank": {"unknown": 4}, "unlabelled": 1},
            ),
            (
                ["--uncertain", "positive", "--blank", "negative"],
                {"a": {"A": 1, "B": 0, "C": 0}, "b": {"A": 1, "B": 1, "C": 0}, "c": {"A": 0, "B": 0, "C": 0}},
                {"uncertain": {"positive": 1}, "blank": {"negative": 4}},
            ),
            (
                ["--uncertain", "negative"],
                {"a": {"A": 1, "C": 0}, "b": {"A": 0, "B": 1, "C": 0}, "c": {}},
                {"uncertain": {"negative": 1}, "blank": {"unknown": 4}, "unlabelled": 1},
            ),
            (
                ["--uncertain", "drop"],
                {"a": {"A": 1, "C": 0}, "c": {}},
                {
                    "uncertain": {"drop": 1},
                    "blank": {"unknown": 4},
                    "dropped": 1,
                    "unlabelled": 1,
                    "without_values": ["B"],
                },
            ),
        ],
    )
    def test_uncertain_and_blank(self, read, words, said, facts):
        found = read(self.TEXT, self.FILES, "--label-columns", "A..C", *words)
        assert findings(found) == said
        assert found[1].facts == facts
        assert found[0][0].columns == {"x": "5"}
        assert "uncertain values" in "; ".join(found[1].said)

    def test_nothing_is_left_where_every_picture_is_uncertain(self, read):
        with pytest.raises(FacelimeError, match=r"every picture of .* has an uncertain finding"):
            read("id,A,B\na,-1,0\n", self.FILES, "--label-columns", "A,B", "--uncertain", "drop")

    def test_a_single_one_in_every_row_is_a_class(self, read):
        text = "id,A,B,C\na,1,0,0\nb,0.0,1.0,0.0\nc,False,False,True\n"
        found = read(text, self.FILES, "--label-columns", "A,B,C")
        assert labels(found) == {"a": "A", "b": "B", "c": "C"}
        assert found[1].facts == {"one_hot": 3}
        assert findings(read(text.replace("a,1,0", "a,1,1"), [], "--label-columns", "A,B,C"))["a"] == {
            "A": 1,
            "B": 1,
            "C": 0,
        }
        none = findings(read(text.replace("a,1,0", "a,0,0"), [], "--label-columns", "A,B,C"))
        assert none["a"] == {"A": 0, "B": 0, "C": 0}
        assert labels(read(text.replace("a,1,0,0", "a,,nan,"), [], "--label-columns", "A,B,C"))["a"] is None

    def test_a_single_column_makes_two_classes(self, read):
        text = "id,ill\na,1\nb,0\nc,\n"
        assert labels(read(text, self.FILES, "--label-columns", "ill")) == {"a": "ill", "b": "no ill", "c": None}
        named = read(text, [], "--label-columns", "ill", "--class-names", "@names.csv", names__csv="ill,malignant\n")
        assert labels(named) == {"a": "malignant", "b": "no malignant", "c": None}
        both = read(
            text, [], "--label-columns", "ill", "--class-names", "@names.csv", names__csv="ill,bad\nno ill,good\n"
        )
        assert labels(both) == {"a": "bad", "b": "good", "c": None}

    @pytest.mark.parametrize("cell", ["2", "0.5", "yes", "-2", "inf", "1 0", "²"])
    def test_a_value_that_is_none(self, read, cell):
        with pytest.raises(FacelimeError, match=r"B is '.*' in line 3 of .*, which is none of 1, 0, -1"):
            read(f"id,A,B\na,1,0\nb,1,{cell}\n", self.FILES, "--label-columns", "A,B")

    def test_decimal_commas(self, read):
        found = read("id;A;B;x\na;1,0;0,0;2,5\nb;-1,0;1,0;3\n", self.FILES, "--label-columns", "A,B")
        assert findings(found) == {"a": {"A": 1, "B": 0}, "b": {"B": 1}}
        assert [entry.columns["x"] for entry in found[0]] == ["2.5", "3"]

    def test_findings_get_long_names_and_are_joined_by_them(self, read):
        text = "id,A,B,C\na,1,0,0\nb,0,0,1\nc,0,,1\n"
        names = "A,first\nB,first\nC,last\n"
        found = read(text, self.FILES, "--label-columns", "A,B,C", "--class-names", "@names.csv", names__csv=names)
        assert findings(found) == {"a": {"first": 1, "last": 0}, "b": {"first": 0, "last": 1}, "c": {"last": 1}}
        assert found[1].labels == ["first", "last"]

    def test_findings_of_which_nothing_is_known_at_all(self, read):
        for text in ("id,A,B\na,,-1\n", "id,A,B\na,,-1\nz,1,1\n"):
            with pytest.raises(FacelimeError, match="says of no picture here whether it has A or any other finding"):
                read(text, self.FILES, "--label-columns", "A,B", "--missing-pictures", "skip")

    def test_a_column_of_which_nothing_is_known(self, read):
        found = read("id,A,B,C\na,1,,0\nb,0,,1\n", self.FILES, "--label-columns", "A,B,C")
        assert found[1].labels == ["A", "C"]
        assert found[1].warnings == ["nothing is known of B in any picture; left out."]


class TestRows:
    FILES = ("a.png", "b.png", "c.png")
    READERS = (
        "id,f,r,x\na,A,1,5\na,B,1,6\na,A,2,7\na,No finding,3,\nb,No finding,1,\nb,No finding,2,\nb,B,3,8\nc,A,1,9\n"
    )

    def test_a_contradiction_is_refused_and_says_what_joins_rows(self, read):
        with pytest.raises(
            FacelimeError,
            match=r"picture a, which say different things \(f is 'A' and 'B' and 'No finding'\); .* --rows any",
        ):
            read(self.READERS, self.FILES, "--label-column", "f")

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["any"], {"a": {"A": 1, "B": 1}, "b": {"A": 0, "B": 1}, "c": {"A": 1, "B": 0}}),
            (
                ["majority", "--reader-column", "r"],
                {"a": {"A": 1, "B": 0}, "b": {"A": 0, "B": 0}, "c": {"A": 1, "B": 0}},
            ),
        ],
    )
    def test_several_readers(self, read, words, said):
        found = read(self.READERS, self.FILES, "--label-column", "f", "--rows", *words)
        assert findings(found) == said
        assert found[1].facts["rows"]["with_several"] == 2
        assert found[1].facts["rows"]["joined"] == words[0]
        assert found[1].facts["rows"]["columns_left_out"][-1] == "x"
        assert "8 rows of 3 pictures, 2 of them with several rows (joined by --rows" in "; ".join(found[1].said)

    def test_the_first_row(self, read):
        found = read(self.READERS, self.FILES, "--label-column", "f", "--rows", "first")
        assert labels(found) == {"a": "A", "b": "No finding", "c": "A"}
        assert [entry.columns["x"] for entry in found[0]] == ["5", "", "9"]

    def test_a_majority_of_rows_and_of_classes(self, read):
        text = "id,dx\na,x\na,x\na,y\nb,x\nb,y\nc,y\n"
        found = read(text, self.FILES, "--label-column", "dx", "--rows", "majority")
        assert labels(found) == {"a": "x", "b": None, "c": "y"}
        assert found[1].facts["undecided"] == 1

    def test_who_can_see_nothing_sees_findings(self, read):
        """A small part of a set with several readers is of the same kind as all of it."""
        text = "id,f,r\na,A,1\na,A,2\na,No finding,3\nb,B,1\nb,No finding,2\n"
        found = read(text, self.FILES[:2], "--label-column", "f", "--rows", "majority", "--reader-column", "r")
        assert findings(found) == {"a": {"A": 1, "B": 0}, "b": {"A": 0}}
        assert found[1].facts["undecided"] == 1

    def test_columns_of_several_readers(self, read):
        text = "id,r,A,B\na,1,1,0\na,2,1,1\na,3,0,0\nb,1,0,\nb,2,1,-1\nb,2,0,0\nc,1,0,1\nc,2,0,0\n"
        words = ["--label-columns", "A,B", "--rows"]
        assert findings(read(text, self.FILES, *words, "any")) == {
            "a": {"A": 1, "B": 1},
            "b": {"A": 1},
            "c": {"A": 0, "B": 1},
        }
        majority = read(text, [], *words, "majority", "--reader-column", "r")
        assert findings(majority) == {"a": {"A": 1, "B": 0}, "b": {}, "c": {"A": 0}}
        assert majority[1].facts["undecided"] == 2
        # What readers do not agree on is not what a reader is uncertain of.
        surer = read(text, [], *words, "majority", "--reader-column", "r", "--uncertain", "positive")
        assert findings(surer) == {"a": {"A": 1, "B": 0}, "b": {"B": 1}, "c": {"A": 0}}
        assert findings(read(text, [], *words, "first")) == {
            "a": {"A": 1, "B": 0},
            "b": {"A": 0},
            "c": {"A": 0, "B": 1},
        }

    @pytest.mark.parametrize("seed", range(8))
    def test_rows_are_joined_as_arrays_say(self, tmp_path, seed):
        """Random readers, counted a second time with NumPy: each has one row for a picture, with 1, 0 or nothing."""
        rng = np.random.default_rng(seed)
        said = rng.choice([1.0, 0.0, np.nan], (12, 5, 3), p=[0.4, 0.4, 0.2])
        rows = [
            f"{picture},R{reader},{','.join('' if np.isnan(each) else f'{each:.0f}' for each in said[picture, reader])}"
            for picture in range(12)
            for reader in range(5)
        ]
        path = tmp_path / "t.csv"
        path.write_text("\n".join(["id,r,A,B,C", *rng.permutation(rows)]))
        yes, no = (said == 1).sum(1), (said == 0).sum(1)
        wanted = {
            "any": np.where(yes > 0, 1, np.where(no > 0, 0, -1)),
            "majority": np.where(yes > no, 1, np.where(no > yes, 0, -1)),
        }
        for how, answers in wanted.items():
            reader = "r" if how == "majority" else None
            listed = read_table(Table((path,), "id", Reading(columns="A..C", rows=how, reader=reader), columns=()))
            for picture, answer in enumerate(answers):
                known = {name: value for name, value in zip("ABC", answer.tolist(), strict=True) if value >= 0}
                assert listed.outcome.findings[str(picture)] == known

    def test_boxes_of_one_finding(self, read):
        text = "id,x,y,Target\na,1,2,1\na,3,4,1\nb,,,0\n"
        with pytest.raises(FacelimeError, match=r"\(x is '1' and '3'\).*--rows"):
            read(text, self.FILES[:2], "--label-columns", "Target")
        found = read(text, [], "--label-columns", "Target", "--rows", "any")
        assert labels(found) == {"a": "Target", "b": "no Target"}
        assert "x, y differ between the rows of a picture and are left out" in "; ".join(found[1].said)
        # Where these columns are not kept anyway, nothing differs.
        assert labels(read(text, [], "--label-columns", "Target", "--columns", "Target")) == labels(found)

    def test_groups_and_splits_never_differ(self, read):
        with pytest.raises(FacelimeError, match=r"the rows of the picture a in .* have several g: 'p' and 'q'"):
            read("id,dx,g\na,x,p\na,x,q\n", self.FILES, "--label-column", "dx", "--group-column", "g", "--rows", "any")


class TestSeveralTables:
    def test_a_table_of_readers_and_one_of_their_consensus(self, read):
        """As PhysioNet publishes VinDr-CXR: readers for training, one row for each picture of the test."""
        train = "id,r,A,B,No finding\na,R1,1,0,0\na,R2,1,0,0\na,R3,0,1,0\nb,R1,0,0,1\nb,R2,0,0,1\nb,R3,1,0,0\n"
        test = "id,A,B,No finding\nc,1,1,0\nd,0,0,1\n"
        words = ["--table", "@test.csv", "--label-columns", "A..B", "--rows", "majority", "--reader-column", "r"]
        words += ["--split-file", "train=@table.csv", "--split-file", "test=@test.csv", "--split", "1:1:0"]
        params, entries = read(train, ["a.png", "b.png", "c.png", "d.png"], *words, test__csv=test, settings=True)
        assert [dict(entry.findings) for entry in entries] == [
            {"A": 1, "B": 0},
            {"A": 0, "B": 0},
            {"A": 1, "B": 1},
            {"A": 0, "B": 0},
        ]
        assert [entry.split for entry in entries] == [-1, -1, 2, 2]
        assert settings_of(params, entries)["split"] == [0.5, 0.5, 0.0]

    def test_columns_of_a_joined_table(self, read):
        found = read(
            "id,study,split\na,s1,train\nb,s1,train\nc,s2,test\n",
            ["a.png", "b.png", "c.png"],
            *("--join", "@studies.csv", "--label-columns", "A,B", "--split-column", "split"),
            studies__csv="study;A;B\ns1;1;1\n",
        )
        assert findings(found) == {"a": {"A": 1, "B": 1}, "b": {"A": 1, "B": 1}, "c": {}}
        assert [entry.split for entry in found[0]] == [0, 0, 2]
        assert found[1].facts["without_partner"] == 1
        assert found[1].facts["forms"] == ["semicolons"]

    @pytest.mark.parametrize(
        ("studies", "said"),
        [
            ("other,A\ns1,1\n", "shares no column"),
            ("study,A\ns9,1\n", "no row of .* belongs to a row of .* with study s1"),
            ("study,A\ns1,1\ns1,0\n", "lines 2 and 3 of .* both belong to study s1"),
            ("study,A\n", "no rows"),
        ],
    )
    def test_tables_that_cannot_be_joined(self, read, studies, said):
        with pytest.raises(FacelimeError, match=said):
            read("id,study\na,s1\n", ["a.png"], "--join", "@x.csv", "--label-columns", "A", x__csv=studies)

    def test_a_column_that_is_doubled_in_one_table(self, read):
        """It moves no other column of a table that is joined."""
        words = ["--table", "@more.csv", "--join", "@last.csv"]
        more, last = "id,x,x\nb,2,3\n", "id,x,y,z\na,7,8,9\n"
        found = read("id,x\na,1\n", ["a.png", "b.png"], *words, more__csv=more, last__csv=last)
        assert [dict(entry.columns) for entry in found[0]] == [{"y": "8", "z": "9"}, {"y": "", "z": ""}]
        assert found[1].facts["doubled_columns"] == 1

    def test_rows_of_several_tables(self, read):
        words = ["--table", "@more.csv", "--label-column", "dx"]
        found = read("id,dx,x\na,nv,1\n", ["a.png", "b.png"], *words, more__csv="y;dx;id\n2;mel;b\n")
        assert labels(found) == {"a": "nv", "b": "mel"}
        assert [dict(entry.columns) for entry in found[0]] == [{"x": "1", "y": ""}, {"x": "", "y": "2"}]
        with pytest.raises(FacelimeError, match=r"line 3 of .*more.csv has no id"):
            read("id,dx,x\na,nv,1\n", [], *words, more__csv="id,dx\nb,mel\n,nv\n")


class TestPublishedSplits:
    FILES = tuple(f"{each}.png" for each in "abcdef")
    TEXT = "id,dx,s\na,x,Train\nb,y,val\nc,x,VALIDATE\nd,y,test\ne,x,\nf,y,nan\n"

    def splits(self, found):
        return {entry.id: entry.split for entry in found[0]}

    def test_a_column(self, read):
        found = read(self.TEXT, self.FILES, "--label-column", "dx", "--split-column", "s")
        assert self.splits(found) == {"a": 0, "b": 1, "c": 1, "d": 2, "e": -1, "f": -1}
        assert found[1].facts["published_split"] == {"train": 1, "validation": 2, "test": 1, "none": 2}
        with pytest.raises(FacelimeError, match=r"s in line 3 of .* is 'holdout', which is no split"):
            read(self.TEXT.replace("val", "holdout", 1), [], "--split-column", "s")

    def test_lists_of_ids(self, read):
        lists = {"test__txt": "a.png\nb.png\nnot_here.png\n", "valid__csv": "id;x\nc;1\n"}
        words = ["--split-file", "test=@test.txt", "--split-file", "valid=@valid.csv"]
        found = read(self.TEXT, self.FILES, "--label-column", "dx", *words, **lists)
        assert self.splits(found) == {"a": 2, "b": 2, "c": 1, "d": -1, "e": -1, "f": -1}
        assert found[1].facts["listed_without_picture"] == 1

    def test_a_table_with_both(self, read):
        splits = {"s__csv": "id,split,use\na,test,train\nb,train,train\n"}
        assert self.splits(read(self.TEXT, self.FILES, "--split-file", "@s.csv", **splits)) == {
            **dict.fromkeys("cdef", -1),
            "a": 2,
            "b": 0,
        }
        used = read(self.TEXT, [], "--split-file", "@s.csv", "--split-column", "use", **splits)
        assert self.splits(used)["a"] == 0

    def test_without_a_table(self, read):
        files = ["ill/a.png", "ill/b.png", "well/c.png", "well/d.png"]
        found = read(None, files, "--split-file", "test=@t.txt", t__txt="a.png\nwell/c\n")
        assert self.splits(found) == {"ill/a": 2, "ill/b": -1, "well/c": 2, "well/d": -1}

    @pytest.mark.parametrize(
        ("words", "share"),
        [
            # Only a test list: the others are divided among train and validation.
            (["--split-file", "test=@test.txt"], [7 / 9, 2 / 9, 0]),
            (["--split-file", "test=@test.txt", "--split", "3:1:0"], [0.75, 0.25, 0]),
            (["--split-file", "valid=@test.txt"], [7 / 8, 0, 1 / 8]),
            # Training pictures are published, so nothing is divided, unless it is asked for.
            (["--split-file", "train=@train.txt", "--split-file", "test=@test.txt"], None),
            (["--split-file", "train=@train.txt", "--split-file", "test=@test.txt", "--split", "1:1:0"], [0.5, 0.5, 0]),
            (["--split-column", "s"], None),
        ],
    )
    def test_what_is_divided_beside_a_published_split(self, read, words, share):
        lists = {"test__txt": "a\nb\n", "train__txt": "c\nd\ne\n"}
        given = read(self.TEXT, self.FILES, "--label-column", "dx", *words, settings=True, **lists)
        settings = settings_of(*given)
        assert settings["split"] == (None if share is None else pytest.approx(share))
        assert settings["seed"] == (None if share is None else 0)

    @pytest.mark.parametrize("split", ["70:20:10", "0:0:1"])
    def test_a_share_of_a_published_split(self, read, split):
        words = ["--label-column", "dx", "--split-file", "test=@test.txt", "--split", split]
        with pytest.raises(CommandLineError, match="--split gives the test split a share"):
            settings_of(*read(self.TEXT, self.FILES, *words, test__txt="a\n", settings=True))

    @pytest.mark.parametrize(
        ("content", "word", "said"),
        [
            ("a\nb\n", "", "no table with a column 'id'"),
            ("a,b\n", "test=", "2 cells; give a list with one id in each line"),
            ("z\n", "test=", "names none of the pictures, such as a.png, but z"),
            ("", "test=", "names no picture"),
            ("id,x\na,1\n", "", "'split' is no single column"),
            ("id,split\na,later\n", "", "split in line 2 of .* is 'later'"),
            ("id,split\na,test\na,train\n", "", "a is in the test split of .* and in the train split"),
            ("id,split\na,test\na.png,train\n", "", "a.png is in two splits"),
        ],
    )
    def test_lists_that_are_none(self, read, content, word, said):
        with pytest.raises(FacelimeError, match=said):
            read(self.TEXT, self.FILES, "--split-file", f"{word}@s.txt", s__txt=content)


def test_findings_of_arrays_get_names(tmp_path):
    labels = np.array([[1, 0, 0], [0, 1, -1], [1, 1, 1]])
    np.savez(tmp_path / "x.npz", train_images=np.zeros((3, 8, 8), np.uint8), train_labels=labels)
    (tmp_path / "names.csv").write_text("0,nodule\n1,effusion\n2,nodule\n")
    words = ["preprocess", tmp_path / "x.npz", "--class-names", tmp_path / "names.csv"]
    entries, account = catalogue(words, tmp_path / "store")
    assert [entry.findings for entry in entries] == [
        {"nodule": 1, "effusion": 0},
        {"effusion": 1},
        {"nodule": 1, "effusion": 1},
    ]
    assert account.labels == ["nodule", "effusion"]


def test_pseudonyms_of_a_published_table(facelime, tmp_path):
    for number in range(4):
        save_picture(tmp_path / "p" / f"{number:04d}.png", np.full((20, 20, 3), 60 * number, np.uint8))
    table = tmp_path / "t.csv"
    table.write_text("id;box;ill\n" + "".join(f"{n:04d}.png;{box};{n % 2}\n" for n in range(5) for box in range(2)))
    words = [tmp_path / "p", "--table", table, "--id-column", "id"]
    more = ["--label-columns", "ill", "--rows", "any", "--missing-pictures", "skip", "--split", "100:0:0"]
    data = facelime.artifact("preprocess", *words, *more, "--size", 16, "--workers", 1, "--pseudonyms")
    listed = facelime.json("pseudonyms", *words)["pseudonyms"]
    assert {row["id"]: row["file"] for row in listed} == dict(
        zip(data.texts("id"), (row["file"] for row in listed), strict=True)
    )
    assert sorted(row["file"] for row in listed) == [f"{number:04d}.png" for number in range(4)]
    assert "0001" not in str(data.facts)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--label-column", "dx", "--label-columns", "dx"], "two ways to read labels"),
        (["--label-column", "dx", "--label-pattern", "a"], "leave --label-column"),
        (["--reader-column", "r"], "--rows majority"),
        (["--label-separator", ";"], "--label-column; name it"),
        (["--no-finding", "healthy"], "--label-column; name it"),
        (["--uncertain", "drop"], "--label-columns; name these"),
        (["--blank", "negative"], "--label-columns; name these"),
        (["--label-columns", "A,A"], "names no column, or one twice"),
        (["--label-columns", "A,nothing"], "'nothing' is no column"),
        (["--label-columns", "A..nothing"], "'nothing' is no column"),
        (["--label-columns", "B..A"], "no column"),
        (["--columns", "nothing"], "'nothing' is no column"),
        (["--split-column", "nothing"], "'nothing' is no column"),
        (["--split-column", "dx", "--folds", "3"], "--folds divides all pictures"),
        (["--split-file", "test="], "names no file"),
    ],
)
def test_options_that_contradict(read, words, said):
    with pytest.raises(CommandLineError, match=said):
        read("id,dx,A,B\na,x,1,0\n", ["a.png"], *words)
