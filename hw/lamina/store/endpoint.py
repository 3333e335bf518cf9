# amaranth: UnusedElaboratable=no
"""The store as a device behind a link layer: CPI's channels in front of the device."""

from dataclasses import dataclass

from amaranth.hdl import Module
from amaranth.lib import wiring

from lamina.parameters import narrowed
from lamina.store.cpi import Cpi, CpiParameters
from lamina.store.device import Device, DeviceParameters

__all__ = ["Endpoint", "EndpointParameters"]

#: What lies between the two, and how the members of the ports are called in each.
_STREAMS = {"o_req": "i_req", "o_rwd": "i_rwd", "i_drs": "o_drs", "i_ndr": "o_ndr"}


@dataclass(frozen=True, kw_only=True)
class EndpointParameters(DeviceParameters):
    """Those of `DeviceParameters`, and of the channels, as of `CpiParameters`.

    ``req_credits``, ``data_credits``: of the two channels to the device. ``protocol_id``: the
    protocol that messages must name.
    """

    req_credits: int = CpiParameters.req_credits
    data_credits: int = CpiParameters.data_credits
    protocol_id: int = CpiParameters.protocol_id

    def __post_init__(self):
        super().__post_init__()
        _ = self.cpi  # which checks them

    @property
    def cpi(self) -> CpiParameters:
        """Of the channels."""
        return narrowed(CpiParameters, self)

    @property
    def device(self) -> DeviceParameters:
        """Of the device."""
        return narrowed(DeviceParameters, self)

    @property
    def latency(self) -> int:
        """Cycles from a read of a plane on its channel to its line, without those of the memory."""
        return self.cpi.latency + self.device.latency + 1

    @property
    def storage_bits(self) -> int:
        """Of both."""
        return self.cpi.storage_bits + self.device.storage_bits


class Endpoint(wiring.Component):
    """The store's device behind CPI: messages with credits on one side, memory on the other.

    Members
    -------
    f2a_*, a2f_* : channels and connection, as `Cpi` has them
    s_axil_*, m_axi_* : registers and memory, as `Device` has them

    What the channels drop is counted in the device's registers: ``link``.

    Source: SmartQuant's device, on the CXL-cache/mem protocol interface.
    """

    def __init__(self, parameters: EndpointParameters):
        self.parameters = parameters
        # Made here for their ports, which are also asked for where nothing is elaborated.
        self._parts = Cpi(parameters.cpi), Device(parameters.device)
        super().__init__({name: p for part in self._parts for name, p in _outer(part).items()})

    def elaborate(self, platform):
        m = Module()
        m.submodules.cpi, m.submodules.device = cpi, device = self._parts
        for ours, theirs in _STREAMS.items():
            wiring.connect(m, getattr(cpi, ours), getattr(device, theirs))
        m.d.comb += device.link_violations.eq(cpi.violations)
        for part in self._parts:
            for name, member in _outer(part).items():
                outer, inner = getattr(self, name), getattr(part, name)
                m.d.comb += inner.eq(outer) if member.flow == wiring.In else outer.eq(inner)
        return m


def _outer(part: wiring.Component) -> dict[str, wiring.Member]:
    """Return the members of ``part`` that are ports of the whole."""
    inner = {*_STREAMS, *_STREAMS.values(), "violations", "fatal", "link_violations"}
    return {name: member for name, member in part.signature.members.items() if name not in inner}
