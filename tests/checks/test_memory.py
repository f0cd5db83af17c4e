"""Memory checks."""

from typing import Any

import pytest

from nodeproof.check import registry
from nodeproof.host import Host
from nodeproof.probes.edac import CONTROLLERS
from nodeproof.probes.memory import HUGE_PAGES, TRANSPARENT, MemorySize, Swap
from nodeproof.probes.smbios import TABLE, Dimms
from nodeproof.verdict import Status
from smbios_table import QEMU_TABLE, dimm_table, memory_device
from support import Machine, verdict_of

MC0 = f"{CONTROLLERS}/mc0"
SWAPS = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"


def edac_files(corrected: int = 0, uncorrected: int = 0, label: str = "CPU0_DIMM_A1") -> dict[str, str]:
    return {
        f"{MC0}/ce_count": f"{corrected}\n",
        f"{MC0}/ue_count": f"{uncorrected}\n",
        f"{MC0}/dimm0/dimm_label": f"{label}\n",
        f"{MC0}/dimm0/dimm_ce_count": f"{corrected}\n",
        f"{MC0}/dimm0/dimm_ue_count": f"{uncorrected}\n",
        f"{MC0}/dimm1/dimm_label": "CPU0_DIMM_B1\n",
        f"{MC0}/dimm1/dimm_ce_count": "0\n",
        f"{MC0}/dimm1/dimm_ue_count": "0\n",
    }


def dimms(machine: Machine, *devices: bytes) -> Host:
    return machine({TABLE: dimm_table(*devices)})


def eight() -> list[bytes]:
    return [memory_device(f"DIMM_{c}1", f"P0 CHANNEL {c}") for c in "ABCDEFGH"]


def test_size(machine: Machine) -> None:
    host = machine({"/proc/meminfo": "MemTotal:       65536000 kB\nMemFree:        1 kB\n"})

    assert verdict_of("memory.size", host, min_bytes=60 << 30).status == Status.OK
    verdict = verdict_of("memory.size", host, min_bytes=64 << 30)
    assert verdict.status == Status.FAIL
    assert verdict.summary == "64000 MiB of memory, expected at least 65536 MiB"


def test_nodes_that_are_alike_learn_the_same_size(machine: Machine) -> None:
    learn = registry()["memory.size"].learn
    assert learn is not None

    assert learn(MemorySize(526_338_162_688)) == learn(MemorySize(526_330_298_368)) == {"min_bytes": 121 << 32}


def test_size_unknown_or_absent(machine: Machine) -> None:
    assert verdict_of("memory.size", machine({}), min_bytes=1).status == Status.SKIP
    assert verdict_of("memory.size", machine({"/proc/meminfo": "x"}), min_bytes=1).status == Status.UNKNOWN


def test_dimms_all_alike(machine: Machine) -> None:
    verdict = verdict_of("memory.dimms", dimms(machine, *eight()), claimed=8, size_bytes=32 << 30, speed_mts=4800)

    assert verdict.status == Status.OK
    assert verdict.summary == "8 memory modules: 8 x DDR5 32768 MiB at 4800 MT/s"


def test_a_missing_dimm_is_counted_and_named(machine: Machine) -> None:
    host = dimms(machine, *eight()[:7], memory_device("DIMM_H1", "P0 CHANNEL H", size_mib=0))

    verdict = verdict_of("memory.dimms", host, claimed=8, locators=("DIMM_A1 (P0 CHANNEL A)", "DIMM_H1 (P0 CHANNEL H)"))
    assert verdict.status == Status.FAIL
    assert verdict.summary == "7 memory modules, expected 8; no module in DIMM_H1 (P0 CHANNEL H)"
    assert verdict.evidence["empty_slots"] == ["DIMM_H1 (P0 CHANNEL H)"]


def test_the_odd_one_is_named_without_any_policy(machine: Machine) -> None:
    small = dimms(machine, *eight()[:7], memory_device("DIMM_H1", "P0 CHANNEL H", size_mib=16384))
    verdict = verdict_of("memory.dimms", small)
    assert verdict.status == Status.FAIL
    assert verdict.summary == "DDR5 size 16384 MiB in DIMM_H1 (P0 CHANNEL H), expected 32768 MiB"

    slow = dimms(machine, *eight()[:7], memory_device("DIMM_H1", configured_mts=4000))
    assert verdict_of("memory.dimms", slow).summary == "DDR5 configured speed 4000 MT/s in DIMM_H1, expected 4800 MT/s"
    assert verdict_of("memory.dimms", slow, is_mix_allowed=True).status == Status.WARN


