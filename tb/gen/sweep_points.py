"""Evaluators that the tests of `lamina sweep` name as targets; workers import them too."""

import os
import signal
import time
from pathlib import Path


def slow(module, parameters):
    """Figures, after a note of the evaluation in a folder of the test's.

    The file `gate` there says how many evaluations may end: those noted later wait until it says
    more or is gone. So a test knows what is under way, however quick or busy the machine is.
    """
    folder = Path(os.environ["SWEEP_NOTES"])
    note = f"{os.getpid()} {parameters['inputs']} {parameters['width']}"
    with (folder / "evaluations").open("a") as notes:
        notes.write(note + "\n")
    number = (folder / "evaluations").read_text().splitlines().index(note)
    _wait_for(folder / "gate", number)
    if parameters["inputs"] == 5:
        raise ValueError("inputs must not be 5 in this test.")
    return {"cost": parameters["inputs"] * parameters["width"], "delay": 1.0 / parameters["inputs"]}


def _wait_for(gate, number, patience=120):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        try:
            if number < int(gate.read_text()):
                return
        except FileNotFoundError:
            return
        time.sleep(0.01)
    raise TimeoutError("The gate of this evaluation was not opened.")


def deadly(module, parameters):
    """Kill the worker that evaluates four inputs, whenever it does."""
    if parameters["inputs"] == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"cost": parameters["inputs"], "delay": 1}


def odd(module, parameters):
    """Figures that no file can hold."""
    return {"cost": {1, 2}}
