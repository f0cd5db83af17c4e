/* SPDX-License-Identifier: Apache-2.0 */
/* libibverbs, loaded at run time: the same program runs where there is none. */
#ifndef NODEPROOF_BENCH_VERBS_H
#define NODEPROOF_BENCH_VERBS_H

#include "bench.h"
#include "verbs_abi.h"

/** The functions of the library, as documented in its manual pages. */
struct verbs {
    struct np_ibv_device **(*get_device_list)(int *count);
    void (*free_device_list)(struct np_ibv_device **list);
    struct np_ibv_context *(*open_device)(struct np_ibv_device *device);
    int (*close_device)(struct np_ibv_context *context);
    int (*query_device)(struct np_ibv_context *context, struct np_ibv_device_attr *attr);
    int (*query_port)(struct np_ibv_context *context, uint8_t port, struct np_ibv_port_attr *attr);
    int (*query_gid)(struct np_ibv_context *context, uint8_t port, int index, union np_ibv_gid *gid);
    struct np_ibv_pd *(*alloc_pd)(struct np_ibv_context *context);
    int (*dealloc_pd)(struct np_ibv_pd *pd);
    struct np_ibv_mr *(*reg_mr)(struct np_ibv_pd *pd, void *address, size_t bytes, int access);
    /** Knows of access that the device may order as it likes; NULL before rdma-core 28. */
    struct np_ibv_mr *(*reg_mr_iova2)(struct np_ibv_pd *pd, void *address, size_t bytes, uint64_t iova,
                                      unsigned int access);
    int (*dereg_mr)(struct np_ibv_mr *mr);
    struct np_ibv_cq *(*create_cq)(struct np_ibv_context *context, int entries, void *user, void *channel, int vector);
    int (*destroy_cq)(struct np_ibv_cq *cq);
    struct np_ibv_qp *(*create_qp)(struct np_ibv_pd *pd, struct np_ibv_qp_init_attr *attr);
    int (*modify_qp)(struct np_ibv_qp *qp, struct np_ibv_qp_attr *attr, int mask);
    int (*destroy_qp)(struct np_ibv_qp *qp);
    const char *(*wc_status_str)(int status);
};

/**
 * Load the library, for good: it has loaded others that are not made to go.
 *
 * Returns 0, or -ENOTSUP with one sentence in `why`.
 */
int verbs_load(struct verbs *verbs, char why[BENCH_WHY_BYTES]);

#endif
