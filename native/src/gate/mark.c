/* SPDX-License-Identifier: Apache-2.0 */
#include "mark.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "say.h"
#include "trust.h"

/* With no agent to empty it, the file does not grow for ever. */
enum { MOST_BYTES = 1 << 20 };

/* The agent holds the lock for the microseconds in which it empties the file. */
enum { LOCK_TRIES = 50 };

static const struct timespec LOCK_PAUSE = {.tv_nsec = 1000000};

static int lock_shared(int fd)
{
    for (int i = 0; flock(fd, LOCK_SH | LOCK_NB) != 0; i++) {
        if (i == LOCK_TRIES)
            return -1;
        nanosleep(&LOCK_PAUSE, NULL);
    }
    return 0;
}

static int append(int directory, const char *line, size_t bytes, char why[GATE_WHY_BYTES])
{
    struct stat status;
    const int fd = trust_open_file(directory, "marks", O_WRONLY | O_APPEND | O_CREAT, &status, why);
    if (fd < 0)
        return -1;
    int rc = 0;
    if (status.st_size > MOST_BYTES)
        rc = gate_why(why, "is full: no agent reads it");
    else if (lock_shared(fd) != 0)
        rc = gate_why(why, "is locked: %s", strerror(errno));
    else if (write(fd, line, bytes) != (ssize_t)bytes) /* one write: lines of jobs that begin at once do not mix */
        rc = gate_why(why, "cannot be written: %s", strerror(errno));
    close(fd);
    return rc;
}

/* That nobody listens is fine: the mark is read when somebody does. */
static void wake(int directory)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/wake", directory);
    sendto(fd, "", 0, MSG_NOSIGNAL, (const struct sockaddr *)&address, sizeof address);
    close(fd);
}

void mark_leave(int directory, const struct gate_occasion *occasion, const struct gate_moment *moment)
{
    char line[128], why[GATE_WHY_BYTES];
    if (occasion->job_id == 0 || moment->boot_id[0] == '\0')
        return;
    const int n = snprintf(line, sizeof line, "%s %" PRIu64 " %" PRIu64 " %s\n", GATE_KIND_NAMES[occasion->kind],
                           occasion->job_id, moment->boottime_ns, moment->boot_id);
    if (append(directory, line, (size_t)n, why) != 0)
        say_trouble(occasion, false, "the file of job marks %s", why[0] != '\0' ? why : "cannot be made");
    else
        wake(directory);
}
