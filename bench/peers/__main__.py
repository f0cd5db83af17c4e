"""`make bench-peers`: measure in rounds, keep what was measured, and write the page."""

import argparse
import os
import shlex
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from peers import install, page, run
from peers.commands import FIO_DATA, FIO_PREPARATION, OUT, Command, all_commands, hog
from peers.machine import Machine
from peers.samples import Sample, Samples

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KEPT, TRIED = f"{OUT}/samples.json", f"{OUT}/tried.json"


def main() -> int:
    options = _options()
    os.chdir(ROOT)
    if options.page_only:
        page.write(Samples.load(KEPT))
        return 0
    os.environ["PATH"] = os.pathsep.join((sysconfig.get_path("scripts"), os.environ["PATH"]))
    missing = install.missing_packages()
    if missing and install.can_install():
        install.install(missing)
    elif missing and not options.as_is:
        print(
            f"bench-peers needs {', '.join(missing)}. On Debian: apt-get install {' '.join(missing)}", file=sys.stderr
        )
        print("Or leave out what is missing: make bench-peers PEERS=--as-is", file=sys.stderr)
        return 1
    samples = _measure(options.rounds, options.only)
    samples.save(TRIED if options.only else KEPT)
    if not options.no_page and not options.only:
        page.write(samples)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-peers PEERS='OPTION…'; OPTION", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="how often each command is run (default: %(default)s)")
    parser.add_argument(
        "--only", default="", metavar="ID,…", help="run only commands whose id begins so; implies --no-page"
    )
    parser.add_argument("--as-is", action="store_true", help="leave out what is not installed")
    parser.add_argument("--no-page", action="store_true", help=f"leave the page as it is; the samples are in {KEPT}")
    parser.add_argument("--page-only", action="store_true", help="write the page of the last samples again")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds takes a whole number from 1")
    return options


def _measure(rounds: int, only: str) -> Samples:
    machine, built = Machine.read(), install.build()
    commands = all_commands(machine)
    lacking = run.lacking(commands.values(), run.benchmarks())
    chosen = [c for c in commands.values() if c.id not in lacking and c.id.startswith(tuple(only.split(",")))]
    for id_, reason in lacking.items():
        print(f"{id_}: left out: {reason}")
    about = {
        "machine": {**machine._asdict(), "cpus": list(machine.cpus)},
        "versions": install.versions(),
        "built": built,
        "rounds": rounds,
        "day": datetime.now(UTC).date().isoformat(),
        "hog": hog(machine),
    }
    samples = Samples(about, lacking, [])
    start_s = time.monotonic()
    with _disk_file(chosen):
        for id_ in sorted({command.calibration for command in chosen} - {""}):
            _take(samples, run.measure(commands[id_]._replace(id=f"{id_}-first"), 0, hog(machine)), "before")
        iterations = samples.iterations()
        chosen = [command.repeating(iterations) for command in chosen]
        for number in range(rounds):
            for sample in run.run_round(chosen, number, hog(machine)):
                _take(samples, sample, f"round {number + 1} of {rounds}")
    about["wall_s"] = time.monotonic() - start_s
    return samples


def _take(samples: Samples, sample: Sample, when: str) -> None:
    samples.taken.append(sample)
    said = sample.error or f"{sample.wall_s:.1f} s" + ("" if sample.is_clean else ", disturbed")
    print(f"{when}: {sample.command}: {said}", flush=True)


@contextmanager
def _disk_file(chosen: list[Command]) -> Iterator[None]:
    """Have fio's file written before the first round: it is no part of what is measured."""
    if not any(command.text.startswith("fio ") for command in chosen):
        yield
        return
    try:
        subprocess.run(shlex.split(FIO_PREPARATION), check=True, stdout=subprocess.DEVNULL)
        yield
    finally:
        if os.path.exists(FIO_DATA):
            os.remove(FIO_DATA)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(f"bench-peers: {error}")
