"""One run in the driver: binds arrays to ports, steps, and collects what came out."""

import ctypes
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lamina_sim.verilated import library as lib
from lamina_sim.verilated.arguments import at_least
from lamina_sim.verilated.description import AXI_READ, Port
from lamina_sim.verilated.memory import Memory, threshold
from lamina_sim.verilated.ports import word_count
from lamina_sim.verilated.result import Result, Traffic, Transfers

__all__ = ["ProtocolError", "Session", "StuckError"]

# Seconds in the driver until the interpreter may look at pending signals such as Ctrl-C.
_SLICE = 0.1


class StuckError(RuntimeError):
    """Nothing moved for `timeout` cycles although the run was not finished.

    ``transfers``: for each stream and memory port how many transfers (bursts) it had made.
    """

    def __init__(self, message: str, transfers: dict[str, int]) -> None:
        super().__init__(message)
        self.transfers = transfers


class ProtocolError(RuntimeError):
    """The design broke a rule of the stream or AXI4 protocol on a port."""


class Session:
    """A simulation in the driver. Use it as a context manager: leaving frees it.

    ``index`` maps the names of top-level signals to their numbers in the driver.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        index: Mapping[str, int],
        clock: str | None,
        reset: str | None,
        schedule: lib.Schedule,
        seed: int,
        random_initial: bool,
        trace: str | None,
    ) -> None:
        self._library = library
        self._index = index
        self._seed = seed
        self._timeout = schedule.timeout
        self._inputs: list[tuple[Port, int]] = []
        self._outputs: list[tuple[Port, int | None]] = []
        self._memories: list[Port] = []
        self._plain: list[Port] = []
        # What the driver points to must live as long as the simulation.
        self._borrowed: list[Any] = []
        # Verilator takes seeds from 1 to 2^31 - 1.
        initial = seed % (2**31 - 1) + 1
        path = trace.encode() if trace else None
        numbers = (self._number(clock), self._number(reset))
        self._handle = library.lamina_open(
            initial, random_initial, path, *numbers, ctypes.byref(schedule)
        )

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *exception: object) -> None:
        self._library.lamina_close(self._handle)

    def _number(self, signal: str | None) -> int:
        return -1 if signal is None else self._index[signal]

    def _numbers(self, port: Port, names: tuple[str, ...]) -> ctypes.Array[ctypes.c_int]:
        return (ctypes.c_int * len(names))(*(self._number(port.signals.get(n)) for n in names))

    def numbers(self) -> Mapping[str, int]:
        """Numbers of the top-level signals in the driver, by name."""
        return self._index

    def set_signal(self, number: int, row: ctypes.Array[ctypes.c_uint32]) -> None:
        """Set a top-level signal to the words of ``row``."""
        self._library.lamina_set(self._handle, number, row, len(row))

    def get_signal(self, number: int, row: ctypes.Array[ctypes.c_uint32]) -> None:
        """Store a top-level signal in the words of ``row``."""
        self._library.lamina_get(self._handle, number, row, len(row))

    def settle(self) -> None:
        """Let the inputs take effect, with the clock low."""
        self._library.lamina_settle(self._handle)

    def edge(self) -> None:
        """Give one rising edge of the clock."""
        self._library.lamina_edge(self._handle)

    def constant(self, port: Port, words: NDArray[np.uint32]) -> None:
        """Hold a plain input at one packed value [words]."""
        if port.width:
            row = np.ascontiguousarray(words)
            number = self._number(port.signals["value"])
            self._library.lamina_set(self._handle, number, row.ctypes.data, row.size)

    def plain_output(self, port: Port) -> None:
        """Report a plain output at the end."""
        self._plain.append(port)

    def input(self, port: Port, words: NDArray[np.uint32], stall: float) -> None:
        """Send packed payloads [n, words] into a stream."""
        rows = np.ascontiguousarray(words)
        self._borrowed.append(rows)
        signals = self._numbers(port, ("payload", "valid", "ready"))
        self._library.lamina_input(
            self._handle, signals, port.width, rows.ctypes.data, len(rows),
            threshold(stall, f"The stall of {port.name}"), self._seed, self._channel(),
        )  # fmt: skip
        self._inputs.append((port, len(rows)))

    def output(self, port: Port, count: int | None, stall: float) -> None:
        """Take ``count`` payloads from a stream, or all."""
        signals = self._numbers(port, ("payload", "valid", "ready"))
        what = f"The number of transfers of {port.name}"
        limit = -1 if count is None else at_least(0, count, what)
        self._library.lamina_output(
            self._handle, port.name.encode(), signals, port.width, limit,
            threshold(stall, f"The stall of {port.name}"), self._seed, self._channel(),
        )  # fmt: skip
        self._outputs.append((port, count))

    def memory(self, port: Port, memory: Memory, ar_stall: float, r_stall: float) -> None:
        """Serve an AXI4 read port."""
        settings = memory.settings(ar_stall, r_stall)
        self._borrowed += [memory, settings]
        signals = self._numbers(port, AXI_READ)
        self._library.lamina_axi_read(
            self._handle, port.name.encode(), signals, ctypes.byref(settings),
            self._seed, self._channel(),
        )  # fmt: skip
        self._memories.append(port)

    def _channel(self) -> int:
        """Number of the next port's random numbers; a memory uses two."""
        return 2 * (len(self._inputs) + len(self._outputs) + len(self._memories))

    def run(self) -> Result:
        """Step until the run is finished. StuckError, ProtocolError: it cannot."""
        status, cycles = lib.RUNNING, 1000
        while status == lib.RUNNING:
            begin = time.monotonic()
            status = self._library.lamina_run(self._handle, cycles)
            if time.monotonic() - begin < _SLICE:
                cycles *= 2
        if status == lib.ERROR:
            raise ProtocolError(self._library.lamina_message(self._handle).decode())
        result = self._collect()
        if status == lib.STUCK:
            raise self._stuck(result)
        return result

    def _collect(self) -> Result:
        return Result(
            cycles=self._library.lamina_last_transfer(self._handle) + 1,
            outputs={port.name: self._transfers(at) for at, (port, _) in enumerate(self._outputs)},
            accepted={port.name: self._accepted(at) for at, (port, _) in enumerate(self._inputs)},
            signals={port.name: self._value(port) for port in self._plain},
            traffic={port.name: self._traffic(at) for at, port in enumerate(self._memories)},
        )

    def _accepted(self, at: int) -> NDArray[np.int64]:
        cycles = ctypes.c_void_p()
        count = self._library.lamina_input_cycles(self._handle, at, ctypes.byref(cycles))
        return lib.view(cycles.value, count, np.int64)

    def _transfers(self, at: int) -> Transfers:
        port = self._outputs[at][0]
        rows, cycles = ctypes.c_void_p(), ctypes.c_void_p()
        count = self._library.lamina_output_rows(
            self._handle, at, ctypes.byref(rows), ctypes.byref(cycles)
        )
        words = lib.view(rows.value, count * word_count(port.width), np.uint32)
        return Transfers(
            words=words.reshape(count, word_count(port.width)),
            cycles=lib.view(cycles.value, count, np.int64),
            shape=port.shape,
        )

    def _value(self, port: Port) -> int:
        row = np.zeros(word_count(port.width), np.uint32)
        if port.width:
            number = self._number(port.signals["value"])
            self._library.lamina_get(self._handle, number, row.ctypes.data, row.size)
        value = int.from_bytes(row.tobytes(), "little")
        signed = port.shape.get("signed") and value >> (port.width - 1)
        return value - (1 << port.width) if signed else value

    def _traffic(self, at: int) -> Traffic:
        totals, addresses, lengths = lib.Traffic(), ctypes.c_void_p(), ctypes.c_void_p()
        bursts = self._library.lamina_traffic(
            self._handle, at, ctypes.byref(totals), ctypes.byref(addresses), ctypes.byref(lengths)
        )
        return Traffic(
            **{name: int(getattr(totals, name)) for name, *_ in lib.Traffic._fields_},
            addresses=lib.view(addresses.value, bursts, np.uint64),
            lengths=lib.view(lengths.value, bursts, np.int64),
        )

    def _stuck(self, result: Result) -> StuckError:
        """Name the ports that still had something to do, and what all had done."""
        waiting, transfers = [], {}
        for port, count in self._inputs:
            transfers[port.name] = done = len(result.accepted[port.name])
            if done < count:
                waiting.append(f"input {port.name} ({done} of {count} beats taken)")
        for port, limit in self._outputs:
            transfers[port.name] = done = len(result[port.name])
            if limit is not None and done < limit:
                waiting.append(f"output {port.name} ({done} of {limit} beats given)")
        for port in self._memories:
            traffic = result.traffic[port.name]
            transfers[port.name] = traffic.bursts
            expected = int(traffic.lengths.sum())
            if traffic.beats < expected:
                waiting.append(f"memory {port.name} ({traffic.beats} of {expected} beats taken)")
        cycle = self._library.lamina_cycle(self._handle)
        quiet = cycle - result.cycles
        text = ", ".join(waiting) or "no port, but the run has reached its limit of cycles"
        return StuckError(
            f"Stuck in cycle {cycle}, {quiet} cycles after the last transfer: {text}.", transfers
        )
