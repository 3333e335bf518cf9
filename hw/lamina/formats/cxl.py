"""CXL.mem messages, the field set of 68-byte flits, as a device behind the link layer sees them.

The valid bit of a message is that of its stream. Field widths and encodings are those of the CXL
specification; BISnp and BIRsp do not exist in 68-byte flits.
"""

from amaranth.hdl import unsigned
from amaranth.lib import data, enum

__all__ = [
    "LINE_ADDRESS_BITS",
    "DrsOpcode",
    "MetaField",
    "NdrOpcode",
    "ReqOpcode",
    "RwdOpcode",
    "m2s_req_layout",
    "m2s_rwd_layout",
    "s2m_drs_layout",
    "s2m_ndr_layout",
]

#: Address[51:6]: lines of 64 bytes.
LINE_ADDRESS_BITS = 46


class ReqOpcode(enum.IntEnum, shape=unsigned(4)):
    """``mem_opcode`` of M2S Req; all others are reserved."""

    MEM_INV = 0
    MEM_RD = 1
    MEM_RD_DATA = 2
    MEM_RD_FWD = 3
    MEM_WR_FWD = 4
    MEM_SPEC_RD = 8
    MEM_INV_NT = 9
    MEM_CLN_EVCT = 10


class RwdOpcode(enum.IntEnum, shape=unsigned(4)):
    """``mem_opcode`` of M2S RwD."""

    MEM_WR = 1
    MEM_WR_PTL = 2
    BI_CONFLICT = 4
    MEM_RD_FILL = 5


class NdrOpcode(enum.IntEnum, shape=unsigned(3)):
    """``opcode`` of S2M NDR."""

    CMP = 0
    CMP_S = 1
    CMP_E = 2
    CMP_M = 3
    BI_CONFLICT_ACK = 4


class DrsOpcode(enum.IntEnum, shape=unsigned(3)):
    """``opcode`` of S2M DRS."""

    MEM_DATA = 0
    MEM_DATA_NXM = 1


class MetaField(enum.IntEnum, shape=unsigned(2)):
    """``meta_field``: which metadata comes with a message."""

    META0 = 0
    EXT = 1
    NO_OP = 3


def m2s_req_layout() -> data.StructLayout:
    """Return a request without data: ``addr`` is Address[51:6]."""
    return data.StructLayout(
        {
            "mem_opcode": unsigned(4),
            "snp_type": unsigned(3),
            "meta_field": unsigned(2),
            "meta_value": unsigned(2),
            "tag": unsigned(16),
            "addr5": unsigned(1),
            "addr": unsigned(LINE_ADDRESS_BITS),
            "ld_id": unsigned(4),
            "rsvd": unsigned(6),
            "tc": unsigned(2),
        }
    )


def m2s_rwd_layout() -> data.StructLayout:
    """Return a request with data: its 64 bytes, and a bit of ``byte_enable`` for each of them.

    ``byte_enable`` means something in MemWrPtl only.
    """
    return data.StructLayout(
        {
            "mem_opcode": unsigned(4),
            "snp_type": unsigned(3),
            "meta_field": unsigned(2),
            "meta_value": unsigned(2),
            "tag": unsigned(16),
            "addr": unsigned(LINE_ADDRESS_BITS),
            "poison": unsigned(1),
            "ld_id": unsigned(4),
            "rsvd": unsigned(6),
            "tc": unsigned(2),
            "data": unsigned(512),
            "byte_enable": unsigned(64),
        }
    )


def s2m_ndr_layout() -> data.StructLayout:
    """Return a response without data."""
    return data.StructLayout(
        {
            "opcode": unsigned(3),
            "meta_field": unsigned(2),
            "meta_value": unsigned(2),
            "tag": unsigned(16),
            "ld_id": unsigned(4),
            "dev_load": unsigned(2),
        }
    )


def s2m_drs_layout() -> data.StructLayout:
    """Return a response with data."""
    return data.StructLayout(
        {
            "opcode": unsigned(3),
            "meta_field": unsigned(2),
            "meta_value": unsigned(2),
            "tag": unsigned(16),
            "poison": unsigned(1),
            "ld_id": unsigned(4),
            "dev_load": unsigned(2),
            "rsvd": unsigned(9),
            "data": unsigned(512),
        }
    )
