/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What we use of the binary interface of libibverbs.so.1, declared by ourselves: the library is loaded at run time, and
 * its headers are not needed to build.
 *
 * Names are those of rdma-core's libibverbs/verbs.h with np_ before them. The interface is stable since version 1.1 of
 * the symbols (rdma-core: Documentation/versioning.md). Objects that the library makes are declared only as far as
 * we read them; a test compares all of it with the real header where there is one.
 */
#ifndef NODEPROOF_BENCH_VERBS_ABI_H
#define NODEPROOF_BENCH_VERBS_ABI_H

#include <stddef.h>
#include <stdint.h>

enum { NP_IBV_NAME_BYTES = 64, NP_IBV_PATH_BYTES = 256 };

struct np_ibv_device {
    void *obsolete[2];
    int node_type;
    int transport_type;
    char name[NP_IBV_NAME_BYTES]; /**< such as `mlx5_0` */
    char dev_name[NP_IBV_NAME_BYTES];
    char dev_path[NP_IBV_PATH_BYTES];
    char ibdev_path[NP_IBV_PATH_BYTES]; /**< its directory in /sys/class/infiniband */
};

struct np_ibv_context;
struct np_ibv_cq;
struct np_ibv_qp;
struct np_ibv_wc;
struct np_ibv_send_wr;
struct np_ibv_recv_wr;

/** What is not called through a symbol of the library but through the device. */
struct np_ibv_context_ops {
    void *before_poll_cq[11];
    int (*poll_cq)(struct np_ibv_cq *cq, int entries, struct np_ibv_wc *completions);
    void *before_post_send[13];
    int (*post_send)(struct np_ibv_qp *qp, struct np_ibv_send_wr *request, struct np_ibv_send_wr **bad);
    int (*post_recv)(struct np_ibv_qp *qp, struct np_ibv_recv_wr *request, struct np_ibv_recv_wr **bad);
    void *after_post_recv[5];
};

struct np_ibv_context {
    struct np_ibv_device *device;
    struct np_ibv_context_ops ops;
    int cmd_fd;
    int async_fd;
};

struct np_ibv_pd {
    struct np_ibv_context *context;
};

struct np_ibv_mr {
    struct np_ibv_context *context;
    struct np_ibv_pd *pd;
    void *addr;
    size_t length;
    uint32_t handle;
    uint32_t lkey;
    uint32_t rkey;
};

struct np_ibv_cq {
    struct np_ibv_context *context;
};

struct np_ibv_qp {
    struct np_ibv_context *context;
    void *qp_context;
    struct np_ibv_pd *pd;
    struct np_ibv_cq *send_cq;
    struct np_ibv_cq *recv_cq;
    void *srq;
    uint32_t handle;
    uint32_t qp_num;
};

/** The last fields are all that we need of it. */
struct np_ibv_device_attr {
    uint64_t before_max_pkeys[28];
    uint16_t max_pkeys;
    uint8_t local_ca_ack_delay;
    uint8_t phys_port_cnt;
    uint64_t spare[4];
};

enum { NP_IBV_PORT_ACTIVE = 4 };

enum { NP_IBV_LINK_LAYER_ETHERNET = 2 };

/** Longer than any version of it: newer ones have more at the end. */
struct np_ibv_port_attr {
    int state;
    int max_mtu;
    int active_mtu;
    int gid_tbl_len;
    uint32_t port_cap_flags;
    uint32_t max_msg_sz;
    uint32_t bad_pkey_cntr;
    uint32_t qkey_viol_cntr;
    uint16_t pkey_tbl_len;
    uint16_t lid;
    uint16_t sm_lid;
    uint8_t lmc;
    uint8_t max_vl_num;
    uint8_t sm_sl;
    uint8_t subnet_timeout;
    uint8_t init_type_reply;
    uint8_t active_width;
    uint8_t active_speed;
    uint8_t phys_state;
    uint8_t link_layer;
    uint8_t flags;
    uint16_t port_cap_flags2;
    uint64_t spare[4];
};

union np_ibv_gid {
    uint8_t raw[16];
    uint64_t halves[2];
};

struct np_ibv_ah_attr {
    struct {
        union np_ibv_gid dgid;
        uint32_t flow_label;
        uint8_t sgid_index;
        uint8_t hop_limit;
        uint8_t traffic_class;
    } grh;
    uint16_t dlid;
    uint8_t sl;
    uint8_t src_path_bits;
    uint8_t static_rate;
    uint8_t is_global;
    uint8_t port_num;
};

enum { NP_IBV_QPT_RC = 2 };

struct np_ibv_qp_cap {
    uint32_t max_send_wr;
    uint32_t max_recv_wr;
    uint32_t max_send_sge;
    uint32_t max_recv_sge;
    uint32_t max_inline_data;
};

struct np_ibv_qp_init_attr {
    void *qp_context;
    struct np_ibv_cq *send_cq;
    struct np_ibv_cq *recv_cq;
    void *srq;
    struct np_ibv_qp_cap cap;
    int qp_type;
    int sq_sig_all;
};

enum { NP_IBV_QPS_INIT = 1, NP_IBV_QPS_RTR = 2, NP_IBV_QPS_RTS = 3 };

