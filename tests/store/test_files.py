"""Files are whole or not there, and broken ones are a sentence."""

import pytest

from facelime_cli.errors import BrokenError
from facelime_cli.store import files


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "file"
    files.write_whole(path, b"first")
    files.write_whole(path, b"second", durable=False)
    assert path.read_bytes() == b"second"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_what_fails_in_the_middle_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "table.csv"
    files.write_csv(path, [("a", "b"), (1, "two, three")])

    def rows():
        yield ("a", "b")
        raise RuntimeError("the source is gone")

    with pytest.raises(RuntimeError, match="gone"):
        files.write_csv(path, rows())
    assert path.read_text() == 'a,b\n1,"two, three"\n'
    assert [each.name for each in tmp_path.iterdir()] == ["table.csv"]


def test_whoever_writes_first_decides(tmp_path):
    path = tmp_path / "file"
    assert files.write_first(path, b"first")
    assert not files.write_first(path, b"second")
    assert path.read_bytes() == b"first"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_of_two_that_find_no_file_one_is_first(tmp_path, monkeypatch):
    path = tmp_path / "file"
    files.write_first(path, b"first")
    # The other process looked before the file was there.
    monkeypatch.setattr(type(path), "exists", lambda _: False)
    assert not files.write_first(path, b"second", durable=False)
    assert path.read_bytes() == b"first"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_json_comes_back_as_it_was(tmp_path):
    value = {"text": "Ω", "numbers": [1, 2.5, None], "nested": {"a": True}}
    files.write_json(tmp_path / "value.json", value)
    assert files.read_json(tmp_path / "value.json") == value


def test_nan_is_refused_since_json_has_no_word_for_it(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "value.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\xff\xfe"])
def test_a_broken_json_file_is_a_sentence(tmp_path, content):
    path = tmp_path / "value.json"
    path.write_bytes(content)
    with pytest.raises(BrokenError, match=r"value\.json .*make it again"):
        files.read_json(path)
