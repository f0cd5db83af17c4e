"""A drain controller for tests: the real program, on a free port of this host, with TLS and credentials of its own."""

import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trustme

from mini_slurm import Slurm
from nodeproof.controller.credentials import Authority, new_secret, read_secrets
from nodeproof.policy.settings import ControllerSettings


class Site:
    """What a site has on disk for its controller: certificates, a secret, and policy."""

    def __init__(self, directory: Path, slurm_url: str, **slurm: str) -> None:
        self.directory = directory
        self.ca = trustme.CA()
        self.ca_file = directory / "ca.pem"
        self.ca.cert_pem.write_to_path(self.ca_file)
        certificate = self.ca.issue_cert("127.0.0.1")
        self.certificate_file = directory / "certificate.pem"
        self.certificate_file.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        self.key_file = private(directory / "key.pem", certificate.private_key_pem.bytes())
        self.secret_file = private(directory / "secret", new_secret().encode())
        self.policy = directory / "policy.d"
        self.policy.mkdir(mode=0o755)
        self.slurm: dict[str, object] = {"url": slurm_url, **slurm}
        self.write()

    def write(self, more: str = "", **controller: object) -> None:
        """Write the policy of the controller; `more` is what else is to stand there."""
        keys = {
            "listen": "127.0.0.1:0",
            "certificate_file": str(self.certificate_file),
            "key_file": str(self.key_file),
            "secret_file": str(self.secret_file),
            **controller,
        }
        tables: dict[str, dict[str, object]] = {"slurm": self.slurm, "controller": keys}
        lines = [f"[{t}]\n" + "".join(f"{k} = {_toml(v)}\n" for k, v in table.items()) for t, table in tables.items()]
        file = self.policy / "10-site.toml"
        file.write_text("\n".join([*lines, more]))
        file.chmod(0o644)

    def credential(self, node: str) -> str:
        return Authority(read_secrets(str(self.secret_file))).credential(node)

    def node(self, name: str, url: str, credential: str | None = None) -> ControllerSettings:
        """Return the settings of a node, with its credential in a file."""
        text = self.credential(name) if credential is None else credential
        file = private(self.directory / f"{name}.credential", text.encode())
        return ControllerSettings(url=url, ca_file=str(self.ca_file), credential_file=str(file))

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca_file)


def site_of(slurm: Slurm, directory: Path, more: str = "", user: str = "slurm") -> Site:
    """Return what a site has whose controller may write to this Slurm."""
    token = private(directory / "token", slurm.token(user).encode())
    made = Site(directory, slurm.url, token_file=str(token), user_name=user)
    made.slurm["timeout_s"] = 2  # as long as a node of the labs waits for slurmctld
    made.write(more)
    return made


class Controller:
    """A controller that runs. `lines` is what it said."""

    def __init__(self, site: Site, *, environment: dict[str, str] | None = None) -> None:
        self.site = site
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-m", "nodeproof", "controller", "--policy", str(site.policy)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={"PATH": os.defpath, **(environment or {})},
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        try:
            started = self.wait_for("listens at", 60)
        except AssertionError:
            self.end(signal.SIGKILL)
            raise
        self.port = int(started.partition(" port ")[2].partition(" ")[0].rstrip(","))
        self.url = f"https://127.0.0.1:{self.port}"

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    @property
    def log(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, words: str, limit_s: float = 20) -> str:
        """Return the first line with these words."""
        until_s = time.monotonic() + limit_s
        while True:
            is_over = self.process.poll() is not None
            if is_over:
                self._reader.join(limit_s)  # what it said last may be on its way
            for line in list(self.lines):
                if words in line:
                    return line
            assert not is_over, f"the controller has ended: {self.log}"
            assert time.monotonic() < until_s, f"the controller did not say {words!r}: {self.log}"
            time.sleep(0.02)

    def node(self, name: str, credential: str | None = None) -> ControllerSettings:
        return self.site.node(name, self.url, credential)

    def end(self, number: int = signal.SIGTERM, limit_s: float = 30) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        return self.ended(limit_s)

    def ended(self, limit_s: float = 30) -> int:
        code = self.process.wait(limit_s)
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code

    def rss_bytes(self) -> int:
        """Return how much memory it has now."""
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        assert found is not None
        return int(found[1]) * 1024


@contextmanager
def controlling(site: Site, **keys: Any) -> Iterator[Controller]:
    """Run a controller for a `with` block."""
    controller = Controller(site, **keys)
    try:
        yield controller
    finally:
        if controller.process.poll() is None:
            controller.end()
        else:
            controller.ended()
        assert "Traceback" not in controller.log


def private(path: Path, content: bytes) -> Path:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()