enum {
    NP_IBV_QP_STATE = 1 << 0,
    NP_IBV_QP_ACCESS_FLAGS = 1 << 3,
    NP_IBV_QP_PKEY_INDEX = 1 << 4,
    NP_IBV_QP_PORT = 1 << 5,
    NP_IBV_QP_AV = 1 << 7,
    NP_IBV_QP_PATH_MTU = 1 << 8,
    NP_IBV_QP_TIMEOUT = 1 << 9,
    NP_IBV_QP_RETRY_CNT = 1 << 10,
    NP_IBV_QP_RNR_RETRY = 1 << 11,
    NP_IBV_QP_RQ_PSN = 1 << 12,
    NP_IBV_QP_MAX_QP_RD_ATOMIC = 1 << 13,
    NP_IBV_QP_MIN_RNR_TIMER = 1 << 15,
    NP_IBV_QP_SQ_PSN = 1 << 16,
    NP_IBV_QP_MAX_DEST_RD_ATOMIC = 1 << 17,
    NP_IBV_QP_DEST_QPN = 1 << 20,
};

struct np_ibv_qp_attr {
    int qp_state;
    int cur_qp_state;
    int path_mtu;
    int path_mig_state;
    uint32_t qkey;
    uint32_t rq_psn;
    uint32_t sq_psn;
    uint32_t dest_qp_num;
    unsigned int qp_access_flags;
    struct np_ibv_qp_cap cap;
    struct np_ibv_ah_attr ah_attr;
    struct np_ibv_ah_attr alt_ah_attr;
    uint16_t pkey_index;
    uint16_t alt_pkey_index;
    uint8_t en_sqd_async_notify;
    uint8_t sq_draining;
    uint8_t max_rd_atomic;
    uint8_t max_dest_rd_atomic;
    uint8_t min_rnr_timer;
    uint8_t port_num;
    uint8_t timeout;
    uint8_t retry_cnt;
    uint8_t rnr_retry;
    uint8_t alt_port_num;
    uint8_t alt_timeout;
    uint32_t rate_limit;
};

enum { NP_IBV_ACCESS_LOCAL_WRITE = 1 << 0, NP_IBV_ACCESS_REMOTE_WRITE = 1 << 1, NP_IBV_ACCESS_RELAXED = 1 << 20 };

enum { NP_IBV_WR_RDMA_WRITE = 0, NP_IBV_WR_SEND = 2 };

enum { NP_IBV_SEND_SIGNALED = 1 << 1, NP_IBV_SEND_INLINE = 1 << 3 };

struct np_ibv_sge {
    uint64_t addr;
    uint32_t length;
    uint32_t lkey;
};

struct np_ibv_send_wr {
    uint64_t wr_id;
    struct np_ibv_send_wr *next;
    struct np_ibv_sge *sg_list;
    int num_sge;
    int opcode;
    unsigned int send_flags;
    uint32_t imm_data;
    uint64_t remote_addr; /**< in the header: wr.rdma.remote_addr */
    uint32_t rkey;        /**< in the header: wr.rdma.rkey */
    uint64_t unused[9];
};

struct np_ibv_recv_wr {
    uint64_t wr_id;
    struct np_ibv_recv_wr *next;
    struct np_ibv_sge *sg_list;
    int num_sge;
};

enum { NP_IBV_WC_SUCCESS = 0 };

struct np_ibv_wc {
    uint64_t wr_id;
    int status;
    int opcode;
    uint32_t vendor_err;
    uint32_t byte_len;
    uint32_t imm_data;
    uint32_t qp_num;
    uint32_t src_qp;
    unsigned int wc_flags;
    uint16_t pkey_index;
    uint16_t slid;
    uint8_t sl;
    uint8_t dlid_path_bits;
};

/* As the library has them on x86-64 and aarch64, whose rules for layout are the same. */
_Static_assert(sizeof(void *) == 8, "64-bit machines only");
_Static_assert(offsetof(struct np_ibv_device, ibdev_path) == 408, "ibv_device");
_Static_assert(offsetof(struct np_ibv_context, ops.poll_cq) == 96, "ibv_context");
_Static_assert(offsetof(struct np_ibv_context, ops.post_send) == 208, "ibv_context");
_Static_assert(offsetof(struct np_ibv_context, cmd_fd) == 264, "ibv_context");
_Static_assert(offsetof(struct np_ibv_mr, rkey) == 40, "ibv_mr");
_Static_assert(offsetof(struct np_ibv_qp, qp_num) == 52, "ibv_qp");
_Static_assert(offsetof(struct np_ibv_device_attr, phys_port_cnt) == 227, "ibv_device_attr");
_Static_assert(offsetof(struct np_ibv_port_attr, link_layer) == 46, "ibv_port_attr");
_Static_assert(sizeof(struct np_ibv_ah_attr) == 32, "ibv_ah_attr");
_Static_assert(sizeof(struct np_ibv_qp_init_attr) == 64, "ibv_qp_init_attr");
_Static_assert(sizeof(struct np_ibv_qp_attr) == 144, "ibv_qp_attr");
_Static_assert(sizeof(struct np_ibv_sge) == 16, "ibv_sge");
_Static_assert(offsetof(struct np_ibv_send_wr, remote_addr) == 40, "ibv_send_wr");
_Static_assert(sizeof(struct np_ibv_send_wr) == 128, "ibv_send_wr");
_Static_assert(sizeof(struct np_ibv_recv_wr) == 32, "ibv_recv_wr");
_Static_assert(sizeof(struct np_ibv_wc) == 48, "ibv_wc");

#endif
