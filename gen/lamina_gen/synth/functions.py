"""Liberty's boolean expressions as Verilog.

Liberty writes NOT as ``!a`` or ``a'``, XOR as ``^``, AND as ``&``, ``*`` or a mere blank, OR as
``|`` or ``+``, and binds them in this order, the closest first. In Verilog AND binds closer than
XOR: everything is put in parentheses.
"""

import re

__all__ = ["to_verilog"]

_TOKEN = re.compile(r"\s*(?:([A-Za-z_][\w\[\]]*)|([01])|([!'^&*|+()]))")
# From the loosest to the closest: the signs of Liberty and the operator of Verilog.
_LEVELS = (("|+", "|"), ("&*", "&"), ("^", "^"))


def to_verilog(expression: str) -> str:
    """Return a Liberty expression over pins as a Verilog expression over the same names.

    Raises ValueError if it cannot be read.
    """
    tokens: list[str] = []
    position, end = 0, len(expression.rstrip())
    while position < end:
        match = _TOKEN.match(expression, position)
        if match is None:
            raise ValueError(f"{expression!r} must be a Liberty function.")
        tokens.append(match[0].strip())
        position = match.end()
    tokens.append("")
    verilog, rest = _operation(tokens, 0, 0, expression)
    if rest != len(tokens) - 1:
        raise ValueError(f"{expression!r} must be a Liberty function.")
    return verilog


def _operation(tokens: list[str], at: int, level: int, whole: str) -> tuple[str, int]:
    """Read terms that are joined by the signs of one level; return Verilog and the next place."""
    if level == len(_LEVELS):
        return _operand(tokens, at, whole)
    signs, operator = _LEVELS[level]
    term, at = _operation(tokens, at, level + 1, whole)
    terms = [term]
    while True:
        if tokens[at] and tokens[at] in signs:
            at += 1
        elif operator != "&" or not (tokens[at][:1].isalnum() or tokens[at][:1] in ("!", "(", "_")):
            break
        term, at = _operation(tokens, at, level + 1, whole)
        terms.append(term)
    return terms[0] if len(terms) == 1 else f"({f' {operator} '.join(terms)})", at


def _operand(tokens: list[str], at: int, whole: str) -> tuple[str, int]:
    """Read a name, a constant, a negation or a parenthesis, and what is put behind it."""
    token = tokens[at]
    if token == "!":
        inner, at = _operand(tokens, at + 1, whole)
        text = f"~{inner}"
    elif token == "(":
        text, at = _operation(tokens, at + 1, 0, whole)
        if tokens[at] != ")":
            raise ValueError(f"{whole!r} must be a Liberty function with matching parentheses.")
        at += 1
    elif token in ("0", "1"):
        text, at = f"1'b{token}", at + 1
    elif token[:1].isalpha() or token[:1] == "_":
        text, at = token, at + 1
    else:
        raise ValueError(f"{whole!r} must be a Liberty function.")
    while tokens[at] == "'":
        text, at = f"~{text}", at + 1
    return text, at
