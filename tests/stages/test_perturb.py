"""`perturb` from the command line: designs of fewer rows, fills from files and from the dataset, what it refuses."""

import shutil

import numpy as np
import pytest
from PIL import Image

from facelime_cli import choices
from facelime_cli.choices import DESIGNS, FILLS
from facelime_cli.core import masks
from facelime_cli.store.references import Store


@pytest.fixture(scope="module")
def few(chain):
    """Segments of a few pictures, of different numbers and few enough for `exact`."""
    made = chain.facelime.artifact(
        "segment", "faces", "--first", 6, "--method", "slic", "--segments", 6, "--compactness", 3
    )
    counts = made.read("n_segments")
    assert len(set(counts.tolist())) > 1
    assert counts.max() <= 9
    return made


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "other.png"
    Image.effect_noise((40, 30), 60).convert("RGB").save(path)
    return path


@pytest.mark.parametrize("design", DESIGNS)
def test_the_stored_masks_are_those_of_the_design(chain, few, design):
    made = chain.facelime.artifact("perturb", few.id, "--samples", 600, "--design", design, "--seed", 3)
    used, counts = made.read("n_samples"), few.read("n_segments")
    for row, picture_id in enumerate(made.texts("id")):
        wanted = choices.DESIGNS[design].load()(
            masks.key_of(3, picture_id, "mask"), int(used[row]), int(counts[row]), 0.8 if design == "bernoulli" else 0.5
        )
        found = made.read("masks")[row]
        assert np.array_equal(masks.unpack(found[: used[row]], int(counts[row])), wanted)
        assert not found[used[row] :].any()


def test_exact_uses_fewer_rows_and_every_later_stage_knows(chain, few):
    run, counts = chain.facelime, few.read("n_segments")
    made = run.artifact("perturb", few.id, "--samples", 600, "--design", "exact")
    assert made.read("n_samples").tolist() == (2**counts).tolist()
    assert made.layout["arrays"]["masks"]["shape"][1] == 2 ** counts.max()
    predicted = run.artifact("predict", made.id, "--model", "small", "--batch-size", 16)
    assert predicted.facts["evaluations"] + predicted.facts["taken_over"] == sum(2**counts)
    pending = np.isnan(predicted.read("probabilities")).any(axis=-1)
    assert [int((~each).argmin()) if each.any() else len(each) for each in pending] == (2**counts).tolist()
    assert pending.sum() == len(counts) * 2 ** counts.max() - sum(2**counts)
    fitted = run.artifact("fit-surrogate", predicted.id)
    for row, k in enumerate(counts):
        assert np.isfinite(fitted.read("coefficients")[row, :, :k]).all()
    assert run.artifact("render", fitted.id).complete
    assert run.json("verify", predicted.id)["faults"] == []
    assert run.json("predict", made.id, "--model", "small", "--missing", 1)["missing"] == []


def test_exact_refuses_what_is_too_much_and_lays_nothing_out(chain, few):
    before = len(chain.facelime.json("status")["artifacts"])
    said = chain.facelime.fails("perturb", few.id, "--samples", 7, "--design", "exact")
    k = int(few.read("n_segments")[0])
    assert f"{few.texts('id')[0]}: {k} segments have 2^{k} = {2**k} masks, more than --samples 7" in said
    assert len(chain.facelime.json("status")["artifacts"]) == before


@pytest.mark.parametrize("fill", [name for name, each in FILLS.items() if not each.from_file])
def test_the_stored_fill_is_that_of_the_function(chain, few, fill):
    made = chain.facelime.artifact("perturb", few.id, "--samples", 4, "--fill", fill, "--seed", 2)
    dataset = chain["preprocess"]
    training = dataset.read("images")[dataset.read("split") == 0]
    known = {"colour": tuple(training.reshape(-1, 3).mean(axis=0).round().astype(int).tolist()), "sigma": 4.8}
    for row, picture_id in enumerate(few.texts("id")):
        image, labels = dataset.read("images", [int(few.read("row")[row])])[0], few.read("segments")[row]
        if fill == "nearest-unlike":
            known["picture"] = dataset.read("images", [int(made.read("fill_row")[row])])[0]
        settings = {
            name: {**known, "key": masks.key_of(2, picture_id, "fill")}[name] for name in [FILLS[fill].needs] if name
        }
        assert np.array_equal(made.read("fill")[row], choices.FILLS[fill].load()(image, labels, **settings))
    assert made.parameters["fill_sigma"] == (4.8 if fill == "blur" else None)


