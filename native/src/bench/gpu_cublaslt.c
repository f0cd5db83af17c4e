/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu_cublaslt.h"

#include <errno.h>
#include <stdio.h>

#include "library.h"

#define SYMBOL(symbol, field) {.name = symbol, .offset = offsetof(struct gpu_cublaslt, field)}

static const struct library_symbol SYMBOLS[] = {
    SYMBOL("cublasLtGetVersion", get_version),
    SYMBOL("cublasLtCreate", create),
    SYMBOL("cublasLtDestroy", destroy),
    SYMBOL("cublasLtMatmulDescCreate", operation_create),
    SYMBOL("cublasLtMatmulDescDestroy", operation_destroy),
    SYMBOL("cublasLtMatmulDescSetAttribute", operation_set),
    SYMBOL("cublasLtMatrixLayoutCreate", layout_create),
    SYMBOL("cublasLtMatrixLayoutDestroy", layout_destroy),
    SYMBOL("cublasLtMatmulPreferenceCreate", preference_create),
    SYMBOL("cublasLtMatmulPreferenceDestroy", preference_destroy),
    SYMBOL("cublasLtMatmulPreferenceSetAttribute", preference_set),
    SYMBOL("cublasLtMatmulAlgoGetHeuristic", choose),
    SYMBOL("cublasLtMatmul", multiply),
};

/* The first number is that of CUDA, whose driver has to be as new; of the last name nobody knows before it is tried. */
static const struct {
    const char *name;
    int cuda;
} FILES[] = {
    {"libcublasLt.so.13", 13},
    {"libcublasLt.so.12", 12},
    {"libcublasLt.so.11", 11},
    {"libcublasLt.so", 0},
};

/* What NVIDIA recommends for Hopper and Blackwell (cuBLAS reference, cublasSetWorkspace); older ones need less. */
enum { MOST_WORKSPACE_BYTES = 32 << 20, SHARE_DIVISOR = 4, ALIGNMENT = 256 };

/* CUDA_ERROR_UNKNOWN: what a block says of the driver that the library could not give to it. */
enum { UNKNOWN = 999 };

/* By type: of the factors, of the sums and of what they are multiplied with, and how they are computed. */
static const struct {
    const char *operation;
    int factor, sum, compute;
} TYPES[GPU_TYPES] = {
    [GPU_BF16] = {"bf16_cublaslt", NP_CUDA_R_16BF, NP_CUDA_R_32F, NP_CUBLAS_COMPUTE_32F},
    [GPU_TF32] = {"tf32_cublaslt", NP_CUDA_R_32F, NP_CUDA_R_32F, NP_CUBLAS_COMPUTE_32F_FAST_TF32},
    [GPU_FP64] = {"fp64_cublaslt", NP_CUDA_R_64F, NP_CUDA_R_64F, NP_CUBLAS_COMPUTE_64F},
    [GPU_E4M3] = {"fp8_cublaslt", NP_CUDA_R_8F_E4M3, NP_CUDA_R_32F, NP_CUBLAS_COMPUTE_32F},
};

const char *gpu_cublaslt_operation(enum gpu_type type)
{
    return TYPES[type].operation;
}

void gpu_cublaslt_load(struct gpu_cublaslt *library, int driver_version)
{
    const int cuda = driver_version / 1000;
    *library = (struct gpu_cublaslt){0};
    snprintf(library->why, sizeof library->why, "no libcublasLt.so is installed for a driver of CUDA %d", cuda);
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        char why[BENCH_WHY_BYTES];
        if (FILES[i].cuda > cuda)
            continue;
        const int rc = library_load(FILES[i].name, SYMBOLS, sizeof SYMBOLS / sizeof *SYMBOLS, library, why);
        if (rc == 0) {
            library->name = FILES[i].name;
            return;
        }
        if (rc != -ENOENT)
            snprintf(library->why, sizeof library->why, "%s", why);
    }
}

