"""Names and texts from outside: in tables for spreadsheets, on the terminal, in JSON and in logs."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from facelime_cli import plain
from facelime_cli.console import Answer, Console, Drawing, Table
from facelime_cli.core.faces import draw
from facelime_cli.engine import Shard
from facelime_cli.logs import Log
from facelime_cli.store import digests, files
from tests.support import Facelime

NASTY = "\x1b]0;owned\x07\x9b31m\u202e\u2028\r\n\x00\udcff"
"""Sets a terminal's title, colours it, turns its text, ends the line, and is no UTF-8."""
FORMULAS = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", " =1", "a;=1", "＝1", "=cmd|' /C calc'!A0"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_spreadsheet_shows_a_formula_as_text(text):
    cell = plain.cell(text)
    assert len(cell) == len(text) + 1
    for part in cell.split(";"):
        assert part.strip()[0] not in "=+-@＝"


@pytest.mark.parametrize(
    "value", [-3, -3.5, -1e-9, np.float32(-2), "-3.5", "+12", "-1e-05", True, None, "plain", "a-b"]
)
def test_numbers_and_plain_texts_stay(value):
    assert plain.cell(value) is value


def test_a_cell_is_one_line_without_control_characters(tmp_path):
    files.write_csv(tmp_path / "a.csv", [("id", "x"), (NASTY, -1.5), ("a\n=1", 2)])
    text = (tmp_path / "a.csv").read_text(encoding="utf-8")
    assert text.count("\n") == 3
    assert not plain.OBEYED.search(text.replace("\n", ""))
    assert r"\x1b]0;owned\x07\x9b31m\u202e\u2028\r\n\x00\xff" in text
    assert r"a\n=1" in text


def test_what_a_terminal_would_obey_is_written_out(capsys):
    console = Console()
    console.note(NASTY)
    console.warn(NASTY)
    console.error(NASTY)
    table = Table([NASTY, "[bold]b"], [[NASTY, "2"]], NASTY)
    console.answer(Answer({}, [NASTY], [table, Drawing([[(0, 0, 0)], [(0, 0, 0)]], ["+"], NASTY)], notes=[table]))
    console.trace(NASTY)
    said = capsys.readouterr()
    for text in (said.out, said.err):
        assert not plain.OBEYED.search(text.replace("\n", ""))
        assert r"\x1b]0;owned" in text
        assert "[bold]b" in text


def test_json_has_no_such_character_and_gives_the_same_value(capsys, tmp_path):
    Console(as_json=True).answer(Answer({"name": NASTY, "word": "Ω 漢"}))
    said = capsys.readouterr().out
    assert not plain.OBEYED.search(said.rstrip("\n"))
    assert "Ω 漢" in said
    assert json.loads(said) == {"name": NASTY, "word": "Ω 漢"}
    files.write_json(tmp_path / "a.json", {"name": NASTY})
    assert files.read_json(tmp_path / "a.json") == {"name": NASTY}
    assert len(digests.of_value({"name": NASTY})) == 64


def test_a_log_line_is_one_line(tmp_path):
    class Place:
        def file(self, _):
            return tmp_path / "log.jsonl"

    Log(Place(), Shard()).write("warning", text=NASTY)
    (line,) = (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert not plain.OBEYED.search(line)
    assert json.loads(line)["text"] == NASTY


@pytest.fixture(scope="module")
def nasty(tmp_path_factory):
    """A chain whose class names and picture ids are formulas and escape sequences."""
    run, folder = Facelime(tmp_path_factory.mktemp("nasty") / "store"), tmp_path_factory.mktemp("pictures")
    for number in range(12):
        place = folder / ("=1+1", "@x\x1b[31m")[number % 2]
        place.mkdir(exist_ok=True)
        face = draw(0, number, 32, flushed=bool(number % 2))
        Image.fromarray(face.image).save(place / f"-a{number}.png")
    run.json("preprocess", folder, "--size", 32, "--name", "faces")
    run.json("finetune", "faces", "--backbone", "cnn-small", "--epochs", 1, "--name", "small")
    run.json("segment", "faces", "--first", 2, "--method", "slic", "--segments", 6, "--name", "parts")
    run.json("perturb", "parts", "--samples", 30, "--name", "masks")
    run.json("predict", "masks", "--model", "small", "--name", "answers")
    run.json("fit-surrogate", "answers", "--name", "fits")
    return run


@pytest.mark.long
def test_every_table_of_a_run_is_plain_for_spreadsheets(nasty, tmp_path):
    tables = []
    for words in (["render", "fits"], ["describe", "faces"], ["evaluate", "small", "--bootstrap", 100]):
        tables += nasty.artifact(*words).path.rglob("*.csv")
    nasty.json("export", "surrogates/fits", "--to", tmp_path / "fits.csv")
    (tmp_path / "shown.csv").write_text(nasty("show", "surrogates/fits", "--format", "csv").stdout)
    tables += [tmp_path / "fits.csv", tmp_path / "shown.csv"]
    assert len(tables) >= 8
    assert (tmp_path / "fits.csv").read_text() == (tmp_path / "shown.csv").read_text()
    for path in tables:
        cells = [cell for row in csv.reader(path.open(newline="")) for cell in row]
        for cell in cells:
            assert cell[:1] not in {"=", "@"}, path
            assert cell[:1] not in {"+", "-"} or float(cell) is not None, path
            assert not plain.OBEYED.search(cell), path
    assert "'=1+1/-a0" in (tmp_path / "fits.csv").read_text()


@pytest.mark.long
def test_no_command_lets_a_name_through_to_the_terminal(nasty, tmp_path):
    for words in (
        ["show", "surrogates/fits", "--format", "text"],
        ["show", "datasets/faces"],
        ["status"],
        ["render", "fits", "--classes", "nobody\x1b[31m"],
        ["show", "nobody\x9b31m"],
        ["export", "fits", "--to", tmp_path / "no\x1b" / "a.h5"],
        ["show", "surrogates/fits", "--format", "text", "--json"],
        ["segment", "faces", "--images", "\x1b[31m"],
    ):
        result = nasty(*words)
        assert not plain.OBEYED.search((result.stdout + result.stderr).replace("\n", "")), words


def test_a_wrong_command_line_is_quoted_plainly(start, tmp_path):
    for words in (["\x1b[31m"], ["show", "--\x1b[31m"], ["preprocess", tmp_path, "--size", "\x9b31m\n"], ["\udcff"]):
        done = start(*words, store=tmp_path / "store")
        assert done.returncode == 2
        assert not plain.OBEYED.search(done.stderr.replace("\n", ""))


def test_a_name_that_is_no_utf_8_is_a_sentence(start, tmp_path):
    done = start("preprocess", str(tmp_path / "a\udcff\n.png"), store=tmp_path / "store")
    assert (done.returncode, done.stdout) == (1, "")
    assert r"a\xff\n.png" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_terminal_of_another_encoding_gets_escapes(start, chain):
    words = ["show", chain.reference("fit-surrogate"), "--format", "text"]
    done = start(*words, store=chain.facelime.store, env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
