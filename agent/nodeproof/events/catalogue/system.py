"""The kernel itself: panics, oopses, lockups, stalls, memory that ran out, heat, interrupts that nobody asked for.

Sources: kernel/watchdog.c, kernel/rcu/tree_stall.h, kernel/hung_task.c, mm/oom_kill.c, arch/x86/mm/fault.c,
arch/x86/kernel/{dumpstack,nmi,traps}.c, arch/x86/kernel/cpu/mce/therm_throt.c (drivers/thermal/intel since 5.10),
drivers/thermal/thermal_core.c, kernel/time/clocksource.c, kernel/panic.c.
"""

from nodeproof.events.rule import ALL_H, Line, Rule

RULES = (
    Rule(
        id="event.panic",
        name="kernel panic",
        title="The kernel did not panic.",
        why="Whoever reads this line on the node itself sees a kernel that went on although it should not have.",
        remedy="Reboot the node; the lines before the panic, or the BMC's log, say why.",
        source="kernel/panic.c, panic",
        lines=(Line(r"Kernel panic - not syncing: (?P<what>.{1,160})"),),
        severity="fail",
        window_h=ALL_H,
        until="boot",
    ),
    Rule(
        id="event.crash",
        name="crash of an earlier boot",
        title="No crash of the kernel is on record.",
        why="The platform kept the kernel's last words over the reboot (pstore): the node did not just reboot, it "
        "crashed. A node that crashes without a known reason does so again.",
        remedy="Read the record in /sys/fs/pstore (systemd-pstore moves it to /var/lib/systemd/pstore) and the BMC's "
        "log of that time.",
        source="Documentation/ABI/testing/pstore; fs/pstore/platform.c",
        lines=(),
        window_h=168.0,
    ),
    Rule(
        id="event.oops",
        name="kernel oops",
        title="The kernel did not stumble over itself.",
        why="The kernel met something impossible and killed what it was doing. Locks that were held stay held, and "
        "memory may be damaged: from here on anything may happen. Bad memory looks the same.",
        remedy="Drain and reboot. Several nodes with the same trace are a bug of the kernel or a driver; one node with "
        "ever new traces is hardware.",
        source="arch/x86/mm/fault.c, show_fault_oops; arch/x86/kernel/dumpstack.c, __die; lib/bug.c; mm/page_alloc.c, "
        "bad_page",
        lines=(
            Line(r"BUG: unable to handle (?:kernel )?(?:page fault|paging request|NULL pointer dereference)", "fault"),
            Line(r"BUG: kernel NULL pointer dereference, address", "fault"),
            Line(r"BUG: (?P<what>Bad page state in process|Bad page map in process|Bad rss-counter state) ", "page"),
            Line(r"kernel BUG at (?P<where>[\w./-]{1,120}:\d+)!", "bug"),
            Line(
                r"(?:Oops: )?general protection fault(?:, [^:]{1,80})?: [0-9a-f]{4} \[#\d+\] (?:SMP|PREEMPT)",
                "die",
            ),
            Line(
                r"(?:Oops: )?(?P<what>divide error|invalid opcode|stack segment|double fault): [0-9a-f]{4} \[#\d+\] "
                r"(?:SMP|PREEMPT)",
                "die",
            ),
            Line(r"(?:Oops: )?Oops: [0-9a-f]{4,16} \[#\d+\] (?:SMP|PREEMPT)", "die"),
            Line(r"Internal error: Oops(?: - [^:]{1,40})?: [0-9a-f]{2,16} \[#\d+\] (?:SMP|PREEMPT)", "die"),
        ),
        severity="fail",
        window_h=ALL_H,
        until="boot",
    ),
    Rule(
        id="event.hard_lockup",
        name="hard lockup",
        title="No processor stood still with interrupts off.",
        why="A processor took no interrupt for ten seconds. The kernel is wedged there, or the hardware below it "
        "stalls.",
        remedy="Drain and reboot; look for machine checks and PCIe errors before it, and at the BIOS and microcode "
        "versions.",
        source="kernel/watchdog.c, watchdog_hardlockup_check",
        lines=(Line(r"(?:NMI )?watchdog: Watchdog detected hard LOCKUP on cpu (?P<cpu>\d+)"),),
        severity="fail",
        window_h=ALL_H,
        until="boot",
        part="cpu:{cpu}",
    ),
    Rule(
        id="event.soft_lockup",
        name="soft lockup",
        title="No processor was stuck in the kernel.",
        why="A processor did not let anything else run for twenty seconds. One may be a slow console or a huge munmap; "
        "several are a kernel that is stuck, and jobs that wait for it.",
        remedy="Look at the trace below the line. Drain and reboot if it goes on.",
        source="kernel/watchdog.c, watchdog_timer_fn; Documentation/admin-guide/lockup-watchdogs.rst",
        lines=(
            Line(
                r"(?:NMI )?(?:watchdog: )?BUG: soft lockup - CPU#(?P<cpu>\d+) stuck for (?P<seconds>\d+)s! "
                r"\[(?P<process>.{1,15}):(?P<pid>\d+)\]"
            ),
        ),
        part="cpu:{cpu}",
    ),
    Rule(
        id="event.rcu_stall",
        name="RCU stall",
        title="No processor holds up the others.",
        why="A processor did not pass through a quiet state for twenty seconds or more: it is stuck, starved by "
        "real-time work, or stopped by firmware.",
        remedy="Look at the trace below the line; with real-time work give the kernel's threads a share. Drain and "
        "reboot if it goes on.",
        source="kernel/rcu/tree_stall.h; Documentation/RCU/stallwarn.rst",
        lines=(
            Line(r"(?:rcu: )?INFO: rcu_\w{1,20} (?:self-)?detected (?:expedited )?stalls? on CPU", "stall"),
            Line(r"rcu: rcu_\w{1,20} kthread starved for (?P<jiffies>\d+) jiffies", "starved"),
        ),
    ),
    Rule(
        id="event.hung_task",
        name="task that hangs in the kernel",
        title="No task hangs in the kernel.",
        why="A task waited two minutes for something that cannot be interrupted: a disk, a file server, a driver. It "
        "cannot be killed, and a job with such a task cannot end.",
        remedy="The trace below the line says what it waits for: look at the file system or device there. Reboot if "
        "the task stays.",
        source="kernel/hung_task.c, check_hung_task",
        lines=(
            Line(
                r"INFO: task (?P<process>.{1,15}?):(?P<pid>\d+) (?:is )?blocked (?:in I/O wait )?for more than "
                r"(?P<seconds>\d+) seconds"
            ),
        ),
        limit=2,
    ),
    Rule(
        id="event.oom",
        name="process killed for want of memory on the node",
        title="The node does not run out of memory.",
        why="The whole node had no memory left, so that the kernel killed something: perhaps a job, perhaps a daemon "
        "that the node needs. What it killed is not there any more.",
        remedy="Look what was killed (munged, sssd, slurmd?) and restart it. Constrain jobs' memory (cgroup.conf, "
        "ConstrainRAMSpace) so that it hits who used it.",
        source="mm/oom_kill.c, __oom_kill_process",
        lines=(
            Line(
                r"Out of memory(?: \(oom_kill_allocating_task\))?: Kill(?:ed)? process (?P<pid>\d+) "
                r"\((?P<process>.{1,15}?)\)"
            ),
        ),
    ),
    Rule(
        id="event.oom_cgroup",
        name="process killed at its cgroup's memory limit",
        title="Jobs do not run into their memory limits all day.",
        why="A job that uses more than it asked for is killed, as it should be; the node is well. Very many of them in "
        "a day are a job in a loop, or limits that are wrong.",
        remedy="None for the node. See which job it is, and whether its limit is what it asked for.",
        source="mm/oom_kill.c, __oom_kill_process; Documentation/admin-guide/cgroup-v2.rst, memory.max",
        lines=(Line(r"Memory cgroup out of memory: Kill(?:ed)? process (?P<pid>\d+) \((?P<process>.{1,15}?)\)"),),
        limit=1000,
    ),
    Rule(
        id="event.segfault",
        name="crash of a process",
        title="Processes do not crash by the hundred.",
        why="Programs crash, and that is their business. Hundreds in an hour on one node, of programs that run well "
        "elsewhere, are bad memory, a broken library or a full disk.",
        remedy="See which programs they are. Different ones that run well on other nodes: drain, and test memory and "
        "processors.",
        source="arch/x86/mm/fault.c, show_signal_msg; arch/x86/kernel/traps.c, show_signal. The limit is ours",
        lines=(
            Line(
                r"(?P<process>.{1,15}?)\[(?P<pid>\d+)\]: segfault at [0-9a-f]+ ip [0-9a-f]{8,16} "
                r"sp [0-9a-f]{8,16} error"
            ),
            Line(
                r"traps: (?P<process>.{1,15}?)\[(?P<pid>\d+)\] "
                r"(?P<what>general protection(?: fault)?|trap [\w ]{1,30}) ip:[0-9a-f]+ sp:",
            ),
        ),
        limit=300,
        window_h=1.0,
    ),
    Rule(
        id="event.cpu_hot",
        name="processor that throttled because of heat",
        title="No processor is too hot to run at its speed.",
        why="Above its limit a processor slows itself down: one such node slows down every job that it is part of. The "
        "kernel tells at most one in five minutes.",
        remedy="Look at fans, heat sink, filters, blanking plates and the room; compare with the neighbours in the "
        "rack.",
        source="arch/x86/kernel/cpu/mce/therm_throt.c (drivers/thermal/intel/therm_throt.c since 5.10)",
        lines=(
            Line(
                r"(?:mce: )?CPU(?P<cpu>\d+): (?P<what>Core|Package) temperature (?:is )?above threshold, "
                r"cpu clock (?:is )?throttled"
            ),
        ),
        limit=3,
        part="cpu:{cpu}",
    ),
    Rule(
        id="event.critical_heat",
        name="critical temperature",
        title="No sensor reached its critical temperature.",
        why="At a critical temperature the kernel shuts the machine down to save it.",
        remedy="Look at fans, heat sinks, filters and the room before the node is put to work again.",
        source="drivers/thermal/thermal_core.c, handle_critical_trips",
        lines=(Line(r"thermal (?P<zone>thermal_zone\d+): (?:(?P<kind>[\w-]{1,40}): )?critical temperature reached"),),
        severity="fail",
        window_h=2.0,
    ),
    Rule(
        id="event.nmi",
        name="interrupt that nobody asked for",
        title="No interrupt told of an error that nobody can explain.",
        why="Chipsets raise a non-maskable interrupt for errors on the bus or in memory that have no better way. "
        "Nothing says what it was, but it was something.",
        remedy="Look at the BMC's log of that minute. A bus error (SERR, IOCK) is a device or a slot.",
        source="arch/x86/kernel/nmi.c, pci_serr_error, io_check_error and unknown_nmi_error",
        lines=(
            Line(r"NMI: PCI system error \(SERR\) for reason (?P<reason>[0-9a-f]{2}) on CPU (?P<cpu>\d+)"),
            Line(r"NMI: IOCK error \(debug interrupt\?\) for reason (?P<reason>[0-9a-f]{2}) on CPU (?P<cpu>\d+)"),
            Line(r"Uhhuh\. NMI received for unknown reason (?P<reason>[0-9a-f]{2}) on CPU (?P<cpu>\d+)", "unknown"),
        ),
    ),
    Rule(
        id="event.clock_unstable",
        name="clock that was given up",
        title="The processors' clocks agree.",
        why="The kernel found that the time stamp counters drift apart and reads a slow clock instead: every look "
        "at the clock becomes a hundred times dearer, which MPI and tracing feel.",
        remedy="Reboot. If it comes back, update the BIOS; see that nobody takes single processors' clocks down.",
        source="kernel/time/clocksource.c, clocksource_watchdog; arch/x86/kernel/tsc.c, mark_tsc_unstable",
        lines=(
            Line(
                r"clocksource: timekeeping watchdog on CPU(?P<cpu>\d+): Marking clocksource '(?P<clock>\w{1,20})' as "
                r"unstable"
            ),
            Line(r"tsc: Marking TSC unstable due to (?P<reason>.{1,80})", "tsc"),
        ),
        window_h=ALL_H,
        until="boot",
    ),
)
