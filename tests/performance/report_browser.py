"""Open the report of a simulated campaign in a real browser: screenshots, paper, console errors, sorted tables.

    python tests/performance/report_browser.py DIRECTORY [--chromium /usr/bin/chromium]

Writes desk.png, phone.png, dark.png and paper.pdf to DIRECTORY, clicks a table's head, and exits with 1 if the browser
complains of anything or the table is not sorted. Needs Chromium (Debian: apt-get install chromium).
"""

import argparse
import base64
import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import campaign_book
from campaign_book import Planted, Shape, fill
from nodeproof_bench.campaign.assess import assess
from nodeproof_bench.campaign.report.document import write
from nodeproof_bench.campaign.report.html import page

OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr"),
)

#: What a page complains of; other lines are the browser's own troubles with the machine that it is on.
COMPLAINT = re.compile(r"CONSOLE|Content.Security|Uncaught|SyntaxError|TypeError|ReferenceError")

#: Sort all nodes by name, downwards: two clicks on the first head.
CLICKS = '\nfor (let n = 0; n < 2; n++) document.querySelector("#all-nodes th button").click();\n'

FAULTS = Planted(
    factors={"n17": {"memory.triad --node 1": 0.88}, "n41": {"cpu.flops": 0.93, "cpu.frequency": 0.94}},
    hot={"n41": {"cpu.frequency": 0.9, "cpu.flops": 0.91}},
    pair_factors={"n29": 1.6, "leaf2 - leaf4": 1.15},
    facts={
        "n17": {"memory.dimms": "15 x 32 GiB 4800 MT/s"},
        "n52": {"smbios.bios_version": "2.6.0"},
        "n03": {"nic.firmware.eth0": "22.36.1010"},
    },
    failed_checks={"n17": ("memory.dimms", "15 memory modules, expected 16: none in slot B7")},
    without_result=["n60"],
    skipped={"n63": "down: not responding", "n64": "drained by root: fan 4"},
)


def simulated(directory: Path) -> str:
    """Return the page of a campaign of 64 nodes, three of them faulty, the second of its nodes."""
    shape = Shape(nodes=64, racks=4, repeats=5, pair_rounds=63, id="aaaa0001", name="rack 12, spring", seed=3)
    with campaign_book.book(directory) as book:
        fill(book, Planted(), shape._replace(began=campaign_book.BEGAN - 30 * 86400))
        assess(book, "aaaa0001")
        id_ = fill(book, FAULTS, shape._replace(id="b7f20c5e", name="rack 12, autumn", seed=1))
        found = assess(book, id_)
        suspects = [f for f in book.findings(id_) if f.detector != "too_good"]
        # what the controller's second look would have confirmed
        book.set_findings(id_, [f._replace(state="confirmed") if f.node != "n29" else f for f in suspects])
        return page(write(book, book.campaign(id_), found))


def with_clicks(text: str) -> str:
    """Return a page that clicks by itself, with a policy that allows just that."""
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    changed = text.replace(script, script + CLICKS)
    old, new = (base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in (script, script + CLICKS))
    return changed.replace(old, new)


def browse(chromium: str, file: Path, *options: str) -> tuple[str, list[str]]:
    """Return what the browser prints of a page, and what the page complains of."""
    with tempfile.TemporaryDirectory() as profile:
        argv = [chromium, *OPTIONS, f"--user-data-dir={profile}", *options, file.as_uri()]
        done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout, [line for line in done.stderr.splitlines() if COMPLAINT.search(line)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    given = parser.parse_args()
    directory: Path = given.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        text = simulated(Path(place))
    report, clicking = directory / "report.html", directory / "clicking.html"
    report.write_text(text)
    clicking.write_text(with_clicks(text))
    complaints = []
    for name, options in (
        ("desk", ["--window-size=1280,2600", f"--screenshot={directory}/desk.png"]),
        ("phone", ["--window-size=390,2600", f"--screenshot={directory}/phone.png"]),
        ("dark", ["--window-size=1280,1600", f"--screenshot={directory}/dark.png", "--force-dark-mode"]),
        ("paper", [f"--print-to-pdf={directory}/paper.pdf", "--no-pdf-header-footer"]),
    ):
        complaints += [f"{name}: {line}" for line in browse(given.chromium, report, *options)[1]]
    dom, more = browse(given.chromium, clicking, "--dump-dom")
    complaints += more
    table = dom[dom.index('id="all-nodes"') :]
    order = re.findall(r'<td class="name">([^<]*)</td>', table[: table.index("</table>")])
    is_sorted = order == sorted(order, reverse=True) and 'aria-sort="descending"' in table
    print(f"{len(text)} bytes; {len(complaints)} complaints; all nodes: {order[0]} to {order[-1]}, sorted: {is_sorted}")
    print("\n".join(complaints))
    return 0 if is_sorted and not complaints else 1


if __name__ == "__main__":
    sys.exit(main())
