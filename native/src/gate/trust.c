/* SPDX-License-Identifier: Apache-2.0 */
#include "trust.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { MOST_LEVELS = 64 };

/* -1 if somebody else than root or we could change it. In a sticky directory nobody can exchange what is not theirs. */
static int refuse_foreign(const struct stat *status, bool is_above, char why[GATE_WHY_BYTES])
{
    const char *what = is_above ? "a directory above it " : "";
    const bool is_sticky = is_above && (status->st_mode & S_ISVTX) != 0;
    if (status->st_uid != 0 && status->st_uid != geteuid())
        return gate_why(why, "%sbelongs to user %u", what, (unsigned int)status->st_uid);
    if ((status->st_mode & (S_IWGRP | S_IWOTH)) != 0 && !is_sticky)
        return gate_why(why, "%scan be written by others (mode %04o)", what, (unsigned int)status->st_mode & 07777);
    return 0;
}

/* Whoever can write a directory above could put another one in its place. */
static int refuse_foreign_way(int directory, const struct stat *status, char why[GATE_WHY_BYTES])
{
    char up[3 * MOST_LEVELS + 1] = "";
    struct stat below = *status, above;
    for (size_t level = 0; level < MOST_LEVELS; level++) {
        memcpy(up + 3 * level, "../", 4);
        if (fstatat(directory, up, &above, 0) != 0)
            return gate_why(why, "a directory above it: %s", strerror(errno));
        if (above.st_dev == below.st_dev && above.st_ino == below.st_ino)
            return 0; /* the root is its own parent */
        if (refuse_foreign(&above, true, why) != 0)
            return -1;
        below = above;
    }
    return gate_why(why, "lies too deep");
}

int trust_open_directory(const char *path, char why[GATE_WHY_BYTES])
{
    struct stat status;
    why[0] = '\0';
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -1 : gate_why(why, "cannot be opened: %s", strerror(errno));
    if (fstat(fd, &status) != 0)
        gate_why(why, "cannot be read: %s", strerror(errno));
    else if (refuse_foreign(&status, false, why) == 0 && refuse_foreign_way(fd, &status, why) == 0)
        return fd;
    close(fd);
    return -1;
}

int trust_open_file(int directory, const char *name, int flags, struct stat *status, char why[GATE_WHY_BYTES])
{
    why[0] = '\0';
    /* Without O_NONBLOCK a named pipe would keep us waiting. */
    const int fd = openat(directory, name, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == ENOENT ? -1 : gate_why(why, "cannot be opened: %s", strerror(errno));
    if (fstat(fd, status) != 0)
        gate_why(why, "cannot be read: %s", strerror(errno));
    else if (!S_ISREG(status->st_mode))
        gate_why(why, "is no regular file");
    else if (status->st_nlink > 1) /* 0: replaced since it was opened */
        gate_why(why, "has %lu names", (unsigned long)status->st_nlink);
    else if (refuse_foreign(status, false, why) == 0)
        return fd;
    close(fd);
    return -1;
}
