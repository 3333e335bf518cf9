"""What a floating-point pattern stands for."""

from types import SimpleNamespace

from amaranth.hdl import Cat, Value
from amaranth.lib import data

from lamina.formats.ieee import Format

__all__ = ["unpack"]


def unpack(fmt: Format, pattern: Value) -> SimpleNamespace:
    """Return the parts of ``pattern``, a value of ``fmt.width`` bits, as expressions.

    ``sign``; ``significand`` F (``fmt.precision`` bits) and ``exponent`` E = max(field, 1), so that
    subnormals need no care: the value is F * 2^(E - bias - precision + 1); flags ``zero``, ``nan``
    and ``inf``.
    """
    fields = data.View(fmt.layout, pattern)
    normal, special = fields.exponent.any(), fields.exponent.all()
    fraction = fields.fraction.any()
    return SimpleNamespace(
        sign=fields.sign,
        exponent=Cat(fields.exponent[0] | ~normal, fields.exponent[1:]),
        significand=Cat(fields.fraction, normal),
        zero=~normal & ~fraction,
        nan=special & fraction,
        inf=special & ~fraction,
    )
