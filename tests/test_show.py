"""Looking at an artifact: its picture, and its explanations in a terminal or as data."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from facelime_cli.console import Console, Drawing
from facelime_cli.drawing.sheets import composed, fitted, tiled


@pytest.mark.parametrize(
    "stage",
    [
        "preprocess",
        "finetune",
        "evaluate",
        "describe",
        "segment",
        "perturb",
        "predict",
        "fit-surrogate",
        "render",
        "compare",
        "gradcam",
        "occlusion",
        "contrast",
    ],
)
def test_every_artifact_has_a_picture(chain, stage, tmp_path):
    file = tmp_path / "look.png"
    assert chain.facelime("show", chain.reference(stage), "--png", file).stdout == f"{file}\n"
    with Image.open(file) as picture:
        assert picture.format == "PNG"
        assert len(np.unique(np.asarray(picture.convert("L")))) > 20
    assert [path.name for path in tmp_path.iterdir()] == ["look.png"]


def test_a_network_from_elsewhere_shows_its_layers(chain, tmp_path):
    import keras

    keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Conv2D(2, 3),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    ).save(tmp_path / "net.keras")
    model = chain.facelime.artifact("import-model", tmp_path / "net.keras", "--classes", "a,b", "--scaling", "0..1")
    assert chain.facelime.json("show", f"models/{model.id}", "--png", tmp_path / "look.png")["bytes"] > 2000


def test_other_pictures_look_different(chain, tmp_path):
    first, second = chain["segment"].texts("id")[:2]
    for name in (first, second):
        chain.facelime.json(
            "show", chain.reference("segment"), "--images", name, "--png", tmp_path / f"{name.rpartition('/')[2]}.png"
        )
    one, other = (path.read_bytes() for path in sorted(tmp_path.iterdir()))
    assert one != other


def pictured(run, tmp_path, reference, *words):
    """Return the pixels that `show --png` draws."""
    file = tmp_path / "asked.png"
    run.json("show", reference, *words, "--png", file)
    with Image.open(file) as picture:
        found = np.asarray(picture.convert("RGB"))
    file.unlink()
    return found


@pytest.mark.parametrize("stage", ["render", "fit-surrogate", "predict"])
def test_the_picture_and_the_class_that_are_asked_for(chain, stage, tmp_path):
    second, run, reference = chain["segment"].texts("id")[1], chain.facelime, chain.reference(stage)
    drawn = [
        pictured(run, tmp_path, reference, *words)
        for words in (
            (),
            ("--images", second),
            ("--images", second, "--classes", "normal"),
            ("--images", second, "--classes", "rosacea"),
        )
    ]
    assert drawn[0].shape != drawn[1].shape or (drawn[0] != drawn[1]).any()
    assert (drawn[2] != drawn[3]).any()
    assert sum(np.array_equal(drawn[1], each) for each in drawn[2:]) == 1


def test_a_report_shows_the_figure_that_it_has(chain, tmp_path):
    report = chain.facelime.artifact(
        "render", chain["fit-surrogate"].id, "--figures", "png", "--style", "heatmap", "--classes", "rosacea"
    )
    found = pictured(chain.facelime, tmp_path, f"reports/{report.id}", "--images", report.texts("id")[2])
    with Image.open(report.path / "figures" / "00002-class1.png") as drawn:
        assert np.array_equal(found, np.asarray(drawn.convert("RGB")))


def test_a_dataset_shows_all_pictures_that_are_asked_for(chain, tmp_path):
    ids = ",".join(chain["segment"].texts("id"))
    assert (
        pictured(chain.facelime, tmp_path, "datasets/" + chain["preprocess"].id, "--images", ids).shape[0]
        < pictured(chain.facelime, tmp_path, chain.reference("preprocess")).shape[0]
    )


def test_the_scatter_of_a_contrast_and_of_a_part(chain, tmp_path, monkeypatch):
    from facelime_cli.reporting import previews

    seen = []
    monkeypatch.setattr(previews.sheets, "fitted", lambda *values: seen.append(values[5:]) or fitted(*values))
    part = chain.facelime.artifact("fit-surrogate", chain["predict"].id, "--part", "1/2")
    for reference in (chain.reference("contrast"), f"surrogates/{part.id}"):
        pictured(chain.facelime, tmp_path, reference)
    ((model, surrogate), words), (_, others) = seen
    answers = chain["predict"].read("probabilities")[0, :90]
    assert model == pytest.approx(answers[:, 1] - answers[:, 0], abs=1e-6)
    assert np.corrcoef(model, surrogate)[0, 1] > 0.3
    assert words == ("difference of probabilities by the model", "fitted to these samples")
    assert others == ("probability by the model", "fitted to part 1/2 of these samples")


def test_what_cannot_be_drawn_as_asked(chain, tmp_path):
    run, file, ids = chain.facelime, tmp_path / "a.png", ",".join(chain["segment"].texts("id"))
    for stage, words, said in (
        ("evaluate", ("--images", "face-001"), "drawn as a whole"),
        ("compare", ("--images", "face-001"), "drawn as a whole"),
        ("segment", ("--images", ids), "names 3 pictures"),
        ("segment", ("--classes", "rosacea"), "not drawn by class"),
        ("finetune", ("--classes", "rosacea"), "not drawn by class"),
        ("render", ("--classes", "rosacea,normal"), "names 2 classes"),
    ):
        assert said in run.fails("show", chain.reference(stage), *words, "--png", file, code=2)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_shown(chain, tmp_path):
    run, reference = chain.facelime, chain.reference("segment")
    (tmp_path / "there.png").write_text("mine")
    assert "exists already" in run.fails("show", reference, "--png", tmp_path / "there.png")
    assert "no folder" in run.fails("show", reference, "--png", tmp_path / "none" / "a.png")
    assert "should end in .png" in run.fails("show", reference, "--png", tmp_path / "a.jpg", code=2)
    assert "no picture 'nobody'" in run.fails("show", reference, "--images", "nobody", "--png", tmp_path / "a.png")
    assert "one of them" in run.fails("show", reference, "--format", "csv", "--png", tmp_path / "a.png", code=2)
    assert "--format" in run.fails("show", reference, "--images", "nobody", code=2)
    assert "no explanations" in run.fails("show", reference, "--format", "json")
    assert "no class 'measles'" in run.fails(
        "show", chain.reference("render"), "--format", "json", "--classes", "measles"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["there.png"]


class TestFormats:
    def test_csv_is_the_table_of_the_report(self, chain):
        told = chain.facelime("show", chain.reference("fit-surrogate"), "--format", "csv").stdout
        assert told == (chain["render"].path / "coefficients.csv").read_text(encoding="utf-8")
        assert told == chain.facelime("show", chain.reference("render"), "--format", "csv").stdout

    def test_json_holds_what_the_arrays_hold(self, chain):
        told = json.loads(
            chain.facelime("show", chain.reference("fit-surrogate"), "--format", "json", "--classes", "rosacea").stdout
        )
        assert told == chain.facelime.json(
            "show", chain.reference("fit-surrogate"), "--format", "json", "--classes", "1"
        )
        assert [each["id"] for each in told["pictures"]] == chain["segment"].texts("id")
        one = told["pictures"][0]["explanations"][0]
        assert one["r2"] == chain["fit-surrogate"].read("r2")[0, 1]
        assert {each["segment"]: each["coefficient"] for each in one["regions"]}[3] == chain["fit-surrogate"].read(
            "coefficients"
        )[0, 1, 3]

    def test_text_is_a_picture_and_a_table(self, chain):
        second = chain["segment"].texts("id")[1]
        told = chain.facelime(
            "show", chain.reference("fit-surrogate"), "--format", "text", "--images", second, "--classes", "rosacea"
        ).stdout
        assert told.startswith(f"{second}: rosacea ")
        drawn = told.splitlines()[1:25]
        assert {len(line) for line in drawn} == {48}
        assert {"+", "-"} & set("".join(drawn))
        strongest = next(
            csv.DictReader(
                io.StringIO(
                    chain.facelime(
                        "show",
                        chain.reference("fit-surrogate"),
                        "--format",
                        "csv",
                        "--images",
                        second,
                        "--classes",
                        "rosacea",
                    ).stdout
                )
            )
        )
        row = next(line.split() for line in told.splitlines() if line.split()[:1] == ["1"])
        assert row[1] == strongest["segment"]
        assert row[2] == ("for" if float(strongest["coefficient"]) > 0 else "against")

    def test_colours_only_where_the_terminal_has_them(self, monkeypatch, capsys):
        drawing = Drawing([[(255, 0, 0)], [(0, 0, 255)]], ["+"], "a [bold]title")
        Console()._print_drawing(drawing)
        assert capsys.readouterr().out == "a [bold]title\n+\n"
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLORTERM", "truecolor")
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setenv("TERM", "xterm-256color")
        Console()._print_drawing(drawing)
        told = capsys.readouterr().out
        assert "a [bold]title" in told
        assert "\x1b[38;2;255;0;0;48;2;0;0;255m▀" in told


def test_perturbed_pictures_are_those_of_the_model():
    image, fill, segments = (
        np.full((2, 2, 3), 9, np.uint8),
        np.full((2, 2, 3), 4, np.uint8),
        np.array([[0, 0], [1, 1]], np.uint16),
    )
    assert composed(image, fill, segments, np.array([[True, True], [False, True]]))[..., 0].tolist() == [
        [[9, 9], [9, 9]],
        [[4, 4], [9, 9]],
    ]


def test_feature_maps_are_tiled_each_on_its_own_scale():
    values = np.zeros((1, 2, 3), np.float32)
    values[0, 1] = (1, 10, 0)
    assert tiled(values, 2).tolist() == [[0, 255, 255, 0, 255], [255] * 5, [0, 0, 255, 255, 255]]
