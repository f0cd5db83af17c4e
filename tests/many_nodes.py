"""Many nodes that ask one controller at once, each over a connection and with a credential of its own.

They share two CPUs here with the controller and with Slurm. Nodes bring CPUs of their own, so these cost as little as
they can: what a node sends (`nodeproof.controller.client`), from one process that waits for all of them. A program as
well, which is told what to do as JSON, and says so what came of it.
"""

import asyncio
import json
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from controlled import Controller
from nodeproof.controller.client import PATH, read_credential
from nodeproof.slurm.outcome import Outcome, from_json
from nodeproof.slurm.wish import Wish, to_json


class Asked(NamedTuple):
    """What many nodes were told. `took_s` is from the first question to the last answer, `each_s` by node."""

    outcomes: dict[str, Outcome]
    took_s: float
    each_s: dict[str, float]

    def __str__(self) -> str:
        each_s = sorted(self.each_s.values())
        return f"{self.kinds} in {self.took_s:.2f} s, half of them in {each_s[len(each_s) // 2]:.2f} s"

    @property
    def kinds(self) -> dict[str, int]:
        return dict(Counter(type(outcome).__name__ for outcome in self.outcomes.values()))


def ask_at_once(controller: Controller, wishes: Sequence[Wish], limit_s: float) -> Asked:
    """Have each node ask for its wish, all at the same moment. Fails if one has no answer in time."""
    settings = [controller.node(wish.node) for wish in wishes]
    task = {
        "url": controller.url,
        "ca_file": settings[0].ca_file,
        "limit_s": limit_s,
        "wishes": [to_json(wish) for wish in wishes],
        "credentials": [read_credential(of_node.credential_file) for of_node in settings],
    }
    done = subprocess.run(
        [sys.executable, __file__], input=json.dumps(task), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    return Asked(
        {name: from_json(found["outcome"]) for name, found in said["nodes"].items()},
        said["took_s"],
        {name: found["took_s"] for name, found in said["nodes"].items()},
    )


async def _ask(url: str, tls: ssl.SSLContext | None, wish: dict[str, Any], credential: str) -> dict[str, Any]:
    """Be a node: shake hands, ask, read until the controller hangs up."""
    began_s = time.monotonic()
    place, body = urlsplit(url), json.dumps(wish).encode()
    reader, writer = await asyncio.open_connection(place.hostname, place.port, ssl=tls)
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Bearer {credential}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    status, _, answer = (await reader.read(-1)).partition(b"\r\n\r\n")
    writer.close()
    assert status.startswith(b"HTTP/1.1 200 "), (status, answer)
    return {"outcome": json.loads(answer), "took_s": time.monotonic() - began_s}


async def _ask_all(task: dict[str, Any]) -> dict[str, Any]:
    tls = ssl.create_default_context(cafile=task["ca_file"]) if task["url"].startswith("https:") else None
    pairs = list(zip(task["wishes"], task["credentials"], strict=True))
    began_s = time.monotonic()
    async with asyncio.timeout(task["limit_s"]):
        answers = await asyncio.gather(*(_ask(task["url"], tls, *pair) for pair in pairs))
    took_s = time.monotonic() - began_s
    return {"took_s": took_s, "nodes": {w["node"]: found for (w, _), found in zip(pairs, answers, strict=True)}}


if __name__ == "__main__":
    json.dump(asyncio.run(_ask_all(json.loads(sys.stdin.read()))), sys.stdout)
