/*
 * A libcublasLt.so without a GPU: what nodeproof-bench calls, computed by the
 * CPU in the memory of the fake driver.
 *
 * It multiplies what its descriptors say and refuses what the real one refuses,
 * with the same status: factors of FP8 that are not TN, types that do not go
 * together, attributes of another size, shapes that do not fit, a way to
 * compute that it did not choose itself. Words of FAKE_CUDA, besides fail=,
 * crash=, hang=, lost= and slow= of the driver (cuda.cpp): refuse=TYPE (number
 * of the cudaDataType of factors that it does not multiply), none=1 (it finds
 * no way to compute), idle=1 (it says that all is well and computes nothing),
 * wrong_column=NUMBER (of the sums: each is one too large). Signatures: NVIDIA
 * cuBLAS reference and cublasLt.h.
 */
#include <vector>

#include "cpu_device.h"
#include "gpu.h"

extern "C" {
#include "cublaslt_abi.h"
}

struct np_cublaslt_context_st {
  Gpu *gpu;
};

struct np_cublaslt_operation_st {
  int compute, scale, transposes[2];
};

struct np_cublaslt_layout_st {
  int type;
  uint64_t rows, columns;
  int64_t stride;
};

struct np_cublaslt_preference_st {
  uint64_t workspace_bytes;
};

enum { OURS = 0x6c74, NEEDED_BYTES = 1024 };

typedef np_cublaslt_operation_st Operation;
typedef np_cublaslt_layout_st Layout;

/* What goes together (cuBLAS reference, cublasLtMatmul): factors, sums, how it
 * is computed, and the scale's type. */
static const struct {
  int factor, sum, compute, scale;
} KNOWN[] = {
    {NP_CUDA_R_16BF, NP_CUDA_R_32F, NP_CUBLAS_COMPUTE_32F, NP_CUDA_R_32F},
    {NP_CUDA_R_32F, NP_CUDA_R_32F, NP_CUBLAS_COMPUTE_32F, NP_CUDA_R_32F},
    {NP_CUDA_R_32F, NP_CUDA_R_32F, NP_CUBLAS_COMPUTE_32F_FAST_TF32,
     NP_CUDA_R_32F},
    {NP_CUDA_R_64F, NP_CUDA_R_64F, NP_CUBLAS_COMPUTE_64F, NP_CUDA_R_64F},
    {NP_CUDA_R_8F_E4M3, NP_CUDA_R_32F, NP_CUBLAS_COMPUTE_32F, NP_CUDA_R_32F},
};

static size_t bytes_of(int type) {
  switch (type) {
  case NP_CUDA_R_64F:
    return 8;
  case NP_CUDA_R_16BF:
    return 2;
  case NP_CUDA_R_8F_E4M3:
    return 1;
  default:
    return 4;
  }
}

static bool are_known(const Operation &operation, const Layout &a,
                      const Layout &d) {
  for (const auto &known : KNOWN)
    if (known.factor == a.type && known.sum == d.type &&
        known.compute == operation.compute && known.scale == operation.scale)
      return true;
  return false;
}

/* Ada, Hopper and the small Blackwells have FP8 in one layout only, in whole
 * pieces of 16 bytes. */
static bool is_possible_in_fp8(const Operation &operation, const Layout &a,
                               const Layout &b, const Layout &d) {
  return number_of("capability", 90) >= 89 &&
         operation.transposes[0] == NP_CUBLAS_OP_T &&
         operation.transposes[1] == NP_CUBLAS_OP_N && a.stride % 16 == 0 &&
         b.stride % 16 == 0 && d.stride % 16 == 0;
}

/* A status: whether a product of these is one, and one that this GPU has. */
static int judge(const Operation &operation, const Layout &a, const Layout &b,
                 const Layout &c, const Layout &d) {
  const bool is_a_turned = operation.transposes[0] == NP_CUBLAS_OP_T,
             is_b_turned = operation.transposes[1] == NP_CUBLAS_OP_T;
  const uint64_t rows = is_a_turned ? a.columns : a.rows,
                 depth = is_a_turned ? a.rows : a.columns;
  const uint64_t columns = is_b_turned ? b.rows : b.columns,
                 b_depth = is_b_turned ? b.columns : b.rows;
  if (depth != b_depth || d.rows != rows || d.columns != columns ||
      c.rows != rows || c.columns != columns)
    return NP_CUBLAS_INVALID_VALUE;
  for (const Layout *layout : {&a, &b, &c, &d})
    if (layout->stride < (int64_t)layout->rows)
      return NP_CUBLAS_INVALID_VALUE;
  if (a.type != b.type || c.type != d.type || !are_known(operation, a, d) ||
      number_of("refuse", -1) == a.type)
    return NP_CUBLAS_NOT_SUPPORTED;
  if (a.type == NP_CUDA_R_8F_E4M3 && !is_possible_in_fp8(operation, a, b, d))
    return NP_CUBLAS_NOT_SUPPORTED;
  return NP_CUBLAS_SUCCESS;
}

