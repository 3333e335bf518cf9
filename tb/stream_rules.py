"""What every stream keeps to, and what whoever passes one on does, as properties of a harness."""

from amaranth.hdl import Module, Mux, Signal


def holds(h, stream):
    """Return: ``stream`` offers again what was not taken in the cycle before."""
    payload = stream.payload.as_value() if hasattr(stream.payload, "as_value") else stream.payload
    stalled = h.earlier(stream.valid & ~stream.ready)
    return ~stalled | (stream.valid & (payload == h.earlier(payload)))


def drive(h, name, stream):
    """Drive an input stream of a submodule freely, but as the contract has it."""
    h.m.d.comb += stream.valid.eq(h.free(f"{name}_valid"))
    h.m.d.comb += stream.payload.eq(h.free(f"{name}_payload", len(stream.payload)))
    h.assume(holds(h, stream))


def in_order(h, name, enter, payload_in, leave, payload_out, most):
    """Forbid that what leaves is not what entered: another, a changed, a lost or an invented one.

    Any one payload is followed, by a free choice of the moment at which it enters. At most ``most``
    are inside; one may leave as it enters if none is. Returns how many are.
    """
    inside, ahead = Signal(range(most + 1), name=f"{name}_inside"), Signal(range(most + 1))
    marked, seen, wanted = Signal(), Signal(), Signal.like(payload_in)
    passes = enter & leave & (inside == 0)
    h.forbid(passes & (payload_out != payload_in))
    enter, leave = enter & ~passes, leave & ~passes
    mark = enter & h.free(f"{name}_mark") & ~marked
    turn = marked & ~seen & leave & (ahead == 0)
    m: Module = h.m
    m.d.sync += inside.eq(inside + enter - leave)
    with m.If(mark):
        m.d.sync += [marked.eq(1), wanted.eq(payload_in), ahead.eq(inside - leave)]
    with m.Elif(marked & ~seen & leave):
        m.d.sync += [ahead.eq(Mux(ahead == 0, 0, ahead - 1)), seen.eq(ahead == 0)]
    h.forbid(leave & (inside == 0))
    h.forbid(turn & (payload_out != wanted))
    h.forbid(enter & ~leave & (inside == most))
    return inside


def soon(h, waiting, done, cycles):
    """Forbid that ``waiting`` lasts longer than ``cycles`` cycles without ``done``."""
    count = Signal(range(cycles + 2))
    h.m.d.sync += count.eq(Mux(waiting & ~done, Mux(count > cycles, count, count + 1), 0))
    h.forbid(count > cycles)
