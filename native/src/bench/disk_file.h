/* SPDX-License-Identifier: Apache-2.0 */
/* A file without a name to read and write past the page cache: it is gone when this process is, however it ends. */
#ifndef NODEPROOF_BENCH_DISK_FILE_H
#define NODEPROOF_BENCH_DISK_FILE_H

#include "bench.h"

struct disk_file {
    int fd;
    uint64_t bytes;
    bool is_smaller; /**< than was asked for: it may have no more than a quarter of the space that is free */
};

/**
 * Make a file of `bytes`, a multiple of `step`, and reserve its space; at least twice `step`.
 *
 * It is in `directory`; NULL: the directory of our state. Returns 0 or -errno, with one sentence in `why`.
 */
int disk_file_open(struct disk_file *file, const char *directory, uint64_t bytes, uint64_t step,
                   char why[BENCH_WHY_BYTES]);

void disk_file_close(struct disk_file *file);

#endif
