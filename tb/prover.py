"""Proofs by model checking: a harness whose output ``bad`` can never be 1, whatever its inputs do.

Yosys turns the harness into an and-inverter graph with the registers' initial values, ABC's `pdr`
(property directed reachability) looks for an invariant that keeps ``bad`` at 0, or finds inputs
that raise it. Both come with pyosys. There is no bound on the length of a run.
"""

import re
import tempfile
from pathlib import Path

from amaranth.back import verilog
from amaranth.hdl import Cat, ClockDomain, Module, Signal, Value

from lamina_gen.synth import tools

#: Seconds that a proof may take.
LIMIT_S = 120

_SCRIPT = """\
read_verilog harness.v
hierarchy -check -top top
proc
flatten
memory_collect
memory_map
opt -nodffe -nosdff
simplemap
techmap
opt -nodffe -nosdff
dffunmap
setundef -anyseq
aigmap
clean
write_aiger -zinit harness.aig
"""


class Harness:
    """A module that is being built: free inputs, what they may not do, what must not happen.

    ``m``: the module; the device under proof is a submodule.
    """

    def __init__(self):
        self.m, self.inputs = Module(), []
        self._broken, self._wrong = [], []

    def free(self, name, shape=1):
        """Return an input."""
        self.inputs.append(Signal(shape, name=name))
        return self.inputs[-1]

    def assume(self, condition):
        """Only runs in which ``condition`` has always held count."""
        self._broken.append(~condition)

    def forbid(self, condition):
        """``condition`` is never to be true."""
        self._wrong.append(condition)

    def earlier(self, value, init=0):
        """Return ``value`` of the cycle before."""
        register = Signal.like(value, init=init)
        self.m.d.sync += register.eq(value)
        return register

    def check(self):
        """Return None if nothing forbidden can happen, else the cycle in which it can.

        Raises AssertionError if neither is found within the limit.
        """
        m, off, broken, bad = self.m, Signal(), Signal(), Signal()
        assert self._wrong, "nothing is forbidden"
        # Reset is a matter of the tests; here registers start as they are initialised.
        m.domains.sync = clock = ClockDomain("sync", reset_less=True)
        m.d.comb += broken.eq(off | _any(self._broken))
        m.d.sync += off.eq(broken)
        m.d.comb += bad.eq(_any(self._wrong) & ~broken)
        text = verilog.convert(m, name="top", ports=[clock.clk, bad, *self.inputs])
        with tempfile.TemporaryDirectory(prefix="lamina-proof-") as name:
            folder = Path(name)
            (folder / "harness.v").write_text(text)
            tools.run_yosys(_SCRIPT, folder, "Elaboration of a harness")
            command = [tools.find_abc(), "-c", f"read harness.aig; pdr -T {LIMIT_S}"]
            log = tools.call(command, folder, "The proof", "abc.log", limit_s=LIMIT_S + 30)
        if "Property proved" in log:
            return None
        found = re.search(r"asserted in frame (\d+)", log)
        assert found, f"neither a proof nor a counterexample:\n{log[-1000:]}"
        return int(found.group(1))


def _any(conditions):
    return Cat(*(Value.cast(condition).any() for condition in conditions)).any()
