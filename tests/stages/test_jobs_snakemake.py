"""`jobs snakemake`: what it writes, how it divides the steps, and that it replaces nothing unasked."""

import shutil

import pytest

WORDS = ("jobs", "snakemake", "--dataset", "faces", "--split", "test", "--method", "slic", "--samples", 20, "--seed", 3)


@pytest.fixture
def write(chain, tmp_path):
    def run(*words, to=tmp_path / "jobs", models=("--model", "small")):
        return chain.facelime.json(*WORDS, *models, "--to", to, *words)

    return run


def files_of(folder):
    return {str(each.relative_to(folder)): each.read_text() for each in folder.rglob("*") if each.is_file()}


def test_the_same_options_write_the_same_files_and_change_nothing(write, tmp_path):
    answer = write()
    before = {name: (tmp_path / "jobs" / name).stat().st_mtime_ns for name in answer["files"]}
    assert sorted(before) == ["Snakefile", "profiles/local/config.yaml", "profiles/slurm/config.yaml"]
    assert write() == answer
    assert {name: (tmp_path / "jobs" / name).stat().st_mtime_ns for name in answer["files"]} == before
    write(to=tmp_path / "other")
    assert files_of(tmp_path / "jobs") == files_of(tmp_path / "other")


def test_what_was_changed_by_hand_is_replaced_only_with_force(write, chain, tmp_path):
    answer = write()
    profile = tmp_path / "jobs" / "profiles" / "slurm" / "config.yaml"
    profile.write_text("jobs: 3\n")
    shutil.rmtree(tmp_path / "jobs" / "profiles" / "local")
    said = chain.facelime.fails(*WORDS, "--model", "small", "--to", tmp_path / "jobs")
    assert f"{profile} holds something else" in said
    assert profile.read_text() == "jobs: 3\n"
    # Nothing else was written either.
    assert not (tmp_path / "jobs" / "profiles" / "local").exists()
    assert write("--force") == answer
    assert "executor: slurm" in profile.read_text()


def test_a_step_has_no_more_shards_than_units(write, chain, tmp_path):
    few = write("--shards", 64, "--unit", 1, "--first", 3)
    counts = {each["name"]: each["shards"] for each in few["steps"]}
    assert counts["predict-small"] == counts["check-small"] == max(counts.values()) == 3
    said = chain.facelime(*WORDS, "--model", "small", "--shards", 64, "--to", tmp_path / "one")
    assert "64 shards were asked for, and no step has more than 1" in said.stderr
    assert "--lay-out" not in (tmp_path / "one" / "Snakefile").read_text()


def test_several_models_share_segments_and_masks(write, chain, tmp_path):
    run = chain.facelime
    run.artifact("finetune", "faces", "--backbone", "cnn-small", "--epochs", 1, "--seed", 9, "--name", "second")
    made = write(models=("--models", "small,second"))
    assert [each["makes"].partition("/")[0] for each in made["steps"]].count("masks") == 1
    assert [each["makes"].partition("/")[0] for each in made["steps"]].count("reports") == 2
    text = (tmp_path / "jobs" / "Snakefile").read_text()
    assert text.count('    input:\n        "done/perturb",\n') == 2


def test_slurm_gets_what_was_asked_for(write, tmp_path):
    asked = ("--partition", "gpu-a100", "--account", "lab", "--gres", "gpu:2", "--time", "1-02:00:30", "--memory", "8G")
    write(*asked)
    text = (tmp_path / "jobs" / "profiles" / "slurm" / "config.yaml").read_text()
    for line in ("runtime: 1561", "mem_mb: 8192", """slurm_partition: "'gpu-a100'\"""", """slurm_account: "'lab'\""""):
        assert f"\n  {line}\n" in text
    assert """  predict_small:\n    gres: "'gpu:2'"\n""" in text
    assert "perturb" not in text
