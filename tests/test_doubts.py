"""What a user may have forgotten or mistyped is said, and nothing is said of what is usual."""

import numpy as np
import pytest

from facelime_cli.reporting.pages import command
from facelime_cli.store.references import Store
from tests.published import catalogue
from tests.support import Facelime, save_picture, write_faces

NAMES = "abcdef"


@pytest.fixture
def doubts(tmp_path):
    """Return the warnings on a table of six pictures."""
    for name in NAMES:
        save_picture(tmp_path / "p" / f"{name}.png", np.zeros((4, 4), np.uint8))

    def of(heading, cells, *words):
        rows = [f"{name};{cell}" for name, cell in zip(NAMES, cells, strict=True)]
        (tmp_path / "t.csv").write_text("\n".join([heading, *rows]))
        words = ["preprocess", tmp_path / "p", "--table", tmp_path / "t.csv", "--id-column", "id", *words]
        return catalogue(words, tmp_path / "store")[1].warnings

    return of


BY_COLUMN = ("--label-column", "dx")


@pytest.mark.parametrize(
    ("heading", "cells", "words", "said"),
    [
        ("id;dx", ["mel", "Mel", "nv"] * 2, BY_COLUMN, "'mel' and 'Mel' differ in spelling alone"),
        ("id;dx", ["o.B.", "o. B.", "nv"] * 2, BY_COLUMN, "'o.B.' and 'o. B.' differ in spelling alone"),
        ("id;dx", ["1.0", "0.0", "-1.0"] * 2, BY_COLUMN, "read with --label-columns 'dx'"),
        ("id;dx", ["A, B", "A", "B"] * 2, BY_COLUMN, "add --label-separator ','"),
        ("id;dx", ["mel"] * 6, BY_COLUMN, "there is one class alone, 'mel'"),
        ("id;dx", ["A|B", "A", "none"] * 2, (*BY_COLUMN, "--no-finding", "None."), "stands in no cell of dx"),
        ("id;dx", ["mel", "nv"] * 3, (), "no option names labels"),
        ("id;Patient ID;dx", ["1;mel", "2;nv"] * 3, BY_COLUMN, "--group-column 'Patient ID'"),
        ("id;split;dx", ["train;mel", "test;nv"] * 3, BY_COLUMN, "--split-column split takes its split"),
    ],
)
def test_what_is_seldom_meant_is_said(doubts, heading, cells, words, said):
    assert any(said in sentence for sentence in doubts(heading, cells, *words))


@pytest.mark.parametrize(
    ("heading", "cells", "words"),
    [
        ("id;dx;age", ["mel;50", "nv;60"] * 3, BY_COLUMN),
        ("id;dx", ["nevus, common", "melanoma", "nevus"] * 2, BY_COLUMN),
        ("id;dx", ["A|B", "A", "none"] * 2, (*BY_COLUMN, "--no-finding", "none")),
        ("id;patient_id;dx", ["1;mel", "2;nv"] * 3, (*BY_COLUMN, "--group-column", "patient_id")),
        ("id;A;B", ["1;0", "0;1"] * 3, ("--label-columns", "A,B")),
    ],
)
def test_nothing_is_said_of_what_is_usual(doubts, heading, cells, words):
    found = doubts(heading, cells, *words)
    # A part that comes again may be a class of its own.
    assert [each for each in found if "label-separator" not in each] == []


def test_a_range_names_the_end_that_is_doubled(tmp_path):
    run = Facelime(tmp_path / "store")
    save_picture(tmp_path / "p" / "a.png", np.zeros((4, 4), np.uint8))
    (tmp_path / "t.csv").write_text("id,X,X,Y\na,1,1,0\n")
    words = ["preprocess", tmp_path / "p", "--table", tmp_path / "t.csv", "--id-column", "id"]
    assert "has several columns 'X'" in run.fails(*words, "--label-columns", "X..Y")


def test_the_command_of_a_dataset_names_its_table(tmp_path):
    run = Facelime(tmp_path / "store")
    rng = np.random.default_rng(0)
    for name in NAMES:
        save_picture(tmp_path / "p" / f"{name}.png", rng.integers(0, 256, (16, 16), dtype=np.uint8))
    (tmp_path / "t.csv").write_text("n,A B,C\n" + "".join(f"{n},{i % 2},{i % 3 == 0:d}\n" for i, n in enumerate(NAMES)))
    (tmp_path / "l.txt").write_text("a\nb\n")
    words = ["--table", tmp_path / "t.csv", "--id-column", "n", "--label-columns", "A B..C"]
    data = run.artifact(
        "preprocess", tmp_path / "p", "--size", 16, *words, "--split-file", f"test={tmp_path / 'l.txt'}"
    )
    said = command(data)
    assert "--table TABLE --id-column n --label-columns 'A B..C' --split-file test=SPLIT_FILE" in said
    assert str(tmp_path) not in said


@pytest.mark.long
def test_a_picture_is_prepared_as_those_that_the_model_learned_from(tmp_path):
    run = Facelime(tmp_path / "store")
    faces = write_faces(tmp_path / "faces", 16, 64)
    run.json("preprocess", faces, "--size", 32, "--crop-border", 10, "--contrast", 1.5, "--name", "cut")
    run.json("preprocess", faces, "--size", 32, "--name", "whole")
    run.json("finetune", "cut", "--backbone", "cnn-small", "--epochs", 1, "--name", "net")
    picture = next(faces.rglob("*.png"))
    small = ("--samples", 30, "--method", "grid", "--segments", 4, "--views", "single", "--no-check")
    report = run.artifact("explain", picture, "--model", "net", *small)
    prepared = report.input("segments").input("datasets")
    assert prepared.n == 1
    assert (prepared.parameters["crop_border"], prepared.parameters["contrast"]) == (10.0, 1.5)
    cut = run.json("show", "cut")["artifact"]
    row = stored(run, cut).texts("id").index(picture.relative_to(faces).with_suffix("").as_posix())
    assert np.array_equal(prepared.read("images")[0], stored(run, cut).read("images")[row])
    for words in (
        ("explain", "whole", "--model", "net", "--first", 1, *small),
        ("evaluate", "net", "--dataset", "whole"),
    ):
        told = " ".join(run(*words).stderr.split())
        assert "changed otherwise than those that the model was trained on" in told
        assert "crop border: 0.0, not 10.0, contrast: 1.0, not 1.5" in told


def stored(run, name):
    return Store(run.store).resolve(name, ("datasets",))
