/* SPDX-License-Identifier: Apache-2.0 */
#include "nodeproof/json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static void put(struct np_json *json, const char *format, ...)
{
    if (json->error != 0)
        return;
    va_list arguments;
    va_start(arguments, format);
    const int n = vsnprintf(json->text + json->used, json->size - json->used, format, arguments);
    va_end(arguments);
    if (n < 0 || (size_t)n >= json->size - json->used)
        json->error = -ENOSPC;
    else
        json->used += (size_t)n;
}

static bool is_continuation(unsigned char byte)
{
    return (byte & 0xc0) == 0x80;
}

/* Length of the UTF-8 sequence at `s`, or 0: Unicode standard, table 3-7. Ends at a NUL by itself. */
static size_t sequence(const unsigned char *s)
{
    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xc2 && s[0] <= 0xdf)
        return is_continuation(s[1]) ? 2 : 0;
    if (s[0] >= 0xe0 && s[0] <= 0xef) {
        const bool is_overlong = s[0] == 0xe0 && s[1] < 0xa0;
        const bool is_surrogate = s[0] == 0xed && s[1] > 0x9f;
        return is_continuation(s[1]) && !is_overlong && !is_surrogate && is_continuation(s[2]) ? 3 : 0;
    }
    if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        const bool is_outside = (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f);
        return is_continuation(s[1]) && !is_outside && is_continuation(s[2]) && is_continuation(s[3]) ? 4 : 0;
    }
    return 0;
}

static void quoted(struct np_json *json, const char *value)
{
    const unsigned char *s = (const unsigned char *)value;
    put(json, "\"");
    while (*s != '\0' && json->error == 0) {
        const size_t n = sequence(s);
        if (n == 0)
            put(json, "\\ufffd");
        else if (*s == '"' || *s == '\\')
            put(json, "\\%c", *s);
        else if (*s < 0x20 || *s == 0x7f)
            put(json, "\\u%04x", *s);
        else
            put(json, "%.*s", (int)n, (const char *)s);
        s += n > 0 ? n : 1;
    }
    put(json, "\"");
}

static void key_of(struct np_json *json, const char *key)
{
    const char last = json->used > 0 ? json->text[json->used - 1] : '{';
    if (last != '{' && last != '[')
        put(json, ", ");
    if (key == NULL)
        return;
    quoted(json, key);
    put(json, ": ");
}

void np_json_begin(struct np_json *json, char *text, size_t size)
{
    *json = (struct np_json){.text = text, .size = size, .error = size > 0 ? 0 : -ENOSPC};
    put(json, "{");
}

void np_json_string(struct np_json *json, const char *key, const char *value)
{
    key_of(json, key);
    quoted(json, value);
}

void np_json_number(struct np_json *json, const char *key, double value)
{
    if (!isfinite(value) && json->error == 0)
        json->error = -EDOM;
    key_of(json, key);
    put(json, "%.10g", value);
}

void np_json_integer(struct np_json *json, const char *key, uint64_t value)
{
    key_of(json, key);
    put(json, "%" PRIu64, value);
}

void np_json_bool(struct np_json *json, const char *key, bool value)
{
    key_of(json, key);
    put(json, value ? "true" : "false");
}

void np_json_null(struct np_json *json, const char *key)
{
    key_of(json, key);
    put(json, "null");
}

void np_json_open_array(struct np_json *json, const char *key)
{
    key_of(json, key);
    put(json, "[");
}

void np_json_close_array(struct np_json *json)
{
    put(json, "]");
}

void np_json_open_object(struct np_json *json, const char *key)
{
    key_of(json, key);
    put(json, "{");
}

void np_json_close_object(struct np_json *json)
{
    put(json, "}");
}

int np_json_end(struct np_json *json)
{
    put(json, "}");
    return json->error;
}
