"""`lamina gemm`."""

from contextlib import ExitStack
from pathlib import Path

import click

__all__ = ["command"]

_ARRAY = click.Path(path_type=Path)


@click.command("gemm")
@click.option("--engine", required=True, type=click.Choice(["anda", "pacq"]), help="What computes.")
@click.option("--activations", required=True, type=_ARRAY, help="x: float16 [m, k], .npy.")
@click.option(
    "--weights",
    required=True,
    type=_ARRAY,
    help="codes: int8 [k, n], .npy; or what `lamina pack` wrote, with scales and all.",
)
@click.option("--product", help="Which of `lamina pack`'s products; else its only one.")
@click.option("--scales", type=_ARRAY, help="float16 [ceil(k / scale group), n], .npy.")
@click.option("--zero-points", type=_ARRAY, help="int8 of the shape of the scales, .npy; else 0.")
@click.option("--mantissa-bits", type=int, help="M of Anda, 1 to 16; else 8.")
@click.option(
    "--rounding",
    type=click.Choice(["truncate", "nearest"]),
    help="Of Anda's mantissas; else truncate.",
)
@click.option("--weight-bits", type=int, help="2 to 8; PacQ 2 or 4; else 4.")
@click.option("--planes", type=int, help="Planes of the weights to fetch; else all.")
@click.option("--scale-group", type=int, help="Rows that share a scale; else 128.")
@click.option(
    "--flow",
    type=click.Choice(["packed_n", "packed_k", "fp16"]),
    help="On PacQ's tensor core instead of the system: how the weights are packed.",
)
@click.option(
    "--on",
    type=click.Choice(["system", "engine"]),
    default="system",
    show_default=True,
    help="Of Anda: elements fed by the plane store, or the array with its own memory.",
)
@click.option(
    "--precision",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Widths, as `lamina search` wrote them; --kind says of which product.",
)
@click.option("--kind", type=click.Choice(["qkv", "o", "u", "d"]), help="Of --precision.")
@click.option("--layer", default=0, show_default=True, help="Of --precision.")
@click.option("-o", "--output", required=True, type=_ARRAY, help="Result, float32 [m, n], .npy.")
@click.option("--config", default="tiny", show_default=True, help="Configuration of the system.")
@click.option("--waves", is_flag=True, help="Write a waveform beside the result (.vcd).")
def command(
    engine: str,
    activations: Path,
    weights: Path,
    product: str | None,
    scales: Path | None,
    zero_points: Path | None,
    mantissa_bits: int | None,
    rounding: str | None,
    weight_bits: int | None,
    planes: int | None,
    scale_group: int | None,
    flow: str | None,
    on: str,
    precision: Path | None,
    kind: str | None,
    layer: int,
    output: Path,
    config: str,
    waves: bool,
) -> None:
    """Multiply arrays on the hardware, in Verilator, and check the result.

    The weights go through the plane store, for Anda the activations through the compressor; with
    --flow the arrays go to PacQ's tensor core as they are, with --on engine to Anda's engine as the
    host encodes them. The result is written only if every bit
    is the golden model's; if not, the exit code is 1.

    \b
    Example:
      lamina gemm --engine anda --activations A.npy --weights W.npy --scales S.npy -o C.npy
      lamina gemm --engine pacq --activations A.npy --weights words.safetensors -o C.npy
    """
    from lamina_gen.commands._arrays import read_array, whole_file, write_array
    from lamina_gen.commands._weights import Weights, packed_weights
    from lamina_gen.configurations import settings_of
    from lamina_gen.console import output as console
    from lamina_gen.console import progress
    from lamina_gen.gemm import EngineMachine, Machine, Problem, TensorMachine

    if flow is not None and (engine != "pacq" or planes is not None):
        raise ValueError("--flow is PacQ's, whose tensor core takes whole codes and no --planes.")
    if on == "engine" and (engine != "anda" or planes is not None):
        raise ValueError("--on engine is Anda's, which takes whole codes and no --planes.")
    if engine == "pacq" and (mantissa_bits is not None or rounding is not None):
        raise ValueError("--mantissa-bits and --rounding are Anda's; PacQ takes FP16 as it is.")
    x = read_array(activations)
    if weights.suffix == ".safetensors":
        given = (scales, zero_points, weight_bits, scale_group, precision)
        if any(option is not None for option in given):
            raise ValueError(f"{weights} has scales, bits and groups itself: give no others.")
        packed = packed_weights(weights, product)
        weight_bits, scale_group, x = packed.bits, packed.group, packed.arranged(x)
        own: Weights = packed
    elif product is not None or scales is None:
        raise ValueError("Weights in .npy need --scales and no --product.")
    else:
        zeros = read_array(zero_points) if zero_points else None
        own = Weights(codes=read_array(weights), scales=read_array(scales), zero_points=zeros)
    codes = own.codes
    if (precision is None) != (kind is None):
        raise ValueError("--precision and --kind must go together.")
    if precision is not None:
        from lamina_gen.study import read_precision

        if mantissa_bits is not None or weight_bits is not None or scale_group is not None:
            raise ValueError("--mantissa-bits, --weight-bits, --scale-group: --precision has them.")
        found = read_precision(precision)
        if engine == "anda":
            mantissa_bits = found.mantissa_bits(kind or "", layer)
        weight_bits = found.weight_bits
        scale_group = found.scale_group or (codes.shape[0] if codes.ndim else 1)
    weight_bits = 4 if weight_bits is None else weight_bits
    problem = Problem(
        engine=engine,
        activations=x,
        codes=codes,
        scales=own.scales,
        zero_points=own.zero_points,
        mantissa_bits=8 if mantissa_bits is None else mantissa_bits,
        rounding=rounding or "truncate",
        weight_bits=weight_bits,
        planes=planes,
        scale_group=128 if scale_group is None else scale_group,
    )
    machine: Machine | TensorMachine | EngineMachine
    if on == "engine":
        machine = EngineMachine(settings_of(config, "anda.engine"), bits=weight_bits)
    elif flow is None:
        machine = Machine(engine, settings_of(config, "system"), bits=weight_bits)
    else:
        machine = TensorMachine(flow, settings_of(config, "pacq.tensor_core"))
    trace = output.with_suffix(".vcd") if waves else None
    if trace == output:
        raise ValueError(f"{output} must not end with .vcd, which is where the waves go.")
    with ExitStack() as files:
        result = files.enter_context(whole_file(output))
        waveform = files.enter_context(whole_file(trace)) if trace else None
        machine.progress = files.enter_context(progress("Preparing"))
        outcome = machine.run(problem, trace=waveform)
        if outcome.exact:
            write_array(result, outcome.result)
    if not outcome.exact:
        click.echo(f"lamina: {outcome.mismatch}", err=True)
        raise click.exceptions.Exit(1)
    m, n, k = problem.shape
    console().print(
        f"{output}: [{m}, {k}] x [{k}, {n}] on {engine}, bit-exact with golden: yes; "
        f"{outcome.cycles} cycles, {outcome.macs_per_cycle:.2f} MAC per cycle, "
        f"{outcome.traffic}.",
        soft_wrap=True,
    )
