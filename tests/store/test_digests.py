"""Digests: the same for the same values, whatever the byte order; different for everything else."""

import numpy as np

from facelime_cli.store import digests


def test_dtype_shape_and_order_count():
    base = np.arange(6, dtype=np.int32).reshape(2, 3)
    assert digests.of_array(base) == digests.of_array(np.asfortranarray(base)) == digests.of_array(base.astype(">i4"))
    others = [base.astype(np.int64), base.reshape(2, 1, 3), base[::-1], base.astype(np.uint32)]
    assert len({digests.of_array(each) for each in [base, *others]}) == 5


def test_texts_do_not_run_together():
    assert digests.of_array(np.array([["ab", "c"]], dtype=object)) != digests.of_array(
        np.array([["a", "bc"]], dtype=object)
    )
