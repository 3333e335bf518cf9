# amaranth: UnusedElaboratable=no
# (a cell that becomes an instance asks its component for nothing but the ports)
"""One module definition, many instances.

Amaranth writes a submodule out again for each of its instances. A component that is instantiated
more than a few times is therefore wrapped in a `Cell`: Amaranth's own simulator and formal flows
see the component in place, while the generator's platform defines it once under a stable name and
each `Cell` becomes an instance of that one Verilog module.
"""

from functools import cache, reduce

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Flow

__all__ = ["Cell"]


@cache
def _signature(kind: type, parameters) -> wiring.Signature:
    """Return the signature of ``kind(parameters)``, which is built once to look at it."""
    return kind(parameters).signature


class Cell(wiring.Component):
    """A component of class ``kind`` built from ``parameters``, shared by all equal cells.

    Parameters
    ----------
    kind : type
        A `wiring.Component` class whose constructor takes one frozen parameter dataclass.
    parameters : dataclass instance
        Cells of equal ``kind`` and ``parameters`` share one definition.

    Members
    -------
    Those of ``kind(parameters)``.

    Notes
    -----
    A platform that has ``define_cell(kind, parameters) -> (module name, clocked)`` gets instances.
    Amaranth's ResetInserter and EnableInserter do not reach into an instance: use ports instead.
    """

    def __init__(self, kind: type, parameters):
        self.kind = kind
        self.parameters = parameters
        super().__init__(_signature(kind, parameters))
        self._leave_out_fields()

    def _leave_out_fields(self):
        """Let signals be plain ones below their views.

        Amaranth writes each field of a signal out as a signal of its own. The definition has those
        of its ports already; again for each of its cells they were a third of an array's Verilog.
        """
        for path, _member, port in self.signature.flatten(self):
            if isinstance(port, data.View):
                value = port.as_value()
                plain = Signal(value.shape(), name=value.name, init=value.init)
                owner = reduce(getattr, path[:-1], self)
                setattr(owner, path[-1], data.View(port.shape(), plain))

    def elaborate(self, platform):
        define_cell = getattr(platform, "define_cell", None)
        if define_cell is None:
            return self._in_place()
        name, clocked = define_cell(self.kind, self.parameters)
        ports = {}
        for path, member, value in self.signature.flatten(self):
            prefix = "i" if member.flow == Flow.In else "o"
            ports[f"{prefix}_{'__'.join(map(str, path))}"] = value
        if clocked:
            ports |= {"i_clk": ClockSignal(), "i_rst": ResetSignal()}
        return Instance(name, **ports)

    def _in_place(self):
        m = Module()
        m.submodules.definition = definition = self.kind(self.parameters)
        wiring.connect(m, wiring.flipped(self), definition)
        return m
