"""`explain`: views and one run, the check, the report of what was explained, and rounds until nothing will change."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from facelime_cli.choices import VIEWS
from facelime_cli.core.faces import draw
from facelime_cli.predicting.stability import stable_pictures
from facelime_cli.store.references import Store
from tests.support import save_picture

SINGLE = ["--views", "single", "--no-check"]
WORDS = ["--split", "test", "--first", 4, "--method", "slic", "--segments", 12, "--samples", 20, "--batch-size", 16]
WORDS += SINGLE
TWO = ["faces", "--model", "small", "--split", "test", "--first", 2, "--batch-size", 16]
SLIC = [*TWO, "--method", "slic", "--segments", 12]


def test_a_report_shows_the_pictures_that_were_explained(chain, tmp_path):
    """Not those that the network was trained on: the dataset is that of the segments."""
    run = chain.facelime
    rng = np.random.default_rng(3)
    (tmp_path / "noise").mkdir()
    Image.fromarray(rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)).resize((12, 12)).resize((48, 48)).save(
        tmp_path / "noise" / "other.png"
    )
    report = run.artifact(
        "explain", tmp_path / "noise", "--model", "small", "--method", "slic", "--samples", 30, "--segments", 9
    )
    page = (report.path / "index.html").read_text(encoding="utf-8")
    assert "The label is" not in page
    copy = np.asarray(Image.open(next((report.path / "pictures").glob("*.jpg"))).convert("RGB")).astype(int)
    wanted = np.asarray(Image.open(tmp_path / "noise" / "other.png").convert("RGB")).astype(int)
    assert np.abs(copy - wanted).mean() < 5


def test_explain_is_the_chain_to_the_bit(chain, tmp_path, faces):
    run = chain.facelime
    words = ["--split", "test", "--first", 3, "--method", "slic", "--segments", 12, "--samples", 90, "--batch-size", 16]
    answer = run.json("explain", "faces", "--model", "small", *words, *SINGLE)
    assert answer["artifact"] == chain["render"].id
    assert answer["reused"] is True
    picture = next((faces / "rosacea").iterdir())
    words = ["--method", "slic", "--samples", 40, *SINGLE]
    alone = run.json("explain", picture, "--model", "small", *words, "--name", "alone")
    assert alone["reused"] is False
    assert run.json("show", "alone")["names"] == ["alone"]
    data = run.artifact("preprocess", picture, "--size", 48)
    segments = run.artifact("segment", data.id, "--method", "slic")
    predictions = run.artifact("predict", run.artifact("perturb", segments.id, "--samples", 40).id, "--model", "small")
    assert run.json("render", run.artifact("fit-surrogate", predictions.id).id)["artifact"] == alone["artifact"]
    assert "neither" in run.fails("explain", tmp_path / "none.png", "--model", "small")


# Several views


def made(run, *words):
    """Return the artifacts of an `explain`, by kind."""
    answer = run.json("explain", *words)
    found = {kind: Store(run.store).resolve(reference, (kind,)) for kind, reference in answer["artifacts"].items()}
    assert found["reports"].id == answer["artifact"]
    return found


def planned_of(consensus):
    """Return number of segments, fill, donor and samples of each view."""
    return [(each["segments"], each["fill"], each["donor"], each["samples"]) for each in consensus.facts["views"]]


@pytest.fixture(scope="module")
def explained(chain):
    """What the default makes of two pictures, with enough samples for every view."""
    return made(chain.facelime, *SLIC, "--samples", 307)


def test_views_share_the_samples(explained):
    views = planned_of(explained["surrogates"])
    assert views == [
        (12, "nearest-unlike", 1, 52),
        (5, "nearest-unlike", 2, 51),
        (26, "nearest-unlike", 3, 51),
        (12, "blur", 1, 51),
        (12, "inpaint", 1, 51),
        (12, "nearest-unlike", 4, 51),
    ]
    assert sum(samples for *_, samples in views) == 307


def test_the_artifacts_are_the_nearest_of_each_kind(explained, chain):
    assert set(explained) == {
        *("reports", "checks", "surrogates", "predictions", "masks", "segments", "datasets", "models")
    }
    assert explained["surrogates"].stage == "consensus"
    assert explained["checks"].input("surrogates").id == explained["surrogates"].id
    assert explained["segments"].id == explained["surrogates"].inputs["segmentation"]["id"]
    assert explained["datasets"].id == chain["preprocess"].id


def test_views_are_found_again(explained, chain):
    again = chain.facelime.json("explain", *SLIC, "--samples", 307)
    assert (again["artifact"], again["reused"]) == (explained["reports"].id, True)


def test_the_stages_alone_make_the_same(explained, chain):
    run = chain.facelime
    views = [each["surrogates"] for each in explained["surrogates"].facts["views"]]
    assert run.artifact("consensus", *views).id == explained["surrogates"].id
    assert run.artifact("check", explained["surrogates"].reference).id == explained["checks"].id
    assert run.artifact("render", explained["checks"].reference).id == explained["reports"].id


def test_the_check_draws_from_the_seed(explained):
    assert explained["checks"].parameters["seed"] == 0
    assert explained["masks"].parameters["seed"] == 0


def test_few_samples_run_few_views(chain):
    run = chain.facelime
    one = made(run, *SLIC, "--samples", 99, "--no-check")
    assert one["surrogates"].stage == "fit-surrogate"
    assert one["masks"].parameters["samples"] == 99
    two = made(run, *SLIC, "--samples", 101, "--no-check")
    assert [samples for *_, samples in planned_of(two["surrogates"])] == [51, 50]


def test_the_model_is_loaded_once(chain):
    result = chain.facelime("explain", *SLIC, "--samples", 150, "--seed", 21)
    assert result.exit_code == 0
    assert result.stderr.count("loading models/") == 1


@pytest.mark.long
def test_fills_and_scales(chain):
    run = chain.facelime
    fills = made(run, *SLIC, "--samples", 150, "--views", "fills", "--no-check")["surrogates"]
    assert planned_of(fills) == [(12, fill, 1, 50) for fill in ("nearest-unlike", "blur", "inpaint")]
    scales = made(run, *SLIC, "--samples", 150, "--views", "scales", "--no-check")["surrogates"]
    assert planned_of(scales) == [(n, "nearest-unlike", 1, 50) for n in (12, 5, 26)]
    # The carrier is the medium scale, though another one is named last.
    assert scales.input("segments").parameters["segments"] == 12


def test_donors_take_turns(chain):
    run = chain.facelime
    found = made(run, *SLIC, "--samples", 150, "--views", "single", "--donors", 3, "--no-check")["surrogates"]
    assert planned_of(found) == [(12, "nearest-unlike", donor, 50) for donor in (1, 2, 3)]
    for wrong in (0, 9):
        result = run("explain", *SLIC, "--donors", wrong)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "--donors" in result.stderr


def test_more_donors_than_there_are(chain, tmp_path):
    """Four pictures of two classes: each has two of the other class."""
    run = chain.facelime
    for number in range(4):
        picture = draw(1, number, 48, flushed=number % 2 == 0).image
        save_picture(tmp_path / ("rosacea", "normal")[number % 2] / f"{number}.png", picture)
    data = run.artifact("preprocess", tmp_path, "--size", 48, "--split", "0:0:100", "--workers", 1)
    words = [
        "explain",
        data.id,
        "--model",
        "small",
        "--method",
        "grid",
        "--segments",
        6,
        "--samples",
        150,
        "--no-check",
    ]
    assert "--donors 3: a picture has only 2 similar pictures" in run.fails(*words, "--donors", 3)
    assert {donor for _, _, donor, _ in planned_of(made(run, *words[1:])["surrogates"])} == {1, 2}


@pytest.mark.long  # several whole runs; `test_views` and `test_check` have the parts
def test_methods_without_a_number_have_one_scale(chain, tmp_path):
    run = chain.facelime
    for words in (["--method", "quickshift"], ["--zones", "face", "--method", "zones"]):
        found = made(run, *TWO, *words, "--samples", 200, "--views", "scales", "--no-check")
        assert found["surrogates"].stage == "fit-surrogate"
        assert found["masks"].parameters["samples"] == 200
    for name in chain["preprocess"].texts("id"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.save(tmp_path / f"{name}.npy", np.kron(np.arange(9).reshape(3, 3), np.ones((16, 16), int)))
    words = ["--method", "file", "--labels", tmp_path, "--samples", 150, "--no-check"]
    joined = made(run, *TWO, *words)["surrogates"]
    assert [view[0] for view in planned_of(joined)] == [None] * 3


@pytest.mark.long  # several whole runs; `test_views` and `test_check` have the parts
def test_without_classes_blur_stands_in(chain, tmp_path, faces):
    for number, path in enumerate(sorted(faces.rglob("*.png"))[:2]):
        shutil.copy(path, tmp_path / f"{number}.png")
    words = [tmp_path, "--model", "small", "--method", "slic", "--segments", 12, "--samples", 200]
    found = made(chain.facelime, *words)
    single = made(chain.facelime, *words, *SINGLE)
    assert found["datasets"].n == single["datasets"].n == 2
    assert found["datasets"].id == single["datasets"].id != chain["preprocess"].id
    assert {fill for _, fill, *_ in planned_of(found["surrogates"])} == {"blur", "inpaint"}
    assert "nearest-unlike" not in found["checks"].facts["fills"]
    assert len(found["checks"].facts["fills"]) == 3


# One run


@pytest.mark.parametrize(
    "words",
    [
        ["--fill", "black"],
        ["--design", "bernoulli"],
        ["--design", "bernoulli", "--probability", 0.7],
        ["--fill", "blur", "--fill-sigma", 3],
        ["--donor", 2],
    ],
    ids=lambda words: words[-2],
)
def test_options_of_one_run(chain, words):
    run = chain.facelime
    found = made(run, *SLIC, "--samples", 60, *words, "--no-check")
    assert found["surrogates"].stage == "fit-surrogate"
    masks = run.artifact("perturb", found["segments"].id, "--samples", 60, *words)
    assert found["masks"].id == masks.id
    for several in (["--views", "fills"], ["--donors", 2]):
        said = run.fails("explain", *SLIC, *words, *several, code=2)
        assert "describes one run" in said
        assert several[0] in said


@pytest.mark.parametrize(
    ("preset", "numbers"),
    [
        ("lime-defaults", {"samples": 1000, "design": "bernoulli", "fill": "mean", "seed": 0}),
        ("rosacea", {"samples": 150, "design": "bernoulli", "fill": "black", "seed": 222}),
    ],
)
def test_presets_of_systems_are_one_run_with_their_numbers(chain, preset, numbers):
    run = chain.facelime
    found = made(run, *TWO, "--preset", preset, "--no-check")
    assert found["surrogates"].stage == "fit-surrogate"
    assert {name: found["masks"].parameters[name] for name in numbers} == numbers
    assert found["segments"].parameters["method"] == "quickshift"
    assert "describes one run" in run.fails("explain", *TWO, "--preset", preset, "--views", "scales", code=2)
    assert "describes one run" in run.fails("explain", *TWO, "--preset", preset, "--donors", 3, code=2)


def test_a_single_view_is_checked_unless_it_is_not_to_be(chain):
    run, words = chain.facelime, [*SLIC, "--samples", 60, "--views", "single"]
    checked, unchecked = made(run, *words), made(run, *words, "--no-check")
    assert checked["surrogates"].id == unchecked["surrogates"].id
    assert checked["checks"].input("surrogates").id == checked["surrogates"].id
    assert "checks" not in unchecked
    assert unchecked["reports"].inputs["surrogates"]["id"] == unchecked["surrogates"].id


def test_views_that_there_are_not(chain):
    result = chain.facelime("explain", *SLIC, "--views", "many")
    assert result.exit_code == 2
    assert all(name in result.stderr for name in VIEWS)


# Stops


@pytest.mark.long
def test_views_stop_and_resume(chain, tmp_path):
    """The budget is one for all views and the check, and what they have made is kept."""
    run = chain.copy(tmp_path / "store")
    words = ["explain", *SLIC, "--samples", 303, "--json"]
    assert run(*words, "--time-budget", "0s").exit_code == 75
    whole = made(run, *words[1:-1])
    shutil.rmtree(whole["reports"].path)
    shutil.rmtree(whole["checks"].path)
    stopped = run(*words, "--time-budget", "0s")
    assert stopped.exit_code == 75
    assert stopped.stdout == ""
    again = json.loads(run(*words).stdout)
    assert again["artifact"] == whole["reports"].id
    assert again["reused"] is False


# Rounds of samples: each test needs several whole runs of the stages


@pytest.fixture(scope="module")
def rounds(chain):
    report = chain.facelime.artifact(
        "explain", "faces", "--model", "small", *WORDS, "--until-stable", "--max-samples", 160, "--confidence", 0.9
    )
    return chain.facelime, report.input("surrogates")


@pytest.mark.long
def test_each_picture_has_as_many_samples_as_it_needs(rounds):
    run, surrogates = rounds
    needed = surrogates.input("masks").read("n_samples")
    assert set(needed.tolist()) <= {20, 40, 80, 160}
    stable = stable_pictures(surrogates, 0.9)
    assert all(stable[needed < 160])
    before = run.artifact("perturb", surrogates.input("segments").id, "--samples", 20)
    first = run.artifact("fit-surrogate", run.artifact("predict", before.id, "--model", "small", "--batch-size", 16).id)
    assert np.array_equal(needed == 20, stable_pictures(first, 0.9))


@pytest.mark.long
def test_a_stable_picture_is_explained_as_with_that_many_samples_alone(rounds):
    run, surrogates = rounds
    needed, counts = surrogates.input("masks").read("n_samples"), surrogates.input("segments").read("n_segments")
    for row, samples in enumerate(needed):
        masks = run.artifact("perturb", surrogates.input("segments").id, "--samples", int(samples))
        alone = run.artifact(
            "fit-surrogate", run.artifact("predict", masks.id, "--model", "small", "--batch-size", 16).id
        )
        assert np.array_equal(
            alone.read("coefficients")[row, :, : counts[row]], surrogates.read("coefficients")[row, :, : counts[row]]
        )


@pytest.mark.long
def test_rounds_of_views_have_the_consensus_before_them(chain):
    run = chain.facelime
    words = [*SLIC, "--samples", 150, "--views", "fills", "--until-stable", "--max-samples", 600, "--confidence", 0.99]
    found = made(run, *words)
    joined = found["surrogates"]
    assert joined.stage == "consensus"
    rounds = {each["samples"] for each in joined.facts["views"]}
    assert rounds <= {50, 100, 200}
    if rounds != {50}:
        masks = [
            Store(run.store).resolve(each["surrogates"], ("surrogates",)).input("masks")
            for each in joined.facts["views"]
        ]
        before = masks[0].input("surrogates")
        assert before.stage == "consensus"
        assert all(each.inputs["after"]["id"] == before.id for each in masks)
        stable = stable_pictures(before, 0.99)
        counts = np.array([each.read("n_samples") for each in masks])
        assert (counts[:, stable] < max(rounds)).all()
        assert (counts[:, ~stable] == max(rounds)).all()
    assert run.json("explain", *words)["reused"] is True


@pytest.mark.long
def test_it_is_found_again(rounds):
    run, surrogates = rounds
    again = run.json(
        "explain", "faces", "--model", "small", *WORDS, "--until-stable", "--max-samples", 160, "--confidence", 0.9
    )
    assert again["reused"] is True
    assert surrogates.complete


@pytest.mark.long
@pytest.mark.parametrize(
    "words", [["--max-samples", 100], ["--confidence", 0.9], ["--until-stable", "--max-samples", 10]]
)
def test_options_that_do_not_go_together(chain, words):
    chain.facelime.fails("explain", "faces", "--model", "small", *WORDS, *words, code=2)


def test_explain_has_one_time_budget(chain):
    words = [
        "explain",
        "faces",
        "--model",
        "small",
        "--split",
        "test",
        "--first",
        3,
        "--method",
        "slic",
        "--segments",
        12,
        "--samples",
        37,
        *SINGLE,
    ]
    assert chain.facelime(*words, "--time-budget", "0s").exit_code == 75
    assert chain.facelime.json(*words, "--time-budget", "10m")["complete"] is True
