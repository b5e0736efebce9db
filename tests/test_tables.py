"""Tables: no row is joined, cut or moved without a word."""

import pytest

from facelime_cli.errors import FacelimeError, NotFoundError
from facelime_cli.preparing import cataloguing
from facelime_cli.preparing.labelling import Table, read_table
from facelime_cli.tables import rows

GOOD = 'id,dx,note\na,nv,"one, two"\nb,mel,\n'


def table(tmp_path, content):
    path = tmp_path / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Table(path, "id", "dx", None)


@pytest.mark.parametrize("content", [GOOD, "\ufeff" + GOOD, GOOD.replace("\n", "\r\n"), GOOD + ",,\n\n,,,,\n"])
def test_what_spreadsheets_write(tmp_path, content):
    assert read_table(table(tmp_path, content)) == [
        {"id": "a", "dx": "nv", "note": "one, two"},
        {"id": "b", "dx": "mel", "note": ""},
    ]


def test_a_text_with_line_breaks_beside_the_names(tmp_path):
    found = read_table(table(tmp_path, 'id,dx,note\na,nv,"one\ntwo, three, and four"\nb,mel,"four\u2028five"\n'))
    assert [row["note"] for row in found] == ["one\ntwo, three, and four", "four\u2028five"]


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
        ("id;dx\na;nv\n", "semicolons"),
        ("id\tdx\na\tnv\n", "tabs"),
        ("id,dx\n", "no rows"),
        ("", "no rows"),
        ("id,dx\ncaf\u00e9,nv\n".encode("latin-1"), "not UTF-8"),
        ("id,dx\na,nv\n".encode("utf-16"), "not UTF-8"),
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
        rows(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('nv,"nevus\nmel,melanoma\n', "line 1"),
        ("nv,nevus\nmel\n", "line 2"),
        ("nv,nevus\nnv,mole\n", "two long names"),
        (b"nv,n\xe9vus\n", "not UTF-8"),
    ],
)
def test_long_names_of_classes(tmp_path, content, said):
    (tmp_path / "names.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FacelimeError, match=said):
        cataloguing._class_names(tmp_path / "names.csv")
