"""Limits by arithmetic, on figures of real machines."""

import pytest

from nodeproof.errors import FactError
from nodeproof.probes.smbios import Dimm, Dimms
from nodeproof_bench.physics import flops_per_clock, memory_peak, missing_channel, pcie_bytes_per_s


def dimm(locator: str, *, mts: int | None = 4800, kind: str = "DDR5", is_module: bool = True) -> Dimm:
    return Dimm(locator, kind, is_module, 64 << 30, 5600, mts)


def test_channels_times_configured_speed_times_eight_bytes() -> None:
    slots = [f"DIMM {c}1 (P0 CHANNEL {c})" for c in "ABCDEFGHIJKL"]
    peak = memory_peak(Dimms(tuple(dimm(s, mts=6400) for s in slots), ()))

    assert peak.bytes_per_s == pytest.approx(614.4e9)
    assert (peak.channels, peak.mts, peak.is_certain) == (12, 6400, True)


@pytest.mark.parametrize(
    "names",
    [
        "DIMM 0 (P0 CHANNEL A);DIMM 1 (P0 CHANNEL A);DIMM 0 (P0 CHANNEL B);DIMM 1 (P0 CHANNEL B)",
        "P1-DIMMA1;P1-DIMMA2;P1-DIMMB1;P1-DIMMB2",
        (
            "DIMMA1 (P0_Node0_Channel0_Dimm0);DIMMA2 (P0_Node0_Channel0_Dimm1);"
            "DIMMB1 (P0_Node0_Channel1_Dimm0);DIMMB2 (P0_Node0_Channel1_Dimm1)"
        ),
        "CPU0_DIMM_A1 (NODE 0);CPU0_DIMM_A2 (NODE 0);CPU0_DIMM_B1 (NODE 0);CPU0_DIMM_B2 (NODE 0)",
        (
            "Controller0-ChannelA-DIMM0 (BANK 0);Controller0-ChannelA-DIMM1 (BANK 0);"
            "Controller0-ChannelB-DIMM0 (BANK 1);Controller0-ChannelB-DIMM1 (BANK 1)"
        ),
    ],
)
def test_modules_of_one_channel_share_it(names: str) -> None:
    slots = names.split(";")
    both = memory_peak(Dimms(tuple(map(dimm, slots)), ()))
    one = memory_peak(Dimms((dimm(slots[0]), dimm(slots[2])), (slots[1], slots[3])))

    assert (both.channels, both.is_certain) == (2, True)
    assert one == both


@pytest.mark.parametrize(
    "slots",
    [[f"A{n}" for n in range(1, 17)], [f"PROC 1 DIMM {n}" for n in range(1, 13)], [f"DIMM_A{n}" for n in range(1, 13)]],
)
def test_slots_that_are_only_counted_do_not_tell_their_channels(slots: list[str]) -> None:
    peak = memory_peak(Dimms(tuple(map(dimm, slots)), ()))

    assert (peak.channels, peak.is_certain) == (len(slots), False)
    assert memory_peak(Dimms(tuple(map(dimm, slots)), ()), 8).is_certain
    assert memory_peak(Dimms(tuple(map(dimm, slots)), ()), 8).bytes_per_s == pytest.approx(8 * 38.4e9)


@pytest.mark.parametrize("name", ["DIMM 0", "P0 CHANNEL A"])
def test_modules_of_one_name_are_counted_apart(name: str) -> None:
    peak = memory_peak(Dimms((dimm(name), dimm(name)), ()))

    assert (peak.channels, peak.is_certain) == (2, False)


def test_the_slowest_module_sets_the_pace() -> None:
    assert memory_peak(Dimms((dimm("P1-DIMMA1"), dimm("P1-DIMMB1", mts=4400)), ())).mts == 4400


@pytest.mark.parametrize(
    "modules",
    [
        [dimm("DIMM 0", kind="RAM", is_module=False)],
        [dimm("A1", mts=None)],
        [dimm("HBM0", kind="HBM2")],
        [],
    ],
)
def test_without_speeds_or_widths_there_is_no_peak(modules: list[Dimm]) -> None:
    with pytest.raises(FactError) as caught:
        memory_peak(Dimms(tuple(modules), ()))

    assert caught.value.kind == "absent"


def test_non_volatile_modules_do_not_count() -> None:
    modules = (dimm("P1-DIMMA1"), dimm("P1-DIMMB1", kind="non-volatile", mts=2666))

    assert memory_peak(Dimms(modules, ())).channels == 1


@pytest.mark.parametrize(
    ("share", "channels", "found"),
    [
        (11 / 12, 12, 12),
        (11 / 12, 11, 12),
        (7 / 8, 8, 8),
        (0.875 - 0.015, 8, 8),
        (0.5, 2, 2),
        (1.0, 12, None),
        (0.96, 24, None),
        (0.01, 1, None),
    ],
)
def test_a_missing_channel_is_one_part_of_k(share: float, channels: int, found: int | None) -> None:
    assert missing_channel(share, channels) == found


@pytest.mark.parametrize("share", [0.60, 0.97, 1.02])
def test_other_losses_are_no_missing_channel(share: float) -> None:
    assert missing_channel(share, 8) is None


def test_operations_in_a_clock_are_lanes_times_two_times_pipes() -> None:
    assert {16, 32} <= set(flops_per_clock("avx512"))  # Zen 4, Zen 5 and Intel servers
    assert {8, 16} <= set(flops_per_clock("avx2"))  # Zen 1, Zen 2 and later
    assert {8, 16} <= set(flops_per_clock("neon"))  # Neoverse N1, V1 and V2
    assert flops_per_clock("sve") == ()


@pytest.mark.parametrize(
    ("gt_per_s", "gb_per_s"), [(2.5, 4.0), (5.0, 8.0), (8.0, 15.75), (16.0, 31.5), (32.0, 63.0), (64.0, 118.0)]
)
def test_links_of_sixteen_lanes(gt_per_s: float, gb_per_s: float) -> None:
    assert pcie_bytes_per_s(gt_per_s, 16) == pytest.approx(gb_per_s * 1e9, rel=0.003)


def test_a_speed_that_no_specification_has_is_not_known() -> None:
    assert pcie_bytes_per_s(12.0, 4) is None
