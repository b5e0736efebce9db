"""The picture of any artifact, as `show --png` draws it."""

import numpy as np
import pytest
from PIL import Image

from facelime_cli.drawing.sheets import fitted


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


def test_a_check_shows_what_stood_in_and_what_the_model_answered(judged, tmp_path, monkeypatch):
    from facelime_cli.reporting import previews

    seen = []
    drawn = previews.sheets.perturbed
    monkeypatch.setattr(previews.sheets, "perturbed", lambda *values: seen.append(values) or drawn(*values))
    pictured(judged.facelime, tmp_path, judged.check.reference)
    images, titles, *_ = seen[0]
    assert len(images) == len(titles) == 1 + 5 + len(judged.check.facts["fills"])
    assert titles[3] == "a blurred copy"
    assert "(before: " in titles[-1]


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


@pytest.mark.parametrize(
    "stage",
    ["render", pytest.param("fit-surrogate", marks=pytest.mark.long), pytest.param("predict", marks=pytest.mark.long)],
)
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


@pytest.mark.long
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
