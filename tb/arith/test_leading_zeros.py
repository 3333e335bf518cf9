"""Leading-zero count against Python's bit_length."""

import numpy as np
import pytest

from tb.arith import bulk
from tb.bench import bulk_model, parameters, run_bench

MODULE = "arith.leading_zeros"


def test_bench():
    run_bench(MODULE, "tb.arith.leading_zeros_tb", {"width": 28, "tag_bits": 7})


@pytest.mark.parametrize("width", [1, 2, 5, 13])
def test_every_value(width):
    model = bulk_model(MODULE, width=width)
    values = np.arange(1 << width)
    result = bulk.run(model, {"value": values})
    assert result["count"].tolist() == [width - int(v).bit_length() for v in values]
    bulk.check_timing(model, {"value": values}, parameters(MODULE, width=width))


@pytest.mark.parametrize("width", [48, 63])
def test_every_leading_place(rng, width):
    model = bulk_model(MODULE, width=width)
    values = np.repeat(1 << np.arange(width), 100)
    values |= rng.integers(0, 1 << 62, len(values)) & (values - 1)
    values = np.append(values, 0)
    result = bulk.run(model, {"value": values})
    assert result["count"].tolist() == [width - int(v).bit_length() for v in values]


@pytest.mark.parametrize("width", [0, 1025])
def test_refuses(width):
    with pytest.raises(ValueError, match=rf"^width must be between 1 and 1024, not {width}\.$"):
        parameters(MODULE, width=width)
