/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix products by cuBLASLt, loaded at run time where it is installed: what programs of that GPU reach.
 *
 * It works in the context that is the thread's own, with addresses and streams of the driver API. Here a status other
 * than success is -ENOTSUP: the library refuses, and the GPU may be as healthy as ever.
 */
#ifndef NODEPROOF_BENCH_GPU_CUBLASLT_H
#define NODEPROOF_BENCH_GPU_CUBLASLT_H

#include "cublaslt_abi.h"
#include "gpu_product.h"

/** The functions of the library, as documented in the cuBLAS reference. Each returns a cublasStatus_t but the first. */
struct gpu_cublaslt {
    size_t (*get_version)(void);
    int (*create)(np_cublaslt_handle *handle);
    int (*destroy)(np_cublaslt_handle handle);
    int (*operation_create)(np_cublaslt_operation *operation, int compute_type, int scale_type);
    int (*operation_destroy)(np_cublaslt_operation operation);
    int (*operation_set)(np_cublaslt_operation operation, int attribute, const void *value, size_t bytes);
    int (*layout_create)(np_cublaslt_layout *layout, int type, uint64_t rows, uint64_t columns, int64_t stride);
    int (*layout_destroy)(np_cublaslt_layout layout);
    int (*preference_create)(np_cublaslt_preference *preference);
    int (*preference_destroy)(np_cublaslt_preference preference);
    int (*preference_set)(np_cublaslt_preference preference, int attribute, const void *value, size_t bytes);
    int (*choose)(np_cublaslt_handle handle, np_cublaslt_operation operation, np_cublaslt_layout a,
                  np_cublaslt_layout b, np_cublaslt_layout c, np_cublaslt_layout d, np_cublaslt_preference preference,
                  int most, struct np_cublaslt_found *found, int *count);
    int (*multiply)(np_cublaslt_handle handle, np_cublaslt_operation operation, const void *alpha, const void *a,
                    np_cublaslt_layout a_layout, const void *b, np_cublaslt_layout b_layout, const void *beta,
                    const void *c, np_cublaslt_layout c_layout, void *d, np_cublaslt_layout d_layout,
                    const struct np_cublaslt_algorithm *algorithm, void *workspace, size_t workspace_bytes,
                    np_cu_stream stream);
    const char *name;          /**< of the file that was loaded; NULL: none was */
    char why[BENCH_WHY_BYTES]; /**< none was */
};

/** Memory of a GPU that the library may use meanwhile. */
struct gpu_cublaslt_workspace {
    np_cu_deviceptr address;
    uint64_t bytes;
};

/** Its side of a product: the same matrices, and the way that it chose for their type. */
struct gpu_cublaslt_product {
    const struct gpu_cublaslt *library;
    const struct gpu_product *product;
    struct gpu_cublaslt_workspace workspace;
    np_cublaslt_handle handle;
    np_cublaslt_operation operation;
    np_cublaslt_layout factor, sums;
    np_cublaslt_preference preference;
    struct np_cublaslt_found found;
    int status; /**< of the last product */
};

/** Load the newest one that goes with a driver of this version. Without any `name` is NULL, which is no error. */
void gpu_cublaslt_load(struct gpu_cublaslt *library, int driver_version);

/** What a type is called that the library multiplies: `bf16_cublaslt` and so on. */
const char *gpu_cublaslt_operation(enum gpu_type type);

/** Have as much memory as the library makes use of, or a share of what is free. Returns 0 or -errno. */
int gpu_cublaslt_reserve(struct gpu *gpu, struct gpu_cublaslt_workspace *workspace, char why[BENCH_WHY_BYTES]);

/** Let the library choose how to multiply what the product has. Returns 0 or -ENOTSUP; either way it may be closed. */
int gpu_cublaslt_open(struct gpu_cublaslt_product *theirs, const struct gpu_cublaslt *library,
                      const struct gpu_product *product, struct gpu_cublaslt_workspace workspace,
                      char why[BENCH_WHY_BYTES]);

/** A gpu_block_fn; its state is the library's side of the product. */
int gpu_cublaslt_give(void *state, struct gpu *gpu);

/** What blocks came to that returned `rc`: -ENOTSUP with the library's word in `why` if it refused the last one. */
int gpu_cublaslt_given(const struct gpu_cublaslt_product *theirs, int rc, char why[BENCH_WHY_BYTES]);

/** Not after an error of the GPU: the library would wait for it. */
void gpu_cublaslt_close(struct gpu_cublaslt_product *theirs);

#endif
