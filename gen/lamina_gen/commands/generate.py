"""`lamina generate`."""

from pathlib import Path

import click

from lamina_gen.commands._options import configured, parameter_options

__all__ = ["command"]


@click.command("generate")
@parameter_options
@click.option(
    "-o",
    "--output",
    "folder",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder for the files; made if missing.",
)
def command(module: str, config: str | None, settings: tuple[str, ...], folder: Path) -> None:
    """Write MODULE as Verilog, with its description.

    The files, under the module's name with _ for the dot: .v, the Verilog; .json, parameters,
    latency and ports; .core, for FuseSoC; .vlt, Verilator's settings. The same input gives the
    same bytes.

    \b
    Example:
      lamina generate anda.element --set columns=8 -o build/element
    """
    from lamina_gen.console import output, status
    from lamina_gen.emit import emit

    entry, parameters = configured(module, config, settings)
    with status(f"Generating {entry.name}"):
        paths = emit(entry, parameters).write(folder)
    for path in paths.values():
        output().print(str(path), soft_wrap=True)
