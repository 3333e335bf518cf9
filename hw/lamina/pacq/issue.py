"""An octet's sequencer: from panels in the operand buffers to steps of the DP-4 units."""

from dataclasses import dataclass
from types import SimpleNamespace

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.arith.pipeline import Pipeline, PipelineParameters
from lamina.arith.rounding import keep
from lamina.formats.packed import LANES, WORD_BITS, dot_step_layout
from lamina.formats.tensor import (
    TILE,
    Flow,
    a_tile_layout,
    b_tile_layout,
    operation_layout,
    word_scales_layout,
)
from lamina.pacq.panels import PanelsParameters

__all__ = ["DPS", "INDEX_BITS", "Issue", "IssueParameters", "octet_step_layout"]

#: DP-4 units of an octet: each has half the rows of a tile.
DPS = 2

#: Of an output within a DP-4: row of its half tile, tile of m, word of the tile, tile of n.
INDEX_BITS = 5

_FLAGS = ("int2", "single", "fp16", "first", "last")
_FLAGS += ("group_first", "group_last", "begin", "end")


def octet_step_layout() -> data.StructLayout:
    """Return a step of both units: their activations ``a_0`` and ``a_1``, the rest in common.

    ``fp16``: the words are FP16 weights of one column, whose scale is that of column 0.
    """
    fields = dict(dot_step_layout(INDEX_BITS, single=True).members)
    a = fields.pop("a")
    return data.StructLayout({f"a_{dp}": a for dp in range(DPS)} | fields | {"fp16": unsigned(1)})


@dataclass(frozen=True, kw_only=True)
class SelectParameters(PipelineParameters):
    """From tiles to a step."""

    @property
    def stages(self):
        """Rows and a column of the tiles, then the codes of a word along k."""
        return (_select_lines, _select_codes)

    @property
    def operands(self):
        """Tiles, which of their rows and columns, and what the step says of itself."""
        step = octet_step_layout()
        return {
            "a": a_tile_layout(),
            "b": b_tile_layout(),
            "row": unsigned(1),
            "word": unsigned(2),
            "number": unsigned(3),
            **{name: step[name].shape for name in ("zeros", "scales", "index", *_FLAGS)},
        }

    @property
    def results(self):
        """Fields of `octet_step_layout`."""
        return dict(octet_step_layout().members)


