"""Memory of transceivers: what the kernel is asked, which halves of pages are read, and what their bytes mean.

No machine here has such a module. The images are built from the tables of SFF-8472 rev. 12.4, SFF-8636 rev. 2.10 and
CMIS 5.2, which name each offset below; thresholds are those that makers print in their data sheets.
"""

import errno
import os
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeproof.errors import FactError
from nodeproof.host.module_eeprom import Half, answered, halves_of, module_eeprom
from nodeproof.host.record import Notes
from nodeproof.host.scrub import scrub
from nodeproof.probes.module_memory import BIAS, RECEIVED, SENT, TEMPERATURE, Limits, parse
from support import as_nobody
from transceivers import Image, cmis, qsfp, sfp


def halves(image: Image) -> dict[str, str]:
    return halves_of(image.read)


def test_sff_8472_module() -> None:
    module = parse("eth2", halves(sfp()))

    assert (module.kind, module.vendor, module.part, module.serial) == ("SFP", "ACME OPTICS", "SFP28-SR", "SN12345678")
    assert (module.is_copper, module.temperature_celsius) == (False, 40.5)
    assert module.lanes.keys() == {1}
    assert module.lanes[1] == pytest.approx((0.5012, 0.6310, 6.0))
    assert module.limits[TEMPERATURE] == (75.0, -5.0, 70.0, 0.0)
    assert module.limits[RECEIVED] == pytest.approx((2.1878, 0.0631, 1.7378, 0.1))
    assert module.limits.keys() == {TEMPERATURE, RECEIVED, SENT, BIAS}
    assert module.flags == ()


def test_sff_8636_module() -> None:
    module = parse("eth2", halves(qsfp(received=[5012, 4000, 3000, 0])))

    assert (module.kind, module.vendor, module.part, module.serial) == ("QSFP", "ACME OPTICS", "Q28-SR4", "SN12345678")
    assert module.temperature_celsius == 40.5
    assert [lane.received_mw for lane in module.lanes.values()] == pytest.approx([0.5012, 0.4, 0.3, 0.0])
    assert [lane.sent_mw for lane in module.lanes.values()] == pytest.approx([0.631] * 4)
    assert [lane.bias_ma for lane in module.lanes.values()] == pytest.approx([6.0] * 4)
    assert module.limits[BIAS] == pytest.approx((10.0, 2.0, 9.0, 3.0))
    assert module.limits[SENT] == pytest.approx((2.1878, 0.0631, 1.7378, 0.1))


def test_cmis_module() -> None:
    module = parse("eth2", halves(cmis(received=[5012] * 7 + [100])))

    assert (module.kind, module.vendor, module.part, module.serial) == ("CMIS", "ACME OPTICS", "OSFP-DR8", "SN12345678")
    assert module.temperature_celsius == 40.5
    assert list(module.lanes) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert module.lanes[8] == pytest.approx((0.01, 0.631, 6.0))
    assert module.limits[RECEIVED] == pytest.approx((2.1878, 0.0631, 1.7378, 0.1))


def test_a_cold_module_is_below_zero() -> None:
    assert parse("eth2", halves(qsfp(temperature=-10.25))).temperature_celsius == -10.25


def test_cmis_lanes_that_are_not_there_or_deactivated_have_no_light() -> None:
    """Byte 210 of page 00h: media lanes not implemented; bytes 128 to 131 of page 11h: states of the data paths."""
    four = parse("eth2", halves(cmis(absent_lanes=0xF0)))
    assert list(four.lanes) == [1, 2, 3, 4]
    assert list(parse("eth2", halves(cmis(states=b"\x44\x44\x11\x11"))).lanes) == [1, 2, 3, 4]


def test_cmis_says_what_it_measures_and_by_how_much_the_current_is_scaled() -> None:
    """Byte 160 of page 01h: bits 0 to 2 monitors of bias, sent, received; bits 3 and 4 the factor of the bias."""
    module = parse("eth2", halves(cmis(monitors=0x05 | 0x10)))

    assert module.lanes[1].sent_mw is None
    assert module.lanes[1].bias_ma == pytest.approx(24.0)
    assert module.limits[BIAS] == pytest.approx((40.0, 8.0, 36.0, 12.0))


