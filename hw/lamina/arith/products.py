"""Products of wide integers in two stages: as much as the LUTs of an FPGA multiply in a cycle."""

from types import SimpleNamespace

from amaranth.hdl import Module, Value

__all__ = ["join_parts", "partial_products"]

#: Bits of a factor that are multiplied by in a cycle.
_PART = 4


def partial_products(name: str, a: Value, b: Value) -> dict[str, Value]:
    """Return the products of ``a`` and parts of ``b``, which `join_parts` adds up to ``name``."""
    starts = range(0, len(b), _PART)
    return {f"{name}_{start}": a * b[start : start + _PART] for start in starts}


def join_parts(m: Module, x: SimpleNamespace) -> dict[str, Value]:
    """Stage that adds up `partial_products`; what else there is passes by."""
    joined: dict[str, Value] = {}
    for key, value in vars(x).items():
        name, _, start = key.rpartition("_")
        if start.isdigit():
            total = (value << int(start)) + joined.get(name, 0)
            # The product so far is no wider than its highest part: there is no carry out.
            joined[name] = total[: int(start) + len(value)]
        else:
            joined[key] = value
    return joined
