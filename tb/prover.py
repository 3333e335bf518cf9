"""Proofs by model checking: a harness whose output ``bad`` can never be 1, whatever its inputs do.

Yosys turns the harness into an and-inverter graph with the registers' initial values. ABC's `scorr`
merges registers that are always equal, by induction, then `pdr` (property directed reachability)
looks for an invariant that keeps ``bad`` at 0, or finds inputs that raise it. Both come with
pyosys. There is no bound on the length of a run.
"""

import re
import tempfile
from pathlib import Path

from amaranth.back import verilog
from amaranth.hdl import Cat, ClockDomain, Module, Mux, Signal, Value

from lamina_gen.synth import tools

#: Seconds that a proof may take.
LIMIT_S = 120

_SCRIPT = """\
read_verilog harness.v
hierarchy -check -top top
proc
flatten
opt_clean
memory_collect
memory_map
opt -nodffe -nosdff
simplemap
techmap
clean
dffunmap
setundef -anyseq
aigmap
design -save harness
select -assert-count 2 o:*
delete -port w:proof_met
select -assert-count 1 o:*
clean
write_aiger -zinit bad.aig
design -load harness
delete -port w:proof_bad
select -assert-count 1 o:*
clean
write_aiger -zinit met.aig
"""


class Harness:
    """A module that is being built: free inputs, what they may not do, what must not happen.

    ``m``: the module; the device under proof is a submodule.
    """

    def __init__(self):
        self.m, self.inputs = Module(), []
        self._broken, self._wrong, self._wanted = [], [], []

    def free(self, name, shape=1):
        """Return an input."""
        self.inputs.append(Signal(shape, name=name))
        return self.inputs[-1]

    def constant(self, name, shape=1):
        """Return a value that is free, but the same in all cycles."""
        held, begun = Signal(shape), Signal()
        value = Mux(begun, held, self.free(name, shape))
        self.m.d.sync += [held.eq(value), begun.eq(1)]
        return value

    def assume(self, condition):
        """Only runs in which ``condition`` has always held count."""
        self._broken.append(~condition)

    def forbid(self, condition):
        """``condition`` is never to be true."""
        self._wrong.append(condition)

    def cover(self, condition):
        """A run in which ``condition`` is true at some time counts; else nothing would be said."""
        self._wanted.append(condition)

    def earlier(self, value, init=0):
        """Return ``value`` of the cycle before."""
        register = Signal.like(value, init=init)
        self.m.d.sync += register.eq(value)
        return register

    def check(self):
        """Return None if nothing forbidden can happen, else the cycle in which it can.

        Raises AssertionError if neither is found within the limit, or if no run that counts has
        all that is to be covered.
        """
        with tempfile.TemporaryDirectory(prefix="lamina-proof-") as name:
            folder = Path(name)
            (folder / "harness.v").write_text(self._verilog())
            tools.run_yosys(_SCRIPT, folder, "Elaboration of a harness")
            log = _abc(folder, f"read met.aig; bmc3 -T {LIMIT_S}")
            assert "asserted in frame" in log, f"what is to be covered is not:\n{log[-1000:]}"
            merge = "read bad.aig; scorr; dc2; write_aiger merged.aig"
            log = _abc(folder, f"{merge}; pdr -T {LIMIT_S}")
            if "Property proved" in log or _is_zero(folder / "merged.aig"):
                return None
        found = re.search(r"asserted in frame (\d+)", log)
        assert found, f"neither a proof nor a counterexample:\n{log[-1000:]}"
        return int(found.group(1))

    def _verilog(self):
        m, off, broken = self.m, Signal(), Signal()
        bad, met = Signal(name="proof_bad"), Signal(name="proof_met")
        assert self._wrong, "nothing is forbidden"
        # Reset is a matter of the tests; here registers start as they are initialised.
        m.domains.sync = clock = ClockDomain("sync", reset_less=True)
        seen = [Signal(name=f"seen_{n}") for n in range(len(self._wanted) + 1)]
        for flag, condition in zip(seen, [1, *self._wanted], strict=True):
            m.d.sync += flag.eq(flag | condition)
        m.d.comb += broken.eq(off | _any(self._broken))
        m.d.sync += off.eq(broken)
        m.d.comb += bad.eq(_any(self._wrong) & ~broken)
        m.d.comb += met.eq(Cat(seen).all() & ~broken)
        return verilog.convert(m, name="top", ports=[clock.clk, bad, met, *self.inputs])


def _any(conditions):
    return Cat(*(Value.cast(condition).any() for condition in conditions)).any()


def _abc(folder, commands):
    command = [tools.find_abc(), "-c", commands]
    return tools.call(command, folder, "The proof", "abc.log", limit_s=LIMIT_S + 30)


def _is_zero(path):
    """Whether the output of a graph is the constant 0: ABC's pdr has no word for that."""
    lines = path.read_bytes().split(b"\n")
    return lines[1 + int(lines[0].split()[3])] == b"0"
