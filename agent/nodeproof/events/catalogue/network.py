"""Network adapters: the firmware of ConnectX adapters, their slots and modules, links, transmit queues.

Sources: drivers/net/ethernet/mellanox/mlx5/core/{health,cmd,events,en_main}.c of Linux 4.18 to 6.16;
net/sched/sch_generic.c; the drivers' own words for a link that went down (ixgbe, i40e, ice, bnxt_en, igb, tg3, e1000e).
"""

from nodeproof.events.rule import ALL_H, PCI, Line, Rule

#: `mlx5_core ADDRESS: function:line:(pid n): ` or, where the driver logs by the level alone, without the function.
_MLX5 = rf"mlx5_core {PCI}: (?:\w{{1,60}}:\d+:(?:\(pid -?\d+\):)? )?"

RULES = (
    Rule(
        id="event.nic_firmware",
        name="adapter firmware that failed",
        title="The firmware of every ConnectX adapter is alive.",
        why="The driver watches the firmware's heartbeat and its health buffer. Firmware that stopped takes all ports "
        "of the adapter with it; the driver may reset it, and jobs lose their connections.",
        remedy="Look whether the driver recovered it (`devlink health`). Update the firmware to that of its peers; "
        "power-cycle the node; replace the adapter if it happens again.",
        source="drivers/net/ethernet/mellanox/mlx5/core/health.c, poll_health and print_health_info",
        lines=(
            Line(_MLX5 + r"device's health compromised(?: - reached miss count)?", "miss"),
            Line(_MLX5 + r"Fatal error (?P<error>\d+) detected", "fatal"),
            Line(
                _MLX5 + r"Health issue observed, (?P<what>[^,]{1,60}), severity\((?P<level>[0-3])\) "
                r"(?P<level_name>EMERGENCY|ALERT|CRITICAL|ERROR)",
                "health",
            ),
            Line(_MLX5 + r"synd (?P<syndrome>0x(?!10:)[1-9a-f][0-9a-f]*): (?P<what>.{1,60})", "health"),
            Line(_MLX5 + r"handling bad device here", "bad"),
            Line(_MLX5 + r"health recovery flow aborted, PCI reads still not working", "aborted"),
            Line(_MLX5 + r"FW is unable to respond to initialization segment reads", "unreadable"),
        ),
        severity="fail",
        window_h=ALL_H,
        until="boot",
        part="pci:{pci}",
    ),
    Rule(
        id="event.nic_command",
        name="adapter command that timed out",
        title="ConnectX adapters answer the driver's commands.",
        why="A command to the firmware got no answer in a minute. What was asked for (a queue, a memory region) is not "
        "there, and what holds it is lost until the driver is loaded anew.",
        remedy="If it goes on, drain and reboot. Update the firmware; see whether PCIe errors of that address go "
        "with it.",
        source="drivers/net/ethernet/mellanox/mlx5/core/cmd.c, wait_func and cb_timeout_handler",
        lines=(
            Line(
                _MLX5
                + r"(?:cmd\[\d+\]: )?(?P<command>[A-Z0-9_]{2,60})\((?P<opcode>0x[0-9a-f]+)\) (?:Async, )?timeout\. "
                r"Will cause a leak of a command resource"
            ),
            Line(
                _MLX5 + r"cmd ?\[?\d+\]?: (?P<command>[A-Z0-9_]{2,60})\((?P<opcode>0x[0-9a-f]+)\) No done completion",
                "unfinished",
            ),
        ),
        severity="fail",
        limit=2,
        part="pci:{pci}",
    ),
    Rule(
        id="event.nic_slot_power",
        name="slot without enough power for its adapter",
        title="Every adapter's slot gives the power that it needs.",
        why="The adapter asked the slot for its power budget and got less. It runs until its modules draw what they "
        "may, then links drop.",
        remedy="Put the adapter into a slot with enough power, or set the slot's power limit in the firmware setup. "
        'Some boards advertise wrongly: policy can say `on_fail = "ignore"` for those.',
        source="drivers/net/ethernet/mellanox/mlx5/core/events.c, mlx5_pcie_event",
        lines=(Line(_MLX5 + r"Detected insufficient power on the PCIe slot \((?P<watts>\d+)W\)"),),
        window_h=ALL_H,
        until="boot",
        part="pci:{pci}",
    ),
    Rule(
        id="event.nic_temperature",
        name="adapter that is too hot",
        title="No adapter or its modules are too hot.",
        why="An adapter above its limit throttles and then switches itself off to save itself, with all its ports.",
        remedy="Look at fans, filters, blanking plates and the room; compare with the neighbours in the rack.",
        source="drivers/net/ethernet/mellanox/mlx5/core/events.c, temp_warn and port_module",
        lines=(
            Line(_MLX5 + r"High temperature on sensors? with bit set (?P<sensors>[0-9a-f ]{1,40})", "sensor"),
            Line(
                _MLX5 + r"Port module event\[error\]: module (?P<module>\d+), Cable error, (?P<what>High Temperature)"
            ),
        ),
        severity="fail",
        limit=0,
        window_h=2.0,
        part="pci:{pci}",
    ),
    Rule(
        id="event.nic_module",
        name="network module or cable with an error",
        title="No network module or cable has an error.",
        why="The adapter cannot work with what is in its cage: a broken or unsupported module, a cable that draws too "
        "much power, a bus that is stuck.",
        remedy="Reseat the module and the cable; replace them by ones that the adapter supports.",
        source="drivers/net/ethernet/mellanox/mlx5/core/events.c, port_module and mlx5_pme_error_to_string",
        lines=(Line(_MLX5 + r"Port module event\[error\]: module (?P<module>\d+), Cable error, (?P<what>.{1,60})"),),
        window_h=ALL_H,
        until="boot",
        part="pci:{pci}",
    ),
    Rule(
        id="event.nic_unplugged",
        name="network cable that was unplugged",
        title="Nobody pulls network cables.",
        why="A cable that comes and goes has a bad contact or a careless neighbour. Drivers that are loaded anew tell "
        "of it too, so that one is none.",
        remedy="Reseat the cable at both ends; replace it if it goes on.",
        source="drivers/net/ethernet/mellanox/mlx5/core/events.c, mlx5_pme_status_to_string",
        lines=(Line(_MLX5 + r"Port module event: module (?P<module>\d+), Cable unplugged"),),
        limit=2,
        part="pci:{pci}",
    ),
    Rule(
        id="event.nic_link_down",
        name="network link that went down",
        title="Network links do not go down over and over.",
        why="A link that flaps costs every job on the node seconds to minutes each time, and looks like anything "
        "but the cable that it is. Restarts of the network and of drivers take links down too, so a few are none.",
        remedy="Look at the module's and the switch port's errors; reseat and then replace the cable.",
        source="drivers/net/ethernet: mlx5/core/en_main.c, intel/*, broadcom/bnxt/bnxt.c, broadcom/tg3.c; "
        "drivers/net/phy/phy.c. The limit is ours",
        lines=(
            Line(rf"[\w-]{{1,20}} {PCI} (?P<nic>[^\s:(]{{1,15}}): (?:NIC )?[Ll]ink (?:is )?[Dd]own"),
            Line(r"e1000e?: (?P<nic>[^\s:(]{1,15}) NIC Link is Down"),
        ),
        limit=5,
        part="nic:{nic}",
    ),
    Rule(
        id="event.nic_transmit",
        name="transmit queue that got stuck",
        title="No transmit queue of a network adapter got stuck.",
        why="Packets were given to the adapter and it did not say for seconds that they are gone. The driver resets "
        "the queue or the adapter; what was in it is lost.",
        remedy="Update driver and firmware. If it goes on, treat the adapter as one whose firmware fails.",
        source="net/sched/sch_generic.c, dev_watchdog; drivers/net/ethernet/mellanox/mlx5/core/en_main.c",
        lines=(
            Line(
                r"NETDEV WATCHDOG: (?P<nic>[^\s:(]{1,15}) \((?P<driver>[^)]{1,30})\): transmit queue (?P<queue>\d+) "
                r"timed out"
            ),
            Line(
                rf"[\w-]{{1,20}} {PCI} (?P<nic>[^\s:(]{{1,15}}): NETDEV WATCHDOG: CPU: \d+: "
                r"transmit queue (?P<queue>\d+) timed out"
            ),
            Line(rf"mlx5_core {PCI} (?P<nic>[^\s:(]{{1,15}}): TX timeout detected", "driver"),
        ),
        limit=2,
        part="nic:{nic}",
    ),
)
