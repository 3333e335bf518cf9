"""Headers of CXL.mem messages on CPI, the interface between a link layer and an agent.

The fields of `lamina.formats.cxl`, with the flit mode and a parity bit of the address; data, byte
enables and poison travel beside the header.
"""

from amaranth.hdl import unsigned
from amaranth.lib import data

from lamina.formats.cxl import (
    m2s_req_layout,
    m2s_rwd_layout,
    s2m_drs_layout,
    s2m_ndr_layout,
)

__all__ = [
    "drs_header_layout",
    "ndr_header_layout",
    "req_header_layout",
    "rwd_header_layout",
]

#: ``flit_mode`` of 68-byte flits.
_FLIT_MODE_BITS = 2


def _header(message: data.StructLayout, *, beside: tuple = (), **more: int) -> data.StructLayout:
    """Return the fields of ``message`` but for those ``beside`` the header, and some more."""
    fields = {name: field.shape for name, field in message if name not in beside}
    fields |= {name: unsigned(bits) for name, bits in more.items()}
    return data.StructLayout({"flit_mode": unsigned(_FLIT_MODE_BITS), **fields})


def req_header_layout() -> data.StructLayout:
    """Return the header of a Req: 83 bits."""
    return _header(m2s_req_layout(), beside=("rsvd",), addr_parity=1)


def rwd_header_layout() -> data.StructLayout:
    """Return the header of a RwD: 84 bits; each half of the address has its parity."""
    beside = ("rsvd", "poison", "data", "byte_enable")
    return _header(m2s_rwd_layout(), beside=beside, addr_parity=2, rsvd=1)


def drs_header_layout() -> data.StructLayout:
    """Return the header of a DRS: 40 bits."""
    return _header(s2m_drs_layout(), beside=("poison", "data"))


def ndr_header_layout() -> data.StructLayout:
    """Return the header of an NDR: 31 bits."""
    return _header(s2m_ndr_layout())