def test_the_mean_colour_of_a_dataset_without_parts_is_that_of_all(facelime, faces):
    data = facelime.artifact("preprocess", faces / "normal", "--size", 24)
    made = facelime.artifact(
        "perturb",
        facelime.artifact("segment", data.id, "--method", "slic", "--first", 1, "--segments", 6).id,
        "--samples",
        4,
        "--fill",
        "dataset-mean",
    )
    assert made.facts["colour"] == data.read("images").reshape(-1, 3).mean(axis=0).round().astype(int).tolist()


def test_a_wider_blur_is_another_artifact(chain, few):
    made = [
        chain.facelime.artifact("perturb", few.id, "--samples", 4, "--fill", "blur", *more)
        for more in ([], ["--fill-sigma", 4.8], ["--fill-sigma", 9])
    ]
    assert made[0].id == made[1].id != made[2].id
    assert made[2].read("fill").std(axis=(1, 2)).sum() < made[0].read("fill").std(axis=(1, 2)).sum()


def test_a_picture_to_fill_with_counts_by_its_content(chain, few, picture, tmp_path):
    run = chain.facelime
    first = run.artifact("perturb", few.id, "--samples", 4, "--fill", f"image:{picture}")
    found = first.read("fill")
    wanted = np.asarray(Image.open(picture).resize((48, 48), Image.Resampling.BILINEAR))
    assert all(np.array_equal(each, wanted) for each in found)
    shutil.copy(picture, tmp_path / "same.png")
    assert run.artifact("perturb", few.id, "--samples", 4, "--fill", f"image:{tmp_path / 'same.png'}").id == first.id
    Image.effect_noise((40, 30), 20).convert("RGB").save(picture)
    assert run.artifact("perturb", few.id, "--samples", 4, "--fill", f"image:{picture}").id != first.id
    for path in first.path.rglob("*.json"):
        assert "other" not in path.read_text(encoding="utf-8")
    assert first.parameters["fill"] == "image"


def test_worker_processes_make_the_same_bits(chain, few, tmp_path):
    for kind in ("datasets", "segments"):
        shutil.copytree(chain.facelime.store / kind, tmp_path / "other" / kind)
    alone = type(chain.facelime)(tmp_path / "other")
    words = ["perturb", few.id, "--samples", 5, "--fill", "inpaint"]
    assert np.array_equal(
        alone.artifact(*words, "--workers", 1).read("fill"),
        chain.facelime.artifact(*words, "--workers", 2).read("fill"),
    )


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--fill", "nothing"], 2, "should be one of mean, black"),
        (["--fill", "image"], 2, "image:FILE"),
        (["--fill", "image:"], 2, "image:FILE"),
        (["--fill", "mean:file.png"], 2, "should be one of"),
        (["--fill", "image:gone.png"], 1, "there is no picture gone.png"),
        (["--fill", f"image:{__file__}"], 1, "is not a picture in a known format"),
        (["--fill", "black", "--fill-sigma", "3"], 2, "--fill-sigma belongs to blur, not to --fill black"),
        (
            ["--design", "paired", "--probability", "0.4"],
            2,
            "--probability 0.4 belongs to bernoulli, not to --design paired",
        ),
        (["--design", "shapley", "--probability", "0.4"], 2, "belongs to bernoulli"),
        (["--design", "nothing"], 2, None),
    ],
)
def test_what_cannot_be_is_one_sentence_and_lays_nothing_out(chain, few, words, code, said):
    before = len(chain.facelime.json("status")["artifacts"])
    if said is None:
        assert chain.facelime("perturb", few.id, *words).exit_code == code
    else:
        assert said in chain.facelime.fails("perturb", few.id, "--samples", 9, *words, code=code)
    assert len(chain.facelime.json("status")["artifacts"]) == before


def test_explain_takes_designs_and_fills(chain, picture):
    answer = chain.facelime.json(
        "explain",
        "faces",
        "--model",
        "small",
        "--first",
        1,
        "--method",
        "slic",
        "--segments",
        6,
        "--samples",
        300,
        "--design",
        "balanced",
        "--fill",
        f"image:{picture}",
    )
    made = Store(chain.facelime.store).stored("reports", answer["artifact"]).input("masks")
    assert (made.parameters["design"], made.parameters["fill"]) == ("balanced", "image")


