"""`lamina pack`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

__all__ = ["command"]


@click.command("pack")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--weight-bits", default=4, show_default=True, help="Of plain codes: 2 or 4.")
@click.option(
    "--scale-group",
    default=128,
    show_default=True,
    help="Of plain codes: rows per scale; 0: all of them.",
)
@click.option(
    "--scale-columns",
    default=1,
    show_default=True,
    help="Columns that share a scale, as 4 do in g[32,4].",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="Words, scales, zero points, .safetensors.",
)
def command(
    source: Path, weight_bits: int, scale_group: int, scale_columns: int, output: Path
) -> None:
    """Pack quantized weights along n into PacQ's words, and read them back to check.

    SOURCE is a folder or a .safetensors file: GPTQ or AWQ (2 or 4 bits, any model), or plain codes
    as NAME.codes (int8 [k, n]), NAME.scales (float16) and NAME.zero_points (int8, may be left out).
    The rows of GPTQ's act-order are sorted by their groups; NAME.order says which input each is.

    \b
    Example:
      lamina pack ./Llama-2-7B-GPTQ -o words.safetensors
      lamina pack codes.safetensors --scale-group 32 --scale-columns 4 -o words.safetensors
    """
    from lamina_gen.commands._arrays import whole_file
    from lamina_gen.console import output as console
    from lamina_gen.console import progress
    from lamina_sim.workload import words
    from lamina_sim.workload.codes import open_codes
    from lamina_sim.workload.quantize import same

    if weight_bits not in (2, 4):
        raise ValueError(f"--weight-bits must be 2 or 4, not {weight_bits}.")
    if scale_group < 0:
        raise ValueError(f"--scale-group must be at least 0, not {scale_group}.")
    with whole_file(output) as whole, progress("Packing") as report:
        products = open_codes(
            source, bits=weight_bits, group=scale_group or None, columns=scale_columns
        )

        def packed() -> Iterator[tuple[str, words.Packed]]:
            for number, name in enumerate(products):
                report(f"Packing {name}", number / len(products))
                yield (
                    name,
                    _named(name, lambda name=name: words.Packed.of(products[name], scale_columns)),
                )

        words.save(whole, packed())
        report("Reading back", 1.0)
        written = words.load(whole)
        for name, product in written.items():
            if not same(product.quantized(), products[name]):
                raise RuntimeError(f"The words of {name} must stand for its codes, and do not.")
        size = sum(product.words.nbytes for product in written.values())
    console().print(
        f"{output}: {len(written)} products, {size} bytes of words, read back: the same codes.",
        soft_wrap=True,
    )


def _named(name: str, work: Any) -> Any:
    """Return what ``work`` does; what is wrong with a product is told with its name."""
    try:
        return work()
    except ValueError as error:
        text = str(error)
        raise ValueError(text if f" {name}." in text else f"{name}: {text}") from None
