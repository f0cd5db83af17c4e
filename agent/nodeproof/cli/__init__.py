"""The command line: one file per command, imported when it is used."""

import gc
import importlib
import io
import sys

import click

from nodeproof import __version__
from nodeproof.errors import NodeproofError
from nodeproof.verdict import harmless

#: Exit codes that every command shares; `nodeproof check` adds 1 (failed) and 3 (unknown).
EXIT_USAGE = 2
EXIT_UNKNOWN = 3
EXIT_INTERRUPTED = 130
EXIT_NO_READER = 141

_COMMANDS = {
    "check": "Judge this node, or a recording of one.",
    "explain": "Say what a check looks at, why, and what to do when it fails.",
    "list": "List all checks.",
    "policy": "Check, show, learn and describe policy.",
    "record": "Record what the probes read, to replay it elsewhere.",
}


class _Lazy(click.Group):
    """Imports a command when it is used: the prolog pays for `check` alone."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        if cmd_name != "check":  # __main__ switched it off; learning from a fleet takes longer, and more memory
            gc.enable()
        module = importlib.import_module(f"nodeproof.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_COMMANDS.items()))


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="nodeproof")
def cli() -> None:
    """Decide whether this node is fit to work."""


def run() -> int:
    """Run the command line and return its exit code. Whatever else is raised is a bug (see `nodeproof.__main__`)."""
    try:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # a verdict is worth more than an arrow
        code = int(cli.main(prog_name="nodeproof", standalone_mode=False) or 0)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return EXIT_USAGE
    except click.Abort:
        return EXIT_INTERRUPTED
    except NodeproofError as error:
        for line in str(error).splitlines():
            click.echo(f"nodeproof: {harmless(line, 1000)}", err=True)
        return EXIT_USAGE
    except (BrokenPipeError, SystemExit):  # the reader has gone; click makes a SystemExit of that
        return EXIT_NO_READER
    except OSError as error:
        click.echo(f"nodeproof: {error}", err=True)
        return EXIT_UNKNOWN
    return code