def test_kinds_are_compared_apart_and_virtual_memory_not_at_all(machine: Machine) -> None:
    mixed = [memory_device("HBM0", kind=0x24, size_mib=16384, speed_mts=3200, configured_mts=3200)]
    assert verdict_of("memory.dimms", dimms(machine, *eight(), *mixed)).status == Status.OK
    virtual = [memory_device("DIMM 0", kind=7, size_mib=16384), memory_device("DIMM 1", kind=7, size_mib=4096)]
    assert verdict_of("memory.dimms", dimms(machine, *virtual)).status == Status.OK


def test_below_rated_speed_is_a_warning_until_policy_says_how_fast(machine: Machine) -> None:
    host = dimms(machine, memory_device("A1", speed_mts=5600, configured_mts=4800))

    verdict = verdict_of("memory.dimms", host)
    assert verdict.status == Status.WARN
    assert verdict.summary == "1 of 1 memory modules run at 4800 MT/s, rated for 5600: A1"
    assert verdict_of("memory.dimms", host, configured_speed_mts=4800).status == Status.OK
    assert verdict_of("memory.dimms", host, configured_speed_mts=5600).status == Status.FAIL
    too_low = verdict_of("memory.dimms", host, speed_mts=6400)
    assert (too_low.status, too_low.summary) == (
        Status.FAIL,
        "rated speed 5600 MT/s in A1, expected at least 6400 MT/s",
    )


def test_a_module_rated_higher_than_the_others_is_no_fault(machine: Machine) -> None:
    host = dimms(machine, *eight()[:7], memory_device("DIMM_H1", "P0 CHANNEL H", speed_mts=5600))

    verdict = verdict_of("memory.dimms", host, claimed=8, speed_mts=4800, configured_speed_mts=4800)
    assert verdict.status == Status.OK


def test_the_module_that_holds_the_others_back_is_named_first(machine: Machine) -> None:
    held = [memory_device(f"A{n}", configured_mts=4400) for n in range(7)]
    host = dimms(machine, *held, memory_device("A7", speed_mts=4400, configured_mts=4400))
    culprit = "A7 is rated 4400 MT/s, the others 4800 MT/s but run at 4400"

    verdict = verdict_of("memory.dimms", host)
    assert (verdict.status, verdict.summary) == (Status.FAIL, culprit)
    cases: list[tuple[dict[str, Any], Status]] = [
        ({"configured_speed_mts": 4800}, Status.FAIL),
        ({"configured_speed_mts": 4800, "is_mix_allowed": True}, Status.FAIL),
        ({"is_mix_allowed": True}, Status.WARN),
    ]
    for parameters, status in cases:
        verdict = verdict_of("memory.dimms", host, **parameters)
        assert verdict.status == status
        assert verdict.summary.startswith(f"{culprit}; ")
    assert verdict_of("memory.dimms", host, configured_speed_mts=4400).status == Status.OK
    assert verdict_of("memory.dimms", dimms(machine, *held)).summary == (
        "7 of 7 memory modules run at 4400 MT/s, rated for 4800: A0, A1, A2, A3 and 3 more"
    )


def test_a_module_that_states_no_speed_among_others_that_do_is_a_warning(machine: Machine) -> None:
    host = dimms(machine, *eight()[:7], memory_device("DIMM_H1", configured_mts=0))

    verdict = verdict_of("memory.dimms", host)
    assert verdict.status == Status.WARN
    assert verdict.summary == "the firmware states no configured speed of DIMM_H1, the others run at 4800 MT/s"
    silent = [memory_device(f"A{n}", configured_mts=0) for n in range(8)]
    assert verdict_of("memory.dimms", dimms(machine, *silent)).status == Status.OK


def test_what_the_firmware_does_not_say_is_unknown(machine: Machine) -> None:
    host = dimms(machine, memory_device("A1", configured_mts=0))

    assert verdict_of("memory.dimms", host).status == Status.OK
    assert verdict_of("memory.dimms", host, configured_speed_mts=4800).status == Status.UNKNOWN


