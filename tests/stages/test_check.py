"""`check`: what the model is asked, what it answers, and what becomes of verdicts."""

import shutil
from math import comb

import numpy as np
import pytest
from PIL import Image

from facelime_cli.core import fidelity
from facelime_cli.core.checking import CURVE, log_odds, strongest_first
from facelime_cli.core.masks import unpack
from facelime_cli.models import backend
from facelime_cli.predicting.checked import ALWAYS
from tests.planted import CELLS, PLANTED, SIDE, planted_model, planted_pictures
from tests.support import Facelime, breaking, save_picture

# What it stores


@pytest.fixture(scope="module")
def explained(chain):
    """Segments enough for sets of three others: surrogates and their check."""
    run = chain.facelime
    words = ["--split", "test", "--first", 3, "--method", "slic", "--segments", 24]
    masks = run.artifact("perturb", run.artifact("segment", "faces", *words).id, "--samples", 60)
    predictions = run.artifact("predict", masks.id, "--model", "small", "--batch-size", 16)
    surrogates = run.artifact("fit-surrogate", predictions.id)
    return surrogates, run.artifact("check", surrogates.id)


def asked_of(check, row):
    """Return the masks (S, K), and the answers (F, S, C) of a picture."""
    n, count = int(check.read("n_samples")[row]), int(check.input("segments").read("n_segments")[row])
    return unpack(check.read("masks")[row, :n], count), check.read("probabilities")[row, :, :n]


def checked_classes(check, row):
    return [c for c, word in enumerate(check.read("verdict")[row]) if word]


def test_the_arrays(explained):
    surrogates, check = explained
    n, n_classes, _ = surrogates.shape("coefficients")
    n_fills = len(ALWAYS)
    assert check.kind == "checks"
    assert check.facts["fills"] == list(ALWAYS)
    assert check.facts["own"] == ["nearest-unlike"]
    assert check.shape("effect") == check.shape("p_value") == (n, n_classes, 2, n_fills)
    assert check.read("effect").dtype == check.read("p_value").dtype == np.float64
    assert check.shape("verdict") == (n, n_classes)
    assert check.shape("curve") == (n, n_classes, n_fills, 2, len(CURVE))
    assert check.shape("fill")[:2] == (n, n_fills)
    assert check.input("surrogates").id == surrogates.id
    assert (check.read("masks")[:, 0] == surrogates.input("masks").read("masks")[:, 0]).all()


def test_answers_are_those_of_the_composed_pictures(explained, chain):
    _, check = explained
    net = backend.keras().saving.load_model(check.input("models").file("model.keras"))
    images = chain["preprocess"].read("images", check.read("row").tolist()).astype(np.float32)
    for row, labels in enumerate(check.input("segments").read("segments")):
        masks, answers = asked_of(check, row)
        for fill, its in zip(check.read("fill")[row].astype(np.float32), answers, strict=True):
            composed = np.stack([fill + (images[row] - fill) * z[labels][..., None] for z in masks])
            assert np.abs(net.predict(composed, verbose=0) - its).max() < 1e-5


def test_effect_and_p_value_by_hand(explained):
    surrogates, check = explained
    for row in range(check.n):
        masks, answers = asked_of(check, row)
        count = masks.shape[1]
        for c in checked_classes(check, row):
            order = strongest_first(surrogates.read("coefficients")[row, c, :count])
            assert check.read("regions")[row, c].tolist() == order[:3].tolist()
            odds = log_odds(answers)[..., c]
            off = ~masks
            alone = [int(np.flatnonzero((off.sum(axis=1) == 1) & off[:, k])[0]) for k in order]
            top = int(np.flatnonzero((off == np.isin(np.arange(count), order[:3])).all(axis=1))[0])
            others = (off.sum(axis=1) == 3) & ~off[:, order[:3]].any(axis=1)
            # Of several classes each has sets of its own, so that the masks of the others are left out.
            first = int(np.flatnonzero(others & (np.arange(len(off)) > top))[0])
            sets = np.arange(first, first + min(39, comb(count - 3, 3)))
            assert others[sets].all()
            assert len(np.unique(masks[sets], axis=0)) == len(sets)
            for fill in range(len(odds)):
                for place, (strongest, rest) in enumerate(((alone[0], alone[1:]), (top, sets))):
                    lost, of_others = odds[fill, strongest], odds[fill, rest]
                    effect, p = check.read("effect")[row, c, place, fill], check.read("p_value")[row, c, place, fill]
                    assert effect == pytest.approx(of_others.mean() - lost)
                    assert p == pytest.approx((1 + (of_others <= lost).sum()) / (1 + len(of_others)))


