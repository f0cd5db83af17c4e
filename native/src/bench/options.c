/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static void print_help(FILE *stream)
{
    fputs("Usage: nodeproof-bench NAME [OPTION…]\n"
          "Run a micro-benchmark and print its result as one line of JSON, in SI base units.\n\n"
          "  --cpus LIST            run on these CPUs, such as 0-3,8\n"
          "  --node N               use the memory of NUMA node N, and by default its CPUs\n"
          "  --seconds S            how long to measure at most\n"
          "  --isa NAME             use these instructions: avx512, avx2, sse2, sve, neon, generic\n"
          "  --bytes N              work on so many bytes (K, M and G are powers of 1024)\n"
          "  --path DIR             work on a file in this directory\n"
          "  --share F              test this share of the free memory, 0 to 1\n"
          "  --seed N               repeat what a run with this seed did\n"
          "  --die-with-parent PID  end when process PID, which must be the parent, ends\n"
          "  --list                 list the benchmarks: name, unit, seconds, what it measures, what it needs\n"
          "  --help                 show this text\n"
          "  --version              show the version\n\n"
          "Exit status: 0 measured, 1 failed, 2 wrong use, 3 not possible on this machine.\n",
          stream);
}

static void print_list(void)
{
    for (const struct benchmark *b = BENCHMARKS; b->name != NULL; b++)
        printf("%s\t%s\t%g\t%s\t%s\n", b->name, b->unit, b->seconds, b->title, b->needs);
}

/* A list cut short by a full disk must not pass for the whole one. */
static int finish_printing(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EXIT_SUCCESS;
    fprintf(stderr, "nodeproof-bench: cannot write: %s\n", strerror(errno));
    return EXIT_FAILURE;
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

enum option_key {
    OPT_CPUS = 256,
    OPT_NODE,
    OPT_SECONDS,
    OPT_ISA,
    OPT_BYTES,
    OPT_PATH,
    OPT_SHARE,
    OPT_SEED,
    OPT_HOOK,
    OPT_PARENT,
    OPT_LIST,
    OPT_HELP,
    OPT_VERSION,
};

static const struct option OPTIONS[] = {
    {.name = "cpus", .has_arg = required_argument, .val = OPT_CPUS},
    {.name = "node", .has_arg = required_argument, .val = OPT_NODE},
    {.name = "seconds", .has_arg = required_argument, .val = OPT_SECONDS},
    {.name = "isa", .has_arg = required_argument, .val = OPT_ISA},
    {.name = "bytes", .has_arg = required_argument, .val = OPT_BYTES},
    {.name = "path", .has_arg = required_argument, .val = OPT_PATH},
    {.name = "share", .has_arg = required_argument, .val = OPT_SHARE},
    {.name = "seed", .has_arg = required_argument, .val = OPT_SEED},
#ifdef NODEPROOF_HOOKS
    {.name = "hook", .has_arg = required_argument, .val = OPT_HOOK},
#endif
    {.name = "die-with-parent", .has_arg = required_argument, .val = OPT_PARENT},
    {.name = "list", .val = OPT_LIST},
    {.name = "help", .val = OPT_HELP},
    {.name = "version", .val = OPT_VERSION},
    {0},
};

/* What a benchmark has to take for an option, or 0. */
static unsigned int taken_by(int key)
{
    switch (key) {
    case OPT_CPUS:
        return TAKES_CPUS;
    case OPT_NODE:
        return TAKES_NODE;
    case OPT_ISA:
        return TAKES_ISA;
    case OPT_BYTES:
        return TAKES_BYTES;
    case OPT_PATH:
        return TAKES_PATH;
    case OPT_SHARE:
        return TAKES_SHARE;
    case OPT_SEED:
        return TAKES_SEED;
    default:
        return 0;
    }
}

static bool parse_number(const char *text, double least, double most, double *value)
{
    char *end;
    *value = strtod(text, &end);
    return end > text && *end == '\0' && *value >= least && *value <= most;
}

static bool parse_bytes(const char *text, uint64_t *bytes)
{
    static const char UNITS[] = "KMG";
    long whole;
    char digits[24];
    const size_t length = strlen(text);
    const char *unit = length > 0 ? strchr(UNITS, text[length - 1]) : NULL;
    if (length == 0 || length >= sizeof digits)
        return false;
    memcpy(digits, text, length + 1);
    if (unit != NULL)
        digits[length - 1] = '\0';
    const int shift = unit != NULL ? 10 * (int)(unit - UNITS + 1) : 0;
    if (!parse_whole(digits, LONG_MAX >> shift, &whole) || whole == 0)
        return false;
    *bytes = (uint64_t)whole << shift;
    return true;
}

static int take_isa(const char *value, struct bench_request *request)
{
    request->has_isa = true;
    if (np_isa_find(value, &request->isa) != 0)
        return usage_error("--isa takes avx512, avx2, sse2, sve, neon or generic", value);
    return 0;
}

static int take_seed(const char *value, struct bench_request *request)
{
    char *end;
    errno = 0;
    request->has_seed = true;
    request->seed = strtoull(value, &end, 0);
    if (*value < '0' || *value > '9' || *end != '\0' || errno != 0)
        return usage_error("--seed takes a whole number, decimal or 0x…", value);
    return 0;
}

static int take_parent(const char *value)
{
    long whole;
    if (!parse_whole(value, 1L << 22, &whole))
        return usage_error("--die-with-parent takes a process number", value);
    if (!is_orphan(whole))
        return 0;
    fprintf(stderr, "nodeproof-bench: process %ld is not the parent\n", whole);
    return EXIT_FAILURE;
}

/* Take one option. Returns 0, or an exit status. */
static int take(int key, const char *value, struct bench_request *request)
{
    long whole;
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
        return parse_number(value, 0.01, 1e6, &request->seconds)
                   ? 0
                   : usage_error("--seconds takes 0.01 to 1000000", value);
    case OPT_SHARE:
        return parse_number(value, 1e-6, 1, &request->share) ? 0 : usage_error("--share takes a share up to 1", value);
    case OPT_BYTES:
        return parse_bytes(value, &request->bytes) ? 0 : usage_error("--bytes takes a size such as 32K or 1G", value);
    case OPT_PATH:
        request->path = value;
        return 0;
    case OPT_HOOK:
        request->hook = value;
        return 0;
    case OPT_ISA:
        return take_isa(value, request);
    case OPT_SEED:
        return take_seed(value, request);
    case OPT_PARENT:
        return take_parent(value);
    default:
        return usage_error("no such option, or no value for it", value);
    }
}