def test_dimms_denied_malformed_absent_claimed(machine: Machine) -> None:
    assert verdict_of("memory.dimms", machine({})).status == Status.SKIP
    assert verdict_of("memory.dimms", machine({}), claimed=16).status == Status.FAIL
    assert verdict_of("memory.dimms", machine({TABLE: b"garbage"}), claimed=16).status == Status.UNKNOWN
    denied = machine({}, errors={TABLE: ("denied", "EACCES")})
    assert verdict_of("memory.dimms", denied, claimed=16).status == Status.UNKNOWN


@pytest.mark.parametrize(
    "table",
    [
        QEMU_TABLE,
        dimm_table(*eight()),
        dimm_table(memory_device("A"), memory_device("B", size_mib=1024, configured_mts=0)),
        dimm_table(memory_device("A", configured_mts=4000), memory_device("B")),
        dimm_table(*eight(), memory_device("slow", speed_mts=4400, configured_mts=4400)),
        dimm_table(
            *[memory_device(f"A{n}", configured_mts=4400) for n in range(3)],
            memory_device("slow", speed_mts=4400, configured_mts=4400),
        ),
    ],
)
def test_dimms_as_learned_pass(machine: Machine, table: bytes) -> None:
    host = machine({TABLE: table})
    learn = registry()["memory.dimms"].learn
    assert learn is not None

    learned: dict[str, Any] = dict(learn(Dimms.read(host)))
    assert verdict_of("memory.dimms", host, **learned).status in (Status.OK, Status.WARN)


def test_edac_clean(machine: Machine) -> None:
    assert verdict_of("memory.edac", machine(edac_files())).status == Status.OK
    assert verdict_of("memory.edac", machine(edac_files(corrected=5))).status == Status.OK


def test_uncorrected_errors_fail_and_name_the_dimm(machine: Machine) -> None:
    verdict = verdict_of("memory.edac", machine(edac_files(corrected=7, uncorrected=2)))

    assert verdict.status == Status.FAIL
    assert verdict.summary == "uncorrected memory errors, expected none: CPU0_DIMM_A1 (mc0 dimm0) has 2"


def test_corrected_errors_above_the_limit_fail(machine: Machine) -> None:
    host = machine(edac_files(corrected=11, label=""))

    verdict = verdict_of("memory.edac", host, max_corrected_errors=10)
    assert verdict.status == Status.FAIL
    assert verdict.summary == "corrected memory errors, expected at most 10: mc0 dimm0 has 11"


def test_errors_at_no_dimm_count_too(machine: Machine) -> None:
    verdict = verdict_of("memory.edac", machine(edac_files() | {f"{MC0}/ue_count": "1\n"}))

    assert verdict.status == Status.FAIL
    assert "mc0 (no DIMM named) has 1" in verdict.summary


def test_corrected_errors_at_no_dimm_count_too(machine: Machine) -> None:
    host = machine(edac_files(corrected=5) | {f"{MC0}/ce_count": "25\n"})

    verdict = verdict_of("memory.edac", host, max_corrected_errors=10)
    assert verdict.status == Status.FAIL
    assert verdict.summary == "corrected memory errors, expected at most 10: mc0 (no DIMM named) has 20"
    assert verdict.evidence["corrected_errors"] == {"CPU0_DIMM_A1 (mc0 dimm0)": 5, "mc0 (no DIMM named)": 20}


def test_edac_old_layout_and_ranks(machine: Machine) -> None:
    old = {
        f"{MC0}/ce_count": "3\n",
        f"{MC0}/ue_count": "1\n",
        f"{MC0}/csrow0/ue_count": "1\n",
        f"{MC0}/csrow0/ch0_ce_count": "3\n",
        f"{MC0}/csrow0/ch0_dimm_label": "DIMM_A1\n",
        f"{MC0}/csrow0/ch1_ce_count": "0\n",
    }
    verdict = verdict_of("memory.edac", machine(old))
    assert verdict.evidence["uncorrected_errors"] == {"mc0 csrow0": 1}
    assert verdict.evidence["corrected_errors"] == {"DIMM_A1 (mc0 csrow0 ch0)": 3}

    ranks = {path.replace("dimm0/", "rank0/").replace("dimm1/", "rank1/"): v for path, v in edac_files(0, 4).items()}
    assert "(mc0 rank0) has 4" in verdict_of("memory.edac", machine(ranks)).summary


