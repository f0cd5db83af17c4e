/* SPDX-License-Identifier: Apache-2.0 */
#include "say.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SYSTEM_LOG "/dev/log"

/* Facility daemon, severity warning: RFC 5424, section 6.2.1. */
enum { PRIORITY = 3 * 8 + 4 };

/* A line of the gate file (600 characters of UTF-8), and what we put before it. */
enum { LINE_BYTES = 2600 };

void say_bytes(int fd, const char *text, size_t bytes)
{
    while (bytes > 0) {
        const ssize_t n = write(fd, text, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        text += n;
        bytes -= (size_t)n;
    }
}

/* As far as it takes it without delay: syslog(3) would wait for it. */
static void say_to_log(const char *line, size_t bytes)
{
    const struct sockaddr_un log = {.sun_family = AF_UNIX, .sun_path = SYSTEM_LOG};
    char told[LINE_BYTES + 32];
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    const int n = snprintf(told, sizeof told, "<%d>nodeproof[%d]: %.*s", PRIORITY, (int)getpid(), (int)bytes, line);
    const size_t size = (size_t)n < sizeof told ? (size_t)n : sizeof told - 1;
    sendto(fd, told, size, MSG_NOSIGNAL, (const struct sockaddr *)&log, sizeof log);
    close(fd);
}

/* One line, in one write: lines of hooks that run at the same time must not mix. */
static void say_line(const struct gate_occasion *occasion, int fd, bool is_logged, const char *text, size_t bytes)
{
    static const char NAME[] = "nodeproof ";
    char line[LINE_BYTES];
    const int n = snprintf(line, sizeof line - 1, "%s%s: %.*s", NAME, occasion->label, (int)bytes, text);
    size_t size = (size_t)n < sizeof line - 1 ? (size_t)n : sizeof line - 2;
    line[size] = '\n';
    say_bytes(fd, line, size + 1);
    if (is_logged)
        say_to_log(line + sizeof NAME - 1, size - (sizeof NAME - 1));
}

void say_answer(const struct gate_occasion *occasion, const struct gate_answer *answer)
{
    const char *line = answer->lines, *end = answer->lines + answer->lines_bytes;
    while (line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *text = (const char *)memchr(line, ' ', (size_t)(newline - line)) + 1;
        say_line(occasion, STDOUT_FILENO, answer->code == 0, text, (size_t)(newline - text));
        line = newline + 1;
    }
}

void say_trouble(const struct gate_occasion *occasion, bool is_loud, const char *format, ...)
{
    char text[LINE_BYTES / 2];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    say_line(occasion, STDERR_FILENO, is_loud, text, strlen(text));
}
