/* SPDX-License-Identifier: Apache-2.0 */
#include "option_values.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "meeting.h"

bool option_whole(const char *text, long most, long *value)
{
    char *end;
    errno = 0;
    *value = strtol(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0 && *value <= most;
}

bool option_number(const char *text, double least, double most, double *value)
{
    char *end;
    *value = strtod(text, &end);
    return end > text && *end == '\0' && *value >= least && *value <= most;
}

bool option_bytes(const char *text, uint64_t *bytes)
{
    static const char UNITS[] = "KMG";
    long whole;
    char digits[24];
    const size_t length = strlen(text);
    const char *unit = length > 0 ? strchr(UNITS, text[length - 1]) : NULL;
    if (length == 0 || length >= sizeof digits)
        return false;
    memcpy(digits, text, length + 1);
    if (unit != NULL)
        digits[length - 1] = '\0';
    const int shift = unit != NULL ? 10 * (int)(unit - UNITS + 1) : 0;
    if (!option_whole(digits, LONG_MAX >> shift, &whole) || whole == 0)
        return false;
    *bytes = (uint64_t)whole << shift;
    return true;
}

bool option_seed(const char *text, uint64_t *seed)
{
    char *end;
    errno = 0;
    *seed = strtoull(text, &end, 0);
    return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
}

bool option_is_session(const char *text)
{
    static const char LETTERS[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-";
    const size_t length = strlen(text);
    return length > 0 && length < MEETING_SESSION_BYTES && strspn(text, LETTERS) == length;
}
