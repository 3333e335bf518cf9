"""What all tests share: one seed for the run, shown and replayable, and the simulator's tools."""

import os

import pytest

from lamina_sim.verilated import toolchain
from tb.bench import SEED


def pytest_configure(config):
    os.environ.update(toolchain.environment())


def pytest_report_header(config):
    return f"LAMINA_SEED={SEED} (set it to replay this run)"


@pytest.fixture
def rng(request):
    """A NumPy generator of this test's own, seeded from LAMINA_SEED and the test's name."""
    import numpy as np

    from tb.bench import seeds

    return np.random.default_rng(seeds(request.node.nodeid))
