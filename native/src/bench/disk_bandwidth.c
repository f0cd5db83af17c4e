/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast a disk moves data from one end of a file to the other.
 *
 * Large requests, and many of them at a time: a disk of flash has to work on all its chips at once. The value
 * is that of reads; how fast a disk takes writes depends on its cache, and on how worn and how full it is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "disk_sequential.h"

struct bandwidth {
    struct disk_session session; /* first: work() is given this one */
    size_t depth;
    struct np_samples writes, reads;
};

/* First the writes: what they wrote is then read and verified. */
static int work(struct disk_session *session)
{
    struct bandwidth *bandwidth = (struct bandwidth *)session;
    const double half_s = session->request->seconds / 2;
    bandwidth->depth = disk_sequential_depth(session);
    int rc = disk_sequential_measure(session, true, half_s, &bandwidth->writes);
    if (rc == 0)
        rc = disk_session_plant(session);
    return rc != 0 ? rc : disk_sequential_measure(session, false, half_s, &bandwidth->reads);
}

static int put_point(struct np_json *out, const char *operation, size_t depth, const struct np_samples *rates,
                     struct np_figures *figures)
{
    const int rc = np_samples_figures(rates, NP_RATE, figures);
    if (rc != 0)
        return rc == -EINVAL ? -EIO : rc; /* not one request was done in time: that is no mistake of the caller */
    np_json_open_object(out, NULL);
    np_json_string(out, "operation", operation);
    np_json_integer(out, "queue_depth", depth);
    np_json_integer(out, "request_bytes", DISK_CHUNK_BYTES);
    bench_put_figures(out, figures, 1);
    np_json_close_object(out);
    return 0;
}

static int put(const struct bandwidth *bandwidth, struct np_json *out)
{
    struct np_figures reads, writes;
    np_json_open_array(out, "points");
    int rc = put_point(out, "read", bandwidth->depth, &bandwidth->reads, &reads);
    if (rc == 0)
        rc = put_point(out, "write", bandwidth->depth, &bandwidth->writes, &writes);
    np_json_close_array(out);
    if (rc == 0)
        bench_put_figures(out, &reads, 1);
    disk_session_put(&bandwidth->session, out);
    return rc;
}

int disk_bandwidth(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    bool is_abandoned;
    struct bandwidth *bandwidth = calloc(1, sizeof *bandwidth);
    if (bandwidth == NULL)
        return bench_why(why, -ENOMEM, "no memory");
    int rc = disk_session_run(&bandwidth->session, request, work, &is_abandoned, why);
    if (is_abandoned)
        return rc;
    if (rc == 0) {
        rc = put(bandwidth, out);
        if (rc != 0)
            bench_why(why, rc, "no figures: %s", strerror(-rc));
    }
    np_samples_close(&bandwidth->reads);
    np_samples_close(&bandwidth->writes);
    free(bandwidth);
    return rc;
}