static const struct benchmark *find_benchmark(const char *name)
{
    for (const struct benchmark *b = BENCHMARKS; b->name != NULL; b++)
        if (strcmp(b->name, name) == 0)
            return b;
    return NULL;
}

/* A benchmark that an option means nothing to must not seem to have followed it. */
static int refuse_options(const struct benchmark *benchmark, unsigned int asked)
{
    for (const struct option *option = OPTIONS; option->name != NULL; option++) {
        if (!(taken_by(option->val) & asked & ~benchmark->takes))
            continue;
        fprintf(stderr, "nodeproof-bench: %s does not take --%s\n", benchmark->name, option->name);
        return EXIT_USAGE;
    }
    return 0;
}

/* Returns an exit status, or -1 if the program is to go on. */
static int take_all(int argc, char **argv, struct bench_request *request, unsigned int *asked)
{
    int key, status = 0;
    opterr = 0;
    while (status == 0 && (key = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (key == OPT_LIST)
            return print_list(), finish_printing();
        if (key == OPT_HELP)
            return print_help(stdout), finish_printing();
        if (key == OPT_VERSION)
            return puts("nodeproof-bench " NODEPROOF_VERSION), finish_printing();
        status = take(key, optarg != NULL ? optarg : argv[optind - 1], request);
        *asked |= taken_by(key);
    }
    return status != 0 ? status : -1;
}

int options_read(int argc, char **argv, struct bench_request *request, const struct benchmark **benchmark, int *status)
{
    unsigned int asked = 0;
    *status = take_all(argc, argv, request, &asked);
    if (*status >= 0)
        return 1;
    *status = EXIT_USAGE;
    if (optind + 1 != argc)
        return print_help(stderr), 1;
    *benchmark = find_benchmark(argv[optind]);
    if (*benchmark == NULL)
        return usage_error("there is no benchmark of that name", argv[optind]), 1;
    *status = refuse_options(*benchmark, asked);
    if (request->seconds == 0)
        request->seconds = (*benchmark)->seconds;
    return *status != 0;
}
