/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nodeproof-bench: run one micro-benchmark in a process of its own and print one line of JSON.
 *
 * Exit status: 0 measured, 1 failed (one line on stderr says why), 2 wrong use, 3 not possible on
 * this machine. A signal that cancels it ends it as that signal.
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/system.h"

#define SCHEMA "nodeproof.bench/1"

#if defined(__clang__)
#define COMPILER __VERSION__
#else
#define COMPILER "GCC " __VERSION__
#endif

enum { EXIT_USAGE = 2, EXIT_UNSUPPORTED = 3 };

/* Room for a line: the longest part is the list of CPUs. */
enum { LINE_BYTES = NP_CPULIST_BYTES + 4096 };

struct benchmark {
    const char *name;
    const char *unit;
    const char *title;
    const char *needs;
    bench_fn *run;
};

static const struct benchmark BENCHMARKS[] = {
    {
        .name = "memory.triad",
        .unit = "B/s",
        .title = "memory bandwidth of all cores of one NUMA node",
        .needs = "free memory of 24 times the last-level cache",
        .run = memory_triad,
    },
};

enum { BENCHMARK_COUNT = sizeof BENCHMARKS / sizeof *BENCHMARKS };

static atomic_bool is_cancelled;
static volatile sig_atomic_t cancelling_signal;

static void cancel(int number)
{
    cancelling_signal = number;
    atomic_store(&is_cancelled, true);
}

int bench_why(char why[BENCH_WHY_BYTES], int rc, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, BENCH_WHY_BYTES, format, arguments);
    va_end(arguments);
    return rc;
}

static void print_help(FILE *stream)
{
    fputs("Usage: nodeproof-bench NAME [OPTION…]\n"
          "Run a micro-benchmark and print its result as one line of JSON, in SI base units.\n\n"
          "  --cpus LIST            run on these CPUs, such as 0-3,8 (default: one of each core of the node)\n"
          "  --node N               use the memory of NUMA node N, and by default its CPUs\n"
          "  --seconds S            how long to measure\n"
          "  --isa NAME             use these instructions: avx512, avx2, sse2, generic\n"
          "  --die-with-parent PID  end when process PID, which must be the parent, ends\n"
          "  --list                 list the benchmarks: name, unit, what it measures, what it needs\n"
          "  --help                 show this text\n"
          "  --version              show the version\n\n"
          "Exit status: 0 measured, 1 failed, 2 wrong use, 3 not possible on this machine.\n",
          stream);
}

static void print_list(void)
{
    for (size_t i = 0; i < BENCHMARK_COUNT; i++)
        printf("%s\t%s\t%s\t%s\n", BENCHMARKS[i].name, BENCHMARKS[i].unit, BENCHMARKS[i].title, BENCHMARKS[i].needs);
}

static int usage_error(const char *what, const char *value)
{
    fprintf(stderr, "nodeproof-bench: %s: \"%s\"; see nodeproof-bench --help\n", what, value);
    return EXIT_USAGE;
}

static bool parse_whole(const char *text, long most, long *value)
{
    char *end;
    errno = 0;
    *value = strtol(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0 && *value <= most;
}

/* A benchmark whose parent was killed must not go on loading the machine. The kernel forgets the
   request of a parent that is already dead, hence its number. Returns true if the parent is gone. */
static bool is_orphan(long parent)
{
    return prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != (pid_t)parent;
}

enum option_key { OPT_CPUS = 256, OPT_NODE, OPT_SECONDS, OPT_ISA, OPT_PARENT, OPT_LIST, OPT_HELP, OPT_VERSION };

static const struct option OPTIONS[] = {
    {.name = "cpus", .has_arg = required_argument, .val = OPT_CPUS},
    {.name = "node", .has_arg = required_argument, .val = OPT_NODE},
    {.name = "seconds", .has_arg = required_argument, .val = OPT_SECONDS},
    {.name = "isa", .has_arg = required_argument, .val = OPT_ISA},
    {.name = "die-with-parent", .has_arg = required_argument, .val = OPT_PARENT},
    {.name = "list", .val = OPT_LIST},
    {.name = "help", .val = OPT_HELP},
    {.name = "version", .val = OPT_VERSION},
    {0},
};

/* Take one option. Returns 0, or an exit status. */
static int take(int key, const char *value, struct bench_request *request)
{
    long whole;
    char *end;
    switch (key) {
    case OPT_CPUS:
        request->has_cpus = true;
        if (np_cpulist_parse(value, &request->cpus) != 0 || np_cpuset_count(&request->cpus) == 0)
            return usage_error("--cpus takes a list such as 0-3,8", value);
        return 0;
    case OPT_NODE:
        if (!parse_whole(value, 1023, &whole))
            return usage_error("--node takes the number of a NUMA node", value);
        request->node = (int)whole;
        return 0;
    case OPT_SECONDS:
        request->seconds = strtod(value, &end);
        if (end == value || *end != '\0' || !(request->seconds >= 0.01 && request->seconds <= 3600))
            return usage_error("--seconds takes 0.01 to 3600", value);
        return 0;
    case OPT_ISA:
        request->isa = value;
        return 0;
    case OPT_PARENT:
        if (!parse_whole(value, 1L << 22, &whole))
            return usage_error("--die-with-parent takes a process number", value);
        if (!is_orphan(whole))
            return 0;
        fprintf(stderr, "nodeproof-bench: process %ld is not the parent\n", whole);
        return EXIT_FAILURE;
    default:
        return usage_error("no such option, or no value for it", value);
    }
}

static int run(const struct benchmark *benchmark, struct bench_request *request)
{
    static char line[LINE_BYTES];
    char why[BENCH_WHY_BYTES] = "";
    struct np_json json;
    int rc = np_clock_init(&request->clock, system_may_use_tsc());
    np_json_begin(&json, line, sizeof line);
    np_json_string(&json, "schema", SCHEMA);
    np_json_string(&json, "name", benchmark->name);
    np_json_string(&json, "unit", benchmark->unit);
    rc = rc != 0 ? bench_why(why, rc, "no clock: %s", strerror(-rc)) : benchmark->run(request, &json, why);
    if (cancelling_signal != 0) {
        fprintf(stderr, "nodeproof-bench: %s: cancelled\n", benchmark->name);
        raise(cancelling_signal); /* its handler was for one time only */
    }
    np_json_string(&json, "clock", request->clock.is_tsc ? "tsc" : "clock_gettime");
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
    struct bench_request request = {.is_cancelled = &is_cancelled, .node = -1};
    const struct sigaction action = {.sa_handler = cancel, .sa_flags = (int)SA_RESETHAND};
    int key, rc = 0;
    opterr = 0;
    while (rc == 0 && (key = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (key == OPT_LIST)
            return print_list(), EXIT_SUCCESS;
        if (key == OPT_HELP)
            return print_help(stdout), EXIT_SUCCESS;
        if (key == OPT_VERSION)
            return puts("nodeproof-bench " NODEPROOF_VERSION), EXIT_SUCCESS;
        rc = take(key, optarg != NULL ? optarg : argv[optind - 1], &request);
    }
    if (rc != 0)
        return rc;
    if (optind + 1 != argc)
        return print_help(stderr), EXIT_USAGE;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    system_volunteer_for_oom();
    for (size_t i = 0; i < BENCHMARK_COUNT; i++)
        if (strcmp(argv[optind], BENCHMARKS[i].name) == 0)
            return run(&BENCHMARKS[i], &request);
    return usage_error("there is no benchmark of that name", argv[optind]);
}
