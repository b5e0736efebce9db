"""`consensus`: which views it joins, what it makes of them, and who reads the result."""

import csv

import h5py
import numpy as np
import pytest
import xarray
from PIL import Image

from facelime_cli.core import consensus
from facelime_cli.core.consensus import View
from tests.support import save_picture


def view_of(run, segments, *words, samples=60, fit=()):
    masks = run.artifact("perturb", segments, "--samples", samples, *words)
    predictions = run.artifact("predict", masks.id, "--model", "small", "--batch-size", 16)
    return run.artifact("fit-surrogate", predictions.id, *fit)


@pytest.fixture(scope="module")
def coarse(chain):
    words = ["--split", "test", "--first", 3, "--method", "slic", "--segments", 5]
    return chain.facelime.artifact("segment", "faces", *words)


@pytest.fixture(scope="module")
def views(chain, coarse):
    """The chain's own, one of a coarser scale and another donor, and two of painted fills."""
    run, medium = chain.facelime, chain["segment"].id
    return [
        chain["fit-surrogate"],
        view_of(run, coarse.id, "--donor", 2),
        view_of(run, medium, "--fill", "blur"),
        view_of(run, medium, "--fill", "inpaint"),
    ]


@pytest.fixture(scope="module")
def joined(chain, views):
    return chain.facelime.artifact("consensus", *(each.id for each in views), "--carrier", chain["segment"].id)


def expected(views, carrier, row):
    """Return what `core.consensus` makes of the stored arrays of a picture."""
    every = []
    for each in views:
        segments = each.input("segments")
        n = int(segments.read("n_segments")[row])
        coefficients = each.read("coefficients")[row, :, :n].swapaxes(0, 1)
        interval = each.read("interval")[row, :, :n].swapaxes(0, 1)
        every.append(View(segments.read("segments")[row], coefficients, interval))
    return every, consensus.join(every, carrier.read("segments")[row])


def test_mean_interval_and_votes_are_those_of_the_stored_views(joined, views, chain):
    carrier = chain["segment"]
    assert joined.input("segments").id == carrier.id
    for row, n in enumerate(carrier.read("n_segments")):
        _, wanted = expected(views, carrier, row)
        for name in ("coefficients", "interval", "p_sign", "votes", "agreement"):
            found = joined.read(name)[row]
            assert np.array_equal(found[:, :n], getattr(wanted, name).swapaxes(0, 1)), name
            assert np.isnan(found[:, n:]).all() if name != "votes" else not found[:, n:].any()


def test_the_first_segment_by_fill_is_on_the_carrier(joined, views, chain):
    carrier, fills = chain["segment"], ["nearest-unlike", "nearest-unlike", "blur", "inpaint"]
    assert joined.facts["fills"] == ["nearest-unlike", "blur", "inpaint"]
    for row in range(carrier.n):
        every, _ = expected(views, carrier, row)
        wanted = consensus.first_by_fill(every, fills, carrier.read("segments")[row])
        assert np.array_equal(joined.read("first")[row], np.stack(list(wanted.values()), axis=-1))


def test_every_view_counts_in_the_mean(joined, views, chain):
    fewer = chain.facelime.artifact("consensus", *(each.id for each in views[:3]), "--carrier", chain["segment"].id)
    assert not np.array_equal(fewer.read("coefficients"), joined.read("coefficients"), equal_nan=True)
    assert fewer.facts["fills"] == ["nearest-unlike", "blur"]


def test_figures_are_those_of_the_views(joined, views):
    for name in ("intercept", "local_prediction", "r2", "rmse"):
        mean = np.mean([each.read(name) for each in views], axis=0)
        assert np.allclose(joined.read(name), mean, equal_nan=True)
    assert np.allclose(joined.read("effective_samples"), sum(each.read("effective_samples") for each in views))
    answers = views[0].input("predictions").read("probabilities")[:, 0]
    assert np.array_equal(joined.read("probabilities"), answers)


