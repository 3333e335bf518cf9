"""The engine's registers on AXI4-Lite: descriptors in, completion, errors and counters out."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.anda.register_map import ADDRESS_BITS, COUNTERS, ID, REGISTERS, offset
from lamina.bus.axi4_lite import access_members
from lamina.formats.engine import (
    Cause,
    counters_layout,
    done_layout,
    gemm_layout,
)

__all__ = ["EngineRegisters"]

_FIELDS = {register.name: register.fields for register in REGISTERS}

#: Where each member of a descriptor is written: register, field.
_MEMBERS = {
    "m": ("m", "rows"),
    "n": ("n", "columns"),
    "groups": ("k", "groups"),
    **{name: ("mode", name) for name in ("mantissa_bits", "row_turns", "tag")},
}


def _word(register: str, **values):
    """Return a register's value, made of those of its fields."""
    return reduce(or_, (Cat(Const(0, f.low), values[f.name]) for f in _FIELDS[register]))


class EngineRegisters(wiring.Component):
    """Registers of `register_map`.

    Parameters: `EngineParameters`.

    Members
    -------
    address, write, write_data, read, done, error, read_data
        `access_members`.
    gemm : Out(stream of `gemm_layout`)
        Valid for one cycle, with the doorbell; it is lost where not ready.
    level : In
        Descriptors in the queue.
    completed : In(stream of `done_layout`)
        Always taken.
    counters : In(counters_layout()); clear : Out(1)
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                **access_members(ADDRESS_BITS),
                "gemm": Out(stream.Signature(gemm_layout())),
                "level": In(range(p.queue + 1)),
                "completed": In(stream.Signature(done_layout())),
                "counters": In(counters_layout()),
                "clear": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        next_gemm = Signal(gemm_layout())
        m.d.comb += [
            self.done.eq(1),
            self.gemm.payload.eq(next_gemm),
            self.gemm.valid.eq(self._written("doorbell")),
            self.clear.eq(self._written("counter_clear")),
            self.completed.ready.eq(1),
        ]
        for member, (register, name) in _MEMBERS.items():
            (field,) = (field for field in _FIELDS[register] if field.name == name)
            with m.If(self._written(register)):
                m.d.sync += next_gemm[member].eq(self.write_data >> field.low)
        words = {name: Const(0, 32) for name in ("doorbell", "counter_clear")}
        words |= self._built() | self._completion(m, next_gemm)
        for register in ("m", "n", "k", "mode"):
            own = {name: next_gemm[x] for x, (where, name) in _MEMBERS.items() if where == register}
            words[register] = _word(register, **own)
        for name in COUNTERS:
            words[f"count_{name}"] = self.counters[name]
        m.d.comb += self.error.eq(1)
        with m.Switch(self.address):
            for name, word in words.items():
                with m.Case(offset(name) >> 2):
                    m.d.comb += [self.read_data.eq(word), self.error.eq(0)]
        return m

    def _written(self, name):
        return self.write & (self.address == offset(name) >> 2)

    def _built(self):
        p = self.parameters
        return {
            "id": Const(ID, 32),
            "array": Const(
                p.rows | p.columns << 8 | p.block_columns << 20 | p.weight_bits << 28, 32
            ),
            "build": Const(p.planes | p.sharing << 4 | p.slots << 12 | p.address_bits << 20, 32),
        }

    def _completion(self, m, next_gemm):
        """Count completions, keep the last one and the first error; return their registers."""
        completed, last = Signal(32), Signal(done_layout())
        first = Signal(done_layout())
        running = Signal(32)  # descriptors that entered
        lost = self.gemm.valid & ~self.gemm.ready
        over = self.completed.valid
        m.d.sync += running.eq(running + (self.gemm.valid & self.gemm.ready))
        with m.If(over):
            m.d.sync += [completed.eq(completed + 1), last.eq(self.completed.payload)]
        with m.If(self._written("error")):
            m.d.sync += first.eq(0)
        with m.Elif(first.cause == Cause.NONE):
            with m.If(over & (self.completed.payload.cause != Cause.NONE)):
                m.d.sync += first.eq(self.completed.payload)
            with m.Elif(lost):
                m.d.sync += [first.tag.eq(next_gemm.tag), first.cause.eq(Cause.QUEUE)]
        return {
            "status": _word(
                "status",
                busy=running != completed,
                room=self.gemm.ready,
                waiting=self.level,
            ),
            "completed": completed,
            "last": _word("last", tag=last.tag, cause=last.cause),
            "error": _word("error", tag=first.tag, cause=first.cause),
        }
