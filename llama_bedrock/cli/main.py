"""The command line: its commands, its global options, and what every command does with a failure."""

from __future__ import annotations

import atexit
import gc
import logging
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from llama_bedrock.cli.command_list import COMMANDS, OTHER_NAMES, list_commands, load_command
from llama_bedrock.cli.exit_codes import report
from llama_bedrock.cli.output import show_every_sign


class Commands(TyperGroup):
    """The commands, each imported when it is asked for; none ends in a traceback, unless --debug is given."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names that are shown."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name; None if there is none."""
        if cmd_name not in self.commands and (found := load_command(cmd_name)) is not None:
            self.commands[cmd_name] = found
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is called; a mistyped one is compared with all names."""
        if args and args[0] not in COMMANDS and args[0] not in OTHER_NAMES:
            for name in COMMANDS:
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands, without importing one."""
        with formatter.section("Commands"):
            formatter.write_dl(list_commands(self.list_commands(ctx)))

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a failure becomes one line and an exit code."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, BrokenPipeError):
            raise
        except (Exception, KeyboardInterrupt) as error:
            code = _show_help(error) or report(error, debug=bool(ctx.params.get("debug")))
            raise typer.Exit(code) from error

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the program; mistakes in the options, too, are one line."""
        show_every_sign()
        try:
            code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
            _silence_stdout()
            code = 0
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last place that can word it
            code = _show_help(error) or report(error, debug=False)
        if standalone_mode:
            sys.exit(code if isinstance(code, int) else 0)
        return code


def _show_help(error: BaseException) -> int | None:
    """Print the help of a command called without arguments; return its exit code, None for other errors."""
    if type(error).__name__ != "NoArgsIsHelpError":  # click's, of which typer carries a copy of its own
        return None
    from llama_bedrock.cli.output import write

    context: Any = getattr(error, "ctx", None)
    write(f"{context.get_help()}\n")
    return 2


app = typer.Typer(
    name="llama-bedrock",
    cls=Commands,
    help="Meta Llama on Amazon Bedrock: ask questions of your documents, look at prompts and models.",
    no_args_is_help=True,
    epilog="llama-bedrock COMMAND --help shows the options of a command, with examples.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from llama_bedrock.cli.output import write
        from llama_bedrock.version import __version__

        write(f"llama-bedrock {__version__}\n")
        raise typer.Exit()


@app.callback()
def options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks and what the library logs.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """Apply the options that hold for every command."""
    warnings.showwarning = _warn_in_one_line
    if debug:
        logging.basicConfig(
            level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
        )
        logging.getLogger("llama_bedrock").setLevel(logging.DEBUG)
    else:
        logging.getLogger().addHandler(logging.NullHandler())  # the commands tell what matters


def _warn_in_one_line(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    from llama_bedrock.cli.output import note

    if not issubclass(category, (DeprecationWarning, PendingDeprecationWarning, ResourceWarning)):
        note(f"note: {' '.join(str(message).split())}")


def _silence_stdout() -> None:
    """Let the interpreter flush into nothing at exit, instead of complaining about the closed pipe."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> None:
    """Entry point of the installed command."""
    # Imports make a million objects that stay: looking at them again and again takes a tenth of the time
    # to the first answer, and a third of what a server of many streams does (docs/performance.md).
    gc.set_threshold(50_000, 50, 50)
    # At the end Python would go through all of them once more, to free what ends anyway: a sixth of the CPU
    # of `ask --local`.
    atexit.register(gc.freeze)
    app()
