/* The real kernels: the source that nvcc compiles to the PTX of the program. */
#include <utility>

#include "kernels.h"

#include "plain.cu"
#include "tensor.cu"
#include "fp8.cu"

/* Call a function with the values that an array points to, as cuLaunchKernel has them. */
template <typename... Values, size_t... Places>
static void spread(void (*kernel)(Values...), void **parameters,
                   std::index_sequence<Places...>) {
  kernel(*(Values *)parameters[Places]...);
}

template <typename... Values>
static void call(void (*kernel)(Values...), void **parameters) {
  spread(kernel, parameters, std::index_sequence_for<Values...>{});
}

#define CALL(name, is_waiting, is_concurrent)                                  \
  {                                                                            \
    #name, is_waiting, is_concurrent,                                          \
        [](void **parameters) { call(name, parameters); }                      \
  }

const Kernel KERNELS[] = {
    CALL(stream_read, true, false),    CALL(stream_write, false, false),
    CALL(stream_copy, false, false),   CALL(stream_triad, false, false),
    CALL(words_fill, false, false),    CALL(words_check, false, false),
    CALL(flag_answer, false, true),    CALL(check_chain, true, false),
    CALL(elements_fill, false, false), CALL(product_check, false, false),
    CALL(gemm_bf16, true, false),      CALL(gemm_tf32, true, false),
    CALL(gemm_fp64, true, false),      CALL(check_bf16, true, false),
    CALL(gemm_e4m3, true, false),
};

const size_t KERNEL_COUNT = sizeof KERNELS / sizeof *KERNELS;
