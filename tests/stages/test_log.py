"""Log: who has worked on an artifact, when, where, and how fast."""

import json

from facelime_cli.store.references import Store
from tests.store.making import complete
from tests.support import Facelime


def write(artifact, shard, *events):
    lines = [each if isinstance(each, str) else json.dumps(each) for each in events]
    (artifact.path / "logs" / f"{shard}.jsonl").write_text("\n".join(lines) + "\n")


def test_a_run_tells_who_when_where_and_how_fast(chain):
    told = chain.facelime.json("log", chain.reference("predict"))
    (run,) = told["runs"]
    assert (run["shard"], run["units"], run["end"]) == ("1/1", 1, "done")
    assert run["evaluations"] > 100
    assert run["seconds"] > 0
    assert run["cores"] >= 1
    assert len(run["machine"]) == 8
    assert told["hardware"]["cores"] >= 1
    assert told["begun"] <= told["finished"]
    shown = chain.facelime("log", chain.reference("predict")).stdout
    assert "evaluations/s" in shown
    assert "by 1 process" in shown
    # Other stages do not ask the model: their speed is in pictures.
    assert "pictures/s" in chain.facelime("log", chain.reference("segment")).stdout


def test_shards_kills_and_warnings_are_told(tmp_path):
    artifact = complete(Store(tmp_path / "store"))
    begin = {"event": "begin", "process": 7, "machine": "a1b2c3d4", "cores": 4, "facelime": "1", "units": [0]}
    unit = {"event": "unit", "unit": 0, "pictures": 32, "evaluations": 640, "seconds": 10.0, "memory_bytes": 5_000_000}
    warning = {"event": "warning", "library": "net", "text": "slow"}
    # The first process was killed in the middle of a line; the second was stopped, the third ended.
    write(
        artifact,
        "1of2",
        {"time": "2026-01-02T03:04:05Z", **begin},
        unit,
        '{"event": "un',
        {"time": "2026-01-02T04:00:00Z", **begin, "process": 8},
        {"event": "end", "error": "StopRequested", "stopped": "SIGTERM", "seconds": 3},
    )
    write(
        artifact,
        "2of2",
        {"time": "2026-01-02T03:00:00Z", **begin, "process": 9, "cards": ["H"], "job": "5_2", "node": "n1"},
        warning,
        warning,
        {"event": "end", "units": 1, "seconds": 70},
    )
    run = Facelime(tmp_path / "store")
    told = run.json("log", artifact.reference)
    assert [(each["shard"], each["process"], each["end"]) for each in told["runs"]] == [
        ("2/2", 9, "done"),
        ("1/2", 7, ""),
        ("1/2", 8, "SIGTERM"),
    ]
    assert told["warnings"] == [{"library": "net", "text": "slow", "times": 2}]
    shown = run("log", artifact.reference).stdout
    for words in ("64 evaluations/s", "no end is logged", "1 min 10 s", "9 (job 5_2)", "a1b2c3d4 n1", "by 3 processes"):
        assert words in shown, words


def test_a_log_that_is_none_is_passed_over(tmp_path):
    artifact = complete(Store(tmp_path / "store"))
    write(artifact, "1of1", "[1]", '{"event": "unit", "pictures": "many"}', "[" * 5000, '{"event": {"a": 1}}')
    (artifact.path / "logs" / "2of2.jsonl").symlink_to("/etc/passwd")
    told = Facelime(tmp_path / "store").json("log", artifact.reference)
    assert told["runs"] == told["warnings"] == []
