"""An artifact handed over as one HDF5 file."""

import json

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
