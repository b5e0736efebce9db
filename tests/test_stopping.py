"""Time budgets."""

import pytest

from facelime_cli.stopping import span


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("45", 45), ("1.5h", 5400), ("1d", 86400)]
)
def test_time_spans(text, seconds):
    assert span(text) == seconds
