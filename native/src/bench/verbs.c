/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

#include <errno.h>

#include "library.h"

#define SYMBOL(symbol) {.name = "ibv_" #symbol, .offset = offsetof(struct verbs, symbol)}
#define OPTIONAL(symbol) {.name = "ibv_" #symbol, .offset = offsetof(struct verbs, symbol), .is_optional = true}

/* Without a version dlsym() gives the newest one, which is that of the header that ours is made from. */
static const struct library_symbol SYMBOLS[] = {
    SYMBOL(get_device_list), SYMBOL(free_device_list), SYMBOL(open_device),    SYMBOL(close_device),
    SYMBOL(query_device),    SYMBOL(query_port),       SYMBOL(query_gid),      SYMBOL(alloc_pd),
    SYMBOL(dealloc_pd),      SYMBOL(reg_mr),           OPTIONAL(reg_mr_iova2), SYMBOL(dereg_mr),
    SYMBOL(create_cq),       SYMBOL(destroy_cq),       SYMBOL(create_qp),      SYMBOL(modify_qp),
    SYMBOL(destroy_qp),      SYMBOL(wc_status_str),
};

int verbs_load(struct verbs *verbs, char why[BENCH_WHY_BYTES])
{
    *verbs = (struct verbs){0};
    const int rc = library_load("libibverbs.so.1", SYMBOLS, sizeof SYMBOLS / sizeof *SYMBOLS, verbs, why);
    return rc == -ENOENT ? -ENOTSUP : rc;
}
