"""Judge the GPU checks in a pass of the real engine: sysfs from a planted tree, NVML asked live.

A program of its own because the loader reads LD_LIBRARY_PATH only when a process starts. For each line of its input,
`[SCENARIO, ROOT, DEADLINE_S, {"gpu.count": {"claimed": 8}, …}, JOB_GPUS]`, a child of its own judges ROOT with
FAKE_NVML=SCENARIO (and FAKE_AMDSMI) and prints the verdicts as one line of JSON, and those of the recording that the
pass left in ROOT/recording.
"""

import importlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from nodeproof.check import registry
from nodeproof.engine.run import run
from nodeproof.host import Host, HostCall, open_host
from nodeproof.host.archive import write
from nodeproof.host.record import Recorder
from nodeproof.host.replay import Replay
from nodeproof.policy.settings import CheckSettings, Settings


class PlantedFiles(Replay):
    """Files from a tree, calls from this machine."""

    can_hang = True

    def call(self, function: HostCall, *args: Any) -> Any:
        return function(*args)


def main() -> None:
    registry()
    importlib.import_module("pynvml")  # once, for all children
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            scenario, *request = json.loads(line)
            os.environ["FAKE_NVML"] = os.environ["FAKE_AMDSMI"] = scenario
            judge(*request)
            sys.stdout.flush()
            os._exit(0)
        if os.waitpid(pid, 0)[1]:
            print("null", flush=True)


def judge(root: str, deadline_s: float, parameters: dict[str, dict[str, object]], job_gpus: list[str]) -> None:
    checks = {check_id: CheckSettings(parameters=values) for check_id, values in parameters.items()}
    settings = Settings(deadline_s=deadline_s, checks=checks)
    recorder, recording = Recorder(PlantedFiles(root)), Path(root, "recording")
    live = verdicts(Host(recorder), settings, job_gpus)
    shutil.rmtree(recording, ignore_errors=True)
    write(recorder.notes, recording)
    print(json.dumps([live, verdicts(open_host(recording), settings, job_gpus)]))


def verdicts(host: Host, settings: Settings, job_gpus: list[str]) -> dict[str, list[str]]:
    specs = [spec for check_id, spec in registry().items() if check_id in settings.checks]
    results = run(host, specs, settings, job_gpus=job_gpus).results
    return {r.spec.id: [r.verdict.status.word, r.verdict.summary] for r in results}


if __name__ == "__main__":
    main()
