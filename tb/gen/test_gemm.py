"""`lamina gemm`: arrays in files, through the hardware, and every way they can be wrong."""

import numpy as np
import pytest

from lamina_gen.cli import main
from lamina_gen.gemm import machine
from tb.problems import random_problem

FILES = {"activations": "activations", "weights": "codes", "scales": "scales"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder: what a command leaves behind is all there is in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(problem, **replaced):
    """Write the arrays of a problem, some replaced, and return the options that name them."""
    arguments = ["gemm", "--engine", problem.engine, "-o", "C.npy"]
    arguments += ["--weight-bits", str(problem.weight_bits)]
    arguments += ["--scale-group", str(problem.scale_group)]
    if problem.engine == "anda":
        arguments += ["--mantissa-bits", str(problem.mantissa_bits)]
    for option, member in FILES.items():
        np.save(f"{option}.npy", replaced.get(option, getattr(problem, member)))
        arguments += [f"--{option}", f"{option}.npy"]
    if problem.zero_points is not None:
        np.save("zeros.npy", problem.zero_points)
        arguments += ["--zero-points", "zeros.npy"]
    if problem.planes:
        arguments += ["--planes", str(problem.planes)]
    return arguments


@pytest.mark.parametrize("engine", ["anda", "pacq"])
def test_result_is_golden(here, rng, capsys, engine):
    for m, n, k, options in (
        (1, 1, 1, {}),
        (70, 13, 150, {"zeros": True}),
        (5, 8, 64, {"planes": 3}),
    ):
        problem = random_problem(rng, engine, m, n, k, scale_group=64, **options)
        assert main(save(problem)) == 0
        result = np.load("C.npy")
        assert result.dtype == np.float32
        np.testing.assert_array_equal(result.view(np.uint32), problem.expected.view(np.uint32))
        assert "bit-exact with golden: yes" in capsys.readouterr().out


def test_waves(here, rng):
    problem = random_problem(rng, "pacq", 1, 8, 4, scale_group=4)
    assert main([*save(problem), "--waves"]) == 0
    assert (here / "C.vcd").read_text().startswith("$")


def test_mismatch_is_exit_code_1(here, rng, capsys, monkeypatch):
    """A result that is wrong in one bit is told and not written."""

    def place_wrongly(result, part, engine, index, values):
        machine_place(
            result, part, engine, index, np.asarray(values) ^ (np.arange(len(index)) == 3)
        )

    machine_place = machine.place
    monkeypatch.setattr(machine, "place", place_wrongly)
    assert main(save(random_problem(rng, "pacq", 2, 8, 8, scale_group=8))) == 1
    assert "1 of 16 results differ from golden, first at [0, 3]" in capsys.readouterr().err
    assert not (here / "C.npy").exists()


def changed(array, value):
    array = array.copy()
    array.flat[0] = value
    return array


BAD_ARRAYS = {
    "activations of another dtype": ("activations", lambda a: a.astype(np.float32), "float16"),
    "activations of another shape": ("activations", lambda a: a[:, :-1], "as many rows"),
    "activations with three axes": (
        "activations",
        lambda a: a[None],
        "2 axes|2 dimensions|\\[m, k\\]",
    ),
    "weights of another dtype": ("weights", lambda a: a.astype(np.int32), "int8"),
    "code out of range": ("weights", lambda a: changed(a, 8), "between -8 and 7"),
    "scales of another shape": ("scales", lambda a: a[:, :-1], "shape"),
    "NaN scale": ("scales", lambda a: changed(a, np.nan), "finite"),
    "infinite scale": ("scales", lambda a: changed(a, np.inf), "finite"),
}


@pytest.mark.parametrize("engine", ["anda", "pacq"])
@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_array(here, rng, capsys, engine, case):
    import re

    option, spoil, message = BAD_ARRAYS[case]
    problem = random_problem(rng, engine, 3, 5, 70, scale_group=64)
    arguments = save(problem, **{option: spoil(getattr(problem, FILES[option]))})
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert error.count("\n") == 1
    assert not [*here.glob("C*"), *here.glob(".C*")]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--mantissa-bits", "17"], "mantissa_bits must be between 1 and 16, not 17"),
        (["--planes", "0"], "between 1 and 4, not 0"),
        (["--planes", "5"], "between 1 and 4, not 5"),
        (["--scale-group", "96"], "scale_group must be a multiple of 64"),
        (["--config", "huge"], "configuration must be one of tiny"),
        (["-o", "nowhere/C.npy"], "nowhere: No such file or directory"),
        (["-o", "."], ". must be a file, which it is not"),
        (["-o", "C.vcd", "--waves"], "C.vcd must not end with .vcd"),
        (["--scales", "missing.npy"], "missing.npy: No such file"),
        (["--engine", "tpu"], "'tpu' is not one of"),
    ],
)
def test_bad_option(here, rng, capsys, extra, message):
    arguments = save(random_problem(rng, "anda", 3, 5, 70, scale_group=64))
    assert main([*arguments, *extra]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(here.glob("**/C.npy"))


@pytest.mark.parametrize("keep", [0, 5, 40, 200])
def test_truncated_file(here, rng, capsys, keep):
    arguments = save(random_problem(rng, "anda", 3, 5, 70, scale_group=64))
    whole = (here / "activations.npy").read_bytes()
    (here / "activations.npy").write_bytes(whole[:keep])
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "activations.npy must be a whole .npy file of numbers" in error
    assert error.count("\n") == 1
    assert not (here / "C.npy").exists()


HEADERS = {
    "more than the file has": "{'descr': '<f2', 'fortran_order': False, 'shape': (10**6, 10**6)}",
    "more than there is": "{'descr': '<f2', 'fortran_order': False, 'shape': (10**25,)}",
    "an endless dictionary": "{'descr': '<f2', 'fortran_order': False, 'shape': (3, 70)",
    "no dtype": "{'descr': '<f2,(', 'fortran_order': False, 'shape': (3, 70)}",
    "a bool for a size": "{'descr': '<f2', 'fortran_order': False, 'shape': (True, 70)}",
    "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (3, 70)}",
}


@pytest.mark.parametrize("case", HEADERS)
def test_broken_header(here, rng, capsys, case):
    arguments = save(random_problem(rng, "anda", 3, 5, 70, scale_group=64))
    header = HEADERS[case].encode() + b"\n"
    start = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
    (here / "activations.npy").write_bytes(start + header + bytes(100))
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "activations.npy must be a whole .npy file of numbers" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("option", [["--mantissa-bits", "8"], ["--rounding", "nearest"]])
def test_options_of_the_other_engine(here, rng, capsys, option):
    arguments = save(random_problem(rng, "pacq", 3, 5, 70, scale_group=64))
    assert main([*arguments, *option]) == 2
    assert "are Anda's; PacQ takes FP16 as it is." in capsys.readouterr().err


def test_scale_group_beyond_all(here, rng):
    arguments = save(random_problem(rng, "pacq", 3, 5, 70, scale_group=72))
    assert main([*arguments, "--scale-group", str(64 * 10**22)]) == 0


def test_configuration_with_other_rows(here, rng):
    """The memory image follows the system's own layout."""
    (here / "rows.toml").write_text("[system]\nblocks_per_row = 64\n")
    arguments = save(random_problem(rng, "pacq", 3, 90, 600, scale_group=64))
    assert main([*arguments, "--config", "rows.toml"]) == 0


def test_link_is_followed_and_pipe_refused(here, rng, capsys):
    import os

    arguments = save(random_problem(rng, "pacq", 1, 8, 4, scale_group=4))
    (here / "elsewhere").mkdir()
    (here / "C.npy").symlink_to("elsewhere/D.npy")
    assert main(arguments) == 0
    assert (here / "C.npy").is_symlink()
    assert np.load("elsewhere/D.npy").shape == (1, 8)
    os.mkfifo("pipe")
    assert main([*arguments, "-o", "pipe"]) == 2
    assert "pipe must be a file, which it is not." in capsys.readouterr().err
    assert (here / "pipe").is_fifo()
