"""A module stepped by hand does what the driver's own run does."""

import numpy as np
import pytest

from tb.bench import bulk_model


def test_cycle_by_cycle():
    model = bulk_model("stream.skid_buffer", shape=32)
    sent = [7, 0xFFFFFFFF, 0, 12345]
    got, cycles = [], []
    with model.stepped() as dut:
        dut.reset()
        dut.o__ready.value = 1
        waiting = list(sent)
        for cycle in range(20):
            dut.i__valid.value = int(bool(waiting))
            dut.i__payload.value = waiting[0] if waiting else 0
            dut.settle()
            if waiting and dut.i__ready.value:
                waiting.pop(0)
            if dut.o__valid.value:
                got.append(dut.o__payload.value)
                cycles.append(cycle)
            dut.edge()
        with pytest.raises(AttributeError, match="There is no signal 'nothing'"):
            _ = dut.nothing
    result = model.run({"i": np.array(sent, np.uint32)}, outputs={"o": 4})
    assert got == sent
    assert cycles == result["o"].cycles.tolist()
