"""`import-maps`: maps from elsewhere, pooled on segments."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from facelime_cli.core.label_files import saliency
from facelime_cli.core.verdict import NO_ORDER


def test_a_coefficient_is_the_share_of_the_map_on_a_segment(chain):
    maps, segments = chain["import-maps"], chain["segment"]
    assert maps.spec("coefficients").measure == "share"
    for row, (name, n) in enumerate(zip(maps.texts("id"), segments.read("n_segments"), strict=True)):
        values, labels = saliency(chain.maps / f"{name}.png"), segments.read("segments")[row]
        wanted = [values[labels == k].sum() / values.sum() for k in range(n)]
        c = int(maps.read("probabilities")[row].argmax())
        assert np.allclose(maps.read("coefficients")[row, c, :n], wanted)
        assert np.isnan(maps.read("coefficients")[row, 1 - c]).all()
        assert maps.read("verdict")[row].tolist() == ["not checked" if k == c else "" for k in range(2)]


def test_answers_are_those_of_the_model(chain):
    answers = chain["predict"].read("probabilities")[:, 0]
    assert np.abs(chain["import-maps"].read("probabilities") - answers).max() < 1e-5


def test_segments_and_surrogates_give_the_same(chain):
    again = chain.facelime.json("import-maps", chain.reference("fit-surrogate"), "--maps", chain.maps)
    assert (again["artifact"], again["reused"]) == (chain["import-maps"].id, True)


def test_other_files_are_other_maps(chain, tmp_path):
    shutil.copytree(chain.maps, tmp_path / "maps")
    changed = tmp_path / "maps" / f"{chain['segment'].texts('id')[0]}.png"
    changed.unlink()
    np.save(changed.with_suffix(".npy"), -np.eye(6))
    other = chain.facelime.artifact("import-maps", chain.reference("fit-surrogate"), "--maps", tmp_path / "maps")
    assert other.id != chain["import-maps"].id
    c = int(other.read("probabilities")[0].argmax())
    n = int(chain["segment"].read("n_segments")[0])
    found = other.read("coefficients")[0, c, :n]
    assert (found <= 0).all()
    assert found.sum() == pytest.approx(-1)
    assert np.array_equal(other.read("coefficients")[1:], chain["import-maps"].read("coefficients")[1:], equal_nan=True)


def test_a_map_of_one_cell_lies_on_every_pixel_alike(chain, tmp_path):
    for name in chain["segment"].texts("id"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.save(tmp_path / f"{name}.npy", np.ones((1, 1)))
    found = chain.facelime.artifact("import-maps", chain.reference("fit-surrogate"), "--maps", tmp_path)
    labels = chain["segment"].read("segments")[0]
    c = int(found.read("probabilities")[0].argmax())
    shares = np.bincount(labels.ravel()) / labels.size
    assert np.allclose(found.read("coefficients")[0, c, : len(shares)], shares)


def test_what_is_refused(chain, tmp_path):
    run, names = chain.facelime, chain["segment"].texts("id")
    before = len(run.json("status")["artifacts"])
    words = ["import-maps", chain["segment"].id, "--model", "small", "--maps"]
    assert "no folder" in run.fails(*words, tmp_path / "none")
    assert f"3 of 3 pictures have no map in {tmp_path}" in run.fails(*words, tmp_path)
    shutil.copytree(chain.maps, tmp_path / "maps")
    first = tmp_path / "maps" / f"{names[0]}.png"
    np.save(first.with_suffix(".npy"), np.ones((2, 2)))
    assert "maps of one picture; leave one of them" in run.fails(*words, tmp_path / "maps")
    first.unlink()
    np.save(first.with_suffix(".npy"), np.full((2, 2), np.nan))
    said = run.fails(*words, tmp_path / "maps")
    assert names[0] in said
    assert "not one finite number per cell" in said
    first.with_suffix(".npy").unlink()
    os.mkfifo(first)
    assert "1 of 3 pictures have no map" in run.fails(*words, tmp_path / "maps")
    first.unlink()
    Image.new("1", (20_000, 10_000)).save(first)
    assert "more than 178,956,970 pixels" in run.fails(*words, tmp_path / "maps")
    assert "--maps is empty" in run.fails(*words, "", code=2)
    for size in (0, 10**9):
        assert run(*words, chain.maps, "--batch-size", size).exit_code == 2
    assert "name it with --model" in run.fails(words[0], words[1], "--maps", chain.maps)
    assert "has its own; leave it out" in run.fails(*words, chain.maps, "--split", "test", code=2)
    assert len(run.json("status")["artifacts"]) == before


def test_a_map_without_an_order_has_nothing_to_check(chain, tmp_path):
    for picture in chain["segment"].texts("id"):
        path = tmp_path / f"{picture}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.zeros((4, 4)))
    check = chain.facelime.artifact("check", chain["segment"].id, "--model", "small", "--maps", tmp_path)
    assert set(check.read("verdict").ravel().tolist()) == {"", NO_ORDER}
    assert np.isnan(check.read("effect")).all()
