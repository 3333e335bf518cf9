"""Evaluators that the tests of `lamina sweep` name as targets; workers import them too."""

import os
import signal
import time
from pathlib import Path


def slow(module, parameters):
    """Figures that take a moment, and a note of each evaluation in a folder of the test's."""
    with (Path(os.environ["SWEEP_NOTES"]) / "evaluations").open("a") as notes:
        notes.write(f"{os.getpid()} {parameters['inputs']} {parameters['width']}\n")
    time.sleep(0.15)
    if parameters["inputs"] == 5:
        raise ValueError("inputs must not be 5 in this test.")
    return {"cost": parameters["inputs"] * parameters["width"], "delay": 1.0 / parameters["inputs"]}


def deadly(module, parameters):
    """Kill the worker that evaluates four inputs, whenever it does."""
    if parameters["inputs"] == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"cost": parameters["inputs"], "delay": 1}


def odd(module, parameters):
    """Figures that no file can hold."""
    return {"cost": {1, 2}}
