"""What a device file is: its kind, who may use it, and which device it leads to."""

import os
import stat


def device_file(path: str) -> dict[str, int | bool | str]:
    """Return owner, mode (`0666`) and numbers of a file in /dev, without following a link or opening it.

    Needs no right to the file itself. Raises FileNotFoundError where there is none: the kernel has the device, and
    nobody made the file.
    """
    found = os.lstat(path)
    return {
        "is_character_device": stat.S_ISCHR(found.st_mode),
        "mode": f"{stat.S_IMODE(found.st_mode):04o}",
        "uid": found.st_uid,
        "gid": found.st_gid,
        "device": f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}",
    }
