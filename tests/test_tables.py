"""Tables: no row is joined, cut or moved without a word."""

import gzip
from dataclasses import replace

import pytest

from facelime_cli import tables
from facelime_cli.errors import FacelimeError, NotFoundError
from facelime_cli.preparing.findings import Reading
from facelime_cli.preparing.listing import Table, read_table
from facelime_cli.preparing.renaming import class_names
from facelime_cli.tables import sheet

GOOD = 'id,dx,note\na,nv,"one, two"\nb,mel,\n'


def table(tmp_path, content):
    path = tmp_path / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Table((path,), "id", Reading("dx"))


def said(listed):
    """Return the class and the further columns of each picture."""
    return {name: (listed.outcome.labels[name], listed.columns[name]) for name in listed.ids}


@pytest.mark.parametrize("content", [GOOD, "\ufeff" + GOOD, GOOD.replace("\n", "\r\n"), GOOD + ",,\n\n,,,,\n"])
def test_what_spreadsheets_write(tmp_path, content):
    listed = read_table(table(tmp_path, content))
    assert said(listed) == {"a": ("nv", {"note": "one, two"}), "b": ("mel", {"note": ""})}
    assert listed.account.facts == {}


def test_a_text_with_line_breaks_beside_the_names(tmp_path):
    found = read_table(table(tmp_path, 'id,dx,note\na,nv,"one\ntwo, three, and four"\nb,mel,"four\u2028five"\n'))
    assert [found.columns[name]["note"] for name in found.ids] == ["one\ntwo, three, and four", "four\u2028five"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('id,dx\na,nv\nb,"mel\nc,nv\nd,nv\n', "line 3"),
        ('id,dx\na,"nv\nb,mel\nc,nv"\nd,nv\n', "a cell in line 2 .* whole row"),
        ('id,dx\na,"nv\nmel"\n', "the dx in line 2 .* line break"),
        ('id,dx,x\na,nv,"1\nb,mel,2\nc,nv,3"\n', "a cell in line 2 .* whole row"),
        ('id,dx\na,"nv" or mel\n', "line 2"),
        ("id,dx\na,nv\0\n", "zero byte"),
        ("id,dx,dx\na,nv,mel\n", "several columns 'dx'"),
        ("id,dx\na,nv\n,mel\n", "line 3 .* has no id"),
        ("id,dx\na,nv,more\n", "line 2 .* 3 cells, but the heading has 2"),
        ("id,dx,x\na,nv,1\nb,mel\n", "line 3 .* 2 cells, but the heading has 3"),
        ('id;dx;x\na;"nv\nb;mel;2\nc;nv";3\n', "a cell in line 2 .* whole row"),
        ('id;dx;x\na;nv;"1\nb;mel;2\nc;nv;3"\n', "a cell in line 2 .* whole row"),
        ("id;dx\na;nv;more\n", "quote cells that hold a delimiter"),
        ("id,dx\n", "no rows"),
        ("", "no rows"),
        (b"id,dx\n\x81\x8d,nv\n", "neither UTF-8, UTF-16 nor Windows-1252"),
        ("id,dx\na,nv\n".encode("utf-16-le"), "zero byte"),
        ("id,dx\na,nv\n".encode("utf-16")[:-1], "not UTF-16"),
        (b"\xef\xbb\xbfid,dx\ncaf\xe9,nv\n", "not UTF-8"),
        (b"PK\x03\x04rest of a workbook", "workbook"),
        (b"\x1f\x8brest of a damaged one", "damaged .gz"),
        (gzip.compress(b"id,dx\na,nv\n", mtime=0)[:-9], "damaged .gz"),
        (f"id,dx\na,{'x' * 200_000}\n", "field larger than field limit"),
        ("name,dx\na,nv\n", "'id' is no column"),
        ("id,name\na,nv\n", "'dx' is no column"),
    ],
)
def test_what_is_no_table(tmp_path, content, said):
    with pytest.raises(FacelimeError, match=said):
        read_table(table(tmp_path, content))


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(NotFoundError, match="no such file"):
        sheet(tmp_path / "none.csv", ["id"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('nv,"nevus\nmel,melanoma\n', "line 1"),
        ("nv,nevus\nmel\n", "line 2"),
        ("nv,nevus\nnv,mole\n", "two long names"),
        (b"nv,n\x81vus\n", "neither UTF-8"),
    ],
)
def test_long_names_of_classes(tmp_path, content, said):
    (tmp_path / "names.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FacelimeError, match=said):
        class_names(tmp_path / "names.csv")


@pytest.mark.parametrize(
    "content", ["nv,nevus\nmel,mélanome\n", "nv;nevus\nmel;mélanome\n", "nv\tnevus\nmel\tmélanome\n"]
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_long_names_in_any_form(tmp_path, content, encoding):
    (tmp_path / "names.csv").write_bytes(content.encode(encoding))
    assert class_names(tmp_path / "names.csv")[0] == {"nv": "nevus", "mel": "mélanome"}


@pytest.mark.parametrize(
    ("delimiter", "words"), [(",", ""), (";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")], ids=str
)
@pytest.mark.parametrize(
    ("encoding", "more"),
    [("utf-8", ""), ("utf-8-sig", ""), ("utf-16", "UTF-16"), ("utf-32", "UTF-32"), ("cp1252", "Windows-1252")],
)
def test_delimiter_and_encoding_are_recognised_and_said(tmp_path, delimiter, words, encoding, more):
    text = 'id,dx,note\na,nv,"one, two"\nb,mélanome,-\n'
    if delimiter != ",":
        text = f'id,dx,note\na,nv,"one{delimiter} two"\nb,mélanome,-\n'.replace(",", delimiter)
    listed = read_table(table(tmp_path, text.encode(encoding)))
    note = "one, two" if delimiter == "," else f"one{delimiter} two"
    assert said(listed) == {"a": ("nv", {"note": note}), "b": ("mélanome", {"note": "-"})}
    line = "; ".join(listed.account.said)
    assert words in line
    assert more in line
    assert bool(line) == bool(words or more)
    if encoding == "cp1252":
        assert "mélanome" in line


def test_both_byte_orders_and_packed_tables(tmp_path):
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        assert said(read_table(table(tmp_path, mark + "id;dx\na;nv\n".encode(encoding)))) == {"a": ("nv", {})}
    assert said(read_table(table(tmp_path, gzip.compress(b"id,dx\na,nv\n")))) == {"a": ("nv", {})}
    assert said(read_table(table(tmp_path, "sep=;\nid;dx\na;nv\n"))) == {"a": ("nv", {})}


def test_a_packed_table_that_would_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "free_memory", lambda: 4000)
    with pytest.raises(FacelimeError, match="unpacks to more"):
        read_table(table(tmp_path, gzip.compress(b"id,dx\n" + b"a,nv\n" * 1000)))


def test_decimal_commas_of_numbers_alone(tmp_path):
    content = "id;dx;age;size;note;code\n1,5;1,5;3,25;4;1,5 mm;1\n2,5;2,5;nan;;2,5;2\n"
    listed = read_table(table(tmp_path, content))
    assert said(listed) == {
        "1,5": ("1,5", {"age": "3.25", "size": "4", "note": "1,5 mm", "code": "1"}),
        "2,5": ("2,5", {"age": "nan", "size": "", "note": "2,5", "code": "2"}),
    }
    # With commas between cells there are none in numbers.
    assert said(read_table(table(tmp_path, 'id,dx,x\na,nv,"1,5"\n')))["a"][1] == {"x": "1,5"}


def test_the_delimiter_is_that_under_which_the_columns_are(tmp_path):
    listed = read_table(table(tmp_path, "id;age, years;dx\na;1,5;nv\n"))
    assert said(listed) == {"a": ("nv", {"age, years": "1.5"})}
    listed = read_table(table(tmp_path, "id,dx,a;b;c;d\na,nv,1;2;3;4\n"))
    assert said(listed) == {"a": ("nv", {"a;b;c;d": "1;2;3;4"})}


def test_a_doubled_column_is_no_obstacle_where_nobody_asks_for_it(tmp_path):
    listed = read_table(table(tmp_path, "id,dx,x,x,y\na,nv,1,2,3\n"))
    assert said(listed) == {"a": ("nv", {"y": "3"})}
    assert "'x'" in listed.account.warnings[0]
    assert listed.account.facts == {"doubled_columns": 1}
    with pytest.raises(FacelimeError, match="several columns 'x', so --columns is not clear"):
        read_table(replace(table(tmp_path, "id,dx,x,x\na,nv,1,2\n"), columns=("x",)))


@pytest.mark.parametrize("empty", ["", "nan", "NaN", "NA", "n/a", "null", "<NA>", "#N/A"])
def test_an_empty_label_is_no_class(tmp_path, empty):
    found = replace(table(tmp_path, f"id,dx,g\na,nv,p\nb,{empty},{empty}\nc,None,q\n"), group_column="g")
    listed = read_table(found)
    assert listed.outcome.labels == {"a": "nv", "b": None, "c": "None"}
    assert listed.groups == {"a": "p", "b": None, "c": "q"}
    assert listed.account.facts == {"unlabelled": 1, "without_group": 1}
    assert "1 pictures have no label" in "; ".join(listed.account.said)
