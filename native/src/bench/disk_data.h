/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is written to a file, and whether it is what comes back.
 *
 * Random, so that a device that compresses has nothing to gain; each sector is stamped with its number and with
 * how often it was written, so that one that keeps equal sectors once has none either, and so that a sector
 * which comes from elsewhere, or from before, is found.
 */
#ifndef NODEPROOF_BENCH_DISK_DATA_H
#define NODEPROOF_BENCH_DISK_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DISK_CHUNK_BYTES = 1 << 20, DISK_BLOCK_BYTES = 4096 };

struct disk_data {
    uint64_t seed;
    uint64_t *pattern;    /**< of a chunk, without stamps */
    uint32_t *generation; /**< of each block of the file: how often it was written */
};

/** Make what a file of `bytes` is to contain. Returns 0 or -ENOMEM. */
int disk_data_open(struct disk_data *data, uint64_t bytes, uint64_t seed);

void disk_data_close(struct disk_data *data);

/** Write to a buffer what belongs at `offset`, without stamps. It must not cross the end of a chunk. */
void disk_data_prepare(const struct disk_data *data, char *buffer, uint64_t offset, size_t bytes);

/** Stamp a prepared buffer as the next generation of the blocks at `offset`. */
void disk_data_stamp(struct disk_data *data, char *buffer, uint64_t offset, size_t bytes);

/** Spoil the stamps of a buffer, so that it cannot be taken for what is about to be read. */
void disk_data_spoil(char *buffer, size_t bytes);

/** True if this is what was last written at `offset`. */
bool disk_data_is_right(const struct disk_data *data, const char *buffer, uint64_t offset, size_t bytes);

/** The next random number of a sequence. */
uint64_t disk_data_random(uint64_t *state);

#endif