/* Element `index` of a factor. TF32 drops the last 13 bits of the mantissa. */
template <typename Sum>
static Sum element(const void *from, uint64_t index, int type, int compute) {
  switch (type) {
  case NP_CUDA_R_64F:
    return (Sum)((const double *)from)[index];
  case NP_CUDA_R_16BF:
    return bits_as<float>((u32)((const uint16_t *)from)[index] << 16);
  case NP_CUDA_R_8F_E4M3:
    return E4M3_VALUES.of[((const unsigned char *)from)[index]];
  default:
    return bits_as<float>(
        ((const u32 *)from)[index] &
        (compute == NP_CUBLAS_COMPUTE_32F_FAST_TF32 ? ~0x1fffu : ~0u));
  }
}

/* d = alpha * op(a) * op(b) + beta * c, column by column; op(a) is first laid
 * out as columns. */
template <typename Sum>
static void multiply(const Operation &operation, const void *alpha,
                     const void *a, const Layout &a_layout, const void *b,
                     const Layout &b_layout, const void *beta, const void *c,
                     const Layout &c_layout, void *d, const Layout &d_layout) {
  const bool is_a_turned = operation.transposes[0] == NP_CUBLAS_OP_T,
             is_b_turned = operation.transposes[1] == NP_CUBLAS_OP_T;
  const uint64_t rows = d_layout.rows,
                 depth = is_a_turned ? a_layout.rows : a_layout.columns;
  const uint64_t a_stride = (uint64_t)a_layout.stride,
                 b_stride = (uint64_t)b_layout.stride;
  const uint64_t wrong = (uint64_t)part_of("wrong_column", 0);
  std::vector<Sum> left(rows * depth), sums(rows);
  for (uint64_t row = 0; row < rows; row++)
    for (uint64_t k = 0; k < depth; k++)
      left[k * rows + row] =
          element<Sum>(a, is_a_turned ? row * a_stride + k : k * a_stride + row,
                       a_layout.type, operation.compute);
  for (uint64_t column = 0; column < d_layout.columns; column++) {
    sums.assign(rows, 0);
    for (uint64_t k = 0; k < depth; k++) {
      const Sum factor = element<Sum>(
          b, is_b_turned ? k * b_stride + column : column * b_stride + k,
          b_layout.type, operation.compute);
      for (uint64_t row = 0; row < rows; row++)
        sums[row] += left[k * rows + row] * factor;
    }
    const Sum one = *(const Sum *)alpha, other = *(const Sum *)beta;
    const Sum *from = (const Sum *)c + column * (uint64_t)c_layout.stride;
    Sum *to = (Sum *)d + column * (uint64_t)d_layout.stride;
    for (uint64_t row = 0; row < rows; row++)
      to[row] = one * sums[row] + (other != 0 ? other * from[row] : 0) +
                (column == wrong ? 1 : 0);
  }
}

static bool is_there(const void *matrix, const Layout &layout) {
  return is_given((np_cu_deviceptr)matrix, layout.columns *
                                               (uint64_t)layout.stride *
                                               bytes_of(layout.type));
}

