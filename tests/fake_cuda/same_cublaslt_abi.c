/* That cublaslt_abi.h and gpu_cublaslt.h say what NVIDIA's header says: compiled only, where there is one. */
#include <cublasLt.h>

#include "gpu_cublaslt.h"

#define SAME(ours, theirs) _Static_assert((int)(ours) == (int)(theirs), #theirs)

SAME(NP_CUBLAS_SUCCESS, CUBLAS_STATUS_SUCCESS);
SAME(NP_CUBLAS_NOT_INITIALIZED, CUBLAS_STATUS_NOT_INITIALIZED);
SAME(NP_CUBLAS_ALLOC_FAILED, CUBLAS_STATUS_ALLOC_FAILED);
SAME(NP_CUBLAS_INVALID_VALUE, CUBLAS_STATUS_INVALID_VALUE);
SAME(NP_CUBLAS_ARCH_MISMATCH, CUBLAS_STATUS_ARCH_MISMATCH);
SAME(NP_CUBLAS_MAPPING_ERROR, CUBLAS_STATUS_MAPPING_ERROR);
SAME(NP_CUBLAS_EXECUTION_FAILED, CUBLAS_STATUS_EXECUTION_FAILED);
SAME(NP_CUBLAS_INTERNAL_ERROR, CUBLAS_STATUS_INTERNAL_ERROR);
SAME(NP_CUBLAS_NOT_SUPPORTED, CUBLAS_STATUS_NOT_SUPPORTED);
SAME(NP_CUBLAS_LICENSE_ERROR, CUBLAS_STATUS_LICENSE_ERROR);
SAME(NP_CUDA_R_32F, CUDA_R_32F);
SAME(NP_CUDA_R_64F, CUDA_R_64F);
SAME(NP_CUDA_R_16BF, CUDA_R_16BF);
SAME(NP_CUDA_R_8F_E4M3, CUDA_R_8F_E4M3);
SAME(NP_CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F);
SAME(NP_CUBLAS_COMPUTE_64F, CUBLAS_COMPUTE_64F);
SAME(NP_CUBLAS_COMPUTE_32F_FAST_TF32, CUBLAS_COMPUTE_32F_FAST_TF32);
SAME(NP_CUBLAS_OP_N, CUBLAS_OP_N);
SAME(NP_CUBLAS_OP_T, CUBLAS_OP_T);
SAME(NP_CUBLASLT_TRANSA, CUBLASLT_MATMUL_DESC_TRANSA);
SAME(NP_CUBLASLT_TRANSB, CUBLASLT_MATMUL_DESC_TRANSB);
SAME(NP_CUBLASLT_FAST_ACCUM, CUBLASLT_MATMUL_DESC_FAST_ACCUM);
SAME(NP_CUBLASLT_MAX_WORKSPACE_BYTES, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
SAME(sizeof(int), sizeof(cublasStatus_t));
SAME(sizeof(int), sizeof(cudaDataType));
SAME(sizeof(int), sizeof(cublasComputeType_t));
SAME(sizeof(int32_t), sizeof(cublasOperation_t));
SAME(sizeof(struct np_cublaslt_algorithm), sizeof(cublasLtMatmulAlgo_t));
SAME(sizeof(struct np_cublaslt_found), sizeof(cublasLtMatmulHeuristicResult_t));

#define PLACE(ours, theirs)                                                                                            \
    SAME(offsetof(struct np_cublaslt_found, ours), offsetof(cublasLtMatmulHeuristicResult_t, theirs))

PLACE(algorithm, algo);
PLACE(workspace_bytes, workspaceSize);
PLACE(status, state);
PLACE(waves, wavesCount);

/* Each pointer takes what the function takes; handles are pointers to structures of other names. */
#define TAKES(field, function, result, ...)                                                                            \
    _Static_assert(_Generic(&function, result (*)(__VA_ARGS__): 1, default: 0), #function);                            \
    _Static_assert(sizeof((struct gpu_cublaslt){0}.field) == sizeof(void *), #field)

TAKES(get_version, cublasLtGetVersion, size_t, void);
TAKES(create, cublasLtCreate, cublasStatus_t, cublasLtHandle_t *);
TAKES(destroy, cublasLtDestroy, cublasStatus_t, cublasLtHandle_t);
TAKES(operation_create, cublasLtMatmulDescCreate, cublasStatus_t, cublasLtMatmulDesc_t *, cublasComputeType_t,
      cudaDataType_t);
TAKES(operation_destroy, cublasLtMatmulDescDestroy, cublasStatus_t, cublasLtMatmulDesc_t);
TAKES(operation_set, cublasLtMatmulDescSetAttribute, cublasStatus_t, cublasLtMatmulDesc_t,
      cublasLtMatmulDescAttributes_t, const void *, size_t);
TAKES(layout_create, cublasLtMatrixLayoutCreate, cublasStatus_t, cublasLtMatrixLayout_t *, cudaDataType, uint64_t,
      uint64_t, int64_t);
TAKES(layout_destroy, cublasLtMatrixLayoutDestroy, cublasStatus_t, cublasLtMatrixLayout_t);
TAKES(preference_create, cublasLtMatmulPreferenceCreate, cublasStatus_t, cublasLtMatmulPreference_t *);
TAKES(preference_destroy, cublasLtMatmulPreferenceDestroy, cublasStatus_t, cublasLtMatmulPreference_t);
TAKES(preference_set, cublasLtMatmulPreferenceSetAttribute, cublasStatus_t, cublasLtMatmulPreference_t,
      cublasLtMatmulPreferenceAttributes_t, const void *, size_t);
TAKES(choose, cublasLtMatmulAlgoGetHeuristic, cublasStatus_t, cublasLtHandle_t, cublasLtMatmulDesc_t,
      cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
      cublasLtMatmulPreference_t, int, cublasLtMatmulHeuristicResult_t *, int *);
TAKES(multiply, cublasLtMatmul, cublasStatus_t, cublasLtHandle_t, cublasLtMatmulDesc_t, const void *, const void *,
      cublasLtMatrixLayout_t, const void *, cublasLtMatrixLayout_t, const void *, const void *, cublasLtMatrixLayout_t,
      void *, cublasLtMatrixLayout_t, const cublasLtMatmulAlgo_t *, void *, size_t, cudaStream_t);
