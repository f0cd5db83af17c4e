"""What a job chose must not look like a fault; hostile messages, blocks of lines, and speed."""

import time

import pytest

from event_corpus import BENIGN, SAMPLES
from nodeproof.events.catalogue import BY_ID, RULES
from nodeproof.events.kmsg import Record, parse
from nodeproof.events.match import Matcher, pci_address
from nodeproof.events.recognise import Recogniser

MATCHER = Matcher(RULES)
FAULTS = sorted({line for sample in SAMPLES for line in sample.lines if not line.startswith("{")})

#: Messages of the kernel with what a job chose in them: a process name (15 characters), a path.
BEGIN_WITH_A_NAME = (
    "{}[4711]: segfault at 7f00 ip 00000000004004f6 sp 00007ffd3c2b1a80 error 4 in a.out[400000+1000]",
    "{} invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
    "{}: page allocation failure: order:5, mode:0x40dc0(GFP_KERNEL), nodemask=(null)",
    "{} (4711): drop_caches: 3",
    "{}: vm86 mode not supported on 64 bit kernel",
)
HOLD_A_NAME = (
    "process '{}' started with executable stack",
    "traps: {}[4711] general protection fault ip:401000 sp:7ffd00000000 error:0 in a.out[400000+1000]",
    "oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/{},task_memcg=/{},task=a.out,pid=1,uid=1000",
    "Memory cgroup out of memory: Killed process 1 ({}) total-vm:1kB, anon-rss:1kB",
    "cgroup: fork rejected by pids controller in /{}",
    "usb 1-14: Product: {}",
    'audit: type=1326 audit(1.2:3): comm="{}" exe="/home/u/{}" sig=31',
    "task:{} state:D stack:0 pid:1 ppid:1 flags:0x2",
    "CPU: 3 PID: 4711 Comm: {} Tainted: P OE",
)


def record(text: str, facility: int = 0, *, is_continued: bool = False) -> Record:
    return Record(4, facility, 1, 1, text, is_continued)


@pytest.mark.parametrize("template", BEGIN_WITH_A_NAME)
def test_a_process_cannot_imitate_a_fault_by_its_name(template: str) -> None:
    for fault in FAULTS:
        for size in range(1, 16):
            match = MATCHER.match(record(template.format(fault[:size])))
            assert match is None or match.rule.id == "event.segfault", fault[:size]


@pytest.mark.parametrize("template", HOLD_A_NAME)
def test_a_job_cannot_imitate_a_fault_by_what_it_chose(template: str) -> None:
    for fault in FAULTS:
        match = MATCHER.match(record(template.replace("{}", fault)))
        assert match is None or match.rule.id in ("event.segfault", "event.oom_cgroup"), fault


def test_a_job_cannot_invent_parts() -> None:
    """Its name is no part: a thousand names must not make a thousand series."""
    by_name = {"process", "pid"}

    assert not [rule.id for rule in RULES for name in by_name if f"{{{name}}}" in rule.part]
    assert all(not line.part for rule in RULES for line in rule.lines)


def test_messages_of_the_kernel_and_of_root_count_those_of_daemons_do_not() -> None:
    text = "NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus."

    assert MATCHER.match(record(text, facility=0))
    assert MATCHER.match(record(text, facility=1))
    assert MATCHER.match(record(text, facility=3)) is None
    assert MATCHER.match(record(text, is_continued=True)) is None
    assert Recogniser(RULES).take(record("{1}[Hardware Error]: event severity: fatal", facility=3)) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x" * 8192,
        "NVRM: Xid (" * 700,
        "nvme nvme0: I/O " + "9" * 8000,
        "EDAC MC0: 1 CE " + "memory read error on " * 400,
        "INFO: task " + ":1 " * 2600,
        "XFS (" + "-" * 8000,
        "LustreError: " + "x" * 8000,
        "PCIe Bus Error: severity=Uncorrected (Fatal)" * 180,
        "(((((" * 1600,
        "sd 0:0:0:0: [" * 600,
    ],
)
def test_monstrous_messages_are_looked_at_in_no_time(text: str) -> None:
    began = time.process_time()
    found = Recogniser(RULES).take(record(text))

    assert found == []
    assert time.process_time() - began < 1.0  # quadratic or worse would take minutes; compiling is most of it


def test_the_first_rule_of_the_catalogue_has_the_line() -> None:
    """A module that is too hot is a matter of heat, although it is an error of the module too."""
    match = MATCHER.match(
        record("mlx5_core 0000:5c:00.0: Port module event[error]: module 0, Cable error, High Temperature")
    )

    assert match is not None
    assert match.rule is BY_ID["event.nic_temperature"]


def test_what_is_read_from_a_message_is_short_and_harmless() -> None:
    raw = rb"4,1,1,-;NVRM: Xid (PCI:0000:3b:00): 31, pid=1, name=\x1b[31mx\x0ay, " + b"A" * 900
    parsed = parse(raw)
    assert parsed is not None
    match = MATCHER.match(parsed)

    assert match is not None
    assert match.fields["process"] == "?[31mx?y"
    assert all(len(value) <= 160 and value.isprintable() for value in match.fields.values())


def test_blocks_with_other_messages_between_them_are_one_event_each() -> None:
    recogniser = Recogniser(RULES)
    texts = [
        "{1}[Hardware Error]: Hardware error from APEI Generic Hardware Error Source: 1",
        "{1}[Hardware Error]: event severity: corrected",
        "nvme nvme0: I/O 161 QID 2 timeout, aborting",
        "{1}[Hardware Error]:   section_type: memory error",
        "{2}[Hardware Error]: Hardware error from APEI Generic Hardware Error Source: 4",
        "{2}[Hardware Error]: event severity: fatal",
    ]
    found = []
    waits = []
    for sequence, text in enumerate(texts):
        found += [m.rule.id for m in recogniser.take(record(text)._replace(sequence=sequence))]
        waits.append(recogniser.waits_since)

    assert found == ["event.nvme_timeout", "event.cper_corrected"]
    assert waits == [0, 0, 0, 0, 4, 4]
    assert [(m.rule.id, m.record.sequence) for m in recogniser.flush()] == [("event.cper_fatal", 4)]
    assert recogniser.flush() == []
    assert recogniser.waits_since is None


def test_addresses_are_spelt_as_sysfs_does() -> None:
    assert pci_address("3B:00") == "0000:3b:00.0"
    assert pci_address("0000:3b:00") == "0000:3b:00.0"
    assert pci_address("00000018:01:00.1") == "0018:01:00.1"
    assert pci_address("10000:e1:00.0") == "10000:e1:00.0"


def test_ten_thousand_lines_in_a_second() -> None:
    recogniser = Recogniser(RULES)
    benign = [record(line) for line in BENIGN]
    faults = [record(line) for line in FAULTS]
    lines = (benign * 18 + faults * 2)[:10_000]
    began = time.process_time()
    for line in lines:
        recogniser.take(line)

    assert len(lines) == 10_000 or len(lines) > 9_000
    assert time.process_time() - began < 1.0


def test_rules_are_well_formed() -> None:
    assert len(BY_ID) == len(RULES)
    for rule in RULES:
        assert rule.id.startswith("event.")
        assert (
            rule.name[:1].islower()
            or rule.name.isupper()
            or rule.name.startswith(("NVMe", "PCI", "NFS", "RCU", "Lustre", "GPU"))
        )
        assert 0 < rule.window_h <= 720
        assert rule.source
        for line in rule.lines:
            assert not line.pattern.startswith((".*", "^")), line.pattern
            assert line.pattern.count("(?P<") <= 12