extern "C" {

size_t cublasLtGetVersion() { return 130101; }

int cublasLtCreate(np_cublaslt_handle *handle) {
  CALL();
  if (!used_gpu)
    return NP_CUBLAS_NOT_INITIALIZED;
  *handle = new np_cublaslt_context_st{used_gpu};
  return 0;
}

int cublasLtDestroy(np_cublaslt_handle handle) {
  delete handle;
  return begin_call(__func__);
}

int cublasLtMatmulDescCreate(np_cublaslt_operation *operation, int compute,
                             int scale) {
  CALL();
  *operation = new Operation{compute, scale, {NP_CUBLAS_OP_N, NP_CUBLAS_OP_N}};
  return 0;
}

int cublasLtMatmulDescDestroy(np_cublaslt_operation operation) {
  delete operation;
  return begin_call(__func__);
}

int cublasLtMatmulDescSetAttribute(np_cublaslt_operation operation,
                                   int attribute, const void *value,
                                   size_t bytes) {
  CALL();
  if (bytes != (attribute == NP_CUBLASLT_FAST_ACCUM ? 1 : 4))
    return NP_CUBLAS_INVALID_VALUE;
  switch (attribute) {
  case NP_CUBLASLT_TRANSA:
  case NP_CUBLASLT_TRANSB:
    operation->transposes[attribute - NP_CUBLASLT_TRANSA] =
        *(const int32_t *)value;
    return 0;
  case NP_CUBLASLT_FAST_ACCUM:
    return 0; /* sums of floats are as good, and no faster */
  default:
    return NP_CUBLAS_INVALID_VALUE;
  }
}

int cublasLtMatrixLayoutCreate(np_cublaslt_layout *layout, int type,
                               uint64_t rows, uint64_t columns,
                               int64_t stride) {
  CALL();
  *layout = new Layout{type, rows, columns, stride};
  return 0;
}

int cublasLtMatrixLayoutDestroy(np_cublaslt_layout layout) {
  delete layout;
  return begin_call(__func__);
}

int cublasLtMatmulPreferenceCreate(np_cublaslt_preference *preference) {
  CALL();
  *preference = new np_cublaslt_preference_st{0};
  return 0;
}

int cublasLtMatmulPreferenceDestroy(np_cublaslt_preference preference) {
  delete preference;
  return begin_call(__func__);
}

int cublasLtMatmulPreferenceSetAttribute(np_cublaslt_preference preference,
                                         int attribute, const void *value,
                                         size_t bytes) {
  CALL();
  if (attribute != NP_CUBLASLT_MAX_WORKSPACE_BYTES || bytes != sizeof(uint64_t))
    return NP_CUBLAS_INVALID_VALUE;
  preference->workspace_bytes = *(const uint64_t *)value;
  return 0;
}

int cublasLtMatmulAlgoGetHeuristic(np_cublaslt_handle handle,
                                   np_cublaslt_operation operation,
                                   np_cublaslt_layout a, np_cublaslt_layout b,
                                   np_cublaslt_layout c, np_cublaslt_layout d,
                                   np_cublaslt_preference preference, int most,
                                   np_cublaslt_found *found, int *count) {
  CALL();
  *count = 0;
  if (!handle)
    return NP_CUBLAS_NOT_INITIALIZED;
  if (most <= 0)
    return NP_CUBLAS_INVALID_VALUE;
  const int status = judge(*operation, *a, *b, *c, *d);
  if (status || word_of("none"))
    return status;
  if (preference->workspace_bytes < NEEDED_BYTES)
    return NP_CUBLAS_NOT_SUPPORTED;
  *found = {
      {{OURS, (uint64_t)a->type}}, NEEDED_BYTES, NP_CUBLAS_SUCCESS, 1, {}};
  *count = 1;
  return 0;
}

int cublasLtMatmul(np_cublaslt_handle handle, np_cublaslt_operation operation,
                   const void *alpha, const void *a,
                   np_cublaslt_layout a_layout, const void *b,
                   np_cublaslt_layout b_layout, const void *beta, const void *c,
                   np_cublaslt_layout c_layout, void *d,
                   np_cublaslt_layout d_layout,
                   const np_cublaslt_algorithm *algorithm, void *workspace,
                   size_t workspace_bytes, np_cu_stream stream) {
  CALL();
  if (!handle)
    return NP_CUBLAS_NOT_INITIALIZED;
  const bool is_chosen = algorithm && algorithm->data[0] == OURS &&
                         algorithm->data[1] == (uint64_t)a_layout->type;
  if (!is_chosen || workspace_bytes < NEEDED_BYTES ||
      (uintptr_t)workspace % 256)
    return NP_CUBLAS_INVALID_VALUE;
  if (const int status =
          judge(*operation, *a_layout, *b_layout, *c_layout, *d_layout))
    return status;
  const bool is_ours = handle->gpu == used_gpu && stream->gpu == used_gpu;
  if (!is_ours || !is_there(a, *a_layout) || !is_there(b, *b_layout) ||
      !is_there(d, *d_layout) ||
      !is_given((np_cu_deviceptr)workspace, workspace_bytes))
    return NP_CUBLAS_EXECUTION_FAILED;
  stream->gpu->launches++;
  if (part_of("hang", 0) == stream->gpu->index)
    return 0;
  const double begin = now_ns();
  if (!word_of("idle"))
    (d_layout->type == NP_CUDA_R_64F
         ? multiply<double>
         : multiply<float>)(*operation, alpha, a, *a_layout, b, *b_layout, beta,
                            c, *c_layout, d, *d_layout);
  stick(stream->gpu);
  pass_time(stream, now_ns() - begin);
  return 0;
}
}