def _select_lines(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    line = 16 * LANES
    tile_rows = [x.a.word_select(n, line) for n in range(TILE)]
    half = TILE // DPS
    rows = {f"a_{dp}": Mux(x.row, tile_rows[half * dp + 1], tile_rows[half * dp]) for dp in (0, 1)}
    return rows | {
        "column": x.b.word_select(x.word, line),
        **keep(x, "number", "zeros", "scales", "index", *_FLAGS),
    }


def _select_codes(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Along k a word has the codes of a whole step (INT4) or of two (INT2)."""
    word = x.column.word_select(Mux(x.int2, x.number[1:], x.number[:2]), WORD_BITS)
    int2 = word.word_select(x.number[0], WORD_BITS // 2)
    codes = [Mux(x.int2, int2.word_select(n, 2), word.word_select(n, 4)) for n in range(LANES)]
    codes = Cat(Cat(code, Const(0, WORD_BITS - 4)) for code in codes)
    words = Mux(x.single, codes, x.column)
    return keep(x, "a_0", "a_1", "zeros", "scales", "index", *_FLAGS) | {"words": words}


@dataclass(frozen=True, kw_only=True)
class IssueParameters:
    """Nothing to choose: the order of steps is that of the flow."""

    @property
    def select(self) -> SelectParameters:
        """Parameters of the selection within tiles."""
        return SelectParameters()

    @property
    def latency(self) -> int:
        """Cycles from panels at hand to the first step."""
        return 1 + self.select.latency

    @property
    def throughput(self) -> str:
        """Steps of both units."""
        return "1 step per cycle"

    @property
    def storage_bits(self) -> int:
        """Counters and what is known early, the rank beside the buffers, selection."""
        beside = 1 + sum(Value.cast(Signal(s)).shape().width for s in self.beside.members.values())
        return 4 + 3 + 3 + 1 + 4 + beside + self.select.storage_bits

    @property
    def beside(self) -> data.StructLayout:
        """What goes beside the tiles out of the buffers."""
        operands = self.select.operands
        names = ("row", "word", "number", "index", *_FLAGS)
        return data.StructLayout({name: operands[name] for name in names})


class Issue(wiring.Component):
    """Takes each panel apart into the steps of its outputs.

    For each word of columns (or column, along k), for each row of a half tile, the steps along k:
    an output's products come one after another, and are summed in the trees.

    Members
    -------
    i : In(stream) of `operation_layout`
        Taken with its last step: ``release`` is high then.
    a_there, a_release, a_enable, a_address, a_data; b_...
        The operand buffers, see `Panels`.
    scales_enable, scales_address, scales_data
        Read port of scales and zero points, latency one cycle.
    taken : Out
        A step's tiles are read. Whatever they are, the ports read whenever ``o`` is ready.
    o : Out(stream) of `octet_step_layout`

    Timing: one step a cycle while there are panels, without a gap between them. All moves with
    ``o.ready``, even where there is no step: hundreds of enables then start at that register.
    """

    def __init__(self, parameters: IssueParameters):
        self.parameters = parameters
        ports = {}
        for operand, layout in (("a", a_tile_layout()), ("b", b_tile_layout())):
            panels = PanelsParameters(operand=operand)
            ports |= {
                f"{operand}_there": In(1),
                f"{operand}_release": Out(1),
                f"{operand}_enable": Out(1),
                f"{operand}_address": Out(panels.tile_bits),
                f"{operand}_data": In(layout),
            }
        super().__init__(
            {
                "i": In(stream.Signature(operation_layout())),
                "release": Out(1),
                **ports,
                "scales_enable": Out(1),
                "scales_address": Out(4),
                "scales_data": In(word_scales_layout()),
                "taken": Out(1),
                "o": Out(stream.Signature(octet_step_layout())),
            }
        )

    def elaborate(self, platform):
        m = Module()
        operation = self.i.p
        # Loops from the outside: tiles of k, n, m; word of columns, row; step.
        place, line, number, half = Signal(4), Signal(3), Signal(3), Signal()
        go, along_k, last_step, last_line, last_panel = (Signal() for _ in range(5))
        m.d.comb += [
            along_k.eq(operation.flow == Flow.PACKED_K),
            last_panel.eq(place == Mux(along_k, 15, 3)),
        ]
        # Known early: they stay for the steps of a line at least, and are asked for in its last.
        long, ends_a, ends_b, ends = (Signal() for _ in range(4))
        m.d.sync += [
            long.eq(along_k & operation.int2),
            ends_a.eq(line.all()),
            # Other words than those along n stay for the rows of the other tile.
            ends_b.eq(line.all() & (place[0] | (operation.flow == Flow.PACKED_N))),
            ends.eq(line.all() & last_panel),
        ]
        m.d.comb += [
            last_step.eq(number == Cat(Const(3, 2), long)),
            last_line.eq(last_step & ends_a),
            self.a_release.eq(go & last_step & ends_a),
            self.b_release.eq(go & last_step & ends_b),
            self.release.eq(go & last_step & ends),
            self.i.ready.eq(self.release),
        ]
        with m.If(go):
            m.d.sync += number.eq(Mux(last_step, 0, number + 1))
            with m.If(last_step):
                m.d.sync += line.eq(line + 1)
            with m.If(last_line):
                m.d.sync += [place.eq(Mux(last_panel, 0, place + 1)), half.eq(half ^ last_panel)]
        row, word, m_tile, n_tile, k_tile = line[0], line[1:], place[0], place[1], place[2:]
        beside = {
            "row": row,
            "word": word,
            "number": number,
            "index": Cat(word, n_tile, row, m_tile),
            "int2": operation.int2,
            "single": along_k,
            "fp16": operation.flow == Flow.FP16,
            "first": number == 0,
            "last": last_step,
            "group_first": operation.group_first & (k_tile == 0),
            "group_last": operation.group_last & (last_panel | ~along_k | k_tile.all()),
            "begin": operation.begin,
            "end": operation.end,
        }
        m.d.comb += [
            self.a_address.eq(number),
            self.b_address.eq(Mux(along_k, 0, number)),
            self.scales_address.eq(Cat(word, n_tile, half)),
            *(
                enable.eq(self.o.ready)
                for enable in (self.a_enable, self.b_enable, self.scales_enable)
            ),
            go.eq(self.i.valid & self.a_there & self.b_there & self.o.ready),
            self.taken.eq(go),
        ]
        self._select(m, go, beside)
        return m

    def _select(self, m, go, beside):
        """Register what goes beside the buffers' output, and select from it."""
        p = self.parameters
        m.submodules.select = select = Pipeline(p.select)
        valid, held = Signal(), Signal(p.beside)
        m.d.comb += [
            select.i.valid.eq(valid & self.o.ready),
            select.i.p.a.eq(self.a_data),
            select.i.p.b.eq(self.b_data),
            select.i.p.zeros.eq(self.scales_data.zeros),
            select.i.p.scales.eq(self.scales_data.scales),
            *(select.i.p[name].eq(held[name]) for name in p.beside.members),
            self.o.valid.eq(select.o.valid),
            select.o.ready.eq(self.o.ready),
            *(self.o.p[name].eq(select.o.p[name]) for name in octet_step_layout().members),
        ]
        with m.If(self.o.ready):
            m.d.sync += valid.eq(go)
            m.d.sync += [held[name].eq(value) for name, value in beside.items()]