def test_qsfp_that_does_not_measure_what_it_sends() -> None:
    assert parse("eth2", halves(qsfp(diagnostics=0x08))).lanes[1].sent_mw is None


@pytest.mark.parametrize("image", [sfp(cable=0x04, diagnostics=0), qsfp(technology=0xA0), cmis(technology=0x0B)])
def test_a_copper_cable_has_no_light(image: Image) -> None:
    module = parse("eth2", halves(image))

    assert (module.is_copper, module.lanes, module.vendor) == (True, {}, "ACME OPTICS")


def test_a_module_with_flat_memory_is_asked_for_no_pages() -> None:
    assert halves(qsfp(status=0x04)).keys() == {"lower", "page_00", "serial"}
    assert halves(cmis(model=0x80)).keys() == {"lower", "page_00", "serial"}
    assert parse("eth2", halves(cmis(model=0x80))).lanes == {}
    assert halves(sfp(diagnostics=0x6C)).keys() == {"lower", "serial"}  # A2h is behind a change of address


def test_sfp_whose_values_wait_for_calibration_has_none() -> None:
    module = parse("eth2", halves(sfp(diagnostics=0x58)))

    assert (module.temperature_celsius, module.lanes, module.limits) == (None, {}, {})


def test_limits_that_are_none_are_left_out_and_odd_warnings_are_the_alarms() -> None:
    assert parse("eth2", halves(qsfp(limits={TEMPERATURE: (0, 0, 0, 0)}))).limits.keys() == {RECEIVED, SENT, BIAS}
    odd = parse("eth2", halves(qsfp(limits={TEMPERATURE: (75 << 8, 0, 0, 0)})))
    assert odd.limits[TEMPERATURE] == Limits(75.0, 0.0, 75.0, 0.0)


@pytest.mark.parametrize(
    ("image", "flags"),
    [
        (sfp().put("a2", 112, 0x80).put("a2", 117, 0x40), ("temperature: high alarm", "received: low warning")),
        (
            qsfp().put("lower", 6, 0x20).put("lower", 9, 0x04).put("lower", 12, 0x10),
            ("temperature: high warning", "received of lane 2: low alarm", "bias of lane 3: low warning"),
        ),
        (
            cmis().put("lower", 9, 0x01).put("page_11", 150, 0x80).put("page_11", 141, 0x01),
            ("temperature: high alarm", "sent of lane 1: high warning", "received of lane 8: low alarm"),
        ),
    ],
    ids=["sfp", "qsfp", "cmis"],
)
def test_crossings_that_a_module_noted(image: Image, flags: tuple[str, ...]) -> None:
    assert parse("eth2", halves(image)).flags == flags


@pytest.mark.parametrize("make", [sfp, qsfp, cmis])
def test_a_serial_number_is_kept_apart_and_its_checksum_stays_right(make: Callable[[], Image]) -> None:
    answer = halves(make())

    serial = answer.pop("serial")
    assert serial == "SN12345678"
    assert not any(serial.encode().hex() in half for half in answer.values())
    assert parse("eth2", answer | {"serial": ""}).part  # or a checksum would be wrong


def test_a_recording_is_scrubbed_of_serial_numbers() -> None:
    notes = Notes()
    notes.calls["module_eeprom eth2"] = halves(qsfp())
    scrub(notes)

    answer = notes.calls["module_eeprom eth2"]
    assert answer["serial"] != "SN12345678"
    assert parse("eth2", answer).part == "Q28-SR4"


PLACES = [
    ("sfp", "lower", 25),
    ("sfp", "lower", 70),
    ("sfp", "a2", 3),
    ("qsfp", "page_00", 150),
    ("qsfp", "page_00", 200),
]
PLACES += [("cmis", "page_00", 170), ("cmis", "page_00", 130), ("cmis", "page_01", 140), ("cmis", "page_02", 192)]


@pytest.mark.parametrize(("kind", "half", "at"), PLACES)
def test_a_byte_that_changed_makes_a_checksum_wrong(kind: str, half: str, at: int) -> None:
    image = {"sfp": sfp(), "qsfp": qsfp(), "cmis": cmis()}[kind]

    with pytest.raises(FactError, match=r"malformed.*the checksum in byte") as refused:
        parse("eth2", halves(image.put(half, at, image.get(half, at) ^ 0x41)))
    assert refused.value.source == "module_eeprom eth2"