def test_curves_remove_and_keep_the_strongest(explained):
    surrogates, check = explained
    masks, answers = asked_of(check, 0)
    count = masks.shape[1]
    c = checked_classes(check, 0)[0]
    order = strongest_first(surrogates.read("coefficients")[0, c, :count])
    for step, share in enumerate(CURVE):
        strongest = np.isin(np.arange(count), order[: round(share * count)])
        for direction, kept in enumerate((~strongest, strongest)):
            row = int(np.flatnonzero((masks == kept).all(axis=1))[0])
            assert np.array_equal(check.read("curve")[0, c, :, direction, step], answers[:, row, c])


def test_the_most_probable_class_and_the_true_one_are_checked(explained, chain):
    surrogates, check = explained
    answers = surrogates.input("predictions").read("probabilities")[:, 0]
    labels = chain["preprocess"].read("labels")[check.read("row")]
    for row, (answer, label) in enumerate(zip(answers, labels, strict=True)):
        assert set(checked_classes(check, row)) == {int(answer.argmax()), int(label)}
        for c in set(range(2)) - set(checked_classes(check, row)):
            assert np.isnan(check.read("effect")[row, c]).all()
            assert (check.read("regions")[row, c] == -1).all()


def test_the_same_check_is_found_again(explained, chain):
    surrogates, check = explained
    again = chain.facelime.json("check", surrogates.id, "--batch-size", 16, "--runtime", "keras", "--regions", "3,1,3")
    assert (again["artifact"], again["reused"]) == (check.id, True)


@pytest.mark.parametrize("words", [["--seed", 1], ["--sets", 19], ["--regions", "1"], ["--check-classes", "rosacea"]])
def test_what_is_asked_otherwise_is_another_check(explained, chain, words):
    surrogates, check = explained
    other = chain.facelime.artifact("check", surrogates.id, *words)
    assert other.id != check.id
    assert other.facts["taken_over"] > 0
    if words[0] == "--check-classes":
        assert all(checked_classes(other, row) == [1] for row in range(other.n))
    if words[0] == "--seed":
        # The strongest regions and single ones are the same, the sets are not.
        assert np.array_equal(other.read("effect")[:, :, 0], check.read("effect")[:, :, 0], equal_nan=True)
        assert not np.array_equal(other.read("effect")[:, :, 1], check.read("effect")[:, :, 1], equal_nan=True)


def test_more_regions_than_there_are(explained, chain):
    surrogates, _ = explained
    run = chain.facelime
    few = run.artifact("check", chain.reference("fit-surrogate"), "--regions", "7,20")
    assert np.isnan(few.read("effect")).all()
    words = [few.read("verdict")[row, c] for row in range(few.n) for c in checked_classes(few, row)]
    assert set(words) == {"not checked: too few regions to compare with"}
    assert few.shape("regions")[2] == 20
    many = run.artifact("check", surrogates.id, "--regions", "1,20")
    assert np.isfinite(many.read("effect")[0, checked_classes(many, 0)[0], 0]).all()
    assert np.isnan(many.read("effect")[:, :, 1]).all()


