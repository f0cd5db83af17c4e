/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs_end.h"

#include <errno.h>
#include <string.h>

/* Larger messages are fetched from memory by the device; ib_write_lat of perftest has the same limit. */
enum { MOST_INLINE_BYTES = 220 };

/* Of the connection. A message that is not acknowledged is sent again after 4.096 us * 2^14, seven times. */
enum { TIMEOUT = 14, RETRIES = 7, RECEIVER_NOT_READY_RETRIES = 6, RECEIVER_NOT_READY_TIMER = 12, MOST_HOPS = 255 };

/* A cache line and the one that is fetched with it: the device must not write next to what we write. */
enum { SLOT_ALIGNMENT = 128 };

enum { GRH_REQUIRED = 1, PSN_MASK = 0xffffff };

static int failed(const struct verbs_end *end, const char *what, int error, char why[BENCH_WHY_BYTES])
{
    const int rc = error > 0 ? -error : error < 0 ? error : -EIO;
    return bench_why(why, rc == -EINVAL || rc == -ENOTSUP ? -EIO : rc, "%s: cannot %s: %s", end->port->name, what,
                     strerror(-rc));
}

/* What the request of a device may be refused with, hardly ever with a number. */
static int failed_errno(const struct verbs_end *end, const char *what, char why[BENCH_WHY_BYTES])
{
    return failed(end, what, errno, why);
}

static int open_memory(struct verbs_end *end, char why[BENCH_WHY_BYTES])
{
    end->stride = (end->shape.message_bytes + SLOT_ALIGNMENT - 1) / SLOT_ALIGNMENT * SLOT_ALIGNMENT;
    const size_t way_bytes = end->stride * end->shape.slots;
    int rc = np_arena_open(&end->arena, 2 * way_bytes);
    if (rc != 0)
        return bench_why(why, rc, "%zu bytes of memory for %s: %s", 2 * way_bytes, end->port->name, strerror(-rc));
    if (end->port->node >= 0)
        (void)np_arena_bind(&end->arena, (unsigned int)end->port->node); /* else first touch decides */
    memset(end->arena.base, 0, end->arena.bytes);
    end->outgoing = end->arena.base;
    end->incoming = end->outgoing + way_bytes;
    return 0;
}

static int register_memory(struct verbs_end *end, char why[BENCH_WHY_BYTES])
{
    const int access = NP_IBV_ACCESS_LOCAL_WRITE | NP_IBV_ACCESS_REMOTE_WRITE;
    void *const base = end->arena.base;
    const size_t bytes = end->arena.bytes;
    if (end->shape.is_relaxed && end->verbs->reg_mr_iova2 != NULL)
        end->mr = end->verbs->reg_mr_iova2(end->pd, base, bytes, (uintptr_t)base,
                                           (unsigned int)(access | NP_IBV_ACCESS_RELAXED));
    if (end->mr == NULL)
        end->mr = end->verbs->reg_mr(end->pd, base, bytes, access);
    return end->mr != NULL ? 0 : failed_errno(end, "register memory (ulimit -l)", why);
}

/* A device that has no room for data in a request refuses to make a queue pair that wants it. */
static int create_queues(struct verbs_end *end, char why[BENCH_WHY_BYTES])
{
    const struct verbs *verbs = end->verbs;
    struct np_ibv_qp_init_attr attr = {.qp_type = NP_IBV_QPT_RC};
    end->send_cq = verbs->create_cq(end->context, (int)end->shape.send_depth, NULL, NULL, 0);
    if (end->send_cq != NULL)
        end->receive_cq = verbs->create_cq(end->context, (int)end->shape.receive_depth, NULL, NULL, 0);
    if (end->receive_cq == NULL)
        return failed_errno(end, "create a completion queue", why);
    end->inline_bytes = end->shape.message_bytes <= MOST_INLINE_BYTES ? end->shape.message_bytes : 0;
    for (;;) {
        attr.send_cq = end->send_cq;
        attr.recv_cq = end->receive_cq;
        attr.cap = (struct np_ibv_qp_cap){end->shape.send_depth, end->shape.receive_depth, 1, 1, end->inline_bytes};
        end->qp = verbs->create_qp(end->pd, &attr);
        if (end->qp != NULL || end->inline_bytes == 0)
            break;
        end->inline_bytes = 0;
    }
    return end->qp != NULL ? 0 : failed_errno(end, "create a queue pair", why);
}

