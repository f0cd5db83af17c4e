/* SPDX-License-Identifier: Apache-2.0 */
#include "disk_sequential.h"

#include <errno.h>
#include <math.h>
#include <unistd.h>

#include "nodeproof/window.h"

static const double WINDOW_S = 0.1, WARMUP_S = 0.1;

/* What is too short for that has this many windows and warms up for this part of it; longer windows keep the number
   of what is very long within bounds. */
enum { FEWEST_WINDOWS = 40, MOST_WINDOWS = 10000, WARMUP_DIVISOR = 5 };

enum { CHUNK_BLOCKS = DISK_CHUNK_BYTES / DISK_BLOCK_BYTES };

struct pass {
    struct disk_session *session;
    bool is_write;
    uint64_t next; /* chunk, counting on over the end of the file */
    uint64_t chunks;
    uint64_t least, most; /* chunks to move, until the time is up */
    uint64_t until;
    uint64_t busy[DISK_MOST_DEPTH]; /* chunk that each slot works on, from 1; 0: none */
    uint64_t looked_at;             /* reads, of which a block each is verified */
    size_t block[DISK_MOST_DEPTH];  /* that one */
    struct np_sheet *sheet;         /* NULL: nothing is measured */
    uint64_t start;
};

size_t disk_sequential_depth(const struct disk_session *session)
{
    const uint64_t others = session->file.bytes / DISK_CHUNK_BYTES - 1;
    return others < DISK_MOST_DEPTH ? (size_t)others : DISK_MOST_DEPTH;
}

static bool is_busy(const struct pass *pass, uint64_t chunk)
{
    for (size_t slot = 0; slot < DISK_MOST_DEPTH; slot++)
        if (pass->busy[slot] == chunk + 1)
            return true;
    return false;
}

static bool is_over(const struct pass *pass)
{
    const struct bench_request *request = pass->session->request;
    if (bench_is_cancelled(request) || pass->next >= pass->most)
        return true;
    return pass->next >= pass->least && (int64_t)(np_clock_now(&request->clock) - pass->until) >= 0;
}

static bool next(void *state, struct disk_io *io)
{
    struct pass *pass = state;
    struct disk_session *session = pass->session;
    pass->busy[io->slot] = 0;
    if (is_over(pass))
        return false;
    /* One request may stay behind while the others go once round a small file. */
    while (is_busy(pass, pass->next % pass->chunks))
        pass->next++;
    const uint64_t chunk = pass->next++ % pass->chunks;
    pass->busy[io->slot] = chunk + 1;
    io->is_write = pass->is_write;
    io->bytes = DISK_CHUNK_BYTES;
    io->offset = chunk * DISK_CHUNK_BYTES;
    io->buffer = disk_session_buffer(session, io->slot);
    if (io->is_write) {
        disk_data_stamp(&session->data, io->buffer, io->offset, io->bytes);
    } else {
        pass->block[io->slot] = pass->looked_at++ % CHUNK_BLOCKS * DISK_BLOCK_BYTES;
        disk_data_spoil(io->buffer + pass->block[io->slot], DISK_BLOCK_BYTES);
    }
    return true;
}

static void done(void *state, const struct disk_io *io)
{
    struct pass *pass = state;
    struct disk_session *session = pass->session;
    const size_t block = pass->block[io->slot];
    session->own_bytes += io->bytes;
    if (!io->is_write)
        disk_session_verify(session, io->buffer + block, io->offset + block, DISK_BLOCK_BYTES);
    if (pass->sheet == NULL)
        return;
    /* Disks answer in bursts. What they did, they did while the requests were waiting for it. */
    const struct np_clock *clock = &session->request->clock;
    const double begin_s = np_clock_seconds(clock, pass->start, io->begin);
    const double end_s = np_clock_seconds(clock, pass->start, io->end);
    np_sheet_add(pass->sheet, begin_s, end_s, io->bytes, end_s - begin_s);
}

/* Before the time of a pass begins: stamps are written over this again and again; what is read never is written. */
static void prepare_writes(const struct disk_session *session)
{
    for (size_t slot = 0; slot < disk_sequential_depth(session); slot++)
        disk_data_prepare(&session->data, disk_session_buffer(session, slot), 0, DISK_CHUNK_BYTES);
}

static int move(struct pass *pass)
{
    struct disk_session *session = pass->session;
    pass->chunks = session->file.bytes / DISK_CHUNK_BYTES;
    struct disk_load load = {.depth = disk_sequential_depth(session), .state = pass, .next = next, .done = done};
    const int rc = disk_session_drive(session, &load);
    return rc == 0 && bench_is_cancelled(session->request) ? -ECANCELED : rc;
}

int disk_sequential_fill(struct disk_session *session, double most_s)
{
    const struct np_clock *clock = &session->request->clock;
    struct disk_file *file = &session->file;
    struct pass pass = {.session = session, .is_write = true, .least = 2, .most = file->bytes / DISK_CHUNK_BYTES};
    prepare_writes(session);
    pass.until = np_clock_now(clock) + np_clock_ticks(clock, most_s);
    const int rc = move(&pass);
    if (rc != 0)
        return rc;
    if (pass.next < pass.most) {
        file->is_smaller = true;
        file->bytes = pass.next * DISK_CHUNK_BYTES;
        if (ftruncate(file->fd, (off_t)file->bytes) != 0)
            return -errno;
    }
    return fdatasync(file->fd) == 0 ? 0 : -errno;
}

/* A window in which we asked for nothing, for we had no CPU, says nothing of the disk. */
static void keep_busy_windows(const struct np_sheet *sheet, struct np_samples *rates)
{
    const size_t windows = np_sheets_rates(sheet, 1, true, rates->values);
    for (size_t i = 0; i < windows; i++)
        if (rates->values[i] > 0)
            rates->values[rates->count++] = rates->values[i];
}

int disk_sequential_measure(struct disk_session *session, bool is_write, double seconds, struct np_samples *rates)
{
    const struct np_clock *clock = &session->request->clock;
    const double warmup_s = seconds < WARMUP_DIVISOR * WARMUP_S ? seconds / WARMUP_DIVISOR : WARMUP_S;
    const double left_s = seconds - warmup_s;
    const double windows = fmin(fmax(round(left_s / WINDOW_S), FEWEST_WINDOWS), MOST_WINDOWS);
    struct np_sheet sheet;
    int rc = np_sheet_open(&sheet, left_s / windows, (size_t)windows);
    if (rc != 0)
        return rc;
    if (is_write)
        prepare_writes(session);
    const uint64_t now = np_clock_now(clock);
    struct pass pass = {.session = session,
                        .is_write = is_write,
                        .least = 1,
                        .most = UINT64_MAX,
                        .sheet = &sheet,
                        .start = now + np_clock_ticks(clock, warmup_s),
                        .until = now + np_clock_ticks(clock, seconds)};
    rc = move(&pass);
    if (rc == 0)
        rc = np_samples_open(rates, sheet.bins);
    if (rc == 0)
        keep_busy_windows(&sheet, rates);
    session->seconds += (double)sheet.bins * sheet.bin_s;
    np_sheet_close(&sheet);
    return rc;
}
