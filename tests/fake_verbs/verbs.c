/*
 * A libibverbs.so.1 without hardware: it moves messages between the queue pairs of one process, by copying.
 *
 * The environment variable FAKE_VERBS has words, separated by spaces: devices=COUNT (fake0, fake1, … of one port each;
 * 2 by default), sysfs=DIR (their directories in sysfs are below it), ethernet=1, down=INDEX (a port that is not active),
 * fail=NAME (that function fails with EIO; of modify_qp, the transition to connect), no_inline=1, error=COUNT (the
 * message of that number completes with an error), wrong=COUNT (it arrives with one bit turned over; -1: all do), lost=COUNT (it and
 * all after it never arrive), slow=INDEX and slow_ns=TIME (what that device sends takes so much longer).
 * In the file FAKE_VERBS_LOG each object leaves a line when it is made, and another when it is destroyed. A context
 * that is closed while objects of it are left aborts the process.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "verbs_abi.h"

enum { MOST_DEVICES = 16, MOST_QPS = 256, FIRST_QP = 100, RING = 1024, GIDS = 3, MTU_4096 = 5, RNR_ERROR = 13, RETRY_ERROR = 12 };

struct context {
    struct np_ibv_context base;
    int left;
};

struct cq {
    struct np_ibv_cq base;
    pthread_mutex_t lock;
    struct np_ibv_wc ring[RING];
    unsigned taken, filled;
};

struct qp {
    struct np_ibv_qp base;
    pthread_mutex_t lock;
    struct np_ibv_sge receives[RING];
    unsigned taken, filled, most_inline;
    uint32_t peer;
    int is_connected;
};

static struct np_ibv_device devices[MOST_DEVICES];
static struct qp *qps[MOST_QPS];
static unsigned long posted;

static const char *word(const char *name)
{
    const char *words = getenv("FAKE_VERBS");
    const size_t length = strlen(name);
    for (const char *at = words; at && *at; at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL)
        if (!strncmp(at, name, length) && at[length] == '=')
            return at + length + 1;
    return NULL;
}

static long number(const char *name, long otherwise)
{
    const char *value = word(name);
    return value ? atol(value) : otherwise;
}

static int fails(const char *name)
{
    const char *value = word("fail");
    if (!value || strncmp(value, name, strlen(name)) || (value[strlen(name)] && value[strlen(name)] != ' '))
        return 0;
    errno = EIO;
    return 1;
}

static void note(const char *what, const char *which)
{
    const char *path = getenv("FAKE_VERBS_LOG");
    char line[64];
    const int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND, 0644) : -1;
    if (fd < 0)
        return;
    snprintf(line, sizeof line, "%s %s\n", what, which);
    if (write(fd, line, strlen(line)) < 0)
        abort();
    close(fd);
}

static void *made(struct np_ibv_context *context, const char *what, size_t size)
{
    if (fails(what))
        return NULL;
    note("made", what);
    if (context)
        __atomic_add_fetch(&((struct context *)context)->left, 1, __ATOMIC_RELAXED);
    return calloc(1, size);
}

static int destroyed(struct np_ibv_context *context, const char *what, void *object)
{
    note("destroyed", what);
    __atomic_sub_fetch(&((struct context *)context)->left, 1, __ATOMIC_RELAXED);
    free(object);
    return 0;
}

struct np_ibv_device **ibv_get_device_list(int *count)
{
    const char *sysfs = word("sysfs");
    struct np_ibv_device **list = calloc(MOST_DEVICES + 1, sizeof *list);
    *count = (int)number("devices", 2);
    if (fails("get_device_list"))
        return free(list), NULL;
    for (int i = 0; i < *count; i++) {
        list[i] = &devices[i];
        snprintf(devices[i].name, sizeof devices[i].name, "fake%d", i);
        snprintf(devices[i].ibdev_path, sizeof devices[i].ibdev_path, "%.*s/fake%d",
                 sysfs ? (int)strcspn(sysfs, " ") : 12, sysfs ? sysfs : "/nonexistent", i);
    }
    return list;
}

void ibv_free_device_list(struct np_ibv_device **list)
{
    free(list);
}

static int poll_cq(struct np_ibv_cq *base, int most, struct np_ibv_wc *completions)
{
    struct cq *cq = (struct cq *)base;
    int count = 0;
    if (fails("poll_cq"))
        return -1;
    pthread_mutex_lock(&cq->lock);
    while (count < most && cq->taken != cq->filled)
        completions[count++] = cq->ring[cq->taken++ % RING];
    pthread_mutex_unlock(&cq->lock);
    return count;
}

static void complete(struct np_ibv_cq *base, int status)
{
    struct cq *cq = (struct cq *)base;
    pthread_mutex_lock(&cq->lock);
    cq->ring[cq->filled++ % RING] = (struct np_ibv_wc){.status = status};
    pthread_mutex_unlock(&cq->lock);
}

/* The last byte is there last, as others wait for it. */
static void deliver(const char *from, char *to, size_t bytes, int is_wrong)
{
    memcpy(to, from, bytes - 1);
    if (is_wrong)
        to[bytes - 2] ^= 4;
    __atomic_store_n(to + bytes - 1, from[bytes - 1], __ATOMIC_RELEASE);
}

