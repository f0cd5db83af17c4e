"""Writes down all that Python opens, loads or runs, if a test put a file there for it. Loaded by lab_audit.pth."""

import os
import sys

_LOG = "/run/nodeproof/audit"
_TOLD = {
    "open",
    "import",
    "ctypes.dlopen",
    "subprocess.Popen",
    "os.exec",
    "os.posix_spawn",
    "os.system",
    "socket.connect",
}


def _listen() -> None:
    try:
        log = os.open(_LOG, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    except FileNotFoundError:
        return

    def tell(event: str, args: tuple[object, ...]) -> None:
        if event in _TOLD:
            os.write(log, f"{event} {args!r:.2000}\n".encode(errors="replace"))

    sys.addaudithook(tell)


_listen()
