"""Where a process begins: `nodeproof` and `python -I -m nodeproof`.

Whatever goes wrong, the exit code is never 1 unless a report says that the node failed: an import error,
a full disk or a closed standard stream is *could not tell*.
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
    code = EXIT_UNKNOWN
    gc.disable()  # a process of a fraction of a second; a collection in a worker would copy the whole heap
    try:
        _open_standard_streams()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, _terminate)
        from nodeproof.cli import run

        code = run()
    except _Terminated:
        code = EXIT_TERMINATED
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except BaseException as error:  # noqa: BLE001  # SystemExit too: a plug-in may call sys.exit(1)
        _complain(error)
    finally:
        # all is written and closed; taking the interpreter apart would cost the prolog 10 ms
        os._exit(code)


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
