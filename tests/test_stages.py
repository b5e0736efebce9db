"""One suite over every stage and command: help, JSON, restart, names, arrays as a notebook sees them."""

import stat
from pathlib import Path

import pytest
import xarray

from facelime_cli.stages import INDEX
from tests.support import CHAIN, words_of

WITH_ARRAYS = [name for name in CHAIN if name not in {"describe", "finetune", "compare"}]


@pytest.mark.parametrize("command", [each.name for each in INDEX])
def test_help_names_every_option(facelime, command):
    result = facelime(*command.split(), "--help")
    assert result.exit_code == 0
    for option in ("--store", "--json", "--quiet", "--debug"):
        assert option in result.stdout


@pytest.mark.parametrize("stage", CHAIN)
def test_json_answer(stage, chain, faces):
    answer = chain.facelime.json(*words_of(stage, chain, faces))
    assert answer["artifact"] == chain[stage].id
    assert Path(answer["path"]) == chain[stage].path
    assert answer["reused"] is True
    assert answer["complete"] is True
    assert answer["seconds"] >= 0


@pytest.mark.parametrize("stage", CHAIN)
def test_same_command_prints_the_same_reference_in_one_line(stage, chain, faces):
    result = chain.facelime(*words_of(stage, chain, faces))
    assert result.exit_code == 0
    assert result.stdout == chain[stage].id + "\n"


@pytest.mark.parametrize("stage", CHAIN)
def test_another_name_is_the_same_artifact_with_one_more_name(stage, chain, faces):
    answer = chain.facelime.json(*words_of(stage, chain, faces), "--name", f"also-{stage}")
    assert answer["artifact"] == chain[stage].id
    assert f"also-{stage}" in chain[stage].names
    assert chain.facelime.json("show", f"also-{stage}")["artifact"] == chain[stage].id


@pytest.mark.parametrize("stage", WITH_ARRAYS)
def test_xarray_opens_the_arrays_with_named_dimensions(stage, chain):
    opened = xarray.open_zarr(chain[stage].path / "arrays.zarr", consolidated=False)
    n = chain[stage].n
    for name, spec in chain[stage].layout["arrays"].items():
        assert list(opened[name].dims) == spec["dimensions"]
        assert opened[name].dims[0] == "picture"
        assert opened[name].shape[0] == n
        assert opened[name].load().shape == tuple(spec["shape"])


@pytest.mark.parametrize("stage", CHAIN)
def test_an_artifact_holds_its_parameters_lineage_and_digests(stage, chain):
    manifest = chain[stage].manifest
    for key in (
        "schema",
        "stage",
        "stage_version",
        "parameters",
        "inputs",
        "arrays",
        "files",
        "software",
        "hardware",
        "seconds",
        "content",
        "digest",
    ):
        assert key in manifest
    assert manifest["stage"] == stage
    assert all(len(spec["digest"]) == 64 for spec in manifest["arrays"].values())
    assert manifest["arrays"] or manifest["files"]


def test_folders_are_private(start, tmp_path, faces):
    done = start("preprocess", faces / "normal", "--size", 16, store=tmp_path / "private")
    assert done.returncode == 0, done.stderr
    for folder in [tmp_path / "private", *(path for path in (tmp_path / "private").rglob("*") if path.is_dir())]:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("stage", CHAIN)
def test_no_path_of_this_machine_is_in_an_artifact(stage, chain, faces):
    for path in chain[stage].path.rglob("*"):
        if path.suffix in {".json", ".jsonl", ".html", ".csv", ".svg"}:
            text = path.read_text(encoding="utf-8")
            assert str(faces) not in text
            assert str(chain.made_in) not in text