static int send_to(struct qp *peer, const struct np_ibv_sge *part, int is_wrong)
{
    pthread_mutex_lock(&peer->lock);
    const int has_room = peer->taken != peer->filled;
    const struct np_ibv_sge to = peer->receives[peer->taken % RING];
    peer->taken += (unsigned)has_room;
    pthread_mutex_unlock(&peer->lock);
    if (!has_room)
        return RNR_ERROR;
    deliver((const char *)(uintptr_t)part->addr, (char *)(uintptr_t)to.addr, part->length, is_wrong);
    complete(peer->base.recv_cq, 0);
    return 0;
}

static void be_slow(const struct qp *qp)
{
    struct timespec begin, now;
    if (qp->base.context->device != &devices[number("slow", MOST_DEVICES - 1)])
        return;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - begin.tv_sec) * 1000000000L + now.tv_nsec - begin.tv_nsec < number("slow_ns", 0));
}

static int post_send(struct np_ibv_qp *base, struct np_ibv_send_wr *request, struct np_ibv_send_wr **bad)
{
    struct qp *qp = (struct qp *)base;
    *bad = request;
    for (; request; *bad = request = request->next) {
        const unsigned long count = __atomic_add_fetch(&posted, 1, __ATOMIC_RELAXED);
        struct qp *peer = qps[qp->peer - FIRST_QP];
        const int is_wrong = number("wrong", 0) == -1 || count == (unsigned long)number("wrong", 0);
        int status = count == (unsigned long)number("error", 0) ? RETRY_ERROR : 0;
        if (!qp->is_connected || fails("post_send") ||
            ((request->send_flags & NP_IBV_SEND_INLINE) && request->sg_list->length > qp->most_inline))
            return EINVAL;
        if (count >= (unsigned long)number("lost", 1L << 62))
            continue;
        be_slow(qp);
        if (!status && request->opcode == NP_IBV_WR_SEND)
            status = send_to(peer, request->sg_list, is_wrong);
        else if (!status)
            deliver((const char *)(uintptr_t)request->sg_list->addr, (char *)(uintptr_t)request->remote_addr,
                    request->sg_list->length, is_wrong);
        if (status || (request->send_flags & NP_IBV_SEND_SIGNALED))
            complete(base->send_cq, status);
    }
    return 0;
}

static int post_recv(struct np_ibv_qp *base, struct np_ibv_recv_wr *request, struct np_ibv_recv_wr **bad)
{
    struct qp *qp = (struct qp *)base;
    *bad = request;
    if (fails("post_recv"))
        return EINVAL;
    pthread_mutex_lock(&qp->lock);
    qp->receives[qp->filled++ % RING] = *request->sg_list;
    pthread_mutex_unlock(&qp->lock);
    return 0;
}

struct np_ibv_context *ibv_open_device(struct np_ibv_device *device)
{
    struct context *context = made(NULL, "open_device", sizeof *context);
    if (!context)
        return NULL;
    context->base.device = device;
    context->base.ops.poll_cq = poll_cq;
    context->base.ops.post_send = post_send;
    context->base.ops.post_recv = post_recv;
    return &context->base;
}

int ibv_close_device(struct np_ibv_context *context)
{
    if (((struct context *)context)->left != 0)
        abort();
    note("destroyed", "open_device");
    free(context);
    return 0;
}

int ibv_query_device(struct np_ibv_context *context, struct np_ibv_device_attr *attr)
{
    (void)context;
    attr->phys_port_cnt = 1;
    return 0;
}

