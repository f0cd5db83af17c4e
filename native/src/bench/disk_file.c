/* SPDX-License-Identifier: Apache-2.0 */
#include "disk_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

static const char STATE_DIRECTORY[] = "/var/lib/nodeproof";

/* linux/magic.h, which musl systems do not all have. */
static const unsigned long IN_MEMORY[] = {0x01021994 /* tmpfs */, 0x858458f6 /* ramfs */, 0x958458f6 /* hugetlbfs */};

/* The rest is for others, who may be writing to it right now. */
enum { SPACE_DIVISOR = 4 };

static int choose_directory(const char **directory, char why[BENCH_WHY_BYTES])
{
    if (*directory != NULL)
        return 0;
    *directory = STATE_DIRECTORY;
    if (access(STATE_DIRECTORY, W_OK | X_OK) == 0)
        return 0;
    return bench_why(why, -ENOTSUP, "needs a directory to work in: give one by --path (%s, the default: %s)",
                     STATE_DIRECTORY, strerror(errno));
}

/* A file that has no name from the start; where the file system cannot have one, a name of microseconds. */
static int open_nameless(const char *directory)
{
    char path[PATH_MAX];
    const int fd = open(directory, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        return fd;
    /* EISDIR: a kernel that does not know the flag, see open(2). */
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
        return -errno;
    if (snprintf(path, sizeof path, "%s/.nodeproof-bench.XXXXXX", directory) >= (int)sizeof path)
        return -ENAMETOOLONG;
    const int named = mkostemp(path, O_CLOEXEC);
    if (named < 0)
        return -errno;
    if (unlink(path) == 0)
        return named;
    const int rc = -errno;
    close(named);
    return rc;
}

static int open_file(struct disk_file *file, const char *directory, char why[BENCH_WHY_BYTES])
{
    file->fd = open_nameless(directory);
    if (file->fd >= 0)
        return 0;
    const int rc = file->fd;
    const bool is_mistake = rc == -ENOENT || rc == -ENOTDIR || rc == -EACCES || rc == -EROFS;
    return bench_why(why, is_mistake ? -EINVAL : rc, "cannot make a file in %s: %s", directory, strerror(-rc));
}

/* As much of `bytes` as there is space for. */
static int choose_size(struct disk_file *file, const char *directory, uint64_t bytes, uint64_t step,
                       char why[BENCH_WHY_BYTES])
{
    struct statfs fs;
    if (fstatfs(file->fd, &fs) != 0)
        return bench_why(why, -errno, "cannot examine the file system of %s: %s", directory, strerror(errno));
    for (size_t i = 0; i < sizeof IN_MEMORY / sizeof *IN_MEMORY; i++)
        if ((unsigned long)fs.f_type == IN_MEMORY[i])
            return bench_why(why, -ENOTSUP, "%s is on a file system in memory: there is no disk to measure", directory);
    const uint64_t unit = (uint64_t)(fs.f_frsize > 0 ? fs.f_frsize : fs.f_bsize);
    const uint64_t most = (uint64_t)fs.f_bavail * unit / SPACE_DIVISOR;
    file->is_smaller = bytes > most;
    file->bytes = (bytes < most ? bytes : most) / step * step;
    if (file->bytes >= 2 * step)
        return 0;
    return bench_why(why, -ENOSPC, "too little space is free in %s: %llu bytes, and a quarter of them may be used",
                     directory, (unsigned long long)((uint64_t)fs.f_bavail * unit));
}

/* Not by open(): where it is refused, the file would be there all the same. */
static int go_direct(const struct disk_file *file, const char *directory, char why[BENCH_WHY_BYTES])
{
    const int flags = fcntl(file->fd, F_GETFL);
    if (flags >= 0 && fcntl(file->fd, F_SETFL, flags | O_DIRECT) == 0)
        return 0;
    return bench_why(why, -ENOTSUP, "the file system of %s has no direct access (O_DIRECT)", directory);
}

static int reserve(const struct disk_file *file, const char *directory, char why[BENCH_WHY_BYTES])
{
    signal(SIGXFSZ, SIG_IGN); /* past RLIMIT_FSIZE, EFBIG says it better than being killed */
    if (fallocate(file->fd, 0, 0, (off_t)file->bytes) == 0 || errno == EOPNOTSUPP || errno == ENOSYS)
        return 0;
    return bench_why(why, -errno, "cannot reserve %llu bytes in %s: %s", (unsigned long long)file->bytes, directory,
                     strerror(errno));
}

int disk_file_open(struct disk_file *file, const char *directory, uint64_t bytes, uint64_t step,
                   char why[BENCH_WHY_BYTES])
{
    *file = (struct disk_file){.fd = -1};
    int rc = choose_directory(&directory, why);
    if (rc == 0)
        rc = open_file(file, directory, why);
    if (rc == 0)
        rc = choose_size(file, directory, bytes, step, why);
    if (rc == 0)
        rc = go_direct(file, directory, why);
    if (rc == 0)
        rc = reserve(file, directory, why);
    if (rc != 0)
        disk_file_close(file);
    return rc;
}

void disk_file_close(struct disk_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}
