"""`lamina gemm`."""

from pathlib import Path

import click

__all__ = ["command"]

_ARRAY = click.Path(path_type=Path)


@click.command("gemm")
@click.option("--engine", required=True, type=click.Choice(["anda", "pacq"]), help="What computes.")
@click.option("--activations", required=True, type=_ARRAY, help="float16 [m, k], .npy.")
@click.option("--weights", required=True, type=_ARRAY, help="int8 codes [k, n], .npy.")
@click.option(
    "--scales", required=True, type=_ARRAY, help="float16 [ceil(k / scale group), n], .npy."
)
@click.option("--zero-points", type=_ARRAY, help="int8 of the shape of the scales, .npy; else 0.")
@click.option("--mantissa-bits", default=8, show_default=True, help="M of Anda, 1 to 16.")
@click.option(
    "--rounding", type=click.Choice(["truncate", "nearest"]), default="truncate", show_default=True,
    help="Of Anda's mantissas.",
)  # fmt: skip
@click.option("--weight-bits", default=4, show_default=True, help="2 to 8; PacQ 2 or 4.")
@click.option("--planes", type=int, help="Planes of the weights to fetch; else all.")
@click.option("--scale-group", default=128, show_default=True, help="Rows that share a scale.")
@click.option("-o", "--output", required=True, type=_ARRAY, help="Result, float32 [m, n], .npy.")
@click.option("--config", default="tiny", show_default=True, help="Configuration of the system.")
@click.option("--waves", is_flag=True, help="Write a waveform beside the result (.vcd).")
def command(
    engine: str,
    activations: Path,
    weights: Path,
    scales: Path,
    zero_points: Path | None,
    mantissa_bits: int,
    rounding: str,
    weight_bits: int,
    planes: int | None,
    scale_group: int,
    output: Path,
    config: str,
    waves: bool,
) -> None:
    """Multiply arrays on the hardware, in Verilator, and check the result.

    The weights go through the plane store, for Anda the activations through the compressor. The
    result is written only if every bit is the golden model's; if not, the exit code is 1.

    \b
    Example:
      lamina gemm --engine anda --activations A.npy --weights W.npy --scales S.npy -o C.npy
    """
    from lamina_gen.commands._arrays import read_array, write_array
    from lamina_gen.configurations import settings_of
    from lamina_gen.console import output as console
    from lamina_gen.console import progress
    from lamina_gen.gemm import Machine, Problem

    problem = Problem(
        engine=engine,
        activations=read_array(activations),
        codes=read_array(weights),
        scales=read_array(scales),
        zero_points=read_array(zero_points) if zero_points else None,
        mantissa_bits=mantissa_bits,
        rounding=rounding,
        weight_bits=weight_bits,
        planes=planes,
        scale_group=scale_group,
    )
    settings = settings_of(config, "system") | {"weight_bits": max(4, weight_bits)}
    with write_array(output) as write, progress("Preparing") as report:
        machine = Machine(engine, settings, progress=report)
        outcome = machine.run(problem, trace=output.with_suffix(".vcd") if waves else None)
        if outcome.exact:
            write(outcome.result)
    if not outcome.exact:
        click.echo(f"lamina: {outcome.mismatch}", err=True)
        raise click.exceptions.Exit(1)
    m, n, k = problem.shape
    console().print(
        f"{output}: [{m}, {k}] x [{k}, {n}] on {engine}, bit-exact with golden: yes; "
        f"{outcome.cycles} cycles, {outcome.macs_per_cycle:.2f} MAC per cycle, "
        f"{outcome.bytes_fetched} bytes of weights fetched.",
        soft_wrap=True,
    )
