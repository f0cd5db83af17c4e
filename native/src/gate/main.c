/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nodeproof-gate: what slurmd runs before and after every job, and every few minutes. It passes on what the agent of
 * this node found; where there is no fresh answer of the agent, it has the node judged by a pass of its own.
 */
#include "gate.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>
#include <unistd.h>

#include "answer.h"
#include "fallback.h"
#include "mark.h"
#include "options.h"
#include "say.h"
#include "trust.h"

const char *const GATE_KIND_NAMES[GATE_KINDS] = {"healthcheck", "prolog", "epilog"};
const int GATE_MOST_CODE[GATE_KINDS] = {3, 1, 1};

enum { JOB_ID_DIGITS = 10 };

int gate_why(char why[GATE_WHY_BYTES], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, GATE_WHY_BYTES, format, arguments);
    va_end(arguments);
    return -1;
}

/* Give descriptors 0 to 2 something to be: else the file of job marks could become the standard output. */
static void open_standard_streams(void)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0 && open("/", O_PATH) < 0)
            _exit(EXIT_SUCCESS); /* no file can be opened at all: nothing can be found out, or said */
}

/* Whose prolog this is: slurmd sets it, and whatever else is there is no number of a job. */
static bool read_occasion(enum gate_kind kind, struct gate_occasion *occasion)
{
    const char *job = getenv("SLURM_JOB_ID");
    const size_t digits = job != NULL ? strspn(job, "0123456789") : 0;
    const bool is_job = digits > 0 && digits <= JOB_ID_DIGITS && job[digits] == '\0';
    *occasion = (struct gate_occasion){.kind = kind, .job_id = is_job ? strtoull(job, NULL, 10) : 0};
    if (occasion->job_id != 0)
        snprintf(occasion->label, sizeof occasion->label, "%s of job %" PRIu64, GATE_KIND_NAMES[kind],
                 occasion->job_id);
    else
        snprintf(occasion->label, sizeof occasion->label, "%s", GATE_KIND_NAMES[kind]);
    return is_job || job == NULL || *job == '\0';
}

static struct gate_moment read_moment(void)
{
    struct gate_moment moment = {.boot_id = ""};
    struct timespec now;
    const int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (read(fd, moment.boot_id, GATE_BOOT_ID_BYTES) != GATE_BOOT_ID_BYTES)
            moment.boot_id[0] = '\0';
        close(fd);
    }
    if (clock_gettime(CLOCK_BOOTTIME, &now) != 0)
        moment.boot_id[0] = '\0';
    else
        moment.boottime_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    return moment;
}

/* Nobody who calls us may be less than who we are: the environment and the options are taken from the caller. */
static bool is_set_user_id(void)
{
    return getauxval(AT_SECURE) != 0;
}

static int run(const struct gate_options *options)
{
    char why[GATE_WHY_BYTES];
    struct gate_occasion occasion;
    struct gate_answer answer;
    if (!read_occasion(options->kind, &occasion))
        say_trouble(&occasion, false, "warning: SLURM_JOB_ID is not what Slurm sets");
    const struct gate_moment moment = read_moment();
    const int directory = trust_open_directory(options->run_dir, why);
    if (directory < 0 && why[0] != '\0')
        say_trouble(&occasion, false, "%s %s: this node is judged now", options->run_dir, why);
    if (directory < 0)
        return fallback_run(options, &occasion);
    if (options->kind != GATE_HEALTHCHECK)
        mark_leave(directory, &occasion, &moment);
    if (answer_read(directory, options->kind, &moment, &answer, why) == 0) {
        say_answer(&occasion, &answer);
        return answer.code;
    }
    if (why[0] != '\0') /* else no agent runs here, which is nobody's mistake */
        say_trouble(&occasion, false, "the gate file %s: this node is judged now", why);
    return fallback_run(options, &occasion);
}

int main(int argc, char **argv)
{
    static const struct gate_occasion NO_OCCASION = {.label = "gate"};
    struct gate_options options;
    char why[GATE_WHY_BYTES] = "must not be installed set-user-ID";
    open_standard_streams();
    signal(SIGPIPE, SIG_IGN); /* that nobody reads our lines changes no exit code */
    const enum options_result result = is_set_user_id() ? OPTIONS_WRONG : options_read(argc, argv, &options, why);
    if (result == OPTIONS_RUN)
        return run(&options);
    if (result == OPTIONS_DONE)
        return EXIT_SUCCESS;
    say_trouble(&NO_OCCASION, true, "%s", why);
    return EXIT_SUCCESS; /* a misspelt line in slurm.conf must drain no cluster */
}
