/* SPDX-License-Identifier: Apache-2.0 */
/* Two ends in one process, each in a thread of its own. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/rendezvous.h"
#include "test.h"

enum { SAMPLES = 3000, LARGE_BYTES = 4 << 20 };

static struct np_clock the_clock;
static atomic_bool is_cancelled;
static const struct bench_request REQUEST = {.is_cancelled = &is_cancelled, .session = ""};
static struct bench_request request;

static uint64_t in_seconds(double seconds)
{
    return np_clock_now(&the_clock) + np_clock_ticks(&the_clock, seconds);
}

/* Two ends that have met. */
static void open_ends(struct rendezvous ends[2])
{
    int fds[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    for (int i = 0; i < 2; i++)
        ends[i] = (struct rendezvous){
            .fd = fds[i], .is_server = i == 0, .request = &request, .deadline = in_seconds(5), .peer_host = "there"};
}

struct task {
    struct rendezvous *end;
    char *mine, *theirs;
    struct np_samples samples;
    int rc;
    char why[BENCH_WHY_BYTES];
};

static void *exchange(void *state)
{
    struct task *task = state;
    task->rc = rendezvous_exchange(task->end, task->mine, task->theirs, LARGE_BYTES, task->why);
    return NULL;
}

static void *share(void *state)
{
    struct task *task = state;
    task->rc = rendezvous_share_samples(task->end, &task->samples, task->why);
    return NULL;
}

static void *stand(void *state)
{
    struct task *task = state;
    task->rc = rendezvous_barrier(task->end, task->why);
    return NULL;
}

static void run(struct task tasks[2], void *(*work)(void *))
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, work, &tasks[i]) == 0);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

/* More than any buffer holds, both at once: neither may wait for the other to read first. */
static void both_send_and_receive(void)
{
    struct rendezvous ends[2];
    struct task tasks[2] = {0};
    open_ends(ends);
    for (int i = 0; i < 2; i++) {
        tasks[i] = (struct task){.end = &ends[i], .mine = malloc(LARGE_BYTES), .theirs = malloc(LARGE_BYTES)};
        CHECK(tasks[i].mine != NULL && tasks[i].theirs != NULL);
        memset(tasks[i].mine, 'a' + i, LARGE_BYTES);
    }
    run(tasks, exchange);
    for (int i = 0; i < 2; i++) {
        CHECK(tasks[i].rc == 0);
        CHECK(memcmp(tasks[i].theirs, tasks[1 - i].mine, LARGE_BYTES) == 0);
    }
    for (int i = 0; i < 2; i++) {
        free(tasks[i].mine);
        free(tasks[i].theirs);
    }
    run(tasks, stand);
    CHECK(tasks[0].rc == 0 && tasks[1].rc == 0);
    rendezvous_close(&ends[0]);
    rendezvous_close(&ends[1]);
}

/* What the client measured, the server knows; one that has room for `room` only says so. */
static void share_samples(size_t room, double odd, int expected)
{
    struct rendezvous ends[2];
    struct task tasks[2] = {0};
    open_ends(ends);
    for (int i = 0; i < 2; i++) {
        tasks[i].end = &ends[i];
        CHECK(np_samples_open(&tasks[i].samples, i == 0 ? room : SAMPLES) == 0);
    }
    for (size_t i = 0; i < SAMPLES; i++)
        np_samples_add(&tasks[1].samples, i == SAMPLES / 2 ? odd : 1e-6 * (double)(i + 1));
    tasks[1].samples.seconds = 1.5;
    if (expected == 0) {
        run(tasks, share);
    } else { /* a server that gives up closes, and the client sees it */
        pthread_t client;
        CHECK(pthread_create(&client, NULL, share, &tasks[1]) == 0);
        share(&tasks[0]);
        rendezvous_close(&ends[0]);
        CHECK(pthread_join(client, NULL) == 0);
        CHECK(tasks[1].rc == -EPIPE || tasks[1].rc == 0);
    }
    CHECK(tasks[0].rc == expected);
    if (expected == 0) {
        CHECK(tasks[0].samples.count == SAMPLES && tasks[0].samples.seconds == 1.5);
        CHECK(memcmp(tasks[0].samples.values, tasks[1].samples.values, SAMPLES * sizeof(double)) == 0);
    }
    for (int i = 0; i < 2; i++) {
        np_samples_close(&tasks[i].samples);
        rendezvous_close(&ends[i]);
    }
}