static int initialise(struct verbs_end *end, char why[BENCH_WHY_BYTES])
{
    struct np_ibv_qp_attr attr = {
        .qp_state = NP_IBV_QPS_INIT,
        .port_num = end->port->number,
        .qp_access_flags = NP_IBV_ACCESS_REMOTE_WRITE,
    };
    const int mask = NP_IBV_QP_STATE | NP_IBV_QP_PKEY_INDEX | NP_IBV_QP_PORT | NP_IBV_QP_ACCESS_FLAGS;
    const int error = end->verbs->modify_qp(end->qp, &attr, mask);
    return error == 0 ? 0 : failed(end, "initialise the queue pair", error, why);
}

/* What stays the same in all requests. */
static int prepare_requests(struct verbs_end *end, char why[BENCH_WHY_BYTES])
{
    const uint32_t bytes = end->shape.message_bytes;
    for (size_t i = 0; i < VERBS_MOST_POSTED; i++) {
        end->send_parts[i] = (struct np_ibv_sge){.length = bytes, .lkey = end->mr->lkey};
        end->sends[i] = (struct np_ibv_send_wr){.sg_list = &end->send_parts[i], .num_sge = 1};
    }
    end->receive_part = (struct np_ibv_sge){
        .addr = (uintptr_t)verbs_slot(end, end->incoming, end->shape.slots - 1),
        .length = bytes,
        .lkey = end->mr->lkey,
    };
    end->receive = (struct np_ibv_recv_wr){.sg_list = &end->receive_part, .num_sge = 1};
    for (uint32_t i = 0; i < end->shape.receive_depth; i++) {
        const int rc = verbs_post_receive(end);
        if (rc != 0)
            return failed(end, "post a receive", rc, why);
    }
    return 0;
}

int verbs_end_open(struct verbs_end *end, const struct verbs *verbs, const struct verbs_port *port,
                   const struct verbs_shape *shape, char why[BENCH_WHY_BYTES])
{
    *end = (struct verbs_end){.verbs = verbs, .port = port, .shape = *shape};
    if (shape->message_bytes > port->attr.max_msg_sz)
        return bench_why(why, -EINVAL, "--bytes: %s takes messages of at most %u bytes", port->name,
                         port->attr.max_msg_sz);
    int rc = open_memory(end, why);
    if (rc != 0)
        return rc;
    end->psn = (uint32_t)np_clock_raw_ns() & PSN_MASK;
    end->context = verbs->open_device(port->device);
    if (end->context == NULL)
        return failed_errno(end, "open the device", why);
    end->pd = verbs->alloc_pd(end->context);
    if (end->pd == NULL)
        return failed_errno(end, "allocate a protection domain", why);
    rc = register_memory(end, why);
    if (rc == 0)
        rc = create_queues(end, why);
    if (rc == 0)
        rc = initialise(end, why);
    return rc != 0 ? rc : prepare_requests(end, why);
}

void verbs_end_close(struct verbs_end *end)
{
    if (end->qp != NULL)
        end->verbs->destroy_qp(end->qp);
    if (end->send_cq != NULL)
        end->verbs->destroy_cq(end->send_cq);
    if (end->receive_cq != NULL)
        end->verbs->destroy_cq(end->receive_cq);
    if (end->mr != NULL)
        end->verbs->dereg_mr(end->mr);
    if (end->pd != NULL)
        end->verbs->dealloc_pd(end->pd);
    if (end->context != NULL)
        end->verbs->close_device(end->context);
    np_arena_close(&end->arena);
    *end = (struct verbs_end){0};
}

void verbs_end_address(const struct verbs_end *end, struct verbs_address *address)
{
    const struct verbs_port *port = end->port;
    *address = (struct verbs_address){
        .incoming = (uintptr_t)end->incoming,
        .rkey = end->mr->rkey,
        .qp_num = end->qp->qp_num,
        .psn = end->psn,
        .message_bytes = end->shape.message_bytes,
        .lid = port->attr.lid,
        .mtu = (uint8_t)port->attr.active_mtu,
        .is_ethernet = port->is_ethernet,
        .needs_route = port->is_ethernet || (port->attr.flags & GRH_REQUIRED) != 0 || port->attr.lid == 0,
    };
    memcpy(address->gid, port->gid.raw, sizeof address->gid);
    memcpy(address->name, port->name, sizeof address->name);
}