int ibv_query_port(struct np_ibv_context *context, uint8_t port, struct np_ibv_port_attr *attr)
{
    const long index = context->device - devices;
    const int is_ethernet = (int)number("ethernet", 0);
    memset(attr, 0, offsetof(struct np_ibv_port_attr, port_cap_flags2));
    if (port != 1)
        return EINVAL;
    attr->state = index == number("down", -1) ? 1 : NP_IBV_PORT_ACTIVE;
    attr->active_mtu = MTU_4096;
    attr->gid_tbl_len = GIDS;
    attr->max_msg_sz = 1U << 31;
    attr->lid = is_ethernet ? 0 : (uint16_t)(index + 1);
    attr->link_layer = is_ethernet ? NP_IBV_LINK_LAYER_ETHERNET : 1;
    return 0;
}

/* As a RoCE device has them: of the link, then with its IPv4 address, then none. */
int ibv_query_gid(struct np_ibv_context *context, uint8_t port, int index, union np_ibv_gid *gid)
{
    (void)port;
    *gid = (union np_ibv_gid){{0}};
    if (index == 0) {
        gid->raw[0] = 0xfe;
        gid->raw[1] = 0x80;
    } else if (index == 1) {
        gid->raw[10] = gid->raw[11] = 0xff;
    }
    if (index < 2)
        gid->raw[15] = (uint8_t)(context->device - devices + 1);
    return index < GIDS ? 0 : -1;
}

struct np_ibv_pd *ibv_alloc_pd(struct np_ibv_context *context)
{
    struct np_ibv_pd *pd = made(context, "alloc_pd", sizeof *pd);
    if (pd)
        pd->context = context;
    return pd;
}

int ibv_dealloc_pd(struct np_ibv_pd *pd)
{
    return destroyed(pd->context, "alloc_pd", pd);
}

struct np_ibv_mr *ibv_reg_mr(struct np_ibv_pd *pd, void *address, size_t bytes, int access)
{
    struct np_ibv_mr *mr = made(pd->context, "reg_mr", sizeof *mr);
    (void)access;
    if (mr)
        *mr = (struct np_ibv_mr){.context = pd->context, .pd = pd, .addr = address, .length = bytes, .rkey = 7};
    return mr;
}

int ibv_dereg_mr(struct np_ibv_mr *mr)
{
    return destroyed(mr->context, "reg_mr", mr);
}

struct np_ibv_cq *ibv_create_cq(struct np_ibv_context *context, int entries, void *user, void *channel, int vector)
{
    struct cq *cq = entries <= RING ? made(context, "create_cq", sizeof *cq) : NULL;
    (void)user, (void)channel, (void)vector;
    if (!cq)
        return NULL;
    pthread_mutex_init(&cq->lock, NULL);
    cq->base.context = context;
    return &cq->base;
}

int ibv_destroy_cq(struct np_ibv_cq *cq)
{
    return destroyed(cq->context, "create_cq", cq);
}

struct np_ibv_qp *ibv_create_qp(struct np_ibv_pd *pd, struct np_ibv_qp_init_attr *attr)
{
    uint32_t index = 0;
    struct qp *qp;
    if (number("no_inline", 0) && attr->cap.max_inline_data > 0)
        return errno = EINVAL, NULL;
    while (index < MOST_QPS && qps[index])
        index++;
    qp = index < MOST_QPS ? made(pd->context, "create_qp", sizeof *qp) : NULL;
    if (!qp)
        return NULL;
    qp->base = (struct np_ibv_qp){
        .context = pd->context, .pd = pd, .send_cq = attr->send_cq, .recv_cq = attr->recv_cq, .qp_num = FIRST_QP + index};
    qp->most_inline = attr->cap.max_inline_data;
    pthread_mutex_init(&qp->lock, NULL);
    qps[index] = qp;
    return &qp->base;
}

int ibv_modify_qp(struct np_ibv_qp *base, struct np_ibv_qp_attr *attr, int mask)
{
    struct qp *qp = (struct qp *)base;
    if (attr->qp_state == NP_IBV_QPS_RTR && fails("modify_qp"))
        return errno;
    if (mask & NP_IBV_QP_DEST_QPN) {
        qp->peer = attr->dest_qp_num;
        /* What a real device would not find its way without: a route on Ethernet, the LID on InfiniBand. */
        if (number("ethernet", 0) ? !attr->ah_attr.is_global : attr->ah_attr.dlid == 0)
            return EINVAL;
    }
    qp->is_connected = attr->qp_state == NP_IBV_QPS_RTS;
    return 0;
}

int ibv_destroy_qp(struct np_ibv_qp *qp)
{
    qps[qp->qp_num - FIRST_QP] = NULL;
    return destroyed(qp->context, "create_qp", qp);
}

const char *ibv_wc_status_str(int status)
{
    return status == RETRY_ERROR ? "transport retry counter exceeded" : "receiver not ready";
}
