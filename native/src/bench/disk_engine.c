/* SPDX-License-Identifier: Apache-2.0 */
#include "disk_engine.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

void disk_engine_open(struct disk_engine *engine)
{
    engine->has_ring = uring_open(&engine->ring, DISK_MOST_DEPTH) == 0;
}

void disk_engine_close(struct disk_engine *engine)
{
    if (engine->has_ring)
        uring_close(&engine->ring);
    engine->has_ring = false;
}

const char *disk_engine_name(const struct disk_engine *engine)
{
    return engine->has_ring ? "io_uring" : "pread";
}

size_t disk_engine_threads(const struct disk_engine *engine, size_t depth)
{
    return engine->has_ring ? 1 : depth;
}

/* A request that is aligned and within the file moves all of its bytes, unless there is no room for them. */
static int finish(const struct disk_load *load, const struct disk_io *io, int64_t result)
{
    atomic_fetch_add_explicit(load->answers, 1, memory_order_relaxed);
    if (result < 0)
        return (int)result;
    if (result != (int64_t)io->bytes)
        return io->is_write ? -ENOSPC : -EIO;
    load->done(load->state, io);
    return 0;
}

struct ring_run {
    struct uring *ring;
    const struct disk_load *load;
    struct disk_io io[DISK_MOST_DEPTH];
    size_t in_flight;
    int rc;
};

static void put_next(struct ring_run *run, size_t slot)
{
    struct disk_io *io = &run->io[slot];
    *io = (struct disk_io){.slot = slot};
    if (run->rc != 0 || !run->load->next(run->load->state, io))
        return;
    io->begin = np_clock_now(run->load->clock);
    uring_put(run->ring, &(struct uring_request){.fd = run->load->fd,
                                                 .is_write = io->is_write,
                                                 .buffer = io->buffer,
                                                 .bytes = io->bytes,
                                                 .offset = io->offset,
                                                 .tag = slot});
    run->in_flight++;
}

static int run_ring(struct uring *ring, const struct disk_load *load)
{
    struct ring_run run = {.ring = ring, .load = load};
    for (size_t slot = 0; slot < load->depth; slot++)
        put_next(&run, slot);
    while (run.in_flight > 0) {
        uint64_t tag;
        int result;
        const int rc = uring_wait(ring);
        /* EAGAIN and EBUSY: the kernel is short of memory or of room for answers; taking some helps. */
        if (rc != 0 && rc != -EINTR && rc != -EAGAIN && rc != -EBUSY)
            return rc;
        while (uring_take(ring, &tag, &result)) {
            struct disk_io *io = &run.io[tag];
            io->end = np_clock_now(load->clock);
            run.in_flight--;
            const int failed = finish(load, io, result);
            run.rc = run.rc != 0 ? run.rc : failed;
            put_next(&run, tag);
        }
    }
    return run.rc;
}

struct crew {
    const struct disk_load *load;
    pthread_mutex_t lock;
    int rc;
    size_t slots; /* taken by a thread */
};

static void *serve_slot(void *argument)
{
    struct crew *crew = argument;
    const struct disk_load *load = crew->load;
    pthread_mutex_lock(&crew->lock);
    struct disk_io io = {.slot = crew->slots++};
    while (crew->rc == 0 && load->next(load->state, &io)) {
        pthread_mutex_unlock(&crew->lock);
        io.begin = np_clock_now(load->clock);
        const ssize_t n = io.is_write ? pwrite(load->fd, io.buffer, io.bytes, (off_t)io.offset)
                                      : pread(load->fd, io.buffer, io.bytes, (off_t)io.offset);
        const int64_t result = n < 0 ? -errno : n;
        io.end = np_clock_now(load->clock);
        pthread_mutex_lock(&crew->lock);
        const int failed = finish(load, &io, result);
        crew->rc = crew->rc != 0 ? crew->rc : failed;
    }
    pthread_mutex_unlock(&crew->lock);
    return NULL;
}

static int run_threads(const struct disk_load *load)
{
    struct crew crew = {.load = load, .lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t threads[DISK_MOST_DEPTH];
    size_t started = 0;
    int rc = 0;
    while (started + 1 < load->depth && rc == 0) {
        rc = -pthread_create(&threads[started], NULL, serve_slot, &crew);
        started += rc == 0;
    }
    if (rc != 0) { /* fewer requests at a time would be another benchmark */
        pthread_mutex_lock(&crew.lock);
        crew.rc = rc;
        pthread_mutex_unlock(&crew.lock);
    }
    (void)serve_slot(&crew);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&crew.lock);
    return crew.rc;
}

int disk_engine_run(struct disk_engine *engine, const struct disk_load *load)
{
    return engine->has_ring ? run_ring(&engine->ring, load) : run_threads(load);
}
