/* SPDX-License-Identifier: Apache-2.0 */
/* What an open file is stored on, and what that device did for everybody. */
#ifndef NODEPROOF_BENCH_DISK_MOUNT_H
#define NODEPROOF_BENCH_DISK_MOUNT_H

#include <stdbool.h>
#include <stdint.h>

struct disk_mount {
    char filesystem[32]; /**< such as `xfs`; empty if the kernel does not say */
    char source[128];    /**< such as `/dev/nvme0n1p2` or `server:/export`; empty if the kernel does not say */
};

void disk_mount_find(int fd, struct disk_mount *mount);

/** Bytes read and written so far on the whole disk that the file is on. Returns false if there is no such count. */
bool disk_mount_bytes(int fd, uint64_t *bytes);

#endif
