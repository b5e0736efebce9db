"""An artifact handed over as one HDF5 file."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest


@pytest.mark.parametrize(
    "stage", ["preprocess", "finetune", "segment", "perturb", "predict", "fit-surrogate", "render"]
)
def test_every_kind_exports_to_hdf5(chain, tmp_path, stage):
    everything = ("--with-groups", "--with-table", "--with-stand-ins")
    chain.facelime.json("export", chain.reference(stage), "--to", tmp_path / "out.h5", *everything)
    with h5py.File(tmp_path / "out.h5") as out:
        for name in chain[stage].arrays:
            stored = chain[stage].read(name)
            spec = chain[stage].spec(name)
            assert out[name].attrs["unit"] == spec.measure
            if spec.dtype == "string":
                assert np.array_equal(out[name].asstr()[:], stored.astype(object))
            else:
                assert np.array_equal(out[name][:], stored, equal_nan=True)


def test_hdf5_is_self_describing(chain, tmp_path):
    artifact = chain["predict"]
    chain.facelime.json("export", chain.reference("predict"), "--to", tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as out:
        assert np.array_equal(out["probabilities"][:], artifact.read("probabilities"), equal_nan=True)
        assert [each.label for each in out["probabilities"].dims] == ["picture", "sample", "class"]
        assert out["probabilities"].dims[1][0].shape == (90,)
        assert [text.decode() for text in out["id"][:]] == artifact.texts("id")
        assert json.loads(out["manifest"][()])["content"] == artifact.content
        kinds = {each["stage"] for each in json.loads(out["lineage"][()])}
        assert kinds == {"preprocess", "finetune", "segment", "perturb"}


def test_a_model_exports_too(chain, tmp_path):
    chain.facelime.json("export", "models/small", "--to", tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as out:
        assert bytes(out["files/model.keras"][:]) == (chain["finetune"].path / "model.keras").read_bytes()


DOCS = Path(__file__).parents[2] / "docs" / "store.md"


def reader(language):
    """Return the reader in the document, which is short enough to be read."""
    section = DOCS.read_text(encoding="utf-8").partition("## Read an exported file")[2]
    found = re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)[1]
    assert len(found.strip().splitlines()) <= 16
    return found


def handed_over(chain, folder, stage="fit-surrogate"):
    """Export into an empty folder, and return what a reader of it should print."""
    chain.facelime.json("export", chain.reference(stage), "--to", folder / "run.h5")
    artifact = chain["fit-surrogate"]
    count = int(chain["segment"].read("n_segments")[0])
    coefficients = artifact.read("coefficients")[0, 0, :count]
    strongest = int(np.abs(coefficients).argmax())
    known = (artifact.texts("id")[0], artifact.facts["classes"][0], strongest, f"{coefficients[strongest]:.6f}")
    return " ".join(map(str, (*known, "probability", chain["finetune"].content)))


def printed(words, folder):
    done = subprocess.run(words, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_stranger_reads_the_file_in_python(chain, tmp_path):
    wanted = handed_over(chain, tmp_path)
    (tmp_path / "read.py").write_text(reader("python") + "np.save('map.npy', map)\nnp.save('image.npy', image)\n")
    assert printed([sys.executable, "read.py"], tmp_path) == wanted
    segments = chain["segment"].read("segments", slice(0, 1))[0]
    coefficients = chain["fit-surrogate"].read("coefficients")[0, 0]
    assert np.array_equal(np.load(tmp_path / "map.npy"), coefficients[segments])
    row = int(chain["fit-surrogate"].read("row")[0])
    assert np.array_equal(np.load(tmp_path / "image.npy"), chain["preprocess"].read("images")[row])


def test_a_stranger_reads_the_file_in_r(chain, tmp_path):
    rscript = shutil.which("Rscript")
    asked = [rscript, "-e", 'quit(status = !requireNamespace("hdf5r", quietly = TRUE))']
    if rscript is None or subprocess.run(asked, capture_output=True, check=False).returncode:
        pytest.skip("R with the package hdf5r is not installed")
    wanted = handed_over(chain, tmp_path)
    (tmp_path / "read.R").write_text(reader("r"))
    assert printed([rscript, "read.R"], tmp_path) == wanted


@pytest.mark.parametrize("stage", ["fit-surrogate", "consensus", "check", "gradcam", "contrast", "import-maps"])
def test_explanations_go_out_with_what_they_are_about(chain, tmp_path, stage):
    chosen = chain[stage].texts("id")[::-1][:2]
    words = [word for name in chosen for word in ("--picture", name)]
    chain.facelime.json("export", chain.reference(stage), "--to", tmp_path / "run.h5", *words)
    with h5py.File(tmp_path / "run.h5") as run:
        assert run["id"].asstr()[:].tolist() == chosen
        surrogates = chain["fit-surrogate"] if stage == "check" else chain[stage]
        assert run["classes"].asstr()[:].tolist() == surrogates.facts["classes"]
        assert run.attrs["model_digest"] == chain["finetune"].content
        assert [each.label for each in run["segments"].dims] == ["picture", "y", "x"]
        segmentation, dataset = surrogates.input("segments"), chain["preprocess"]
        for place, name in enumerate(chosen):
            row = surrogates.texts("id").index(name)
            assert np.array_equal(run["segments"][place], segmentation.read("segments")[row])
            in_dataset = int(surrogates.read("row")[row])
            assert np.array_equal(run["images"][place], dataset.read("images")[in_dataset])
            assert run["original"][place].tolist() == [48, 48, 0, 0, 48, 48]
    fills = {"fit-surrogate": "nearest-unlike", "consensus": "nearest-unlike, blur", "gradcam": ""}
    with h5py.File(tmp_path / "run.h5") as run:
        assert run.attrs["fills"] == fills.get(stage, run.attrs["fills"])
        assert (run.attrs["compared_with"] == "") == (run.attrs["fills"] == "")
