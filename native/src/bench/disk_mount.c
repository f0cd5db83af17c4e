/* SPDX-License-Identifier: Apache-2.0 */
#include "disk_mount.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "system.h"

/* Of Documentation/block/stat.rst: the third and the seventh number are sectors of 512 bytes, always. */
enum { STAT_SECTOR_BYTES = 512 };

/* The number of the mount that the file was opened through, or -1. */
static int mount_number(int fd)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    if (system_read_text(path, text, sizeof text) != 0)
        return -1;
    const char *line = strstr(text, "mnt_id:");
    return line != NULL ? atoi(line + strlen("mnt_id:")) : -1;
}

void disk_mount_find(int fd, struct disk_mount *mount)
{
    char *line = NULL;
    size_t size = 0;
    const int number = mount_number(fd);
    *mount = (struct disk_mount){.filesystem = ""};
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    if (mounts == NULL)
        return;
    while (getline(&line, &size, mounts) > 0) {
        /* Fields before the dash are of any number: proc_pid_mountinfo(5). */
        const char *rest = atoi(line) == number ? strstr(line, " - ") : NULL;
        if (rest != NULL)
            sscanf(rest, " - %31s %127s", mount->filesystem, mount->source);
    }
    free(line);
    fclose(mounts);
}

bool disk_mount_bytes(int fd, uint64_t *bytes)
{
    struct stat status;
    char path[96], text[512];
    uint64_t read = 0, written = 0;
    if (fstat(fd, &status) != 0)
        return false;
    const unsigned int major_number = major(status.st_dev), minor_number = minor(status.st_dev);
    /* Others use other partitions of the same disk. */
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/partition", major_number, minor_number);
    const char *up = access(path, F_OK) == 0 ? "../" : "";
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/%sstat", major_number, minor_number, up);
    if (system_read_text(path, text, sizeof text) != 0)
        return false;
    if (sscanf(text, "%*u %*u %" SCNu64 " %*u %*u %*u %" SCNu64, &read, &written) != 2)
        return false;
    *bytes = (read + written) * STAT_SECTOR_BYTES;
    return true;
}
