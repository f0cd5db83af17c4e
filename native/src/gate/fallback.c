/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Without an answer of the agent: `python -I -m nodeproof hook KIND` from the directory of this program, in a process
 * group of its own, so that the deadline ends its workers too.
 */
#include "fallback.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "say.h"

/* Between SIGTERM and SIGKILL, and then for the kernel: what is in D state is not waited for. */
enum { GRACE_S = 2, LAST_S = 1 };

/* A health check that could not be made is told: slurmd does nothing else with its exit code. */
enum { EXIT_OPEN = 0, EXIT_LOUD = 3, EXIT_CLOSED = 1, EXIT_BY_SIGNAL = 128 };

enum { OUTPUT_BYTES = 1 << 16 };

/* Of the environment, what the hook reads: nothing else of it may change a verdict. */
static const char *const KEPT[] = {"SLURM_JOB_ID=",   "SLURMD_NODENAME=", "SLURM_CONF=",           "HOME=",
                                   "XDG_STATE_HOME=", "XDG_CACHE_HOME=",  "CREDENTIALS_DIRECTORY="};

struct pass {
    pid_t pid;
    int output;   /* what it prints, -1: whoever waits for us gets it directly */
    int trouble;  /* the read end of a pipe, with an errno if Python could not be started */
    int signal;   /* that ended our waiting, or 0 */
    bool is_late; /* it had to be ended */
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t in_seconds(unsigned int seconds)
{
    return now_ns() + (uint64_t)seconds * 1000000000;
}

/* The interpreter of the environment that we were installed in. */
static int find_python(char path[PATH_MAX], char why[GATE_WHY_BYTES])
{
    const ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - sizeof "python");
    if (n < 0)
        return gate_why(why, "/proc/self/exe: %s", strerror(errno));
    if (n == PATH_MAX - (ssize_t)sizeof "python")
        return gate_why(why, "/proc/self/exe: %s", strerror(ENAMETOOLONG));
    path[n] = '\0';
    memcpy(strrchr(path, '/') + 1, "python", sizeof "python");
    return 0;
}

static void keep_environment(void)
{
    char **kept = environ;
    for (char **variable = environ; *variable != NULL; variable++)
        for (size_t i = 0; i < sizeof KEPT / sizeof *KEPT; i++)
            if (strncmp(*variable, KEPT[i], strlen(KEPT[i])) == 0) {
                *kept++ = *variable;
                break;
            }
    *kept = NULL;
}

/* In the child: become the pass. */
__attribute__((noreturn)) static void become(const char *python, enum gate_kind kind, int output, int trouble,
                                             pid_t parent)
{
    char *const argv[] = {(char *)python, "-I", "-m", "nodeproof", "hook", (char *)GATE_KIND_NAMES[kind], NULL};
    sigset_t none;
    sigemptyset(&none);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* slurmd may kill us with a signal that we never see */
    if (getppid() != parent)
        _exit(EXIT_FAILURE);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (output >= 0)
        dup2(output, STDOUT_FILENO);
    keep_environment();
    execv(python, argv);
    say_bytes(trouble, (const char *)&errno, sizeof errno);
    _exit(EXIT_FAILURE);
}

static int start(struct pass *pass, enum gate_kind kind, char why[GATE_WHY_BYTES])
{
    char python[PATH_MAX];
    int ends[2];
    const pid_t parent = getpid();
    if (find_python(python, why) != 0)
        return -1;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return gate_why(why, "no pipe: %s", strerror(errno));
    *pass = (struct pass){.output = memfd_create("nodeproof-gate", MFD_CLOEXEC), .trouble = ends[0]};
    pass->pid = fork();
    if (pass->pid == 0)
        become(python, kind, pass->output, ends[1], parent);
    close(ends[1]);
    if (pass->pid < 0)
        return gate_why(why, "no new process: %s", strerror(errno));
    setpgid(pass->pid, pass->pid); /* whoever of us is first */
    return 0;
}

/* Wait until the pass has ended, and leave it to be reaped: its number must not be another's while it may be killed.
   Returns 0, -1 after the deadline, or the number of a signal. */
static int wait_for_end(pid_t pid, const sigset_t *awaited, uint64_t deadline_ns)
{
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == pid)
            return 0;
        const uint64_t now = now_ns();
        if (now >= deadline_ns)
            return -1;
        const uint64_t left_ns = deadline_ns - now;
        const struct timespec limit = {(time_t)(left_ns / 1000000000), (long)(left_ns % 1000000000)};
        const int number = sigtimedwait(awaited, NULL, &limit);
        if (number > 0 && number != SIGCHLD)
            return number;
    }
}

