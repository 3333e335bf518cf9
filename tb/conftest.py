"""What all tests share: one seed for the run, shown and replayable, and the simulator's tools."""

import os

import pytest

from lamina_sim.verilated import toolchain
from tb.bench import BUILD, SEED


def pytest_configure(config):
    os.environ.update(toolchain.environment())
    # What the command line builds while it is tested is shared with the tests that build it too.
    os.environ["LAMINA_CACHE"] = str(BUILD / "verilated")


def pytest_report_header(config):
    return f"LAMINA_SEED={SEED} (set it to replay this run)"


@pytest.fixture
def rng(request):
    """A NumPy generator of this test's own, seeded from LAMINA_SEED and the test's name."""
    import numpy as np

    from tb.bench import seeds

    return np.random.default_rng(seeds(request.node.nodeid))
