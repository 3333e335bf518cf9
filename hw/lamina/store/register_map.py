"""The registers of the store's device: the one description of them.

The hardware, the documentation, the C header and the Python constants are made from it.
"""

from lamina.bus.registers import Field, Register

__all__ = ["ADDRESS_BITS", "COUNTERS", "REGISTERS", "offset"]

#: Bits of a byte address on AXI4-Lite.
ADDRESS_BITS = 12


#: Counters of events, 32 bits each, that wrap; in the order of their registers.
COUNTERS = {
    "reads": "MemRd and MemRdData taken",
    "writes": "MemWr and MemWrPtl taken",
    "invalidates": "MemInv and MemInvNT taken",
    "malformed": "messages of other opcodes, which get no answer (MemSpecRd is not counted)",
    "unmapped_reads": "reads that no decoder or view holds, answered MemData-NXM",
    "unmapped_writes": "writes that no decoder or view holds, dropped",
    "read_only_writes": "writes through a view other than full, dropped",
    "partial_writes": "writes of less than a line, which read it first",
    "poisoned_reads": "lines that left with poison",
    "joined_reads": "reads of a block that was there already, or on its way",
    "isolated_blocks": "blocks that left the read buffer after one read",
    "fetched_blocks": "blocks read from memory",
    "read_beats": "64-byte beats read from memory",
    "written_beats": "64-byte beats written to memory",
    "read_errors": "beats read with an error",
    "write_errors": "planes whose write was answered with an error",
    "prefetched_blocks": "blocks read from memory before a read asked for them",
    "unread_blocks": "of those, blocks that left the read buffer before any did",
}

_VIEW, _HDM = 0x800, 0x400


def _view(name: str, word: int, text: str, *fields: Field) -> Register:
    return Register(
        name=f"view_{name}", offset=_VIEW + 4 * word, access="rw", text=text, fields=fields,
        count=64, stride=32, many="view",
    )  # fmt: skip


def _decoder(name: str, place: int, text: str, *fields: Field) -> Register:
    return Register(
        name=f"hdm_{name}", offset=_HDM + place, access="rw", text=text, fields=fields,
        count=4, stride=32, many="decoder",
    )  # fmt: skip


REGISTERS = (
    Register(name="id", offset=0x000, access="ro", text='0x4C414D53, "LAMS"'),
    Register(
        name="parameters",
        offset=0x004,
        access="ro",
        text="what was built",
        fields=(
            Field(name="views", low=0, width=8, text="entries of the view table"),
            Field(name="decoders", low=8, width=4, text="HDM decoders"),
            Field(name="poison_entries", low=16, width=8, text="entries of the poison table"),
        ),
    ),
    Register(
        name="counter_clear",
        offset=0x008,
        access="wo",
        text="any write: all counters to zero",
    ),
    Register(
        name="poison_status",
        offset=0x010,
        access="ro",
        text="the poison table",
        fields=(
            Field(name="count", low=0, width=8, text="entries in use"),
            Field(name="overflow", low=31, text="a block found no place; stays until cleared"),
        ),
    ),
    Register(
        name="poison_index",
        offset=0x014,
        access="rw",
        text="entry that poison_block and poison_lines show; a write reads it from the table",
    ),
    Register(
        name="poison_clear",
        offset=0x018,
        access="wo",
        text="forget poison",
        fields=(
            Field(name="entry", low=0, text="clear entry poison_index"),
            Field(name="overflow", low=1, text="clear the overflow and its range"),
        ),
    ),
    Register(
        name="poison_lines",
        offset=0x01C,
        access="ro",
        text="poisoned lines of the full view, a bit each; 0: entry not in use",
    ),
    Register(
        name="poison_block_low",
        offset=0x020,
        access="ro",
        text="memory address of the block's plane 0",
    ),
    Register(name="poison_block_high", offset=0x024, access="ro", text="its upper half"),
    Register(
        name="overflow_first_low",
        offset=0x028,
        access="ro",
        text="lowest block that found no place: all to the last one read as poisoned",
    ),
    Register(name="overflow_first_high", offset=0x02C, access="ro", text="its upper half"),
    Register(
        name="overflow_last_low",
        offset=0x030,
        access="ro",
        text="highest block that found no place",
    ),
    Register(name="overflow_last_high", offset=0x034, access="ro", text="its upper half"),
    Register(
        name="prefetch",
        offset=0x038,
        access="rw",
        text="reads that go through a view block by block",
        fields=(
            Field(name="depth", low=0, width=4, text="blocks fetched ahead of them; 8 after reset"),
        ),
    ),
    Register(
        name="link",
        offset=0x03C,
        access="ro",
        text="the link in front of the device, 0 where there is none",
        fields=(
            Field(
                name="violations",
                low=0,
                width=16,
                text="messages dropped, credits not counted since reset, up to the largest number",
            ),
            Field(name="fatal", low=31, text="there was one"),
        ),
    ),
    *(
        Register(name=f"count_{name}", offset=0x100 + 4 * n, access="ro", text=text)
        for n, (name, text) in enumerate(COUNTERS.items())
    ),
    Register(
        name="hdm_capability",
        offset=_HDM,
        access="ro",
        text="HDM capability: no interleave",
        fields=(Field(name="decoder_count", low=0, width=4, text="0: one decoder, n: 2n"),),
    ),
    Register(
        name="hdm_control",
        offset=_HDM + 4,
        access="rw",
        text="HDM decoder global control",
        fields=(Field(name="enable", low=1, text="decoders map addresses"),),
    ),
    _decoder("base_low", 0x10, "first host address, bits 31:28"),
    _decoder("base_high", 0x14, "first host address, bits 63:32"),
    _decoder("size_low", 0x18, "bytes, bits 31:28"),
    _decoder("size_high", 0x1C, "bytes, bits 63:32"),
    _decoder(
        "decoder_control",
        0x20,
        "of one decoder",
        Field(name="interleave", low=4, width=4, text="ways; only 0 can be committed"),
        Field(name="lock", low=8, text="once committed, stays as it is until reset"),
        Field(name="commit", low=9, text="put into force"),
        Field(name="committed", low=10, text="in force"),
        Field(name="error", low=11, text="could not be committed"),
        Field(name="host_only", low=12, text="always 1"),
    ),
    _decoder("skip_low", 0x24, "device addresses left out before this decoder, bits 31:28"),
    _decoder("skip_high", 0x28, "bits 63:32"),
    _view(
        "control",
        0,
        "writing this word puts the entry into force, or out of it",
        Field(name="valid", low=0, text="reads 0 if the entry contradicts itself"),
        Field(name="format", low=4, width=4, text="2 to 8: INTn; 9: FP16; 10: BF16"),
        Field(name="kind", low=8, width=2, text="0 full, 1 container, 2 packed, 3 planes"),
        Field(name="nearest", low=12, text="round to nearest, else truncate"),
        Field(name="keep", low=16, width=5, text="k, the planes that stay; full views have all"),
        Field(name="row_shift", low=24, width=4, text="log2 R"),
    ),
    _view("blocks", 1, "blocks in the window"),
    _view("base_low", 2, "device address of the window, a multiple of 64 KiB"),
    _view("base_high", 3, "its upper half"),
    _view("store_low", 4, "memory address of the region, a multiple of 64 R"),
    _view("store_high", 5, "its upper half"),
)

_OFFSETS = {register.name: register.offset for register in REGISTERS}


def offset(name: str) -> int:
    """Return the byte offset of a register, the first one if there are several."""
    return _OFFSETS[name]
