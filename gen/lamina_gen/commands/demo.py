"""`lamina demo`."""

import click

__all__ = ["command"]


@click.command("demo")
def command() -> None:
    """Run the bundled model on the hardware, in Verilator.

    One layer at many precisions: its weights are quantized to INT4 and written to the plane store;
    its activations come from a real prompt. Then a sentence: the hardware computes every product of
    the model. Every result is checked against the golden model: if one bit differs, the exit code
    is 1. The generated Verilog stays in build/rtl.

    \b
    Example:
      lamina demo
    """
    from rich.table import Table

    from lamina_gen import demo
    from lamina_gen.console import output, progress
    from lamina_gen.text import MismatchError

    table = Table(
        title=f"Layer {demo.LAYER} of tinylm, {len(demo.PROMPT)} characters, INT4 weights"
    )
    headings = ("engine", "mantissa bits", "planes", "cycles", "MAC per cycle", "bytes fetched")
    for heading in (*headings, "relative error", "bit-exact with golden"):
        table.add_column(heading, justify="left" if heading == "engine" else "right")
    with progress("Preparing") as report:
        rows = list(demo.run(progress=report))
    for row in rows:
        table.add_row(
            row.engine,
            "FP16" if row.mantissa_bits is None else str(row.mantissa_bits),
            str(row.planes),
            f"{row.cycles:,}",
            f"{row.macs_per_cycle:.1f}",
            f"{row.bytes_fetched:,}",
            f"{row.relative_error:.2e}",
            "yes" if row.exact else "NO",
        )
    console = output()
    console.print(table)
    console.print(
        "Relative error: against the float64 products of the same FP16 activations and all four "
        "planes of the weights.",
        "Anda's eight columns share an accumulator, so that a group takes max(M + 1, 8) cycles.",
        "The generated Verilog is in build/rtl.",
        sep="\n",
    )
    if not all(row.exact for row in rows):
        click.echo("lamina: The hardware and the golden model disagree.", err=True)
        raise click.exceptions.Exit(1)
    console.print("\nThe hardware continues a text, Anda with 8 mantissa bits:")
    click.echo(demo.OPENING, nl=False)
    try:
        for step in demo.sentence():
            click.echo(step.text, nl=False)
    except MismatchError as error:
        click.echo(f"\nlamina: {error}", err=True)
        raise click.exceptions.Exit(1) from None
    click.echo()
