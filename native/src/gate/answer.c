/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate file. Its grammar is that of nodeproof.daemon.gate, which writes it: every line in its place, nothing else,
 * and `end` last, so that no part of a file passes for the whole.
 */
#include "answer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "trust.h"

/* The same limits as in nodeproof.daemon.gate. */
enum { FILE_BYTES = 1 << 16, TEXT_BYTES = 2400, MOST_DIGITS = 19 };

/* The agent dates a file minutes ahead: one that is good for longer than a day was not written by it. */
#define MOST_AHEAD_NS (UINT64_C(86400) * 1000000000)

static const char *const LINE_KEYS[GATE_KINDS] = {"healthcheck-line", "prolog-line", "epilog-line"};

struct span {
    const char *text;
    size_t size;
};

/* Take the next line off `rest` if it is whole and has this key: what stands behind it. */
static bool take(struct span *rest, const char *key, struct span *value)
{
    const size_t skip = strlen(key) + 1;
    const char *newline = memchr(rest->text, '\n', rest->size);
    const size_t size = newline != NULL ? (size_t)(newline - rest->text) : 0;
    if (size < skip || memcmp(rest->text, key, skip - 1) != 0 || rest->text[skip - 1] != ' ')
        return false;
    *value = (struct span){rest->text + skip, size - skip};
    *rest = (struct span){newline + 1, rest->size - size - 1};
    return true;
}

static bool take_number(struct span *rest, const char *key, uint64_t *number)
{
    struct span digits;
    *number = 0;
    if (!take(rest, key, &digits) || digits.size == 0 || digits.size > MOST_DIGITS)
        return false;
    for (size_t i = 0; i < digits.size; i++) {
        if (digits.text[i] < '0' || digits.text[i] > '9')
            return false;
        *number = *number * 10 + (uint64_t)(digits.text[i] - '0');
    }
    return digits.size == 1 || digits.text[0] != '0';
}

static bool take_boot_id(struct span *rest, struct span *boot_id)
{
    if (!take(rest, "boot", boot_id) || boot_id->size != GATE_BOOT_ID_BYTES)
        return false;
    for (size_t i = 0; i < boot_id->size; i++)
        if (memchr("0123456789abcdef-", boot_id->text[i], 17) == NULL)
            return false;
    return true;
}

/* A line for a log: something, and nothing that could end it or move a cursor. */
static bool is_text(struct span value)
{
    for (size_t i = 0; i < value.size; i++) {
        const unsigned char byte = (unsigned char)value.text[i];
        if (byte < 0x20 || byte == 0x7f)
            return false;
    }
    return value.size > 0 && value.size <= TEXT_BYTES;
}

static bool take_answer(struct span *rest, enum gate_kind kind, struct gate_answer *answer)
{
    uint64_t code;
    struct span line;
    if (!take_number(rest, GATE_KIND_NAMES[kind], &code) || code > (uint64_t)GATE_MOST_CODE[kind])
        return false;
    answer->code = (int)code;
    answer->lines = rest->text;
    while (take(rest, LINE_KEYS[kind], &line))
        if (!is_text(line))
            return false;
    answer->lines_bytes = (size_t)(rest->text - answer->lines);
    return true;
}

struct content {
    struct span boot_id;
    uint64_t until_ns;
    struct gate_answer answers[GATE_KINDS];
};

static bool parse(struct span rest, struct content *content)
{
    uint64_t version;
    if (!take_number(&rest, "nodeproof-gate", &version) || version != 1 || !take_boot_id(&rest, &content->boot_id) ||
        !take_number(&rest, "until", &content->until_ns))
        return false;
    for (int kind = 0; kind < GATE_KINDS; kind++)
        if (!take_answer(&rest, (enum gate_kind)kind, &content->answers[kind]))
            return false;
    return rest.size == 4 && memcmp(rest.text, "end\n", 4) == 0;
}

static int refuse_stale(const struct content *content, const struct gate_moment *moment, char why[GATE_WHY_BYTES])
{
    const uint64_t now_ns = moment->boottime_ns, until_ns = content->until_ns;
    if (moment->boot_id[0] == '\0')
        return gate_why(why, "cannot be compared: /proc does not say which boot this is");
    if (memcmp(content->boot_id.text, moment->boot_id, GATE_BOOT_ID_BYTES) != 0)
        return gate_why(why, "is of another boot");
    if (now_ns > until_ns)
        return gate_why(why, "is stale, for %" PRIu64 " s", (now_ns - until_ns) / 1000000000);
    if (until_ns - now_ns > MOST_AHEAD_NS)
        return gate_why(why, "is dated %" PRIu64 " s ahead", (until_ns - now_ns) / 1000000000);
    return 0;
}

/* All of the file, in memory that stays. */
static int read_file(int directory, struct span *whole, char why[GATE_WHY_BYTES])
{
    static char text[FILE_BYTES + 1];
    struct stat status;
    size_t used = 0;
    ssize_t n = 1;
    const int fd = trust_open_file(directory, "gate", O_RDONLY, &status, why);
    if (fd < 0)
        return -1;
    while (n > 0 && used < sizeof text) {
        n = read(fd, text + used, sizeof text - used);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n > 0)
            used += (size_t)n;
    }
    const int error = errno;
    close(fd);
    if (n < 0)
        return gate_why(why, "cannot be read: %s", strerror(error));
    if (used > FILE_BYTES)
        return gate_why(why, "is larger than %d bytes", FILE_BYTES);
    *whole = (struct span){text, used};
    return 0;
}

int answer_read(int directory, enum gate_kind kind, const struct gate_moment *moment, struct gate_answer *answer,
                char why[GATE_WHY_BYTES])
{
    struct span whole;
    struct content content;
    if (read_file(directory, &whole, why) != 0)
        return -1;
    if (!parse(whole, &content))
        return gate_why(why, "is damaged");
    if (refuse_stale(&content, moment, why) != 0)
        return -1;
    *answer = content.answers[kind];
    return 0;
}
