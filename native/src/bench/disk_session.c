/* SPDX-License-Identifier: Apache-2.0 */
#include "disk_session.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "disk_sequential.h"
#include "disk_watch.h"
#include "system.h"

static const uint64_t DEFAULT_BYTES = UINT64_C(1) << 30;

/* A slow disk gets a smaller file: it is not faster on one. */
static const double FILL_S = 3;

/* Up to this share of what we did ourselves, others are the file system's own journal. */
static const double MOST_FOREIGN = 0.1;

static uint64_t choose_seed(const struct bench_request *request)
{
    uint64_t seed;
    if (request->has_seed)
        return request->seed;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        seed = np_clock_raw_ns();
    return seed >> 11; /* JSON is read by programs whose numbers are doubles */
}

static int fill(struct disk_session *session)
{
    const struct bench_request *request = session->request;
    const int rc = disk_sequential_fill(session, request->bytes != 0 ? 1e6 : FILL_S);
    session->own_bytes = 0; /* writing anew has the file system write for itself as well */
    session->device_bytes = 0;
    return rc != 0 ? bench_why(session->why, rc, "cannot fill the file: %s", strerror(-rc)) : 0;
}

/* A request on base pages is one of hundreds of pieces: with some devices that costs half of the bandwidth. */
static const char *pages_of(const struct disk_session *session)
{
    const uint64_t used_bytes = disk_sequential_depth(session) * DISK_CHUNK_BYTES, huge_bytes = system_huge_bytes();
    return huge_bytes >= used_bytes ? "huge" : huge_bytes > 0 ? "mixed" : "base";
}

static int open_and_work(struct disk_session *session)
{
    const struct bench_request *request = session->request;
    const uint64_t bytes = request->bytes != 0 ? request->bytes : DEFAULT_BYTES;
    if (bytes < 2 * DISK_CHUNK_BYTES)
        return bench_why(session->why, -EINVAL, "--bytes: a file of at least 2M is needed");
    int rc = disk_file_open(&session->file, request->path, bytes, DISK_CHUNK_BYTES, session->why);
    if (rc != 0)
        return rc;
    disk_mount_find(session->file.fd, &session->mount);
    disk_engine_open(&session->engine);
    session->engine_name = disk_engine_name(&session->engine);
    session->seed = choose_seed(request);
    rc = disk_data_open(&session->data, session->file.bytes, session->seed);
    if (rc == 0)
        rc = np_arena_open(&session->buffers, DISK_MOST_DEPTH * DISK_CHUNK_BYTES);
    if (rc != 0)
        return bench_why(session->why, rc, "no memory: %s", strerror(-rc));
    rc = fill(session);
    if (rc != 0)
        return rc;
    session->pages = pages_of(session);
    rc = session->work(session);
    return rc != 0 ? bench_why(session->why, rc, "%s", strerror(-rc)) : 0;
}

static int run(void *state)
{
    struct disk_session *session = state;
    const int rc = open_and_work(session);
    disk_engine_close(&session->engine);
    disk_file_close(&session->file);
    disk_data_close(&session->data);
    np_arena_close(&session->buffers);
    return rc;
}

int disk_session_run(struct disk_session *session, const struct bench_request *request, disk_session_fn *work,
                     bool *is_abandoned, char why[BENCH_WHY_BYTES])
{
    session->request = request;
    session->work = work;
    session->file.fd = -1;
    const int rc = disk_watch(run, session, request->is_cancelled, &session->answers, is_abandoned);
    if (*is_abandoned)
        return bench_why(why, rc, "the disk does not answer");
    return rc != 0 ? bench_why(why, rc, "%s", session->why) : 0;
}

char *disk_session_buffer(const struct disk_session *session, size_t slot)
{
    return (char *)session->buffers.base + slot * DISK_CHUNK_BYTES;
}

int disk_session_drive(struct disk_session *session, struct disk_load *load)
{
    uint64_t before = 0, after = 0;
    load->fd = session->file.fd;
    load->clock = &session->request->clock;
    load->answers = &session->answers;
    session->has_device = disk_mount_bytes(session->file.fd, &before);
    const size_t threads = disk_engine_threads(&session->engine, load->depth);
    session->threads = threads > session->threads ? threads : session->threads;
    const int rc = disk_engine_run(&session->engine, load);
    session->has_device = session->has_device && disk_mount_bytes(session->file.fd, &after);
    session->device_bytes += session->has_device ? after - before : 0;
    return rc;
}

#ifdef NODEPROOF_HOOKS
int disk_session_plant(struct disk_session *session)
{
    const char *fault = session->request->hook != NULL ? session->request->hook : "";
    char *chunk = disk_session_buffer(session, 0);
    while (strcmp(fault, "dead-disk") == 0)
        pause();
    if (strcmp(fault, "lost-write") != 0)
        return 0;
    disk_data_prepare(&session->data, chunk, 0, DISK_CHUNK_BYTES);
    return pwrite(session->file.fd, chunk, DISK_CHUNK_BYTES, 0) == DISK_CHUNK_BYTES ? 0 : -EIO;
}
#else
int disk_session_plant(struct disk_session *session)
{
    (void)session;
    return 0;
}
#endif

void disk_session_verify(struct disk_session *session, const char *buffer, uint64_t offset, size_t bytes)
{
    session->verified_blocks++;
    session->wrong_blocks += !disk_data_is_right(&session->data, buffer, offset, bytes);
}

static void put_others(const struct disk_session *session, struct np_json *out)
{
    /* Less than we did ourselves: it keeps no count, or it is not the only device below the file. */
    const bool is_known = session->has_device && session->device_bytes >= session->own_bytes;
    const uint64_t foreign = is_known ? session->device_bytes - session->own_bytes : 0;
    np_json_bool(out, "is_contended", (double)foreign > MOST_FOREIGN * (double)session->own_bytes);
    if (is_known)
        np_json_integer(out, "foreign_bytes", foreign);
    else
        np_json_null(out, "foreign_bytes");
}

static void put_name(struct np_json *out, const char *key, const char *name)
{
    if (*name != '\0')
        np_json_string(out, key, name);
    else
        np_json_null(out, key);
}

void disk_session_put(const struct disk_session *session, struct np_json *out)
{
    char list[NP_CPULIST_BYTES];
    struct np_cpuset cpus;
    np_json_number(out, "seconds", session->seconds);
    put_others(session, out);
    if (np_affinity_get(&cpus) == 0 && np_cpulist_format(&cpus, list, sizeof list) == 0)
        np_json_string(out, "cpus", list);
    np_json_integer(out, "threads", session->threads);
    np_json_string(out, "isa", np_isa_name(NP_ISA_GENERIC));
    np_json_string(out, "engine", session->engine_name);
    np_json_string(out, "pages", session->pages);
    put_name(out, "filesystem", session->mount.filesystem);
    put_name(out, "device", session->mount.source);
    np_json_integer(out, "file_bytes", session->file.bytes);
    np_json_bool(out, "is_smaller", session->file.is_smaller);
    np_json_integer(out, "seed", session->seed);
    np_json_integer(out, "verified_blocks", session->verified_blocks);
    np_json_integer(out, "wrong_blocks", session->wrong_blocks);
}
