/* SPDX-License-Identifier: Apache-2.0 */
/* The values of options as text: each function returns false if it is not one. */
#ifndef NODEPROOF_BENCH_OPTION_VALUES_H
#define NODEPROOF_BENCH_OPTION_VALUES_H

#include <stdbool.h>
#include <stdint.h>

/** A decimal number from 0 to `most`. */
bool option_whole(const char *text, long most, long *value);

bool option_number(const char *text, double least, double most, double *value);

/** A size above 0, with K, M or G for powers of 1024. */
bool option_bytes(const char *text, uint64_t *bytes);

/** Decimal or 0x…, of 64 bits. */
bool option_seed(const char *text, uint64_t *seed);

/** What two hosts call their meeting: at most 63 of [A-Za-z0-9._:-]. */
bool option_is_session(const char *text);

#endif