/* As cublas_api.h names it, in small letters. */
static const char *status_name(int status)
{
    switch (status) {
    case NP_CUBLAS_NOT_INITIALIZED:
        return "not initialized";
    case NP_CUBLAS_ALLOC_FAILED:
        return "alloc failed";
    case NP_CUBLAS_INVALID_VALUE:
        return "invalid value";
    case NP_CUBLAS_ARCH_MISMATCH:
        return "arch mismatch";
    case NP_CUBLAS_MAPPING_ERROR:
        return "mapping error";
    case NP_CUBLAS_EXECUTION_FAILED:
        return "execution failed";
    case NP_CUBLAS_INTERNAL_ERROR:
        return "internal error";
    case NP_CUBLAS_NOT_SUPPORTED:
        return "not supported";
    case NP_CUBLAS_LICENSE_ERROR:
        return "license error";
    default:
        return "unknown";
    }
}

static int check(int status, const char *call, char why[BENCH_WHY_BYTES])
{
    return status == NP_CUBLAS_SUCCESS
               ? 0
               : bench_why(why, -ENOTSUP, "%s: status %d (%s)", call, status, status_name(status));
}

int gpu_cublaslt_reserve(struct gpu *gpu, struct gpu_cublaslt_workspace *workspace, char why[BENCH_WHY_BYTES])
{
    uint64_t free_bytes = 0;
    const int rc = gpu_free_bytes(gpu, &free_bytes, why);
    const uint64_t share = free_bytes / SHARE_DIVISOR / ALIGNMENT * ALIGNMENT;
    *workspace = (struct gpu_cublaslt_workspace){.bytes = share < MOST_WORKSPACE_BYTES ? share : MOST_WORKSPACE_BYTES};
    return rc != 0 || workspace->bytes == 0 ? rc : gpu_alloc(gpu, workspace->bytes, &workspace->address, why);
}

/* The first factor is transposed and the second one as it is, which is the only way that FP8 has. */
static int describe_operation(struct gpu_cublaslt_product *theirs, char why[BENCH_WHY_BYTES])
{
    static const char CALL[] = "cublasLtMatmulDescSetAttribute";
    const struct gpu_cublaslt *library = theirs->library;
    const enum gpu_type type = theirs->product->type;
    const int32_t transposed = NP_CUBLAS_OP_T, as_it_is = NP_CUBLAS_OP_N;
    const int8_t yes = 1;
    int rc = check(library->operation_create(&theirs->operation, TYPES[type].compute, TYPES[type].sum),
                   "cublasLtMatmulDescCreate", why);
    np_cublaslt_operation operation = theirs->operation;
    if (rc == 0)
        rc = check(library->operation_set(operation, NP_CUBLASLT_TRANSA, &transposed, sizeof transposed), CALL, why);
    if (rc == 0)
        rc = check(library->operation_set(operation, NP_CUBLASLT_TRANSB, &as_it_is, sizeof as_it_is), CALL, why);
    if (rc == 0 && type == GPU_E4M3) /* sums that stay in the tensor cores, as those of our own kernel do */
        rc = check(library->operation_set(operation, NP_CUBLASLT_FAST_ACCUM, &yes, sizeof yes), CALL, why);
    return rc;
}

/*
 * Our matrices have rows that lie in memory as they are, and the library counts in columns: a row of ours is a column
 * of its factors, and what it computes is the transpose of what we read, (b * aT)T = a * bT.
 */
static int describe_matrices(struct gpu_cublaslt_product *theirs, char why[BENCH_WHY_BYTES])
{
    static const char CALL[] = "cublasLtMatrixLayoutCreate";
    const struct gpu_cublaslt *library = theirs->library;
    const enum gpu_type type = theirs->product->type;
    const uint32_t side = theirs->product->side, depth = gpu_product_depth(theirs->product);
    const int rc = check(library->layout_create(&theirs->factor, TYPES[type].factor, depth, side, depth), CALL, why);
    return rc != 0 ? rc : check(library->layout_create(&theirs->sums, TYPES[type].sum, side, side, side), CALL, why);
}