/* Another host may say anything. */
static int check_address(struct verbs_end *end, char why[BENCH_WHY_BYTES])
{
    struct verbs_address *peer = &end->peer;
    peer->name[sizeof peer->name - 1] = '\0';
    for (char *letter = peer->name; *letter != '\0'; letter++)
        if (*letter <= ' ' || *letter > '~')
            *letter = '?';
    if (peer->mtu < 1 || peer->mtu > 5)
        return bench_why(why, -EPROTO, "%s: the other end, %s, has no MTU", end->port->name, peer->name);
    if (peer->message_bytes != end->shape.message_bytes)
        return bench_why(why, -EPROTO, "%s sends messages of %u bytes and %s of %u: both need the same --bytes",
                         end->port->name, end->shape.message_bytes, peer->name, peer->message_bytes);
    if (peer->is_ethernet != end->port->is_ethernet)
        return bench_why(why, -EPROTO, "one of %s and %s is InfiniBand and the other Ethernet", end->port->name,
                         peer->name);
    return 0;
}

static bool needs_route(const struct verbs_end *end, const struct verbs_address *own)
{
    const size_t prefix_bytes = 8; /* of a GID of InfiniBand: the subnet */
    return own->needs_route || end->peer.needs_route ||
           (end->port->has_gid && memcmp(own->gid, end->peer.gid, prefix_bytes) != 0);
}

static int ready_to_receive(struct verbs_end *end, const struct verbs_address *own)
{
    struct np_ibv_qp_attr attr = {
        .qp_state = NP_IBV_QPS_RTR,
        .path_mtu = end->path_mtu,
        .dest_qp_num = end->peer.qp_num,
        .rq_psn = end->peer.psn,
        .max_dest_rd_atomic = 1,
        .min_rnr_timer = RECEIVER_NOT_READY_TIMER,
        .ah_attr = {.dlid = end->peer.lid, .port_num = end->port->number, .is_global = needs_route(end, own)},
    };
    if (attr.ah_attr.is_global) {
        memcpy(attr.ah_attr.grh.dgid.raw, end->peer.gid, sizeof end->peer.gid);
        attr.ah_attr.grh.sgid_index = end->port->gid_index;
        attr.ah_attr.grh.hop_limit = MOST_HOPS;
    }
    return end->verbs->modify_qp(end->qp, &attr,
                                 NP_IBV_QP_STATE | NP_IBV_QP_AV | NP_IBV_QP_PATH_MTU | NP_IBV_QP_DEST_QPN |
                                     NP_IBV_QP_RQ_PSN | NP_IBV_QP_MAX_DEST_RD_ATOMIC | NP_IBV_QP_MIN_RNR_TIMER);
}

static int ready_to_send(struct verbs_end *end)
{
    struct np_ibv_qp_attr attr = {
        .qp_state = NP_IBV_QPS_RTS,
        .timeout = TIMEOUT,
        .retry_cnt = RETRIES,
        .rnr_retry = RECEIVER_NOT_READY_RETRIES,
        .sq_psn = end->psn,
        .max_rd_atomic = 1,
    };
    return end->verbs->modify_qp(end->qp, &attr,
                                 NP_IBV_QP_STATE | NP_IBV_QP_TIMEOUT | NP_IBV_QP_RETRY_CNT | NP_IBV_QP_RNR_RETRY |
                                     NP_IBV_QP_SQ_PSN | NP_IBV_QP_MAX_QP_RD_ATOMIC);
}

int verbs_end_connect(struct verbs_end *end, const struct verbs_address *peer, char why[BENCH_WHY_BYTES])
{
    struct verbs_address own;
    char what[VERBS_PORT_NAME_BYTES + 16];
    end->peer = *peer;
    int rc = check_address(end, why);
    if (rc != 0)
        return rc;
    verbs_end_address(end, &own);
    end->path_mtu = own.mtu < peer->mtu ? own.mtu : peer->mtu;
    int error = ready_to_receive(end, &own);
    if (error == 0)
        error = ready_to_send(end);
    for (size_t i = 0; i < VERBS_MOST_POSTED; i++)
        end->sends[i].rkey = peer->rkey;
    if (error == 0)
        return 0;
    strcpy(what, "connect with ");
    strcat(what, end->peer.name);
    return failed(end, what, error, why);
}

int verbs_end_why(const struct verbs_end *end, const struct np_ibv_wc *completion, char why[BENCH_WHY_BYTES])
{
    const char *text = end->verbs->wc_status_str(completion->status);
    return bench_why(why, -EIO, "%s: a message to %s failed: %s (status %d, vendor error %#x)", end->port->name,
                     end->peer.name, text != NULL ? text : "unknown", completion->status, completion->vendor_err);
}
