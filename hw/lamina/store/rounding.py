"""Rounding of codes that were read with fewer planes than they have."""

from amaranth.hdl import Cat, Module, Signal, Value

__all__ = ["guard_bit", "round_float", "round_integer"]

#: Patterns of +Inf, and of the top mantissa bit, by ``bfloat``.
_INFINITY = {0: 0x7C00, 1: 0x7F80}
_QUIET = {0: 0x0200, 1: 0x0040}


def guard_bit(m: Module, form: Value, width: int) -> Signal:
    """Return the place of the guard plane in a code as a one-hot, none if nothing is rounded.

    ``form`` is a view of `code_format_layout`. Code bit ``planes`` - 1 - ``keep`` is the first one
    that does not stay.
    """
    guard = Signal(width)
    with m.If(form.nearest & (form.keep < form.planes)):
        m.d.comb += guard.eq(1 << (form.planes - form.keep - 1)[:4])
    return guard


def round_integer(m: Module, code: Value, guard: Value, top: Value) -> Value:
    """Return ``code``, sign-extended, rounded half up to the bits above ``guard``; it saturates.

    ``top`` has the sign bit of the n-bit code set and no other.
    """
    total, overflow = Signal(len(code)), Signal()
    rounded = Signal(len(code))
    m.d.comb += [
        # Adding the guard bit to itself carries into the kept bits and leaves it zero.
        total.eq(code + (code & guard)),
        overflow.eq(~code[-1] & (total & top).any()),
        rounded.eq(total),
    ]
    with m.If(overflow):
        m.d.comb += rounded.eq(code & ~guard)
    return rounded


def round_float(m: Module, code: Value, guard: Value, bfloat: Value) -> Value:
    """Return the 16-bit float ``code``, its magnitude rounded half away from zero above ``guard``.

    A carry into the exponent stands; the largest finite value is not passed. Inf and NaN are cut,
    and a NaN that only the guard bit tells from Inf gets its top mantissa bit set.
    """
    magnitude = code[:15]
    cut, total, rounded = Signal(15), Signal(15), Signal(15)
    infinity, quiet = Signal(15), Signal(15)
    m.d.comb += [infinity.eq(_INFINITY[0]), quiet.eq(_QUIET[0])]
    with m.If(bfloat):
        m.d.comb += [infinity.eq(_INFINITY[1]), quiet.eq(_QUIET[1])]
    m.d.comb += [
        cut.eq(magnitude & ~guard),
        total.eq(magnitude + (magnitude & guard)),
        rounded.eq(total),
    ]
    with m.If((magnitude & infinity) == infinity):
        m.d.comb += rounded.eq(cut)
        with m.If((cut == infinity) & (magnitude != infinity)):
            m.d.comb += rounded.eq(cut | quiet)
    with m.Elif((total & infinity) == infinity):
        m.d.comb += rounded.eq(cut)
    return Cat(rounded, code[15])