def test_the_carrier_is_the_view_of_medium_scale_unless_another_one_is_named(views, coarse, chain):
    run, ids = chain.facelime, [each.id for each in views]
    words = ["--split", "test", "--first", 3, "--method", "slic", "--segments", 30]
    fine = view_of(run, run.artifact("segment", "faces", *words).id)
    found = run.artifact("consensus", fine.id, *ids)
    assert found.input("segments").id == chain["segment"].id
    named = run.artifact("consensus", fine.id, *ids, "--carrier", coarse.id)
    assert named.input("segments").id == coarse.id
    assert named.shape("coefficients")[2] == coarse.read("n_segments").max()


def test_a_notebook_opens_it(joined):
    opened = xarray.open_zarr(joined.path / "arrays.zarr", consolidated=False)
    assert opened["votes"].dims == ("picture", "class", "segment")
    assert opened["votes"].dtype == np.int16
    assert opened["agreement"].dtype == np.float32
    assert opened["first"].dims == ("picture", "class", "fill")


# What is no view of the same pictures and model


def refused(chain, *words, code=1):
    before = sorted(path.name for path in (chain.facelime.store / "surrogates").iterdir())
    said = chain.facelime.fails("consensus", *words, code=code)
    assert sorted(path.name for path in (chain.facelime.store / "surrogates").iterdir()) == before
    return said


def test_one_view_and_the_same_view_twice(chain):
    one = chain["fit-surrogate"].id
    assert "two different views" in refused(chain, f"surrogates/{one}", code=2)
    assert "two different views" in refused(chain, f"surrogates/{one}", f"surrogates/{one}", code=2)


@pytest.mark.parametrize("stage", ["gradcam", "occlusion", "contrast", "import-maps", "consensus"])
def test_other_methods_are_no_views(chain, stage):
    said = refused(chain, chain.reference("fit-surrogate"), chain.reference(stage))
    assert f"was made by `{stage}` and is no view" in said


@pytest.mark.parametrize("stage", ["check", "predict", "segment"])
def test_other_kinds_are_no_views(chain, stage):
    said = refused(chain, chain.reference("fit-surrogate"), chain.reference(stage))
    assert "this command reads surrogates" in said


def test_views_of_other_pictures(chain):
    run = chain.facelime
    others = run.artifact("segment", "faces", "--split", "test", "--first", 2, "--method", "grid", "--segments", 6)
    said = refused(chain, chain.reference("fit-surrogate"), view_of(run, others.id).reference)
    assert "explains other pictures or another model" in said


def test_views_of_the_same_names_in_another_dataset(chain, faces, tmp_path):
    run, ids = chain.facelime, chain["segment"].texts("id")
    for name in ids:
        save_picture(tmp_path / f"{name}.png", 255 - np.asarray(Image.open(faces / f"{name}.png")))
    data = run.artifact("preprocess", tmp_path, "--size", 48, "--workers", 1)
    segments = run.artifact("segment", data.id, "--method", "grid", "--segments", 6)
    assert segments.texts("id") == ids
    said = refused(chain, chain.reference("fit-surrogate"), view_of(run, segments.id).reference)
    assert "explains other pictures or another model" in said


@pytest.mark.long
def test_views_of_another_model(chain):
    run = chain.facelime
    run.json("finetune", "faces", "--backbone", "ann", "--epochs", 1, "--name", "someone")
    predictions = run.artifact("predict", chain["perturb"].id, "--model", "someone")
    said = refused(chain, chain.reference("fit-surrogate"), run.artifact("fit-surrogate", predictions.id).reference)
    assert "explains other pictures or another model" in said


def test_a_carrier_that_no_view_has(chain, views):
    run, ids = chain.facelime, [each.reference for each in views]
    other = run.artifact("segment", "faces", "--split", "test", "--first", 3, "--method", "grid", "--segments", 6)
    assert "no view has these segments" in refused(chain, *ids, "--carrier", other.id)
    assert "nothing called 'none'" in refused(chain, *ids, "--carrier", "none")
    assert "reads segments" in refused(chain, *ids, "--carrier", chain.reference("perturb"))


def test_an_unfinished_view(many):
    whole = view_of(many, "parts", samples=30)
    predictions = whole.input("predictions").id
    part = many.json("fit-surrogate", predictions, "--kernel-width", 0.6, "--shard", "1/2")
    assert part["complete"] is False
    said = many.fails("consensus", whole.reference, f"surrogates/{part['artifact']}")
    assert "not complete" in said or "unfinished" in said


