/* SPDX-License-Identifier: Apache-2.0 */
#include "disk_data.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* No device looks for equal data in smaller units than its sectors. */
enum { SECTOR_BYTES = 512, CHUNK_WORDS = DISK_CHUNK_BYTES / 8 };

/* Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014. */
uint64_t disk_data_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

int disk_data_open(struct disk_data *data, uint64_t bytes, uint64_t seed)
{
    uint64_t state = seed;
    *data = (struct disk_data){.seed = seed};
    data->pattern = malloc(DISK_CHUNK_BYTES);
    data->generation = calloc(bytes / DISK_BLOCK_BYTES, sizeof *data->generation);
    if (data->pattern == NULL || data->generation == NULL) {
        disk_data_close(data);
        return -ENOMEM;
    }
    for (size_t i = 0; i < CHUNK_WORDS; i++)
        data->pattern[i] = disk_data_random(&state);
    return 0;
}

void disk_data_close(struct disk_data *data)
{
    free(data->pattern);
    free(data->generation);
    *data = (struct disk_data){0};
}

static const uint64_t *pattern_at(const struct disk_data *data, uint64_t offset)
{
    return data->pattern + offset % DISK_CHUNK_BYTES / 8;
}

void disk_data_prepare(const struct disk_data *data, char *buffer, uint64_t offset, size_t bytes)
{
    memcpy(buffer, pattern_at(data, offset), bytes);
}

struct stamp {
    uint64_t sector;
    uint64_t generation;
};

static struct stamp stamp_of(const struct disk_data *data, uint64_t offset)
{
    return (struct stamp){
        .sector = data->seed ^ offset / SECTOR_BYTES,
        .generation = data->seed + data->generation[offset / DISK_BLOCK_BYTES],
    };
}

void disk_data_stamp(struct disk_data *data, char *buffer, uint64_t offset, size_t bytes)
{
    for (uint64_t at = offset; at < offset + bytes; at += DISK_BLOCK_BYTES)
        data->generation[at / DISK_BLOCK_BYTES]++;
    for (size_t i = 0; i < bytes; i += SECTOR_BYTES) {
        const struct stamp stamp = stamp_of(data, offset + i);
        memcpy(buffer + i, &stamp, sizeof stamp);
    }
}

void disk_data_spoil(char *buffer, size_t bytes)
{
    const struct stamp none = {0};
    for (size_t i = 0; i < bytes; i += SECTOR_BYTES)
        memcpy(buffer + i, &none, sizeof none);
}

bool disk_data_is_right(const struct disk_data *data, const char *buffer, uint64_t offset, size_t bytes)
{
    const char *pattern = (const char *)pattern_at(data, offset);
    for (size_t i = 0; i < bytes; i += SECTOR_BYTES) {
        const struct stamp stamp = stamp_of(data, offset + i);
        const size_t rest = sizeof stamp;
        if (memcmp(buffer + i, &stamp, rest) != 0 ||
            memcmp(buffer + i + rest, pattern + i + rest, SECTOR_BYTES - rest) != 0)
            return false;
    }
    return true;
}
