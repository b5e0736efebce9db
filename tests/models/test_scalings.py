"""Input scalings: those that have a name, and those that are written out."""

import numpy as np
import pytest

from facelime_cli.core import compose
from facelime_cli.errors import CommandLineError
from facelime_cli.models.backbones import SCALINGS, scaling_of


def scaled(text, pictures):
    how = scaling_of(text)
    return compose.model_input(
        pictures, how.scale, how.offset, reverse=how.reverse, luminance=None, channels_first=False
    )


@pytest.fixture
def pictures(rng):
    return rng.integers(0, 256, (2, 5, 6, 3)).astype(np.float32)


@pytest.mark.parametrize("name", SCALINGS)
def test_a_name_is_the_entry_of_the_table(name):
    assert scaling_of(name) is SCALINGS[name]


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("mean:0.485,0.456,0.406/std:0.229,0.224,0.225", "imagenet"),
        ("mean:0/std:1", "0..1"),
        ("mean:.5,.5,.5/std:0.5", "-1..1"),
        ("mean:0.5/std:5e-1,5e-1,5e-1", "-1..1"),
        ("mean:0.5/std:0.00048828125", "-1024..1024"),
    ],
)
def test_what_is_written_out_equals_what_has_a_name(pictures, written, name):
    assert np.allclose(scaled(written, pictures), scaled(name, pictures), rtol=1e-5, atol=1e-5)


def test_x_rays_reach_from_minus_1024_to_1024():
    ends = np.array([[[[0, 127.5, 255]]]], np.float32)
    assert scaled("-1024..1024", ends).ravel().tolist() == [-1024, 0, 1024]


def test_one_number_serves_one_channel():
    assert len(scaling_of("mean:0.5/std:0.25").offset) == 1
    assert len(scaling_of("mean:0.5/std:0.25,0.25,0.5").offset) == 3


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("", "choose one, or write mean:A,B,C/std:D,E,F"),
        ("imagnet", "none of 0..1"),
        ("mean:0.5", "none of"),
        ("mean:0.5/std:0.5/std:0.5", "none of"),
        ("mean:a/std:0.5", "one number or three"),
        ("mean:0.5,0.5/std:0.5", "one number or three"),
        ("mean:0.5/std:0.5,", "one number or three"),
        ("mean:124,117,104/std:58,57,57", "divide what counts to 255 by 255"),
        ("mean:0.5/std:0", "a deviation outside"),
        ("mean:nan/std:0.5", "a mean outside"),
        ("mean:0.5/std:inf", "a deviation outside"),
        ("mean:1e400/std:0.5", "a mean outside"),
        ("\x1b[31m", r"\x1b"),
    ],
)
def test_any_other_text_is_refused_in_one_sentence(text, fragment):
    with pytest.raises(CommandLineError) as refused:
        scaling_of(text)
    assert fragment in str(refused.value)
    assert "\n" not in str(refused.value)
