/* SPDX-License-Identifier: Apache-2.0 */
/* By hand: getopt(3) reads the environment, and nothing there may change an answer. */
#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "say.h"

#define DEFAULT_RUN_DIR "/run/nodeproof"

/* slurmd kills a health check after 60 s; the passes end by themselves before these. */
static const unsigned int TIMEOUTS_S[GATE_KINDS] = {55, 50, 50};

enum { MOST_TIMEOUT_S = 3600 };

static const char HELP[] =
    "Usage: nodeproof-gate [OPTION…] healthcheck|prolog|epilog\n"
    "Answer slurmd from what `nodeproof agent` found; without a fresh answer of the agent, judge the node.\n\n"
    "  --run-dir DIR   where the agent leaves its answers (" DEFAULT_RUN_DIR ")\n"
    "  --timeout S     how long judging may take, in seconds (55 for a health check, else 50)\n"
    "  --fail-closed   exit 1 where the node cannot be judged either; the default lets jobs start, and says so\n"
    "  --help          show this text\n"
    "  --version       show the version\n\n"
    "Prints nothing on a healthy node. Exit status: that of `nodeproof hook`. Called by the name healthcheck, prolog "
    "or\n"
    "epilog (a link), it needs no argument.\n";

static bool find_kind(const char *name, struct gate_options *options)
{
    for (int kind = 0; kind < GATE_KINDS; kind++)
        if (strcmp(name, GATE_KIND_NAMES[kind]) == 0) {
            options->kind = (enum gate_kind)kind;
            return true;
        }
    return false;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static bool take_timeout(const char *text, struct gate_options *options)
{
    char *stop;
    errno = 0;
    const unsigned long value = strtoul(text, &stop, 10);
    options->timeout_s = (unsigned int)value;
    return *text >= '0' && *text <= '9' && *stop == '\0' && errno == 0 && value > 0 && value <= MOST_TIMEOUT_S;
}

/* The value of this option, `--name VALUE` or `--name=VALUE`, or NULL if it is another one or lacks it. */
static const char *value_of(const char *name, char **words)
{
    const size_t length = strlen(name);
    if (strncmp(words[0], name, length) != 0)
        return NULL;
    if (words[0][length] == '=')
        return words[0] + length + 1;
    return words[0][length] == '\0' ? words[1] : NULL;
}

/* Take an option off the command line. Returns how many words it is, 0 if it is none of ours. */
static int take_option(char **words, struct gate_options *options)
{
    const int size = strchr(words[0], '=') != NULL ? 1 : 2;
    const char *run_dir = value_of("--run-dir", words), *timeout = value_of("--timeout", words);
    if (strcmp(words[0], "--fail-closed") == 0) {
        options->fails_closed = true;
        return 1;
    }
    if (run_dir != NULL && run_dir[0] == '/') {
        options->run_dir = run_dir;
        return size;
    }
    return timeout != NULL && take_timeout(timeout, options) ? size : 0;
}

static enum options_result print(const char *text)
{
    say_bytes(STDOUT_FILENO, text, strlen(text));
    return OPTIONS_DONE;
}

enum options_result options_read(int argc, char **argv, struct gate_options *options, char why[GATE_WHY_BYTES])
{
    *options = (struct gate_options){.run_dir = DEFAULT_RUN_DIR};
    const bool is_link = argc > 0 && find_kind(base_name(argv[0]), options);
    bool has_kind = false;
    for (int at = 1; at < argc;) {
        if (strcmp(argv[at], "--help") == 0)
            return print(HELP);
        if (strcmp(argv[at], "--version") == 0)
            return print("nodeproof-gate " NODEPROOF_VERSION "\n");
        const int size = take_option(argv + at, options);
        if (size == 0 && (has_kind || !find_kind(argv[at], options))) {
            gate_why(why, "wrong use at \"%.60s\", see nodeproof-gate --help", argv[at]);
            return OPTIONS_WRONG;
        }
        has_kind = has_kind || size == 0;
        at += size > 0 ? size : 1;
    }
    if (!has_kind && !is_link) {
        gate_why(why, "expected healthcheck, prolog or epilog, see nodeproof-gate --help");
        return OPTIONS_WRONG;
    }
    if (options->timeout_s == 0)
        options->timeout_s = TIMEOUTS_S[options->kind];
    return OPTIONS_RUN;
}