def test_one_unreadable_controller_hides_no_error_of_another(machine: Machine) -> None:
    broken = {f"{CONTROLLERS}/mc1/ce_count": "many\n", f"{CONTROLLERS}/mc1/ue_count": "0\n"}

    assert verdict_of("memory.edac", machine(edac_files(uncorrected=1) | broken)).status == Status.FAIL
    assert verdict_of("memory.edac", machine(edac_files() | broken)).status == Status.UNKNOWN


def test_no_edac_driver_is_a_skip(machine: Machine) -> None:
    assert verdict_of("memory.edac", machine({f"{CONTROLLERS}/uevent": ""})).status == Status.SKIP


def test_transparent_hugepages(machine: Machine) -> None:
    host = machine({TRANSPARENT: "always [madvise] never\n"})

    assert verdict_of("memory.transparent_hugepages", host, required="madvise").status == Status.OK
    verdict = verdict_of("memory.transparent_hugepages", host, required="always")
    assert verdict.status == Status.FAIL
    assert verdict.summary == "transparent huge pages are madvise, expected always"


def test_transparent_hugepages_garbage_and_absent(machine: Machine) -> None:
    assert verdict_of("memory.transparent_hugepages", machine({}), required="never").status == Status.SKIP
    garbage = machine({TRANSPARENT: "always\n"})
    assert verdict_of("memory.transparent_hugepages", garbage, required="never").status == Status.UNKNOWN


def test_hugepages(machine: Machine) -> None:
    host = machine({f"{HUGE_PAGES}/hugepages-2048kB/nr_hugepages": "512\n"})

    assert verdict_of("memory.hugepages", host, required={"2048kB": 512}).status == Status.OK
    verdict = verdict_of("memory.hugepages", host, required={"2048kB": 1024, "1048576kB": 4})
    assert verdict.status == Status.FAIL
    assert verdict.summary == (
        "512 huge pages of 2048kB, expected at least 1024; 0 huge pages of 1048576kB, expected at least 4"
    )


def test_hugepages_absent_and_garbage(machine: Machine) -> None:
    assert verdict_of("memory.hugepages", machine({}), required={"2048kB": 1}).status == Status.SKIP
    garbage = machine({f"{HUGE_PAGES}/hugepages-2048kB/nr_hugepages": "?"})
    assert verdict_of("memory.hugepages", garbage, required={"2048kB": 1}).status == Status.UNKNOWN


def test_swap(machine: Machine) -> None:
    none = machine({"/proc/swaps": SWAPS})
    assert verdict_of("memory.swap", none, max_bytes=0).status == Status.OK
    below_zero = verdict_of("memory.swap", none, max_bytes=-(1 << 20))
    assert (below_zero.status, below_zero.summary) == (Status.FAIL, "0 MiB of swap, expected at most -1 MiB")

    some = machine({"/proc/swaps": SWAPS + "/dev/zram0   partition\t8388604\t0\t100\n"})
    verdict = verdict_of("memory.swap", some, max_bytes=0)
    assert verdict.status == Status.FAIL
    assert verdict.summary == "8191 MiB of swap, expected at most 0 MiB: /dev/zram0"
    assert verdict_of("memory.swap", some, max_bytes=8 << 30).status == Status.OK


def test_swap_is_learned_in_whole_gibibytes() -> None:
    learn = registry()["memory.swap"].learn
    assert learn is not None

    assert learn(Swap({})) == {"max_bytes": 0}
    assert learn(Swap({"/dev/sda3": 8388604 << 10})) == learn(Swap({"/dev/sda3": 8 << 30})) == {"max_bytes": 8 << 30}


def test_swap_absent_and_garbage(machine: Machine) -> None:
    assert verdict_of("memory.swap", machine({}), max_bytes=0).status == Status.SKIP
    assert verdict_of("memory.swap", machine({"/proc/swaps": SWAPS + "/swap\n"}), max_bytes=0).status == Status.UNKNOWN
