"""A component under proof whose parts are seen, and may be taken out."""

from amaranth.hdl import Elaboratable, Fragment, Module, Value
from amaranth.lib.wiring import Flow


class Opened(Elaboratable):
    """``component`` with the ports of its parts in reach of a harness; a submodule of ``h.m``.

    Whatever holds with a part taken out holds with it, and with any other in its place.
    """

    def __init__(self, h, component):
        self.h, self.component = h, component
        self._fragment = Fragment.get(component, None)

    def elaborate(self, platform):
        return self._fragment

    def part(self, path):
        """Return the part of that name, "reads.lookup" for a part of a part."""
        *_, here = self._walk(path)
        return here.origins[0]

    def cut(self, *paths):
        """Take parts out: what they drove is now a free input. Return them."""
        return [self._cut(path) for path in paths]

    def free_inputs(self):
        """Let the component's own inputs be free."""
        self._drive("i", self.component, Flow.In, self.h.m)

    def _walk(self, path):
        """Yield a fragment and the place in it of the next name; then the fragment of the last."""
        here = self._fragment
        for name in path.split("."):
            names = [found for _, found, _ in here.subfragments]
            assert name in names, f"{path} must name a part, one of {names}"
            yield here, names.index(name)
            here = here.subfragments[names.index(name)][0]
        yield here

    def _cut(self, path):
        *_, (outer, place), here = self._walk(path)
        _, name, source = outer.subfragments[place]
        component, m = here.origins[0], Module()
        self._drive(path, component, Flow.Out, m)
        outer.subfragments[place] = (Fragment.get(m, None), name, source)
        return component

    def _drive(self, prefix, component, flow, m):
        for names, member, value in component.signature.flatten(component):
            if member.flow == flow:
                name = "_".join(map(str, (*prefix.split("."), *names)))
                m.d.comb += Value.cast(value).eq(self.h.free(name, len(Value.cast(value))))