def test_two_regions(chain, tmp_path):
    """One alone is compared with the other, which can confirm nothing; of three there are too few."""
    run = chain.facelime
    for name in chain["segment"].texts("id"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.save(tmp_path / f"{name}.npy", np.repeat([[0, 1]], 48, axis=0).repeat(24, axis=1))
    ids = ",".join(chain["segment"].texts("id"))
    halves = run.artifact("segment", "faces", "--images", ids, "--method", "file", "--labels", tmp_path)
    assert halves.read("n_segments").tolist() == [2, 2, 2]
    check = run.artifact("check", run.artifact("occlusion", halves.id, "--model", "small").id)
    checked = [(row, c) for row in range(3) for c in checked_classes(check, row)]
    assert len(checked) >= 3
    for row, c in checked:
        assert set(check.read("p_value")[row, c, 0]) <= {0.5, 1.0}
        assert np.isnan(check.read("effect")[row, c, 1]).all()
        assert check.read("verdict")[row, c].startswith(("not confirmed", "nothing to explain"))
        assert check.read("regions")[row, c, 2] == -1


# Every explanation can be checked


@pytest.mark.parametrize("stage", ["gradcam", "occlusion", "contrast", "consensus", "import-maps"])
def test_every_method_can_be_checked(chain, stage):
    check = chain.facelime.artifact("check", chain.reference(stage))
    assert check.input("surrogates").id == chain[stage].id
    assert check.input("surrogates").stage == stage
    assert all(checked_classes(check, row) for row in range(3))
    assert np.isfinite(check.read("effect")[0, checked_classes(check, 0)[0], 0]).all()
    assert chain.facelime.json("verify", check.reference)["faults"] == []


def test_maps_are_checked_in_one_go(chain):
    run = chain.facelime
    made = run.artifact("check", chain.reference("import-maps"))
    answer = run.json("check", chain["segment"].id, "--model", "small", "--maps", chain.maps)
    assert answer["artifact"] == made.id
    from_surrogates = run.artifact("check", chain.reference("fit-surrogate"), "--maps", chain.maps)
    assert from_surrogates.input("surrogates").stage == "import-maps"
    assert from_surrogates.input("segments").id == chain["segment"].id


def test_a_contrast_is_checked_by_the_odds_of_two_classes(chain):
    check = chain.facelime.artifact("check", chain.reference("contrast"))
    _, answers = asked_of(check, 0)
    assert answers.shape[2] == 2
    curve = check.read("curve")[0, 0]
    differences = answers[..., 1] - answers[..., 0]
    assert np.isin(curve, differences).all()


def test_a_report_and_show_read_a_check(explained, chain):
    surrogates, check = explained
    run = chain.facelime
    page = (run.artifact("render", check.reference).path / "index.html").read_text(encoding="utf-8")
    words = {check.read("verdict")[row, c] for row in range(check.n) for c in checked_classes(check, row)}
    assert all(word.partition(":")[0] in page for word in words)
    for each in run.json("show", check.reference)["pictures"]:
        row, c = check.texts("id").index(each["id"]), check.facts["classes"].index(each["class"])
        # A class that was not checked keeps the verdict that it had before.
        assert each["verdict"] == (check.read("verdict")[row, c] or surrogates.read("verdict")[row, c])
        assert each["segments"] == surrogates.input("segments").reference
    run.json("export", check.reference, "--to", run.store.parent / "check.h5")


def test_verdicts_of_earlier_versions_count_as_not_checked(chain, monkeypatch):
    """They told whether regions act alone. Stores still have them."""
    run = chain.facelime
    with monkeypatch.context() as patch:
        patch.setattr(fidelity, "before_check", lambda _: "trustworthy")
        old = run.artifact("fit-surrogate", chain["predict"].id, "--kernel-width", 0.31, "--workers", 1)
    assert set(old.read("verdict").ravel()) == {"trustworthy"}
    assert {each["verdict"] for each in run.json("show", old.reference)["pictures"]} == {"not checked"}
    report = run.artifact("render", old.reference)
    assert "trustworthy" not in (report.path / "index.html").read_text(encoding="utf-8")
    views = [old.reference, chain.reference("fit-surrogate")]
    for made in (run.artifact("check", old.reference), run.artifact("consensus", *views)):
        assert "trustworthy" not in made.read("verdict").ravel().tolist()


# Fills


@pytest.fixture(scope="module")
def unlabelled(chain, faces, tmp_path_factory):
    """Segments of two pictures without classes."""
    folder = tmp_path_factory.mktemp("unlabelled")
    for number, path in enumerate(sorted(faces.rglob("*.png"))[:2]):
        shutil.copy(path, folder / f"{number}.png")
    data = chain.facelime.artifact("preprocess", folder, "--size", 48)
    return chain.facelime.artifact("segment", data.id, "--method", "slic", "--segments", 12)


def fitted(run, segments, *words, samples=40):
    masks = run.artifact("perturb", segments, "--samples", samples, *words)
    return run.artifact("fit-surrogate", run.artifact("predict", masks.id, "--model", "small").id)


def test_without_classes_there_are_three_fills(chain, unlabelled):
    check = chain.facelime.artifact("check", fitted(chain.facelime, unlabelled.id).id)
    assert check.facts["fills"] == [name for name in ALWAYS if name != "nearest-unlike"]
    assert len(check.facts["fills"]) == 3
    assert (check.read("fill_row") == -1).all()
    assert all(len(checked_classes(check, row)) == 1 for row in range(2))


def test_a_fill_of_its_own_is_one_more(chain, faces):
    run, file = chain.facelime, next((faces / "normal").iterdir())
    surrogates = fitted(run, chain["segment"].id, "--fill", f"image:{file}")
    check = run.artifact("check", surrogates.id)
    assert check.facts["fills"] == [*ALWAYS, "image"]
    assert check.facts["own"] == ["image"]
    assert np.array_equal(check.read("fill")[:, -1], surrogates.input("masks").read("fill"))


def test_fills_are_those_of_perturb(chain, explained):
    """A check makes the fills that its explanation lacks as `perturb` does."""
    _, check = explained
    segments = check.input("segments")
    for place, fill in enumerate(check.facts["fills"]):
        masks = chain.facelime.artifact("perturb", segments.id, "--samples", 2, "--fill", fill)
        assert np.array_equal(check.read("fill")[:, place], masks.read("fill")), fill
        if fill == "nearest-unlike":
            assert np.array_equal(check.read("fill_row"), masks.read("fill_row"))


# What is asked once is not asked again


@pytest.fixture
def fresh(chain, tmp_path):
    """A store of its own with data, model, segments and masks, and surrogates that need no predictions."""
    for kind in ("datasets", "models", "segments"):
        shutil.copytree(chain.made_in / kind, tmp_path / "store" / kind)
    return Facelime(tmp_path / "store")


def different(masks):
    """Return the different masks of each picture, as bytes."""
    return [
        {each.tobytes() for each in packed[:n]}
        for packed, n in zip(masks.read("masks"), masks.read("n_samples"), strict=True)
    ]


def test_answers_of_predictions_and_checks_are_reused(fresh, chain):
    segments = chain["segment"].id
    first = fitted(fresh, segments)
    check = fresh.artifact("check", first.id)
    of_check, of_masks = different(check), different(first.input("masks"))
    shared = sum(len(a & b) for a, b in zip(of_check, of_masks, strict=True))
    assert check.facts["taken_over"] == shared > 0
    assert check.facts["evaluations"] == len(ALWAYS) * sum(map(len, of_check)) - shared
    # Another explanation under a fill of the check: `predict` finds single segments there.
    masks = fresh.artifact("perturb", segments, "--fill", "blur", "--samples", 60)
    predictions = fresh.artifact("predict", masks.id, "--model", "small")
    known = sum(len(a & b) for a, b in zip(different(masks), of_check, strict=True))
    assert predictions.facts["taken_over"] == known > 0
    again = fresh.artifact("check", first.id, "--sets", 19)
    assert again.facts["evaluations"] == 0


@pytest.mark.long
def test_reuse_changes_no_bit(fresh, chain, tmp_path):
    alone = Facelime(tmp_path / "alone")
    shutil.copytree(fresh.store, alone.store)
    segments = chain["segment"].id
    # The same explanation, once beside another one under a fill of the check and another check.
    fitted(fresh, segments, "--fill", "blur", samples=60)
    fresh.json("check", fitted(fresh, segments).id, "--regions", "1,2", "--seed", 4)
    found, wanted = (run.artifact("check", fitted(run, segments).id) for run in (fresh, alone))
    assert found.id == wanted.id
    assert found.facts["taken_over"] > wanted.facts["taken_over"]
    assert np.array_equal(found.read("probabilities"), wanted.read("probabilities"), equal_nan=True)
    assert found.content == wanted.content


def test_a_dry_run_counts_what_a_run_computes(fresh, chain):
    surrogates = fitted(fresh, chain["segment"].id)
    said = fresh.json("check", surrogates.id, "--dry-run")
    found = fresh.artifact("check", surrogates.id)
    assert (said["evaluations"], said["taken_over"]) == (found.facts["evaluations"], found.facts["taken_over"])
    assert fresh.json("check", surrogates.id, "--dry-run")["evaluations"] == 0


@pytest.mark.long
def test_the_batch_size_can_be_measured(fresh, chain):
    surrogates = fitted(fresh, chain["segment"].id)
    said = fresh.json("check", surrogates.id, "--batch-size", "auto", "--dry-run")
    found = fresh.artifact("check", surrogates.id, "--batch-size", "auto")
    assert said["evaluations"] > 0
    assert found.read("fill").shape[:2] == (3, len(ALWAYS))
    usual = fresh.artifact("check", surrogates.id, "--seed", 1)
    assert np.array_equal(found.read("fill"), usual.read("fill"))


# Stops, kills and shards


@pytest.fixture(scope="module")
def forty(many):
    """Surrogates of two units."""
    return fitted(many, "parts", samples=30)


@pytest.mark.long
def test_a_crash_and_shards_change_nothing(many, forty, tmp_path, monkeypatch):
    words = ["check", forty.id, "--batch-size", 16]
    copies = [Facelime(tmp_path / name) for name in ("crashed", "sharded")]
    for each in copies:
        shutil.copytree(many.store, each.store)
    crashed, sharded = copies
    whole = many.artifact(*words)
    with breaking(monkeypatch, 5, RuntimeError("the device is gone")):
        assert crashed(*words).exit_code == 1
    resumed = crashed.artifact(*words)
    assert resumed.manifest["units"][0]["facts"]["resumed_at"] == 5 * 16
    assert sharded.json(*words, "--shard", "2/2")["complete"] is False
    parts = sharded.artifact(*words, "--shard", "1/2")
    assert [each.content for each in (resumed, parts)] == [whole.content] * 2
    assert [each.id for each in (resumed, parts)] == [whole.id] * 2


@pytest.mark.long
def test_a_time_budget_stops_it_and_it_resumes(many, forty):
    words = ["check", forty.id, "--seed", 7]
    assert many(*words, "--time-budget", "0s").exit_code == 75
    assert many.json(*words)["complete"] is True


# A model that looks at one place


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    run = Facelime(folder / "store")
    run.json("preprocess", planted_pictures(folder / "pictures"), "--size", SIDE, "--name", "noise")
    model = planted_model(folder / "square.keras")
    run.json("import-model", model, "--classes", "dark,bright", "--scaling", "0..1", "--name", "square")
    words = ["--split", "test", "--method", "grid", "--segments", CELLS**2, "--name", "cells"]
    assert set(run.artifact("segment", "noise", *words).read("n_segments").tolist()) == {CELLS**2}
    return run


def bright(check):
    """Return the rows of bright pictures, and their class."""
    assert check.facts["classes"] == ["dark", "bright"]
    return [(row, 1) for row, name in enumerate(check.texts("id")) if name.startswith("bright")]


def test_what_the_model_looks_at_is_strong(planted):
    masks = planted.artifact("perturb", "cells", "--samples", 150)
    surrogates = planted.artifact("fit-surrogate", planted.artifact("predict", masks.id, "--model", "square").id)
    check = planted.artifact("check", surrogates.id)
    assert len(bright(check)) > 0
    for row, c in bright(check):
        assert check.read("verdict")[row, c] == "strong"
        assert check.read("regions")[row, c, 0] == PLANTED
        assert np.allclose(check.read("p_value")[row, c, 0], 1 / CELLS**2)
        assert (check.read("effect")[row, c, :, 0] > 3).all()


@pytest.mark.parametrize(("cell", "word"), [(PLANTED, "strong"), (3, "not confirmed")])
def test_maps_that_point_there_are_confirmed_and_others_are_not(planted, tmp_path, cell, word):
    segments = planted.artifact("segment", "noise", "--split", "test", "--method", "grid", "--segments", CELLS**2)
    small = np.linspace(0, 5, CELLS**2).astype(np.uint8)
    small[PLANTED] = 0
    small[cell] = 255
    values = np.kron(small.reshape(CELLS, CELLS), np.ones((10, 10), np.uint8))
    for name in segments.texts("id"):
        save_picture(tmp_path / f"{name}.png", values)
    check = planted.artifact("check", segments.id, "--model", "square", "--maps", tmp_path)
    for row, c in bright(check):
        assert check.read("verdict")[row, c] == word
        assert check.read("regions")[row, c, 0] == cell


# What is refused


@pytest.mark.parametrize("text", ["0", "x", "1,", "21", "-1", "1.5"])
def test_no_numbers_of_regions(chain, text):
    said = chain.facelime.fails("check", chain.reference("fit-surrogate"), f"--regions={text}", code=2)
    assert f"--regions {text!r} should be whole numbers from 1 to 20" in said


def test_what_is_no_explanation(chain):
    run = chain.facelime
    assert "is no explanation" in run.fails("check", chain.reference("segment"), code=2)
    assert "is no explanation" in run.fails("check", chain.reference("predict"), code=2)
    assert "of kind checks" in run.fails("check", chain.reference("check"))
    assert "SURROGATES is empty" in run.fails("check", "", code=2)


def test_classes_that_there_are_not(chain):
    run, reference = chain.facelime, chain.reference("fit-surrogate")
    assert "no class 'nobody'" in run.fails("check", reference, "--check-classes", "nobody")
    assert "no class '5'" in run.fails("check", reference, "--check-classes", "5")
    # A Grad-CAM explains the most probable class alone.
    answers = chain["gradcam"].read("probabilities")
    lost = int(np.bincount(answers.argmax(axis=1), minlength=2).argmin())
    if not (answers.argmax(axis=1) == lost).any():
        said = run.fails("check", chain.reference("gradcam"), "--check-classes", str(lost))
        assert "explains none of these classes" in said


def test_a_model_and_maps_that_do_not_fit(chain, tmp_path):
    run = chain.facelime
    said = run.fails("check", chain.reference("fit-surrogate"), "--model", "small", code=2)
    assert "--model belongs to --maps" in said
    assert "name it with --model" in run.fails("check", chain["segment"].id, "--maps", chain.maps)
    assert "no folder" in run.fails("check", chain.reference("fit-surrogate"), "--maps", tmp_path / "none")
    assert "have no map" in run.fails("check", chain.reference("fit-surrogate"), "--maps", tmp_path)
    said = run.fails("check", chain.reference("fit-surrogate"), "--maps", chain.maps, "--dry-run", code=2)
    assert "import-maps" in said


def test_an_unfinished_explanation(many, forty):
    part = many.json("fit-surrogate", forty.input("predictions").id, "--kernel-width", 0.7, "--shard", "1/2")
    assert part["complete"] is False
    said = many.fails("check", f"surrogates/{part['artifact']}")
    assert "not complete" in said or "unfinished" in said


def test_a_picture_is_drawn_of_a_check(chain, tmp_path):
    chain.facelime.json("show", chain.reference("check"), "--png", tmp_path / "look.png")
    assert Image.open(tmp_path / "look.png").size[0] > 100
