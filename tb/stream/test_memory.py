"""Block memory: what a row holds, when, and for how long."""

from tb.bench import run_bench


def test_bench():
    run_bench("stream.memory", "tb.stream.memory_tb", {"width": 40, "depth": 24})
