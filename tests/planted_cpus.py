"""Trees of machines with many CPUs, as the kernel shows them in sysfs."""

CPUS = "/sys/devices/system/cpu"
NODES = "/sys/devices/system/node"


def big_machine(sockets: int = 2, cores: int = 64, caches: int = 8, cache_kib: int = 32768) -> dict[str, str]:
    """Return the files of a machine with SMT 2: `cores` and `caches` last-level caches for each socket, a node each.

    The CPUs 0 … n-1 are the first threads of all cores, n … 2n-1 the second ones, as on x86.
    """
    all_cores = sockets * cores
    every = f"0-{2 * all_cores - 1}"
    files = {f"{CPUS}/present": every, f"{CPUS}/online": every, f"{NODES}/online": f"0-{sockets - 1}"}
    for cpu in range(2 * all_cores):
        core = cpu % all_cores
        socket, cache = core // cores, core // (cores // caches)
        directory = f"{CPUS}/cpu{cpu}"
        files[f"{directory}/topology/core_cpus_list"] = f"{core},{core + all_cores}"
        files[f"{directory}/topology/package_cpus_list"] = _both(socket * cores, cores, all_cores)
        files |= _cache(f"{directory}/cache/index0", 1, 48, f"{core},{core + all_cores}")
        files |= _cache(
            f"{directory}/cache/index1", 3, cache_kib, _both(cache * cores // caches, cores // caches, all_cores)
        )
    for node in range(sockets):
        files |= node_files(node, _both(node * cores, cores, all_cores), sockets)
    return files


def small_machine() -> dict[str, str]:
    """Return the files of a machine with two cores, one thread each, and one NUMA node."""
    files = {f"{CPUS}/present": "0-1", f"{CPUS}/online": "0-1", f"{NODES}/online": "0", **node_files(0, "0-1", 1)}
    for cpu in range(2):
        files[f"{CPUS}/cpu{cpu}/topology/core_cpus_list"] = f"{cpu}"
        files[f"{CPUS}/cpu{cpu}/topology/package_cpus_list"] = "0-1"
        files |= _cache(f"{CPUS}/cpu{cpu}/cache/index0", 3, 32768, "0-1")
    return files


def node_files(node: int, cpus: str, nodes: int, memory_kib: int = 1 << 28) -> dict[str, str]:
    """Return the files of a NUMA node."""
    return {
        f"{NODES}/node{node}/cpulist": cpus,
        f"{NODES}/node{node}/meminfo": f"Node {node} MemTotal: {memory_kib} kB",
        f"{NODES}/node{node}/distance": " ".join("10" if other == node else "32" for other in range(nodes)),
    }


def _both(first: int, count: int, all_cores: int) -> str:
    return f"{first}-{first + count - 1},{first + all_cores}-{first + all_cores + count - 1}"


def _cache(directory: str, level: int, kib: int, shared: str) -> dict[str, str]:
    return {
        f"{directory}/level": f"{level}",
        f"{directory}/size": f"{kib}K",
        f"{directory}/shared_cpu_list": shared,
    }