/* End the pass and all that it started. */
static void end(pid_t pid, const sigset_t *awaited)
{
    const uint64_t grace_ns = in_seconds(GRACE_S);
    kill(-pid, SIGTERM);
    while (wait_for_end(pid, awaited, grace_ns) > 0)
        ; /* told to stop again */
    kill(-pid, SIGKILL);
    const uint64_t last_ns = in_seconds(LAST_S);
    while (wait_for_end(pid, awaited, last_ns) > 0)
        ;
}

static void watch(struct pass *pass, unsigned int timeout_s, const sigset_t *awaited)
{
    const int ended_by = wait_for_end(pass->pid, awaited, in_seconds(timeout_s));
    pass->signal = ended_by > 0 ? ended_by : 0;
    pass->is_late = ended_by < 0;
    if (ended_by != 0)
        end(pass->pid, awaited);
}

/* Whether a line of the hook's own is in it: `nodeproof prolog of job 1: …`. */
static bool is_told(const char *text, size_t bytes, enum gate_kind kind)
{
    char head[32];
    const size_t length = (size_t)snprintf(head, sizeof head, "nodeproof %s", GATE_KIND_NAMES[kind]);
    for (const char *line = text, *stop = text + bytes; line < stop;) {
        const char *newline = memchr(line, '\n', (size_t)(stop - line));
        const size_t size = (size_t)((newline != NULL ? newline : stop) - line);
        if (size > length && memcmp(line, head, length) == 0)
            return true;
        line += size + 1;
    }
    return false;
}

/* Pass on what was printed. Returns whether there was an answer in it. */
static bool relay(const struct pass *pass, enum gate_kind kind)
{
    static char text[OUTPUT_BYTES];
    if (pass->output < 0)
        return true; /* it was printed past us */
    const ssize_t n = pread(pass->output, text, sizeof text, 0);
    if (n <= 0)
        return false;
    say_bytes(STDOUT_FILENO, text, (size_t)n);
    return is_told(text, (size_t)n, kind);
}

/* The exit code of a pass that came to a verdict, or -1. A Python that is broken ends with 1 as well, but then nobody
   says that this node failed. */
static int verdict(const struct pass *pass, enum gate_kind kind, bool is_answered, char why[GATE_WHY_BYTES])
{
    siginfo_t info = {0};
    int error = 0;
    if (pass->is_late)
        return gate_why(why, "the pass took too long and was ended");
    if (read(pass->trouble, &error, sizeof error) == (ssize_t)sizeof error)
        return gate_why(why, "Python cannot be started: %s", strerror(error));
    if (waitid(P_PID, (id_t)pass->pid, &info, WEXITED | WNOHANG) != 0 || info.si_pid != pass->pid)
        return gate_why(why, "nobody knows how the pass ended");
    if (info.si_code != CLD_EXITED)
        return gate_why(why, "the pass was ended by signal %d", info.si_status);
    if (info.si_status > GATE_MOST_CODE[kind] || (info.si_status != 0 && !is_answered))
        return gate_why(why, "the pass ended with %d and no verdict", info.si_status);
    return info.si_status;
}

int fallback_run(const struct gate_options *options, const struct gate_occasion *occasion)
{
    char why[GATE_WHY_BYTES];
    struct pass pass;
    sigset_t awaited;
    int code = -1;
    sigemptyset(&awaited);
    for (size_t i = 0; i < 5; i++)
        sigaddset(&awaited, (const int[]){SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT}[i]);
    signal(SIGCHLD, SIG_DFL); /* where it is ignored, there is nothing to wait for */
    sigprocmask(SIG_BLOCK, &awaited, NULL);
    if (start(&pass, occasion->kind, why) == 0) {
        watch(&pass, options->timeout_s, &awaited);
        const bool is_answered = relay(&pass, occasion->kind);
        if (pass.signal != 0)
            return EXIT_BY_SIGNAL + pass.signal;
        code = verdict(&pass, occasion->kind, is_answered, why);
    }
    if (code >= 0)
        return code;
    say_trouble(occasion, true, "this node is not judged: %s (the gate fails %s)", why,
                options->fails_closed ? "closed" : "open");
    return options->fails_closed ? EXIT_CLOSED : occasion->kind == GATE_HEALTHCHECK ? EXIT_LOUD : EXIT_OPEN;
}
