/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "help.h"
#include "option_values.h"
#include "rendezvous.h"

static int usage_error(const char *what, const char *value)
{
    fprintf(stderr, "nodeproof-bench: %s: \"%s\"; see nodeproof-bench --help\n", what, value);
    return EXIT_USAGE;
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
    OPT_DEVICE,
    OPT_BETWEEN,
    OPT_LISTEN,
    OPT_CONNECT,
    OPT_SESSION,
    OPT_GID_INDEX,
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
    {.name = "device", .has_arg = required_argument, .val = OPT_DEVICE},
    {.name = "between", .has_arg = required_argument, .val = OPT_BETWEEN},
    {.name = "listen", .has_arg = required_argument, .val = OPT_LISTEN},
    {.name = "connect", .has_arg = required_argument, .val = OPT_CONNECT},
    {.name = "session", .has_arg = required_argument, .val = OPT_SESSION},
    {.name = "gid-index", .has_arg = required_argument, .val = OPT_GID_INDEX},
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
    case OPT_DEVICE:
        return TAKES_DEVICE;
    case OPT_BETWEEN:
    case OPT_LISTEN:
    case OPT_CONNECT:
    case OPT_SESSION:
        return TAKES_PEER;
    case OPT_GID_INDEX:
        return TAKES_GID;
    default:
        return 0;
    }
}

static int take_isa(const char *value, struct bench_request *request)
{
    request->has_isa = true;
    if (np_isa_find(value, &request->isa) != 0)
        return usage_error("--isa takes avx512, avx2, sse2, sve, neon or generic", value);
    return 0;
}

static int take_parent(const char *value)
{
    long whole;
    if (!option_whole(value, 1L << 22, &whole))
        return usage_error("--die-with-parent takes a process number", value);
    if (!is_orphan(whole))
        return 0;
    fprintf(stderr, "nodeproof-bench: process %ld is not the parent\n", whole);
    return EXIT_FAILURE;
}

/* Of ports and of the other host. */
static int take_peer(int key, const char *value, struct bench_request *request)
{
    long whole;
    switch (key) {
    case OPT_BETWEEN:
        request->between_ports = strcmp(value, "ports") == 0;
        return request->between_ports || strcmp(value, "self") == 0
                   ? 0
                   : usage_error("--between takes self or ports", value);
    case OPT_SESSION:
        request->session = value;
        return option_is_session(value)
                   ? 0
                   : usage_error("--session takes up to 63 letters, digits and any of . _ : -", value);
    case OPT_GID_INDEX:
        if (!option_whole(value, 255, &whole))
            return usage_error("--gid-index takes the index of a GID", value);
        request->gid_index = (int)whole;
        return 0;
    default:
        *(key == OPT_DEVICE ? &request->devices : key == OPT_LISTEN ? &request->listen : &request->connect) = value;
        return *value != '\0' ? 0 : usage_error("an empty value", value);
    }
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
        if (!option_whole(value, 1023, &whole))
            return usage_error("--node takes the number of a NUMA node", value);
        request->node = (int)whole;
        return 0;
    case OPT_SECONDS:
        return option_number(value, 0.01, 1e6, &request->seconds)
                   ? 0
                   : usage_error("--seconds takes 0.01 to 1000000", value);
    case OPT_SHARE:
        return option_number(value, 1e-6, 1, &request->share) ? 0 : usage_error("--share takes a share up to 1", value);
    case OPT_BYTES:
        return option_bytes(value, &request->bytes) ? 0 : usage_error("--bytes takes a size such as 32K or 1G", value);
    case OPT_PATH:
        request->path = value;
        return 0;
    case OPT_HOOK:
        request->hook = value;
        return 0;
    case OPT_ISA:
        return take_isa(value, request);
    case OPT_SEED:
        request->has_seed = true;
        return option_seed(value, &request->seed) ? 0
                                                  : usage_error("--seed takes a whole number, decimal or 0x…", value);
    case OPT_DEVICE:
    case OPT_BETWEEN:
    case OPT_LISTEN:
    case OPT_CONNECT:
    case OPT_SESSION:
    case OPT_GID_INDEX:
        return take_peer(key, value, request);
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

/* What contradicts itself. Returns 0 or an exit status. */
static int refuse_peers(const struct bench_request *request)
{
    if (request->listen != NULL && request->connect != NULL)
        return usage_error("--listen and --connect are for different hosts", request->connect);
    if (rendezvous_is_asked(request) && request->between_ports)
        return usage_error("between two hosts there is no --between", "ports");
    if (!rendezvous_is_asked(request) && *request->session != '\0')
        return usage_error("--session is for two hosts: --listen or --connect is missing", request->session);
    return 0;
}

/* Returns an exit status, or -1 if the program is to go on. */
static int take_all(int argc, char **argv, struct bench_request *request, unsigned int *asked)
{
    int key, status = 0;
    opterr = 0;
    while (status == 0 && (key = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (key == OPT_LIST)
            return help_list(), help_finish();
        if (key == OPT_HELP)
            return help_print(stdout), help_finish();
        if (key == OPT_VERSION)
            return puts("nodeproof-bench " NODEPROOF_VERSION), help_finish();
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
        return help_print(stderr), 1;
    *benchmark = find_benchmark(argv[optind]);
    if (*benchmark == NULL)
        return usage_error("there is no benchmark of that name", argv[optind]), 1;
    *status = refuse_options(*benchmark, asked);
    if (*status == 0)
        *status = refuse_peers(request);
    if (request->seconds == 0)
        request->seconds = (*benchmark)->seconds;
    return *status != 0;
}