@pytest.mark.parametrize("identifier", [0x00, 0x02, 0x06, 0xFF])
def test_a_module_of_an_unknown_kind_is_malformed_and_tells_nothing_else(identifier: int) -> None:
    answer = halves(sfp().put("lower", 0, identifier))

    assert answer == {"lower": f"{identifier:02x}", "serial": ""}
    with pytest.raises(FactError, match="unknown kind"):
        parse("eth2", answer)


@pytest.mark.parametrize("answer", [None, [], {}, {"lower": 3}, {"lower": "zz"}, {"lower": "03"}, {"lower": ""}, "11"])
def test_an_answer_of_another_shape_is_malformed(answer: object) -> None:
    with pytest.raises(FactError, match="malformed"):
        parse("eth2", answer)


@given(st.sampled_from(["03", "11", "18"]), st.dictionaries(st.sampled_from(["lower", "page_00", "a2"]), st.binary()))
def test_any_bytes_are_parsed_or_malformed(identifier: str, pages: dict[str, bytes]) -> None:
    answer = {name: page.hex() for name, page in pages.items()}
    try:
        parse("eth2", answer | {"lower": identifier + answer.get("lower", "")})
    except FactError as error:
        assert error.kind == "malformed"  # noqa: PT017  # either is right: a result, or this


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP])
def test_a_page_that_a_driver_does_not_have_is_left_out(number: int) -> None:
    image = qsfp()

    def read(half: Half) -> bytes:
        if half.name == "page_03":
            raise OSError(number, os.strerror(number))
        return image.read(half)

    assert parse("eth2", halves_of(read)).limits == {}


def test_a_page_that_cannot_be_read_is_no_page_that_is_not_there() -> None:
    image = qsfp()

    def read(half: Half) -> bytes:
        if half.name == "page_03":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return image.read(half)

    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        halves_of(read)


def message(kind: int, payload: bytes) -> bytes:
    """Return a netlink message: struct nlmsghdr of linux/netlink.h."""
    return struct.pack("=IHHII", 16 + len(payload), kind, 0, 1, 0) + payload


def test_an_answer_of_the_kernel_holds_the_half_that_was_asked_for() -> None:
    """MODULE_EEPROM_GET_REPLY: struct genlmsghdr, then attributes HEADER (1, nested) and DATA (7)."""
    header = struct.pack("=HHHHI", 12, 1 | 0x8000, 8, 1, 2)
    data = struct.pack("=HH", 4 + 128, 7) + bytes(range(128))

    assert answered(message(21, struct.pack("=BBH", 32, 1, 0) + header + data))[7] == bytes(range(128))


def test_an_answer_that_refuses_or_says_nothing() -> None:
    with pytest.raises(OSError, match=os.strerror(errno.ENODEV)):
        answered(message(2, struct.pack("=i", -errno.ENODEV) + bytes(16)))
    with pytest.raises(FactError, match="malformed"):
        answered(b"")
    with pytest.raises(FactError, match="malformed"):
        answered(message(21, struct.pack("=BBH", 32, 1, 0) + struct.pack("=HH", 200, 7)))


@pytest.mark.root
def test_the_kernel_understands_the_question_and_knows_an_interface_without_modules() -> None:
    """EINVAL would say that an attribute is missing or wrong (net/ethtool/eeprom.c, eeprom_parse_request)."""
    with pytest.raises(OSError, match=os.strerror(errno.EOPNOTSUPP)):
        module_eeprom("lo")
    with pytest.raises(OSError, match=os.strerror(errno.ENODEV)):
        module_eeprom("nosuch0")


def test_without_the_capability_the_kernel_refuses() -> None:
    with as_nobody(), pytest.raises(PermissionError):
        module_eeprom("lo")


def test_images_are_as_long_as_the_memory_is() -> None:
    for image in (sfp(), qsfp(), cmis()):
        assert {len(page) for page in image.halves.values()} == {128}
    assert struct.unpack_from(">h", qsfp().halves["lower"], 22) == (40 * 256 + 128,)