static void every_wait_ends(void)
{
    struct rendezvous ends[2];
    char why[BENCH_WHY_BYTES] = "";
    open_ends(ends);
    CHECK(!rendezvous_is_peer_gone(&ends[0]));
    ends[0].deadline = in_seconds(0.1);
    CHECK(rendezvous_barrier(&ends[0], why) == -ETIMEDOUT);
    CHECK(strcmp(why, "the other host, there, did not answer in time") == 0);
    ends[0].deadline = in_seconds(5);
    atomic_store(&is_cancelled, true);
    CHECK(rendezvous_barrier(&ends[0], why) == -ECANCELED);
    atomic_store(&is_cancelled, false);
    rendezvous_close(&ends[1]);
    CHECK(rendezvous_is_peer_gone(&ends[0]));
    CHECK(rendezvous_barrier(&ends[0], why) == -EPIPE);
    CHECK(strcmp(why, "the other host, there, went away") == 0);
    rendezvous_close(&ends[0]);
    CHECK(rendezvous_is_peer_gone(&ends[0]));
    CHECK(rendezvous_barrier(&ends[0], why) == -EPIPE);
}

static void a_barrier_is_not_anything(void)
{
    struct rendezvous ends[2];
    char why[BENCH_WHY_BYTES] = "";
    open_ends(ends);
    CHECK(write(ends[1].fd, "carrier", 8) == 8);
    CHECK(rendezvous_barrier(&ends[0], why) == -EPROTO);
    rendezvous_close(&ends[0]);
    rendezvous_close(&ends[1]);
}

static void a_hello_is_judged(void)
{
    struct meeting meeting = {.request = &request, .benchmark = "net.latency", .session = "one", .device = ""};
    struct meeting other = meeting;
    struct hello hello;
    hello_make(&meeting, SAYS_LET_ME_IN, &hello);
    CHECK(sizeof hello == 112);
    CHECK(hello_may_begin(&hello, 1) && hello_may_begin(&hello, sizeof hello));
    CHECK(hello_judge(&meeting, &hello) == SAYS_WELCOME);
    other.session = "";
    CHECK(hello_judge(&other, &hello) == SAYS_OTHER_SESSION);
    other.benchmark = "net.latenc";
    CHECK(hello_judge(&other, &hello) == SAYS_OTHER_BENCHMARK);
    hello.version ^= htonl(3);
    CHECK(hello_judge(&meeting, &hello) == SAYS_OTHER_VERSION);
    hello_make(&meeting, SAYS_WELCOME, &hello); /* a server is no client, and tells no session */
    CHECK(hello_judge(&meeting, &hello) != SAYS_WELCOME);
    CHECK(hello.session[0] == '\0');
    hello.magic[1]++;
    CHECK(hello_may_begin(&hello, 1) && !hello_may_begin(&hello, 2));
}

int main(void)
{
    CHECK(np_clock_init(&the_clock, false) == 0);
    request = REQUEST;
    request.clock = the_clock;
    request.seconds = 1;
    both_send_and_receive();
    share_samples(SAMPLES, 1e-3, 0);
    share_samples(SAMPLES - 1, 1e-3, -EPROTO);
    share_samples(SAMPLES, NAN, -EPROTO);
    share_samples(SAMPLES, -1e-6, -EPROTO);
    every_wait_ends();
    a_barrier_is_not_anything();
    a_hello_is_judged();
    return EXIT_SUCCESS;
}
