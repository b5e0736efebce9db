"""Parameters as words of a command line: what `show --command`, `again` and reports print can be pasted."""

from facelime_cli.options import names_of, typed
from facelime_cli.stages import explain, finetune

GIVEN = {"dataset": "faces", "backbone": "cnn-small"}


def test_what_has_two_words_is_typed_with_the_one_that_it_means():
    without, on, off = (typed(finetune.Params(**GIVEN, calibrate=value)) for value in (None, True, False))
    assert on == [*without, "--calibrate"]
    assert off == [*without, "--no-calibrate"]
    assert typed(explain.Params(source="faces", check=False)) == ["faces", "--no-check"]
    assert typed(explain.Params(source="faces", check=True)) == ["faces"]
    assert names_of(finetune.Params)["calibrate"] == "calibrate"
