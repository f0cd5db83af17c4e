/* SPDX-License-Identifier: Apache-2.0 */
/* One table of kernels for each instruction set, each in its own file. */
#ifndef NODEPROOF_STREAM_TABLE_H
#define NODEPROOF_STREAM_TABLE_H

#include "nodeproof/stream.h"

extern np_stream_fn *const np_stream_generic[NP_STREAM_OP_COUNT];
#if defined(__x86_64__)
extern np_stream_fn *const np_stream_sse2[NP_STREAM_OP_COUNT];
extern np_stream_fn *const np_stream_avx2[NP_STREAM_OP_COUNT];
extern np_stream_fn *const np_stream_avx512[NP_STREAM_OP_COUNT];
#elif defined(__aarch64__)
extern np_stream_fn *const np_stream_neon[NP_STREAM_OP_COUNT];
extern np_stream_fn *const np_stream_sve[NP_STREAM_OP_COUNT];
#endif

#endif
