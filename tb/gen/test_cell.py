"""`Cell`: in place in Amaranth's simulator, or an instance of one Verilog module: the same."""

import random
from dataclasses import dataclass

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from lamina.arith.adder_tree import AdderTree, AdderTreeParameters
from lamina.cell import Cell
from lamina_gen.emit import emit
from lamina_gen.platform import VerilogPlatform
from lamina_gen.registry import Entry
from lamina_sim import verilated
from tb.bench import BUILD

INPUTS, WIDTH = 4, 6
TREE = AdderTreeParameters(inputs=INPUTS, width=WIDTH, tag_bits=3)


@dataclass(frozen=True, kw_only=True)
class ChainParameters:
    """``cells``: how many trees stand side by side, each fed by the same beat."""

    cells: int = 3
    latency: int = TREE.latency
    throughput: int = 1
    storage_bits: int = 0


class Chain(wiring.Component):
    """Adder trees as cells, all on one input; their sums side by side."""

    def __init__(self, parameters: ChainParameters):
        self.parameters = parameters
        width = TREE.output_layout.size * parameters.cells
        super().__init__(
            {
                "i": In(stream.Signature(TREE.input_layout)),
                "o": Out(stream.Signature(width)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        size = TREE.output_layout.size
        for number in range(self.parameters.cells):
            m.submodules[f"tree_{number}"] = tree = Cell(AdderTree, TREE)
            m.d.comb += [
                tree.i.payload.eq(self.i.payload),
                tree.i.valid.eq(self.i.valid),
                tree.o.ready.eq(self.o.ready),
                self.o.payload[number * size : (number + 1) * size].eq(tree.o.payload),
            ]
        m.d.comb += [self.i.ready.eq(tree.i.ready), self.o.valid.eq(tree.o.valid)]
        return m


ENTRY = Entry("cell.chain", "arith", f"{__name__}:Chain")
BEATS = [random.Random(7).getrandbits(TREE.input_layout.size) for _ in range(200)]


def expected():
    beats = []
    for beat in BEATS:
        fields = TREE.input_layout.from_bits(beat)
        total = sum(fields.values[n] for n in range(INPUTS))
        one = TREE.output_layout.const({"sum": total, "tag": fields.tag}).as_bits()
        beats.append(sum(one << (n * TREE.output_layout.size) for n in range(3)))
    return beats


@pytest.fixture(scope="module")
def emission():
    return emit(ENTRY, ChainParameters())


def test_in_place():
    chain = Chain(ChainParameters())
    received = []

    async def drive(ctx):
        for beat in BEATS:
            await stream_put(ctx, chain.i, beat)

    async def take(ctx):
        ctx.set(chain.o.ready, 1)
        for _ in BEATS:
            *_, payload = await ctx.tick().sample(chain.o.payload).until(chain.o.valid)
            received.append(payload)

    simulator = Simulator(chain)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.add_testbench(take)
    simulator.run()
    assert received == expected()


async def stream_put(ctx, port, bits):
    ctx.set(port.payload.as_value(), bits)
    ctx.set(port.valid, 1)
    await ctx.tick().until(port.ready)
    ctx.set(port.valid, 0)


def test_as_instances(emission):
    paths = emission.write(BUILD / "cell_chain")
    model = verilated.build(paths["json"], cache=BUILD / "verilated")
    words = np.array(BEATS, np.uint32)
    result = model.run({"i": words}, outputs={"o": len(BEATS)}, stall=0.3, seed=5)
    assert [int(value) for value in result["o"].values] == expected()


def test_one_definition(emission):
    text = emission.files["v"]
    names = [
        line.split()[1].partition("(")[0]
        for line in text.splitlines()
        if line.startswith("module lamina_")
    ]
    assert len(names) == 1
    assert text.count(f"  {names[0]} ") == 3


def test_parameters_tell_cells_apart():
    platform = VerilogPlatform()
    wide = AdderTreeParameters(inputs=INPUTS, width=WIDTH + 1, tag_bits=3)
    names = [platform.define_cell(AdderTree, parameters)[0] for parameters in (TREE, TREE, wide)]
    assert names[0] == names[1] != names[2]
    assert list(platform.cells) == [names[0], names[2]]
