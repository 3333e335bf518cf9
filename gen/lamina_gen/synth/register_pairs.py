"""Which register of a circuit is which of another: by name, and the rest by what they do.

Synthesis drops a register that never leaves its initial value or does what another one does, and
at times the name of one that it keeps. Those are found as van Eijk does (IEEE TCAD 19(7), 2000):
suppose as many registers equal as may be, draw contents at random of which that is true, part
those that get different ones, and again. What is left is a guess, which a proof has to bear out.
"""

import random
from collections.abc import Hashable

from lamina_gen.synth.register_cut import Bit, Circuit

__all__ = ["pair"]

# Contents drawn at once, and how often they may part no register before that is taken as the end.
_DRAWS, _ROUNDS = 2048, 4
_ALL = (1 << _DRAWS) - 1

# Labels of registers that never leave their initial value, which is the label.
_CONSTANTS = ("0", "1")

# The label of each register that has one. Registers of one label are supposed equal, in a circuit
# and between the two.
_Labels = dict[Bit, str]


def pair(gold: Circuit, gate: Circuit) -> tuple[int, str | None]:
    """Make inputs and outputs of the registers of both circuits.

    Those that are supposed equal have one input, and each an output. One without a partner is an
    input that may be anything. Returns how many are supposed equal without a name that says so,
    and the name of one without a partner on which an output depends.
    """
    labels = ours, theirs = _by_name(gold, gate)
    named = len(ours) + len(theirs)
    if gold.unlabelled(ours) or gate.unlabelled(theirs):
        _by_behaviour((gold, gate), labels)
    _close(gold, gate, ours, theirs, "")
    _close(gate, gold, theirs, ours, " of the netlist")
    free = [gold.names()[bit] for bit in gold.unlabelled(ours)]
    free += [gate.names()[bit] for bit in gate.unlabelled(theirs)]
    return len(ours) + len(theirs) - named, min(free, default=None)


def _by_name(gold: Circuit, gate: Circuit) -> tuple[_Labels, _Labels]:
    ours: _Labels = {}
    theirs: _Labels = {}
    initial: dict[str, str] = {}
    for name in sorted(gold.registers.keys() & gate.registers.keys()):
        left, right = gold.registers[name], gate.registers[name]
        label = ours.get(left) or theirs.get(right) or name
        # Registers that do not start equal are not equal, even if nothing else ever shows it.
        if initial.setdefault(label, gold.initial[left]) == gold.initial[left]:
            ours.setdefault(left, label)
            theirs.setdefault(right, label)
    return ours, theirs


def _by_behaviour(circuits: tuple[Circuit, Circuit], labels: tuple[_Labels, _Labels]) -> None:
    """Give registers that need a label that of another one of their class."""
    classes = _classes(circuits)
    known: dict[Hashable, str] = {("constant", value): value for value in _CONSTANTS}
    known = {classes[0][bit]: name for bit, name in labels[0].items()} | known
    # Lost are the names of some that both sides have.
    common = set(classes[0].values()) & set(classes[1].values()) - known.keys()
    known |= {key: f"class {number}" for number, key in enumerate(common)}
    # A register with a label makes others matter: those that its next content depends on.
    found = True
    while found:
        found = False
        for circuit, mine, label in zip(circuits, classes, labels, strict=True):
            wanted = circuit.unlabelled(label)
            new = {bit: known[mine[bit]] for bit in wanted if mine[bit] in known}
            label |= new
            found |= bool(new)
    # A class of which only one side needs registers pairs nothing.
    both = {*labels[0].values()} & {*labels[1].values()} | {*_CONSTANTS}
    for label in labels:
        for bit in [bit for bit, name in label.items() if name not in both]:
            del label[bit]


def _classes(circuits: tuple[Circuit, Circuit]) -> list[dict[Bit, Hashable]]:
    """Return the class of each register of each circuit: equal as far as the draws show."""
    generator = random.Random(1)
    constants: dict[Hashable, int] = {("constant", "0"): 0, ("constant", "1"): _ALL}
    classes: list[dict[Bit, Hashable]] = [
        {bit: ("constant", value) for bit, value in initial.items()}
        for initial in (circuits[0].initial, _after_reset(circuits[1], generator))
    ]
    quiet, before = 0, (0, 0)
    while quiet < _ROUNDS:
        draws = dict(constants)
        numbers: dict[Hashable, int] = {}
        still = 0
        for circuit, mine in zip(circuits, classes, strict=True):
            for key in (*circuit.inputs, *mine.values()):
                if key not in draws:
                    draws[key] = _draw(generator)
            inputs = {name: draws[name] for name in circuit.inputs}
            values = circuit.simulate(inputs, {bit: draws[key] for bit, key in mine.items()}, _ALL)
            for bit, key in mine.items():
                got = values[circuit.data[bit]]
                if constants.get(key) == got:
                    still += 1
                else:
                    mine[bit] = numbers.setdefault((key, got), len(numbers))
        sizes = (len(numbers), still)
        quiet, before = quiet + 1 if sizes == before else 0, sizes
    return classes


def _after_reset(circuit: Circuit, generator: random.Random) -> dict[Bit, str]:
    """Return what registers hold after a reset: 0 where that is not always the same."""
    inputs = {name: _draw(generator) for name in circuit.inputs}
    if "rst[0]" in inputs:
        inputs["rst[0]"] = _ALL
    values = circuit.simulate(inputs, {bit: _draw(generator) for bit in circuit.data}, _ALL)
    return {bit: "1" if values[data] == _ALL else "0" for bit, data in circuit.data.items()}


def _draw(generator: random.Random) -> int:
    """Return bits of which half are ones, or a quarter, or three: wide gates want either."""
    left, right = generator.getrandbits(_DRAWS), generator.getrandbits(_DRAWS)
    return generator.choice((left, left & right, left | right))


def _close(one: Circuit, other: Circuit, mine: _Labels, yours: _Labels, suffix: str) -> None:
    """Make the inputs of ``one``, and the outputs of its registers with a label on both sides."""
    partners = {label: other.data[bit] for bit, label in yours.items()}
    firsts: dict[str, Bit] = {value: value for value in _CONSTANTS}
    names = one.names()
    for bit in one.data:
        name, label = names[bit], mine.get(bit)
        if label is None:
            one.inputs[f"register {name}{suffix}"] = bit
            continue
        if label not in firsts:
            one.inputs[f"register {label}"] = firsts[label] = bit
        else:
            one.equal[bit] = firsts[label]
        one.outputs[f"next {name}{suffix}"] = one.data[bit]
        other.outputs[f"next {name}{suffix}"] = label if label in _CONSTANTS else partners[label]
