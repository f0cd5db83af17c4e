/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nodeproof-bench: run one micro-benchmark in a process of its own and print one line of JSON.
 *
 * Exit status: 0 measured, 1 failed (one line on stderr says why), 2 wrong use, 3 not possible on
 * this machine. A signal that cancels it ends it as that signal.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/conditions.h"
#include "bench/options.h"
#include "bench/system.h"

#define SCHEMA "nodeproof.bench/1"

#if defined(__clang__)
#define COMPILER __VERSION__
#else
#define COMPILER "GCC " __VERSION__
#endif

/* Room for a line: a matrix of latencies between hundreds of CPUs. */
enum { LINE_BYTES = 1 << 23 };

static atomic_bool is_cancelled;
static volatile sig_atomic_t cancelling_signal;

static void cancel(int number)
{
    cancelling_signal = number;
    atomic_store(&is_cancelled, true);
}

#ifdef NODEPROOF_HOOKS
/* What a benchmark may meet on bad hardware, on request: only the program for tests is built with this. */
static void plant(const char *hook)
{
    if (strcmp(hook, "segv") == 0)
        raise(SIGSEGV);
    while (strcmp(hook, "hang") == 0)
        pause();
    while (strcmp(hook, "exhaust") == 0)
        memset(malloc(1 << 20), 1, 1 << 20); /* until the kernel ends it */
}
#else
static void plant(const char *hook)
{
    (void)hook;
}
#endif

static int run(const struct benchmark *benchmark, struct bench_request *request)
{
    static char line[LINE_BYTES];
    char why[BENCH_WHY_BYTES] = "";
    struct np_json json;
    struct conditions before, after;
    int rc = np_clock_init(&request->clock, system_may_use_counter());
    np_json_begin(&json, line, sizeof line);
    np_json_string(&json, "schema", SCHEMA);
    np_json_string(&json, "name", benchmark->name);
    np_json_string(&json, "unit", benchmark->unit);
    conditions_read(&before);
    rc = rc != 0 ? bench_why(why, rc, "no clock: %s", strerror(-rc)) : benchmark->run(request, &json, why);
    conditions_read(&after);
    if (cancelling_signal != 0) {
        fprintf(stderr, "nodeproof-bench: %s: cancelled\n", benchmark->name);
        raise(cancelling_signal); /* its handler was for one time only */
    }
    conditions_put(&json, &before, &after);
    np_json_string(&json, "clock", np_clock_name(&request->clock));
    np_json_string(&json, "compiler", COMPILER);
    np_json_string(&json, "version", NODEPROOF_VERSION);
    if (rc == 0) {
        rc = np_json_end(&json);
        if (rc == 0 && (puts(line) == EOF || fflush(stdout) != 0))
            rc = -errno;
        if (rc == 0)
            return EXIT_SUCCESS;
        bench_why(why, rc, "cannot write the result: %s", strerror(-rc));
    }
    fprintf(stderr, "nodeproof-bench: %s: %s\n", benchmark->name, why);
    return rc == -ENOTSUP ? EXIT_UNSUPPORTED : rc == -EINVAL ? EXIT_USAGE : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct bench_request request = {.is_cancelled = &is_cancelled, .node = -1, .session = "", .gid_index = -1};
    const struct sigaction action = {.sa_handler = cancel, .sa_flags = (int)SA_RESETHAND};
    const struct benchmark *benchmark;
    int status;
    if (options_read(argc, argv, &request, &benchmark, &status) != 0)
        return status;
    system_volunteer_for_oom();
    if (request.hook != NULL)
        plant(request.hook);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    return run(benchmark, &request);
}
