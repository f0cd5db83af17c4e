/* Compiles only if our own declarations of libibverbs are those of its header. */
#include <infiniband/verbs.h>

#include "verbs_abi.h"

#define SAME_SIZE(name) _Static_assert(sizeof(struct np_##name) == sizeof(struct name), #name)
#define SAME_PLACE(name, own, theirs)                                                                                 \
    _Static_assert(offsetof(struct np_##name, own) == offsetof(struct name, theirs) &&                               \
                       sizeof(((struct np_##name *)0)->own) == sizeof(((struct name *)0)->theirs),                   \
                   #name "." #theirs)
#define SAME_VALUE(name) _Static_assert((int)NP_##name == (int)name, #name)

SAME_SIZE(ibv_device);
SAME_PLACE(ibv_device, name, name);
SAME_PLACE(ibv_device, ibdev_path, ibdev_path);
SAME_SIZE(ibv_context_ops);
SAME_PLACE(ibv_context_ops, poll_cq, poll_cq);
SAME_PLACE(ibv_context_ops, post_send, post_send);
SAME_PLACE(ibv_context_ops, post_recv, post_recv);
SAME_PLACE(ibv_context, device, device);
SAME_PLACE(ibv_context, ops, ops);
SAME_PLACE(ibv_context, cmd_fd, cmd_fd);
SAME_PLACE(ibv_pd, context, context);
SAME_SIZE(ibv_mr);
SAME_PLACE(ibv_mr, lkey, lkey);
SAME_PLACE(ibv_mr, rkey, rkey);
SAME_PLACE(ibv_cq, context, context);
SAME_PLACE(ibv_qp, context, context);
SAME_PLACE(ibv_qp, qp_num, qp_num);
SAME_PLACE(ibv_device_attr, phys_port_cnt, phys_port_cnt);
_Static_assert(sizeof(struct np_ibv_device_attr) >= sizeof(struct ibv_device_attr), "ibv_device_attr");
SAME_PLACE(ibv_port_attr, state, state);
SAME_PLACE(ibv_port_attr, active_mtu, active_mtu);
SAME_PLACE(ibv_port_attr, gid_tbl_len, gid_tbl_len);
SAME_PLACE(ibv_port_attr, max_msg_sz, max_msg_sz);
SAME_PLACE(ibv_port_attr, lid, lid);
SAME_PLACE(ibv_port_attr, link_layer, link_layer);
SAME_PLACE(ibv_port_attr, flags, flags);
_Static_assert(sizeof(struct np_ibv_port_attr) >= sizeof(struct ibv_port_attr), "ibv_port_attr");
_Static_assert(sizeof(union np_ibv_gid) == sizeof(union ibv_gid), "ibv_gid");
SAME_SIZE(ibv_ah_attr);
SAME_PLACE(ibv_ah_attr, grh, grh);
SAME_PLACE(ibv_ah_attr, grh.sgid_index, grh.sgid_index);
SAME_PLACE(ibv_ah_attr, grh.hop_limit, grh.hop_limit);
SAME_PLACE(ibv_ah_attr, dlid, dlid);
SAME_PLACE(ibv_ah_attr, is_global, is_global);
SAME_PLACE(ibv_ah_attr, port_num, port_num);
SAME_SIZE(ibv_qp_cap);
SAME_PLACE(ibv_qp_cap, max_inline_data, max_inline_data);
SAME_SIZE(ibv_qp_init_attr);
SAME_PLACE(ibv_qp_init_attr, cap, cap);
SAME_PLACE(ibv_qp_init_attr, qp_type, qp_type);
SAME_SIZE(ibv_qp_attr);
SAME_PLACE(ibv_qp_attr, path_mtu, path_mtu);
SAME_PLACE(ibv_qp_attr, rq_psn, rq_psn);
SAME_PLACE(ibv_qp_attr, sq_psn, sq_psn);
SAME_PLACE(ibv_qp_attr, dest_qp_num, dest_qp_num);
SAME_PLACE(ibv_qp_attr, qp_access_flags, qp_access_flags);
SAME_PLACE(ibv_qp_attr, ah_attr, ah_attr);
SAME_PLACE(ibv_qp_attr, max_rd_atomic, max_rd_atomic);
SAME_PLACE(ibv_qp_attr, max_dest_rd_atomic, max_dest_rd_atomic);
SAME_PLACE(ibv_qp_attr, min_rnr_timer, min_rnr_timer);
SAME_PLACE(ibv_qp_attr, port_num, port_num);
SAME_PLACE(ibv_qp_attr, timeout, timeout);
SAME_PLACE(ibv_qp_attr, retry_cnt, retry_cnt);
SAME_PLACE(ibv_qp_attr, rnr_retry, rnr_retry);
SAME_SIZE(ibv_sge);
SAME_PLACE(ibv_sge, lkey, lkey);
SAME_SIZE(ibv_send_wr);
SAME_PLACE(ibv_send_wr, opcode, opcode);
SAME_PLACE(ibv_send_wr, send_flags, send_flags);
SAME_PLACE(ibv_send_wr, remote_addr, wr.rdma.remote_addr);
SAME_PLACE(ibv_send_wr, rkey, wr.rdma.rkey);
SAME_SIZE(ibv_recv_wr);
SAME_PLACE(ibv_recv_wr, sg_list, sg_list);
SAME_SIZE(ibv_wc);
SAME_PLACE(ibv_wc, status, status);
SAME_PLACE(ibv_wc, vendor_err, vendor_err);

SAME_VALUE(IBV_LINK_LAYER_ETHERNET);
SAME_VALUE(IBV_PORT_ACTIVE);
SAME_VALUE(IBV_QPT_RC);
SAME_VALUE(IBV_QPS_INIT);
SAME_VALUE(IBV_QPS_RTR);
SAME_VALUE(IBV_QPS_RTS);
SAME_VALUE(IBV_QP_STATE);
SAME_VALUE(IBV_QP_ACCESS_FLAGS);
SAME_VALUE(IBV_QP_PKEY_INDEX);
SAME_VALUE(IBV_QP_PORT);
SAME_VALUE(IBV_QP_AV);
SAME_VALUE(IBV_QP_PATH_MTU);
SAME_VALUE(IBV_QP_TIMEOUT);
SAME_VALUE(IBV_QP_RETRY_CNT);
SAME_VALUE(IBV_QP_RNR_RETRY);
SAME_VALUE(IBV_QP_RQ_PSN);
SAME_VALUE(IBV_QP_MAX_QP_RD_ATOMIC);
SAME_VALUE(IBV_QP_MIN_RNR_TIMER);
SAME_VALUE(IBV_QP_SQ_PSN);
SAME_VALUE(IBV_QP_MAX_DEST_RD_ATOMIC);
SAME_VALUE(IBV_QP_DEST_QPN);
SAME_VALUE(IBV_ACCESS_LOCAL_WRITE);
SAME_VALUE(IBV_ACCESS_REMOTE_WRITE);
_Static_assert((int)NP_IBV_ACCESS_RELAXED == (int)IBV_ACCESS_RELAXED_ORDERING, "IBV_ACCESS_RELAXED_ORDERING");
SAME_VALUE(IBV_WR_RDMA_WRITE);
SAME_VALUE(IBV_WR_SEND);
SAME_VALUE(IBV_SEND_SIGNALED);
SAME_VALUE(IBV_SEND_INLINE);
SAME_VALUE(IBV_WC_SUCCESS);
