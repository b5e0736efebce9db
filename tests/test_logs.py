"""The log of a shard: one JSON line an event, with who, where, how fast and how much memory."""

import json
import os

import pytest

from facelime_cli import logs
from facelime_cli.engine import Shard
from facelime_cli.errors import FacelimeError, StopRequested
from facelime_cli.logs import Log
from facelime_cli.machine import job, peak_memory


class Place:
    """An artifact whose files lie in a folder."""

    def __init__(self, folder):
        self.folder = folder

    def file(self, name):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        return path


class Unit:
    """A unit of 32 pictures that took two seconds."""

    index, n, seconds = 7, 32, 2.0

    def __init__(self, **facts):
        self.facts = facts


@pytest.fixture
def log(tmp_path):
    return Log(Place(tmp_path), Shard(3, 8))


def lines(folder):
    return [json.loads(line) for line in (folder / "logs" / "3of8.jsonl").read_text().splitlines()]


def test_who_begins_where(log, tmp_path, monkeypatch):
    given = {"ARRAY_JOB_ID": "41", "ARRAY_TASK_ID": "3", "JOB_ID": "44", "RESTART_COUNT": "1"}
    for name, value in given.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("SLURMD_NODENAME", "n" * 999)
    log.begin([7, 8])
    (line,) = lines(tmp_path)
    assert (line["event"], line["units"], line["process"]) == ("begin", [7, 8], os.getpid())
    assert (line["job"], line["node"], line["restarts"]) == ("41_3", "n" * 100, "1")
    assert len(line["machine"]) == 8
    assert line["cores"] > 0
    assert line["time"].startswith("20")


def test_outside_a_job_there_is_none(monkeypatch):
    for name in [name for name in os.environ if name.startswith("SLURM")]:
        monkeypatch.delenv(name)
    assert job() == {}


def test_a_unit_has_its_speed_and_the_memory(log, tmp_path):
    log.finished(Unit(evaluations=500))
    log.finished(Unit())
    asked, other = lines(tmp_path)
    assert (asked["unit"], asked["pictures"], asked["seconds"]) == (7, 32, 2.0)
    assert (asked["evaluations"], asked["evaluations_per_second"]) == (500, 250.0)
    assert 10**7 < asked["memory_bytes"] == pytest.approx(peak_memory(), rel=0.5)
    assert "evaluations" not in other


def test_commits_are_written_now_and_then(log, tmp_path, monkeypatch):
    heard = log.listening(Unit())
    heard(10)
    assert not (tmp_path / "logs" / "3of8.jsonl").exists()
    monkeypatch.setattr(logs, "COMMIT_SECONDS", 0.0)
    heard(30)
    (line,) = lines(tmp_path)
    assert (line["event"], line["unit"]) == ("commit", 7)
    assert (line["evaluations"], line["evaluations_per_second"]) == (40, 20.0)


def test_an_end_quotes_a_stop_and_no_error(log, tmp_path):
    log.end(2, complete=True)
    log.end(0, complete=False, why=StopRequested("SIGTERM"))
    log.end(0, complete=False, why=FacelimeError("/home/someone is no folder."))
    done, stopped, failed = lines(tmp_path)
    assert (done["units"], done["complete"]) == (2, True)
    assert (stopped["error"], stopped["stopped"]) == ("StopRequested", "SIGTERM")
    assert failed["error"] == "FacelimeError"
    assert "someone" not in json.dumps(failed)


def test_a_run_writes_an_event_for_each_thing_that_happened(chain):
    path = chain["predict"].path / "logs" / "1of1.jsonl"
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert [each["event"] for each in found] == ["begin", "unit", "sealed", "end"]
    assert found[1]["evaluations"] == chain["predict"].facts["evaluations"]
    assert found[1]["evaluations_per_second"] > 0
    assert found[-1]["complete"] is True
