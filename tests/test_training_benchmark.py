"""`benchmarks/training.py`: its tables, its parts, and what it keeps."""

import json
import os
import subprocess
import sys
from argparse import Namespace
from dataclasses import fields
from pathlib import Path

import pytest

from benchmarks.training import FIGURES, NUMBERS, OFF, Bench, Watch, ablated, not_worse, pooled
from facelime_cli.training.recipes import PARTS, Parts

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "training.py"


def row(contender, fold, accuracy, log_loss, part=None):
    figures = dict.fromkeys(FIGURES, 0.5) | {"accuracy": accuracy, "log_loss": log_loss, "ece_after": None}
    return {"data": "skin", "contender": contender, "fold": fold, "part": part, **figures}


def test_every_part_of_the_recipe_is_a_number_or_can_be_switched_off():
    assert {*OFF, *NUMBERS} == {each.name for each in fields(Parts)}
    documented = (Parts.__doc__ or "").split("Attributes")[1]
    for name, off in OFF.items():
        assert getattr(PARTS, name) != off
        assert "Off:" in documented.split(f"    {name} :")[1].split(" : ")[0]


def test_the_recipe_is_compared_with_the_probe_fold_by_fold():
    rows = [row("probe", fold, 0.8, 0.3) for fold in range(3)]
    rows += [row("auto", 0, 0.9, 0.2), row("auto", 1, 0.8, 0.4), row("auto", 2, 0.7, 0.3)]
    probe, auto = rows[:3], rows[3:]
    assert not_worse(auto, probe, "accuracy") == "2 of 3"
    assert not_worse(auto, probe, "log_loss") == "2 of 3"
    lines = pooled(rows).splitlines()
    assert "| skin, 7 classes | all: 0, 1, 2 | auto | 0.800 | 0.500 | 0.500 | 0.3000 | 0.500 | – |" in lines[3]
    assert lines[3].endswith("| 2 of 3 | 3 of 3 | 2 of 3 |")
    # Folds that numbers were chosen on are apart from the others.
    assert [line.split(" | ")[1] for line in lines[2:]] == [
        *["all: 0, 1, 2"] * 2,
        *["that chose: 0, 1"] * 2,
        *["others: 2"] * 2,
    ]


def test_a_part_is_worth_what_is_lost_without_it():
    rows = [row("auto", fold, 0.9, 0.2) for fold in range(2)]
    rows += [row("auto", 0, 0.8, 0.4, "averaging"), row("auto", 1, 0.9, 0.1, "averaging")]
    assert ablated(rows).splitlines()[3].endswith("| +0.0500 | -0.050 | 1 of 2 |")


def test_other_parts_count_in_a_process_of_their_own():
    code = (
        "from benchmarks.training import with_other_parts\n"
        "try: with_other_parts({'epochs': 3, 'dropout': []}, ['--version'])\n"
        "except SystemExit: pass\n"
        "from facelime_cli.training import settings, wanted\n"
        "print(wanted.PARTS.dropout, settings.PARTS.epochs)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "() 3"
    assert PARTS.epochs != 3


def test_a_file_with_other_bytes_is_noticed(tmp_path):
    scratch = tmp_path / "models" / "a" / "begun"
    scratch.mkdir(parents=True)
    watch = Watch(tmp_path)
    file = scratch / "features-train-00000000.npy"
    for text in ("one", "one", "two"):
        beside = scratch / "beside"
        beside.write_text(text)
        beside.replace(file)
        watch._note(file)
        assert watch.changed == ([] if text == "one" else [file.name])


@pytest.mark.long
def test_what_is_done_is_not_done_again(tmp_path, data):
    given = ["--store", str(tmp_path), "--data", "skin", "--folds", "0", "--contenders", "probe"]
    command = [sys.executable, SCRIPT, *given, "--pictures", str(data)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    first = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    second = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert second.stdout == first.stdout
    [line] = (tmp_path / "training.jsonl").read_text().splitlines()
    assert json.loads(line)["ece_after"] is not None
    log = (tmp_path / "log.txt").read_text()
    assert log.count("$ facelime finetune") == 1
    # The model is found again, too, and its seconds are those that it took.
    bench = Bench(Namespace(store=tmp_path, pictures=data, json=tmp_path / "other.jsonl", more="", threads=0))
    again = bench.row("skin", "probe", 0)
    kept = json.loads(line)
    assert again | {"seconds": None} == kept | {"seconds": None}
    # They are kept to a tenth.
    assert again["seconds"] == pytest.approx(kept["seconds"], abs=0.06)
