"""`lamina list`."""

import click

__all__ = ["command"]


@click.command("list")
def command() -> None:
    """Show what can be generated, in the order in which data flows.

    \b
    Example:
      lamina list
    """
    from rich.table import Table

    from lamina_gen.console import output
    from lamina_gen.registry import MODULES, STAGES

    table = Table("module", "stage", "what it is", box=None, pad_edge=False)
    for stage in STAGES:
        for entry in MODULES.values():
            if entry.stage == stage:
                table.add_row(entry.name, stage, entry.summary)
    output().print(table)
