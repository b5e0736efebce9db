"""What a pipeline costs, and how many shards are worth while."""

import dataclasses
import math

import pytest

from facelime_cli.console import Console
from facelime_cli.engine import Context
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.jobs import forecast
from facelime_cli.jobs.forecast import STAGES, Speed, Work
from facelime_cli.stages import INDEX
from facelime_cli.store.references import Store
from tests.scene import files_of

MANY = Work(
    pictures=100_000, samples=1000, classes=2, segments=50, sides=(224, 224), speed=Speed(rate=2000.0, start=10.0)
)


def test_every_stage_of_a_forecast_is_a_stage():
    assert set(STAGES) <= {each.name for each in INDEX}
    for stage in STAGES:
        assert forecast.share_of(stage, MANY).files > 0


def test_the_figures_of_a_large_run():
    found = forecast.forecast([MANY], 64)
    predict = next(each for each in found.shares if each.stage == "predict")
    computing = 100_000 * 1000 / 2000
    assert predict.hours * 3600 == pytest.approx(computing + 64 * predict.start)
    # 3,125 units in 64 shards: the longest has 49.
    assert predict.task == pytest.approx(predict.start + 49 * 32 * 0.5)
    assert predict.n_bytes == 100_000 * 1000 * 2 * 4
    assert predict.files < 1.1 * 3125
    assert found.gpu_hours == pytest.approx(
        sum(each.hours for each in found.shares if each.stage in ("predict", "check"))
    )
    assert found.wall == pytest.approx(sum(each.task for each in found.shares))
    assert found.gpu_hours + found.core_hours == pytest.approx(sum(each.hours for each in found.shares))


def test_a_start_is_a_tenth_of_a_task_at_most_where_that_can_be_had():
    for pictures in (10, 300, 5000, 100_000):
        work = dataclasses.replace(MANY, pictures=pictures)
        for share in forecast.forecast([work]).shares:
            assert 1 <= share.shards <= work.units
            assert share.start_share <= 0.12 or share.shards == 1, share
    assert max(each.shards for each in forecast.forecast([MANY]).shares) > 100


def test_many_shards_of_little_work_are_warned_of():
    few = dataclasses.replace(MANY, pictures=300, samples=100)
    found = forecast.forecast([few], 64)
    assert {each.shards for each in found.shares} == {10}
    said = forecast.answer(found, asked=64)
    assert any(each == "54 of 64 shards have nothing to do: there are 10 units." for each in said.said)
    assert any(
        each.startswith("predict: ") and "of each of 10 tasks is its start; 1 shard keep" in each for each in said.said
    )
    assert forecast.doubts(forecast.forecast([few])) == []


def test_the_fewest_shards_within_a_time():
    found = forecast.within([MANY], 4 * 3600)
    assert found.wall <= 4 * 3600
    assert 1 < found.shards < MANY.units
    assert forecast.forecast([MANY], found.shards - 1).wall > 4 * 3600
    with pytest.raises(FacelimeError, match="no number of shards ends within 10 s: 3125 shards of one unit each"):
        forecast.within([MANY], 10)


def test_several_models_share_segments_and_masks():
    other = dataclasses.replace(MANY, speed=Speed(500.0, 20.0), stages=MANY.stages[2:])
    both, one = forecast.forecast([MANY, other], 8), forecast.forecast([MANY], 8)
    assert [each.stage for each in both.shares].count("segment") == 1
    predicts = [each.hours for each in both.shares if each.stage == "predict"]
    assert predicts[1] > 3 * predicts[0]
    assert both.n_bytes < 2 * one.n_bytes
    assert len(both.json()["models"]) == 2


def test_larger_units_are_fewer_files():
    larger = dataclasses.replace(MANY, unit=320)
    assert forecast.forecast([larger]).files < forecast.forecast([MANY]).files / 5


@pytest.mark.parametrize(
    ("text", "seconds"), [("2:00:00", 7200), ("0:30", 1800), ("1-12:00:00", 129_600), ("90m", 5400), ("45", 45)]
)
def test_wall_times(text, seconds):
    assert forecast.seconds_of(text, "--within") == seconds


@pytest.mark.parametrize("text", ["", "soon", "0", "0:00:00", "1:99:00", "-5", "1e9", "9" * 40, "1:2:3:4", "٣:00:00"])
def test_wall_times_that_are_none(text):
    with pytest.raises(CommandLineError, match=r"--within .* should be a time above 0"):
        forecast.seconds_of(text, "--within")


def test_a_rate_that_is_known_loads_nothing(chain):
    context = Context(Store(chain.facelime.store), Console(quiet=True))
    model = context.store.resolve("models/small")
    assert forecast.measured(model, (48, 48), context, 123.0).rate == 123.0
    assert context.loaded == {}


def test_a_few_batches_say_how_fast_a_model_is_and_leave_the_store_as_it_is(chain, tmp_path):
    run = chain.copy(tmp_path / "store")
    context = Context(Store(run.store), Console(quiet=True))
    model = context.store.resolve("models/small")
    before = files_of(run.store)
    side = model.facts["size"]
    speed = forecast.measured(model, (side, side), context)
    assert 1 < speed.rate < 10**6
    assert 0 < speed.start < 600
    assert math.isfinite(forecast.forecast([dataclasses.replace(MANY, speed=speed)]).wall)
    assert files_of(run.store) == before