# Who reads it


@pytest.mark.long
def test_shards_make_the_same(many):
    views = [view_of(many, "parts", "--seed", seed, samples=30).reference for seed in (31, 32)]
    assert many.json("consensus", *views, "--missing", 2)["missing"] == [1, 2]
    assert many.json("consensus", *views, "--shard", "2/2")["complete"] is False
    sharded = many.artifact("consensus", *views, "--shard", "1/2")
    whole = many.artifact("consensus", *views, "--stable-top", 4)
    assert sharded.n_units == 2
    assert np.array_equal(sharded.read("coefficients"), whole.read("coefficients"), equal_nan=True)
    assert many.json("verify", sharded.reference)["faults"] == []


def test_a_report_shows_votes(joined, chain):
    report = chain.facelime.artifact("render", joined.reference)
    page = (report.path / "index.html").read_text(encoding="utf-8")
    assert "consensus of 4 views" in page
    assert report.input("surrogates").id == joined.id


def test_show_json_names_every_region(joined, chain):
    pictures = chain.facelime.json("show", joined.reference)["pictures"]
    counts = dict(zip(joined.texts("id"), chain["segment"].read("n_segments").tolist(), strict=True))
    assert {each["id"] for each in pictures} == set(counts)
    names = joined.facts["classes"]
    for each in pictures:
        row, c = joined.texts("id").index(each["id"]), names.index(each["class"])
        assert each["verdict"] == joined.read("verdict")[row, c]
        assert each["segments"] == chain.reference("segment")
        assert sorted(region["segment"] for region in each["regions"]) == list(range(counts[each["id"]]))
        for region in each["regions"]:
            k = region["segment"]
            rows, columns = np.nonzero(chain["segment"].read("segments")[row] == k)
            assert region["box"] == [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
            assert region["votes"] == joined.read("votes")[row, c, k]
            assert region["points"] == pytest.approx(100 * joined.read("coefficients")[row, c, k], abs=0.01)


def test_export_to_csv_and_hdf5(joined, chain, tmp_path):
    run = chain.facelime
    run.json("export", joined.reference, "--to", tmp_path / "out.csv")
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    assert len(rows) == 2 * int(chain["segment"].read("n_segments").sum())
    run.json("export", joined.reference, "--to", tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        assert np.array_equal(file["votes"][:], joined.read("votes"))
        assert np.array_equal(file["coefficients"][:], joined.read("coefficients"), equal_nan=True)


def test_it_is_verified(joined, chain):
    assert chain.facelime.json("verify", joined.reference)["faults"] == []


@pytest.mark.long
def test_it_is_compared_with_its_views(joined, views, chain):
    report = chain.facelime.artifact("compare", joined.reference, views[0].reference, "--top", 3)
    assert len(report.facts["compared"]) == 2
    varied = chain.facelime.artifact("sensitivity", joined.reference, "--top", 3)
    inputs = {each["id"] for each in varied.inputs.values()}
    assert inputs == {joined.id, *(each.id for each in views)}


@pytest.mark.long  # every view is made again
def test_stability_makes_every_view_again(joined, views, chain):
    report = chain.facelime.artifact("stability", joined.reference, "--repeats", 1, "--top", 3)
    other = next(each for each in report.parents() if each.id != joined.id)
    assert other.stage == "consensus"
    assert [each["fill"] for each in other.facts["views"]] == [each["fill"] for each in joined.facts["views"]]
    assert [each["donor"] for each in other.facts["views"]] == [1, 2, 1, 1]
    assert {each["surrogates"] for each in other.facts["views"]} & {each.reference for each in views} == set()


def test_a_contrast_is_fitted_to_one_view(joined, views, chain):
    said = chain.facelime.fails("contrast", joined.reference, "--class", "rosacea", "--versus", "normal")
    assert "join 4 views" in said
    assert views[0].reference in said


def test_another_order_of_views_says_the_same(joined, views, chain):
    words = [each.id for each in reversed(views)]
    other = chain.facelime.artifact("consensus", *words, "--carrier", chain["segment"].id)
    assert np.allclose(other.read("coefficients"), joined.read("coefficients"), equal_nan=True)
    assert np.array_equal(other.read("votes"), joined.read("votes"))