class TestDefaults:
    """The fill follows from the dataset, the design from the fill, the probability from the design."""

    def test_pictures_with_classes(self, chain):
        made = chain.facelime.artifact("perturb", chain["segment"].id, "--samples", 5)
        assert {name: made.parameters[name] for name in ("fill", "design", "probability")} == {
            "fill": "nearest-unlike",
            "design": "balanced",
            "probability": 0.5,
        }
        dataset = chain["preprocess"]
        labels, split, images = dataset.read("labels"), dataset.read("split"), dataset.read("images")
        assert (split[made.read("fill_row")] == 0).all()
        assert (labels[made.read("fill_row")] != labels[made.read("row")]).all()
        assert np.array_equal(made.read("fill"), images[made.read("fill_row")])

    def test_a_picture_alone(self, facelime, faces):
        data = facelime.artifact("preprocess", next((faces / "normal").iterdir()), "--size", 32)
        segments = facelime.artifact("segment", data.id, "--segments", 9)
        made = facelime.artifact("perturb", segments.id, "--samples", 5)
        assert {name: made.parameters[name] for name in ("fill", "design", "probability")} == {
            "fill": "inpaint",
            "design": "bernoulli",
            "probability": 0.8,
        }
        said = facelime.fails("perturb", segments.id, "--samples", 5, "--fill", "nearest-unlike")
        assert "needs a picture of another class" in said

    @pytest.mark.parametrize(
        ("fill", "design", "probability"), [("blur", "bernoulli", 0.8), ("nearest-unlike", "balanced", 0.5)]
    )
    def test_the_design_follows_from_the_fill(self, chain, fill, design, probability):
        made = chain.facelime.artifact("perturb", chain["segment"].id, "--samples", 5, "--fill", fill)
        assert (made.parameters["design"], made.parameters["probability"]) == (design, probability)

    def test_a_patients_other_picture_is_none_of_another_class(self, facelime, tmp_path):
        for name, folder, shade in (("a-1", "x", 100), ("a-2", "y", 101), ("b-1", "y", 180)):
            (tmp_path / "in" / folder).mkdir(parents=True, exist_ok=True)
            Image.effect_noise((32, 32), 40).point(lambda value, shade=shade: value // 4 + shade).convert("RGB").save(
                tmp_path / "in" / folder / f"{name}.png"
            )
        data = facelime.artifact(
            "preprocess", tmp_path / "in", "--size", 32, "--split", "0:0:100", "--group-pattern", r"(\w)-"
        )
        made = facelime.artifact(
            "perturb", facelime.artifact("segment", data.id, "--segments", 9, "--images", "a-1").id, "--samples", 5
        )
        assert data.texts("id")[int(made.read("fill_row")[0])] == "y/b-1"


@pytest.mark.long
def test_going_on_from_other_masks(chain):
    run, first = chain.facelime, chain["fit-surrogate"].id
    assert "--seed" in run.fails("perturb", chain["segment"].id, "--after", first, "--samples", 200, "--seed", 4)
    other = run.artifact("segment", "faces", "--first", 2, "--method", "slic", "--segments", 6)
    assert "other segments" in run.fails("perturb", other.id, "--after", first, "--samples", 200)
    assert "--after" in run.fails("perturb", chain["segment"].id, "--confidence", 0.9, code=2)


def test_each_donor_is_the_next_similar_picture_of_another_patient(chain, few):
    run, dataset = chain.facelime, chain["preprocess"]
    made = [run.artifact("perturb", few.id, "--samples", 4, "--donor", donor) for donor in (1, 2, 3)]
    assert made[0].id == run.artifact("perturb", few.id, "--samples", 4).id
    labels, groups = dataset.read("labels"), dataset.texts("group")
    for place, row in enumerate(few.read("row")):
        donors = [int(each.read("fill_row")[place]) for each in made]
        assert all(labels[donor] != labels[row] for donor in donors)
        assert len({groups[donor] for donor in donors}) == 3
        for each, donor in zip(made, donors, strict=True):
            assert np.array_equal(each.read("fill")[place], dataset.read("images", [donor])[0])


def test_thumbnails_and_donors_are_kept_beside_the_dataset(chain, few):
    run, kept = chain.facelime, chain["preprocess"].path / "kept"
    run.json("perturb", few.id, "--samples", 5, "--donor", 2)
    before = sorted(kept.iterdir())
    assert len(before) >= 2
    result = run("perturb", few.id, "--samples", 6, "--donor", 3)
    assert "looking for" not in result.stderr
    assert sorted(kept.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--donor", 2, "--fill", "blur"], 2, "--donor belongs to nearest-unlike, not to --fill blur"),
        (["--donor", 100], 1, "needs 100 pictures of another class and of different patients"),
    ],
)
def test_a_donor_that_is_not_there_is_refused(chain, few, words, code, said):
    assert said in chain.facelime.fails("perturb", few.id, "--samples", 4, *words, code=code)
