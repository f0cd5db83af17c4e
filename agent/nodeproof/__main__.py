"""Where a process begins: `nodeproof` and `python -I -m nodeproof`.

Whatever goes wrong, the exit code is never 1 unless a report says that the node failed: an import error,
a full disk or a closed standard stream is *could not tell*. In a hook of Slurm that is 0, for any other code of a
prolog drains the node.
"""

import gc
import os
import signal
import sys

EXIT_UNKNOWN = 3
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


def main() -> None:
    """Run the command line and end the process."""
    is_hook = sys.argv[1:2] == ["hook"]
    code = 0 if is_hook else EXIT_UNKNOWN
    gc.disable()  # a process of a fraction of a second; a collection in a worker would copy the whole heap
    # httpx loads a command line of its own, and rich with it, unless there is none: a fifth of what a drain costs.
    sys.modules["httpx._main"] = None  # type: ignore[assignment]
    try:
        _open_standard_streams()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, _terminate)
        code = _hook() if is_hook else _command()
    except _Terminated:
        code = EXIT_TERMINATED
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except BaseException as error:  # noqa: BLE001  # SystemExit too: a plug-in may call sys.exit(1)
        _complain(error)
    finally:
        # all is written and closed; taking the interpreter apart would cost the prolog 10 ms
        os._exit(code)


def _command() -> int:
    from nodeproof.cli import run

    return run()


def _hook() -> int:
    """Run a hook, without the imports of the command line where it needs none: overlapping runs only leave."""
    from nodeproof import hooks

    if len(sys.argv) == 3 and sys.argv[2] in hooks.KINDS:
        return hooks.run(sys.argv[2])
    code = _command()
    return 0 if code == hooks.EXIT_USAGE else code  # a misspelt line in slurm.conf must drain no cluster either


class _Terminated(BaseException):
    """SIGTERM: slurmd's time is up. Raised so that workers are ended on the way out."""


def _terminate(*_: object) -> None:
    raise _Terminated


def _open_standard_streams() -> None:
    """Give descriptors 0 to 2 something to be: else the next file or pipe that is opened becomes one."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+", encoding="utf-8"))  # noqa: SIM115  # for good


def _complain(error: BaseException) -> None:
    try:
        import traceback

        traceback.print_exception(error)
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001  # nobody to tell it to
        return


if __name__ == "__main__":
    main()
