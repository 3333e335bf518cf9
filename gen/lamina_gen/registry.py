"""What can be generated: every module by its name, in the order in which data flows.

The name is folder and file (``anda.element``); the parameters of a component ``X`` are the frozen
dataclass ``XParameters`` of the same file.
"""

import importlib
import inspect
import typing
from dataclasses import MISSING, dataclass, fields

__all__ = ["MODULES", "STAGES", "Entry", "find", "make_parameters"]

#: The natural way of the data; `lamina list`, docs and test plan use this order.
STAGES = ("store", "fetch", "compute", "output", "arith", "stream", "system")


@dataclass(frozen=True)
class Entry:
    """One module that can be generated: its ``name``, ``stage`` and where its class is."""

    name: str
    stage: str
    path: str

    @property
    def component(self) -> type:
        """The `wiring.Component` class."""
        module, _, name = self.path.partition(":")
        return getattr(importlib.import_module(module), name)

    @property
    def parameters(self) -> type:
        """The frozen dataclass that the component is built from."""
        module, _, name = self.path.partition(":")
        return getattr(importlib.import_module(module), f"{name}Parameters")

    @property
    def top(self) -> str:
        """Name of the Verilog module."""
        return self.name.replace(".", "_")

    @property
    def summary(self) -> str:
        """First line of the component's docstring."""
        return (inspect.getdoc(self.component) or "").partition("\n")[0].replace("``", "")


_ENTRIES: tuple[Entry, ...] = (
    # One line each: name, stage, class; in the order of the stages.
    Entry("store.transpose", "store", "lamina.store.transpose:Transpose"),
    Entry("store.device", "store", "lamina.store.device:Device"),
    Entry("store.cpi", "store", "lamina.store.cpi:Cpi"),
    Entry("store.endpoint", "store", "lamina.store.endpoint:Endpoint"),
    Entry("store.fetcher", "fetch", "lamina.store.fetcher:Fetcher"),
    Entry("store.assembler", "fetch", "lamina.store.assembler:Assembler"),
    Entry("pacq.operand_buffer", "fetch", "lamina.pacq.operand_buffer:OperandBuffer"),
    Entry("anda.element", "compute", "lamina.anda.element:Element"),
    Entry("anda.accumulator", "compute", "lamina.anda.accumulator:Accumulator"),
    Entry("anda.array", "compute", "lamina.anda.array:Array"),
    Entry("anda.engine", "compute", "lamina.anda.engine:Engine"),
    Entry("pacq.multiplier", "compute", "lamina.pacq.multiplier:Multiplier"),
    Entry("pacq.dot", "compute", "lamina.pacq.dot:Dot"),
    Entry("pacq.window_dot", "compute", "lamina.pacq.window_dot:WindowDot"),
    Entry("pacq.octet", "compute", "lamina.pacq.octet:Octet"),
    Entry("pacq.tensor_core", "compute", "lamina.pacq.tensor_core:TensorCore"),
    Entry("pacq.tensor_stream", "compute", "lamina.pacq.tensor_stream:TensorStream"),
    Entry("baseline.fp16_multiply", "compute", "lamina.baseline.fp16_multiply:Fp16Multiply"),
    Entry("baseline.fp_lane", "compute", "lamina.baseline.fp_lane:FpLane"),
    Entry("baseline.fp_dot", "compute", "lamina.baseline.fp_dot:FpDot"),
    Entry("baseline.tree_dot", "compute", "lamina.baseline.tree_dot:TreeDot"),
    Entry("baseline.fp_int", "compute", "lamina.baseline.fp_int:FpInt"),
    Entry("baseline.ifpu", "compute", "lamina.baseline.ifpu:Ifpu"),
    Entry("baseline.figna", "compute", "lamina.baseline.figna:Figna"),
    Entry("anda.compressor", "output", "lamina.anda.compressor:Compressor"),
    Entry("anda.compressor_bank", "output", "lamina.anda.compressor_bank:CompressorBank"),
    Entry("anda.output_stage", "output", "lamina.anda.output_stage:OutputStage"),
    Entry("arith.adder_tree", "arith", "lamina.arith.adder_tree:AdderTree"),
    Entry("arith.leading_zeros", "arith", "lamina.arith.leading_zeros:LeadingZeros"),
    Entry("arith.int_to_fp32", "arith", "lamina.arith.int_to_fp32:IntToFp32"),
    Entry("arith.fp32_multiply", "arith", "lamina.arith.fp32_multiply:Fp32Multiply"),
    Entry("arith.fp32_add", "arith", "lamina.arith.fp32_add:Fp32Add"),
    Entry("arith.scale_accumulate", "arith", "lamina.arith.scale_accumulate:ScaleAccumulate"),
    Entry("stream.skid_buffer", "stream", "lamina.stream.buffer:SkidBuffer"),
    Entry("stream.queue", "stream", "lamina.stream.buffer:Queue"),
    Entry("stream.memory", "stream", "lamina.stream.memory:BlockMemory"),
    Entry("system", "system", "lamina.system:System"),
)

MODULES = {entry.name: entry for entry in _ENTRIES}


def find(name: str) -> Entry:
    """Return the entry of ``name``; ValueError names the near ones if there is none."""
    if name in MODULES:
        return MODULES[name]
    folder = name.partition(".")[0]
    near = [known for known in MODULES if known.partition(".")[0] == folder] or list(MODULES)
    raise ValueError(f"There is no module {name!r}; try one of {', '.join(near)}.")


def make_parameters(entry: Entry, settings: dict[str, object]) -> object:
    """Build the parameters of ``entry`` from ``settings``, whose values may be text.

    Raises ValueError or TypeError with a full sentence for an unknown name, for a value that does
    not parse, and for whatever the parameter class itself refuses.
    """
    kind = entry.parameters
    types = typing.get_type_hints(kind)
    known = {field.name: types[field.name] for field in fields(kind)}
    values = {}
    for name, value in settings.items():
        if name not in known:
            choices = ", ".join(known) or "none"
            raise ValueError(f"{entry.name} has no parameter {name!r}; it has: {choices}.")
        values[name] = _parse(name, value, known[name])
    missing = [
        field.name
        for field in fields(kind)
        if field.default is MISSING
        and field.default_factory is MISSING
        and field.name not in values
    ]
    if missing:
        raise ValueError(f"{entry.name} needs a value for {', '.join(missing)}.")
    return kind(**values)


def _parse(name: str, value: object, kind: type) -> object:
    """Turn ``value`` into ``kind`` (int, bool or str) if it is text."""
    if not isinstance(value, str) or kind is str:
        return value
    if kind is bool:
        if value.lower() not in ("true", "false"):
            raise ValueError(f"{name} must be true or false, not {value!r}.")
        return value.lower() == "true"
    try:
        return int(value, 0)
    except ValueError:
        raise ValueError(f"{name} must be an integer, not {value!r}.") from None
