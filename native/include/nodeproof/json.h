/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODEPROOF_JSON_H
#define NODEPROOF_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Writes one JSON object on one line into the caller's buffer.
 *
 * Elements of an array have the key NULL. The first error is kept and the rest ignored: only
 * np_json_end needs to be looked at.
 */
struct np_json {
    char *text;
    size_t size;
    size_t used;
    int error;
};

void np_json_begin(struct np_json *json, char *text, size_t size);

/** Bytes that are not UTF-8 become U+FFFD. */
void np_json_string(struct np_json *json, const char *key, const char *value);

/** Ten significant digits; a value that is not finite is the error -EDOM. */
void np_json_number(struct np_json *json, const char *key, double value);

void np_json_integer(struct np_json *json, const char *key, uint64_t value);
void np_json_bool(struct np_json *json, const char *key, bool value);
void np_json_null(struct np_json *json, const char *key);

/** What follows, until it is closed, belongs to this array or object. */
void np_json_open_array(struct np_json *json, const char *key);
void np_json_close_array(struct np_json *json);
void np_json_open_object(struct np_json *json, const char *key);
void np_json_close_object(struct np_json *json);

/** Close the object. Returns 0, -ENOSPC if the buffer was too small, or -EDOM. */
int np_json_end(struct np_json *json);

#endif
