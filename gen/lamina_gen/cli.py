"""The command `lamina`: finds the subcommand, and turns errors into one sentence and a code.

Exit codes: 0; 1 hardware and golden model disagree; 2 bad input or a tool that fails; 70 a defect
of Lamina, with its traceback.
"""

import importlib
import signal
import sys
import traceback
from types import FrameType
from typing import NoReturn

import click

__all__ = ["COMMANDS", "main"]

#: What `lamina --help` lists: the command `x` is `lamina_gen.commands.x:command` (- is _ there),
#: imported only when it is called, so that help and errors come at once.
COMMANDS = {
    "list": "Show what can be generated, in the order in which data flows.",
    "describe": "Show the ports, parameters, latency, throughput and storage of MODULE.",
    "generate": "Write MODULE as Verilog, with its description.",
    "synth": "Synthesize MODULE and report its size and speed.",
    "sweep": "Explore a design space: the points of SPEC, a TOML file, on Dask.",
    "pack": "Pack quantized weights along n into PacQ's words, and read them back to check.",
    "gemm": "Multiply arrays on the hardware, in Verilator, and check the result.",
    "eval": "Evaluate the loss of a language model under an engine's arithmetic.",
    "search": "Find the fewest mantissa bits of Anda within a tolerated loss.",
    "runtime": "Fetch weights at the precision that each context needs: loss against bytes.",
    "generate-text": "Continue a text; every product of the model is computed by the hardware.",
    "demo": "Run the bundled model on the hardware, in Verilator.",
    "bench": "Measure the figures that the documentation quotes.",
}


class _Commands(click.Group):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = cmd_name.replace("-", "_")
        return importlib.import_module(f"lamina_gen.commands.{module}").command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(
                f"There is no command {args[0]!r}; it must be one of {', '.join(COMMANDS)}."
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lamina")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def _lamina(debug: bool) -> None:
    """Lamina: hardware for mixed-precision LLM inference on bit-planes.

    \b
    Example:
      lamina list
      lamina COMMAND --help
    """


def main(arguments: list[str] | None = None) -> int:
    """Run the command line ``arguments`` (default: those of the process); return the exit code."""
    if arguments is None:
        arguments = sys.argv[1:]
        signal.signal(signal.SIGTERM, _stop)
    try:
        return _lamina.main(arguments, prog_name="lamina", standalone_mode=False) or 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except click.Abort:
        click.echo("Interrupted.", err=True)
        return 130
    except Exception as error:
        expected = _is_expected(error)
        if "--debug" in arguments or not expected:
            traceback.print_exc()
        if not expected:
            return 70
        click.echo(f"lamina: {_sentence(error)}", err=True)
        return 2


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    """End as an exception does, so that temporary files go."""
    raise SystemExit(128 + number)


def _is_expected(error: Exception) -> bool:
    """Tell bad input and failing tools from defects of Lamina, whose traceback is wanted."""
    from lamina_sim.verilated.toolchain import ToolError

    return isinstance(error, click.ClickException | ValueError | TypeError | OSError | ToolError)


def _sentence(error: Exception) -> str:
    if isinstance(error, click.ClickException):
        text = error.format_message()
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    else:
        text = str(error) or type(error).__name__
    return text if text.endswith((".", "!", "?")) or "\n" in text else f"{text}."
