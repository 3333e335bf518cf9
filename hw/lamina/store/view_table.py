"""The device's view table: entries as software writes them, and as the device uses them."""

from itertools import pairwise

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.planes import FLOAT_PLANES
from lamina.formats.views import GRANULE_LINES_BITS, VIEW_INDEX_BITS, ViewKind
from lamina.stream.memory import BlockMemory, BlockMemoryParameters

__all__ = ["ENTRY_WORDS", "FORMAT_BF16", "FORMAT_FP16", "ViewTable", "control_layout"]

#: 32-bit words of an entry: control, blocks, host base (low, high), store base (low, high).
ENTRY_WORDS = 6

#: ``format`` of an entry's control word: n for INTn, or one of these.
FORMAT_FP16, FORMAT_BF16 = 9, 10


def control_layout() -> data.StructLayout:
    """Return the control word of an entry: writing it puts the entry into force."""
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "reserved_1": unsigned(3),
            "format": unsigned(4),
            "kind": unsigned(2),
            "reserved_10": unsigned(2),
            "nearest": unsigned(1),
            "reserved_13": unsigned(3),
            "keep": unsigned(5),
            "reserved_21": unsigned(3),
            "row_shift": unsigned(4),
            "reserved_28": unsigned(4),
        }
    )


class ViewTable(wiring.Component):
    """Keeps the entries' words, checks an entry when it is put into force, and derives its view.

    Parameters: `DeviceParameters`.

    Members
    -------
    entry, word : In
        Which of an entry's words is written or read.
    write_enable, write_data : In
    read_data : Out
        The word two cycles after ``entry`` and ``word``. Of the control word, bit 0 says whether
        the entry is in force: not if it contradicts itself.
    commit : In
        Put ``entry`` into force as its words are now, or out of it. ``busy`` is up meanwhile, and
        ``entry`` stays.
    valid, first, limit : Out
        Of each view: in force, its first granule and the one behind its last.
    index, enable : In
    view : Out
        `view_layout` of view ``index``, one cycle later; kept while not enabled.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "entry": In(VIEW_INDEX_BITS),
                "word": In(3),
                "write_enable": In(1),
                "write_data": In(32),
                "read_data": Out(32),
                "commit": In(1),
                "busy": Out(1),
                "valid": Out(p.views),
                "first": Out(p.granule_bits * p.views),
                "limit": Out((p.granule_bits + 1) * p.views),
                "index": In(VIEW_INDEX_BITS),
                "enable": In(1),
                "view": Out(p.view),
            }
        )

    def elaborate(self, platform):
        m = Module()
        words = self._words(m)
        view, good = Signal(self.parameters.view), Signal()
        first = Signal(self.parameters.granule_bits)
        self._derive(m, words, view, first, good)
        m.submodules.views = views = BlockMemory(
            BlockMemoryParameters(width=view.shape().size, depth=self.parameters.views)
        )
        bits = self.parameters.granule_bits
        lines, granules, limit, inside = Signal(40), Signal(30), Signal(40), Signal()
        chosen = Signal(self.parameters.views)
        m.d.comb += [
            views.write_address.eq(self.entry),
            views.write_data.eq(view),
            views.read_enable.eq(self.enable),
            views.read_address.eq(self.index),
            self.view.eq(views.read_data),
        ]
        with m.FSM(name="commit") as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                with m.If(self.commit):
                    m.next = "READ"
            # The words are read, the view is made of them in three steps, its end in four.
            steps = ("READ", "FORMAT", "KEEP", "DERIVE", "LINES", "GRANULES", "LIMIT", "CHECK")
            for step, then in pairwise((*steps, "WRITE")):
                with m.State(step):
                    m.next = then
            with m.State("WRITE"):
                m.d.comb += views.write_enable.eq(1)
                for v in range(self.parameters.views):
                    with m.If(chosen[v]):
                        m.d.sync += [
                            self.valid[v].eq(good & inside),
                            self.first.word_select(v, bits).eq(first),
                            self.limit.word_select(v, bits + 1).eq(limit),
                        ]
                m.next = "IDLE"
        m.d.sync += [
            chosen.eq(1 << self.entry),
            lines.eq(view.blocks << view.lines_shift),
            # Rounded up.
            granules.eq((lines + ((1 << GRANULE_LINES_BITS) - 1)) >> GRANULE_LINES_BITS),
            limit.eq(granules + first),
            inside.eq(~(limit >> (bits + 1)).any()),
        ]
        return m

    def _words(self, m):
        """Store the words; return those of ``entry``, as they were a cycle ago."""
        p = self.parameters
        words, chosen = [], Signal(3)
        entry = Signal(VIEW_INDEX_BITS)
        m.d.sync += [chosen.eq(self.word), entry.eq(self.entry)]
        for w in range(ENTRY_WORDS):
            m.submodules[f"word_{w}"] = memory = BlockMemory(
                BlockMemoryParameters(width=32, depth=p.views)
            )
            m.d.comb += [
                memory.write_enable.eq(self.write_enable & (self.word == w)),
                memory.write_address.eq(self.entry),
                memory.write_data.eq(self.write_data),
                memory.read_enable.eq(1),
                memory.read_address.eq(self.entry),
            ]
            words.append(memory.read_data)
        with m.Switch(chosen):
            with m.Case(0):
                m.d.sync += self.read_data.eq(Cat(self.valid.bit_select(entry, 1), words[0][1:]))
            for w in range(1, ENTRY_WORDS):
                with m.Case(w):
                    m.d.sync += self.read_data.eq(words[w])
            with m.Default():
                m.d.sync += self.read_data.eq(0)
        return words

    def _derive(self, m, words, view, first, good):
        """Make a view of an entry in three steps, and the ``first`` granule of its window; ``good``
        if the entry makes sense.
        """
        p = self.parameters
        control = data.View(control_layout(), words[0])
        host, store = Cat(words[2], words[3]), Cat(words[4], words[5])
        whole, container, planes, least = Signal(), Signal(), Signal(5), Signal(5)
        wide, bfloat, keep = Signal(), Signal(), Signal(5)
        nearest, shift, side = Signal(), Signal(3), Signal(3)  # shift: log2 of k, rounded up
        known, crooked, based, stored, fits = Signal(), Signal(16), Signal(), Signal(), Signal()
        m.d.sync += [
            wide.eq(control.format >= FORMAT_FP16),
            bfloat.eq(control.format == FORMAT_BF16),
            planes.eq(Mux(control.format >= FORMAT_FP16, FLOAT_PLANES, control.format)),
            least.eq(
                Mux(control.format == FORMAT_BF16, 9, Mux(control.format == FORMAT_FP16, 6, 1))
            ),
            container.eq((control.kind == ViewKind.FULL) | (control.kind == ViewKind.CONTAINER)),
            whole.eq(control.kind == ViewKind.FULL),
            known.eq(control.valid & (control.format >= 2) & (control.format <= FORMAT_BF16)),
            crooked.eq(store[6:22] & ((Const(1, 16) << control.row_shift) - 1)[:16]),
            based.eq((words[1] != 0) & ~host[: GRANULE_LINES_BITS + 6].any()),
            stored.eq(~store[:6].any()),
            fits.eq(~(host >> p.device_bits).any() & ~(store >> p.address_bits).any()),
        ]
        m.d.comb += side.eq(Mux(wide, 4, 3))
        kept = Mux(whole, planes, control.keep)
        m.d.sync += [keep.eq(kept), nearest.eq(control.nearest & (kept < planes)), shift.eq(0)]
        for power in range(4):
            with m.If(kept > (1 << power)):
                m.d.sync += shift.eq(power + 1)
        lines_shift = Signal(3)
        m.d.comb += lines_shift.eq(Mux(container, side, shift))
        rounded = Signal()  # the codes are put together as containers, whatever the view is
        m.d.comb += rounded.eq(container | nearest)
        m.d.sync += [
            view.wide.eq(wide),
            view.bfloat.eq(bfloat),
            view.planes.eq(planes),
            view.keep.eq(keep),
            view.nearest.eq(nearest),
            view.read.eq(keep + nearest),
            view.kind.eq(control.kind),
            view.blocks.eq(words[1]),
            view.store.eq(store >> 6),
            first.eq(host >> (GRANULE_LINES_BITS + 6)),
            view.row_shift.eq(control.row_shift),
            view.lines.eq(1 << lines_shift),
            view.lines_shift.eq(lines_shift),
            view.group.eq(Mux(rounded, side, Mux(control.kind == ViewKind.PLANES, 0, shift))),
            view.width.eq(Mux(container, planes, Mux(nearest, 1 << side, Const(1, 5) << shift))),
            good.eq(
                known & ~crooked.any() & based & stored & fits & (keep >= least) & (keep <= planes)
            ),
        ]