static int describe_preference(struct gpu_cublaslt_product *theirs, char why[BENCH_WHY_BYTES])
{
    const struct gpu_cublaslt *library = theirs->library;
    const uint64_t bytes = theirs->workspace.bytes;
    const int rc = check(library->preference_create(&theirs->preference), "cublasLtMatmulPreferenceCreate", why);
    return rc != 0 ? rc
                   : check(library->preference_set(theirs->preference, NP_CUBLASLT_MAX_WORKSPACE_BYTES, &bytes,
                                                   sizeof bytes),
                           "cublasLtMatmulPreferenceSetAttribute", why);
}

static int choose(struct gpu_cublaslt_product *theirs, char why[BENCH_WHY_BYTES])
{
    static const char CALL[] = "cublasLtMatmulAlgoGetHeuristic";
    int count = 0;
    const int rc =
        check(theirs->library->choose(theirs->handle, theirs->operation, theirs->factor, theirs->factor, theirs->sums,
                                      theirs->sums, theirs->preference, 1, &theirs->found, &count),
              CALL, why);
    return rc != 0 ? rc : check(count > 0 ? theirs->found.status : NP_CUBLAS_NOT_SUPPORTED, CALL, why);
}

int gpu_cublaslt_open(struct gpu_cublaslt_product *theirs, const struct gpu_cublaslt *library,
                      const struct gpu_product *product, struct gpu_cublaslt_workspace workspace,
                      char why[BENCH_WHY_BYTES])
{
    *theirs = (struct gpu_cublaslt_product){.library = library, .product = product, .workspace = workspace};
    int rc = check(library->create(&theirs->handle), "cublasLtCreate", why);
    if (rc == 0)
        rc = describe_operation(theirs, why);
    if (rc == 0)
        rc = describe_matrices(theirs, why);
    if (rc == 0)
        rc = describe_preference(theirs, why);
    return rc != 0 ? rc : choose(theirs, why);
}

int gpu_cublaslt_give(void *state, struct gpu *gpu)
{
    static const double DOUBLE_ONE = 1, DOUBLE_ZERO = 0;
    static const float ONE = 1, ZERO = 0;
    struct gpu_cublaslt_product *theirs = state;
    const struct gpu_product *product = theirs->product;
    const bool is_double = TYPES[product->type].sum == NP_CUDA_R_64F;
    void *const out = (void *)(uintptr_t)product->out;
    theirs->status = theirs->library->multiply(
        theirs->handle, theirs->operation, is_double ? (const void *)&DOUBLE_ONE : &ONE,
        (const void *)(uintptr_t)product->b, theirs->factor, (const void *)(uintptr_t)product->a, theirs->factor,
        is_double ? (const void *)&DOUBLE_ZERO : &ZERO, out, theirs->sums, out, theirs->sums, &theirs->found.algorithm,
        (void *)(uintptr_t)theirs->workspace.address, theirs->workspace.bytes, gpu->stream);
    return theirs->status == NP_CUBLAS_SUCCESS ? NP_CUDA_SUCCESS : UNKNOWN;
}

int gpu_cublaslt_given(const struct gpu_cublaslt_product *theirs, int rc, char why[BENCH_WHY_BYTES])
{
    return theirs->status == NP_CUBLAS_SUCCESS ? rc : check(theirs->status, "cublasLtMatmul", why);
}

void gpu_cublaslt_close(struct gpu_cublaslt_product *theirs)
{
    const struct gpu_cublaslt *library = theirs->library;
    if (theirs->preference != NULL)
        (void)library->preference_destroy(theirs->preference);
    if (theirs->sums != NULL)
        (void)library->layout_destroy(theirs->sums);
    if (theirs->factor != NULL)
        (void)library->layout_destroy(theirs->factor);
    if (theirs->operation != NULL)
        (void)library->operation_destroy(theirs->operation);
    if (theirs->handle != NULL)
        (void)library->destroy(theirs->handle);
    *theirs = (struct gpu_cublaslt_product){.library = library};
}
