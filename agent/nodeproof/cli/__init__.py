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
    "agent": "Stay on this node: watch, judge, act, and leave the answer for Slurm's hooks.",
    "check": "Judge this node, or a recording of one.",
    "controller": "Carry out drains and resumes for nodes that hold no Slurm token.",
    "drain": "Take this node out of service through the agent, until `nodeproof resume`.",
    "explain": "Say what a check looks at, why, and what to do when it fails.",
    "fleet": "Look at all nodes: what the guard still lets through.",
    "history": "Show what happened on this node: events, verdicts that changed, actions, what jobs saw.",
    "hook": "Judge this node for slurmd: HealthCheckProgram, Prolog and Epilog.",
    "list": "List all checks.",
    "policy": "Check, show, learn and describe policy.",
    "reload": "Have the agent read its policy again.",
    "record": "Record what the probes read, to replay it elsewhere.",
    "resume": "Say that this node is repaired: it is judged now, and resumed if it is fit.",
    "slurm": "Check the wiring to Slurm.",
    "status": "Say what the agent of this node knows now.",
}


#: Entry points whose modules hold a click command named `command`: other packages bring commands of their own.
ENTRY_POINTS = "nodeproof.commands"


class _Lazy(click.Group):
    """Imports a command when it is used: the prolog pays for `check` alone."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted({**_plugins(), **_COMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in {
            "check",
            "hook",
        }:  # __main__ switched it off; learning from a fleet takes longer, and more memory
            gc.enable()
        if cmd_name not in _COMMANDS:
            module = _plugins().get(cmd_name)
            return None if module is None else plugin_command(module)
        command: click.Command = importlib.import_module(f"nodeproof.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        plugins = {name: _plugin_help(module) for name, module in _plugins().items()}
        with formatter.section("Commands"):
            formatter.write_dl(sorted((plugins | _COMMANDS).items()))


def _plugins() -> dict[str, str]:
    """Return the modules of commands that are not built in, by name."""
    from nodeproof.check import entry_points

    return dict(entry_points(ENTRY_POINTS))


def plugin_command(module: str) -> click.Command:
    """Import a command. Raises NodeproofError if that cannot be done, or others could have written it."""
    from nodeproof.check import guarded

    try:
        with guarded([module]):
            command = importlib.import_module(module).command
    except NodeproofError:
        raise
    except Exception as error:
        raise NodeproofError(f"{module} brings no command: {type(error).__name__}: {error}") from error
    if not isinstance(command, click.Command):
        raise NodeproofError(f"{module} brings no command: expected a click command named `command`")
    return command


def _plugin_help(module: str) -> str:
    try:
        return plugin_command(module).get_short_help_str(100)
    except NodeproofError as error:
        return str(error)


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
