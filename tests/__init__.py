"""Tests, one file per module of the package under the same path."""

import pytest

pytest.register_assert_rewrite("tests.support")
