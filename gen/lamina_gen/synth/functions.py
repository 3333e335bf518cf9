"""Liberty's boolean expressions, as Verilog and as truth tables.

Liberty writes NOT as ``!a`` or ``a'``, XOR as ``^``, AND as ``&``, ``*`` or a mere blank, OR as
``|`` or ``+``, and binds them in this order, the closest first. In Verilog AND binds closer than
XOR: everything is put in parentheses.
"""

import functools
import re

__all__ = ["Tree", "names", "parse", "to_verilog", "truth_table"]

#: A name, "0" or "1", or an operation: ("~", tree) or ("&" | "^" | "|", tree, tree, ...).
Tree = str | tuple["Tree", ...]

_TOKEN = re.compile(r"\s*([A-Za-z_][\w\[\]]*|[01]|[!'^&*|+()])")
# From the loosest to the closest: the signs of Liberty and the operator of Verilog.
_LEVELS = (("|+", "|"), ("&*", "&"), ("^", "^"))


@functools.cache
def parse(expression: str) -> Tree:
    """Return the tree of a Liberty expression; ValueError if it cannot be read."""
    tokens: list[str] = []
    position, end = 0, len(expression.rstrip())
    while position < end:
        match = _TOKEN.match(expression, position)
        if match is None:
            raise ValueError(f"{expression!r} must be a Liberty function.")
        tokens.append(match[1])
        position = match.end()
    tokens.append("")
    tree, rest = _operation(tokens, 0, 0)
    if tree == "" or rest != len(tokens) - 1:
        raise ValueError(f"{expression!r} must be a Liberty function.")
    return tree


def _operation(tokens: list[str], at: int, level: int) -> tuple[Tree, int]:
    """Read terms that are joined by the signs of one level; return them and the next place."""
    if level == len(_LEVELS):
        return _operand(tokens, at)
    signs, operator = _LEVELS[level]
    term, at = _operation(tokens, at, level + 1)
    terms = [term]
    while term != "":
        if tokens[at] and tokens[at] in signs:
            at += 1
        elif operator != "&" or not re.match(r"[\w!(]", tokens[at]):
            return (terms[0] if len(terms) == 1 else (operator, *terms)), at
        term, at = _operation(tokens, at, level + 1)
        terms.append(term)
    return "", at


def _operand(tokens: list[str], at: int) -> tuple[Tree, int]:
    """Read a name, constant, negation or parenthesis and what is put behind it; "" if none is."""
    token = tokens[at]
    tree: Tree = token
    if token == "!":
        inner, at = _operand(tokens, at + 1)
        tree = ("~", inner) if inner != "" else ""
    elif token == "(":
        tree, at = _operation(tokens, at + 1, 0)
        if tokens[at] != ")":
            return "", at
        at += 1
    elif re.fullmatch(r"\w.*", token):
        at += 1
    else:
        return "", at
    while tokens[at] == "'":
        tree, at = ("~", tree), at + 1
    return tree, at


def names(expression: str) -> list[str]:
    """The names in an expression, each once, in the order of their appearance."""

    def walk(tree: Tree) -> list[str]:
        if isinstance(tree, str):
            return [] if tree in ("0", "1") else [tree]
        return [name for part in tree[1:] for name in walk(part)]

    return list(dict.fromkeys(walk(parse(expression))))


def to_verilog(expression: str) -> str:
    """Return a Liberty expression as a Verilog expression over the same names."""

    def write(tree: Tree) -> str:
        if isinstance(tree, str):
            return f"1'b{tree}" if tree in ("0", "1") else tree
        if tree[0] == "~":
            return f"~{write(tree[1])}"
        return "(" + f" {tree[0]} ".join(map(write, tree[1:])) + ")"

    return write(parse(expression))


def truth_table(expression: str, inputs: list[str]) -> int:
    """Values of an expression for all values of ``inputs``, as bits of one number.

    Bit i is the value where input j has bit j of i.
    """
    rows = 1 << len(inputs)
    values = {"0": 0, "1": (1 << rows) - 1}
    for place, name in enumerate(inputs):
        values[name] = sum(1 << row for row in range(rows) if row >> place & 1)

    def value(tree: Tree) -> int:
        if isinstance(tree, str):
            return values[tree]
        first, *rest = map(value, tree[1:])
        for other in rest:
            first = {"&": first & other, "|": first | other, "^": first ^ other}[str(tree[0])]
        return first ^ values["1"] if tree[0] == "~" else first

    return value(parse(expression))
