"""Netlists in the plain Verilog that OpenSTA reads."""

import re

__all__ = ["plain"]

_DECLARATION = re.compile(
    r"^  (?:input|output|inout|wire) (?:\[(\d+):(\d+)\] )?(\\\S+ |\w+)(?: +)?;", re.M
)
_ASSIGN = re.compile(r"^  assign (.*?) = (.*?);$", re.M)
_MODULE = re.compile(r"^module .*?^endmodule", re.M | re.S)
_TERM = re.compile(r"(\d+)'b([01xz]+)|(\\\S+ |\w+) ?(?:\[(\d+)(?::(\d+))?\])?")


def plain(verilog: str) -> str:
    """Return a netlist of Yosys without `signed` and with every assignment of one bit alone."""
    verilog = re.sub(r"^(\s*(?:input|output|wire))( signed)\b", r"\1", verilog, flags=re.M)
    return _MODULE.sub(lambda match: _one_module(match[0]), verilog)


def _one_module(text: str) -> str:
    ranges = {
        name.strip(): (int(high or 0), int(low or 0))
        for high, low, name in _DECLARATION.findall(text)
        if high
    }

    def bits(side: str) -> list[str]:
        """Return the bits of one side of an assignment, the most significant first."""
        result: list[str] = []
        for width, digits, name, high, low in _TERM.findall(side):
            if digits:
                result += [f"1'b{digit}" for digit in digits.rjust(int(width), "0")]
            elif not high and name.strip() not in ranges:
                result.append(name)
            else:
                first, last = (high, low or high) if high else ranges[name.strip()]
                result += [f"{name}[{bit}]" for bit in range(int(first), int(last) - 1, -1)]
        return result

    def expand(match: re.Match[str]) -> str:
        pairs = zip(bits(match[1]), bits(match[2]), strict=True)
        return "\n".join(f"  assign {left} = {right};" for left, right in pairs)

    return _ASSIGN.sub(expand, text)
