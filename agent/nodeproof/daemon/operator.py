"""An operator's word that this node is to be drained: kept until it is taken back."""

import contextlib
import json
import os

from nodeproof.files import replace_file
from nodeproof.verdict import harmless

FILE = "operator.json"

_MOST_BYTES = 4096
_REASON_CHARS = 200


class Operator:
    """The reason in a file of the state directory; `warning` says when it could not be kept or read."""

    def __init__(self, state_dir: str) -> None:
        self._path = os.path.join(state_dir, FILE)
        self.warning = ""
        self.reason = self._read()

    def drains(self, reason: str) -> None:
        self.reason = harmless(reason, _REASON_CHARS)
        self._keep(json.dumps({"reason": self.reason}))

    def releases(self) -> None:
        self.reason = ""
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
        except OSError as error:
            self.warning = f"cannot remove {self._path}: {error.strerror}"

    def _keep(self, content: str) -> None:
        try:
            replace_file(self._path, content.encode(), 0o600)
        except OSError as error:
            self.warning = f"the operator's word is not kept over a restart: {self._path}: {error.strerror}"

    def _read(self) -> str:
        try:
            with open(self._path, "rb") as file:
                return harmless(str(json.loads(file.read(_MOST_BYTES))["reason"]), _REASON_CHARS)
        except FileNotFoundError:
            return ""
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.warning = f"{self._path} is not usable: {error}"
            return ""
