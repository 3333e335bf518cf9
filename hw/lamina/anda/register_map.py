"""The registers of the Anda engine: the one description of them.

The hardware, the documentation, the C header and the Python constants are made from it.
"""

from lamina.bus.registers import Field, Register
from lamina.formats.engine import GROUPS_BITS, PLACE_BITS, TAG_BITS, Cause, counters_layout

__all__ = ["ADDRESS_BITS", "COUNTERS", "ID", "REGISTERS", "offset"]

#: Bits of a byte address on AXI4-Lite.
ADDRESS_BITS = 8

#: "LAMA".
ID = 0x4C414D41

#: Counters of `counters_layout`, in the order of their registers.
COUNTERS = {
    "cycles": "in which a GEMM was under way",
    "group_turns": "groups that the array multiplied, all rows' at a time",
    "idle_turns": "turns in which it had none",
    "activation_beats": "beats of activations taken",
    "weight_beats": "beats of weights taken",
    "result_beats": "beats of results given",
    "stall_activations": "cycles in which the next group was not there yet",
    "stall_weights": "cycles in which words waited for weights",
    "stall_results": "cycles in which results waited to be taken",
}
assert [*COUNTERS] == [*counters_layout().members]

_CAUSES = ", ".join(f"{cause.value} {cause.name.lower()}" for cause in Cause)

REGISTERS = (
    Register(name="id", offset=0x00, access="ro", text='0x4C414D41, "LAMA"'),
    Register(
        name="array",
        offset=0x04,
        access="ro",
        text="what was built",
        fields=(
            Field(name="rows", low=0, width=8, text="rows of activations"),
            Field(name="columns", low=8, width=12, text="columns of weights"),
            Field(name="block_columns", low=20, width=8, text="columns of a beat of weights"),
            Field(name="weight_bits", low=28, width=4, text="bits of a code"),
        ),
    ),
    Register(
        name="build",
        offset=0x08,
        access="ro",
        text="what was built",
        fields=(
            Field(name="planes", low=0, width=4, text="planes a cycle"),
            Field(name="sharing", low=4, width=5, text="fewest cycles of a group"),
            Field(name="slots", low=12, width=7, text="turns of a round"),
            Field(name="depth", low=20, width=5, text="log2 of the plane memory's rows"),
        ),
    ),
    Register(
        name="m",
        offset=0x10,
        access="rw",
        text="rows of the next descriptor",
        fields=(Field(name="rows", low=0, width=PLACE_BITS, text="m"),),
    ),
    Register(
        name="n",
        offset=0x14,
        access="rw",
        text="columns of the next descriptor",
        fields=(Field(name="columns", low=0, width=PLACE_BITS, text="n"),),
    ),
    Register(
        name="k",
        offset=0x18,
        access="rw",
        text="k of the next descriptor",
        fields=(Field(name="groups", low=0, width=GROUPS_BITS, text="groups of 64"),),
    ),
    Register(
        name="mode",
        offset=0x1C,
        access="rw",
        text="the rest of the next descriptor",
        fields=(
            Field(name="mantissa_bits", low=0, width=5, text="M, 1 to 16"),
            Field(name="row_turns", low=8, width=7, text="tiles of rows at a time, 1 to slots"),
            Field(name="tag", low=16, width=TAG_BITS, text="comes back with the results"),
        ),
    ),
    Register(
        name="doorbell",
        offset=0x20,
        access="wo",
        text="any write: the descriptor as it stands now enters the queue",
    ),
    Register(
        name="status",
        offset=0x24,
        access="ro",
        text="what is under way",
        fields=(
            Field(name="busy", low=0, text="a descriptor waits, or its GEMM is not over"),
            Field(name="room", low=1, text="the queue takes a descriptor"),
            Field(name="waiting", low=8, width=8, text="descriptors in the queue"),
        ),
    ),
    Register(
        name="completed",
        offset=0x28,
        access="ro",
        text="descriptors that are over, refused ones too, since reset; wraps",
    ),
    Register(
        name="last",
        offset=0x2C,
        access="ro",
        text="the descriptor that was over last",
        fields=(
            Field(name="tag", low=0, width=TAG_BITS, text="its tag"),
            Field(name="cause", low=8, width=4, text="0, or what was wrong with it, as in `error`"),
        ),
    ),
    Register(
        name="error",
        offset=0x30,
        access="rw",
        text="the first error; stays until a write, of anything, clears it",
        fields=(
            Field(name="tag", low=0, width=TAG_BITS, text="of the descriptor"),
            Field(name="cause", low=8, width=4, text=_CAUSES),
        ),
    ),
    Register(
        name="counter_clear",
        offset=0x34,
        access="wo",
        text="any write: all counters to zero",
    ),
    *(
        Register(name=f"count_{name}", offset=0x40 + 4 * n, access="ro", text=text)
        for n, (name, text) in enumerate(COUNTERS.items())
    ),
)

_OFFSETS = {register.name: register.offset for register in REGISTERS}


def offset(name: str) -> int:
    """Return the byte offset of a register."""
    return _OFFSETS[name]
