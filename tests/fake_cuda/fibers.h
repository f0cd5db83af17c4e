/* Threads of a block as fibers of one thread of the CPU, which take turns where they wait for each other. */
#pragma once

typedef unsigned int u32;
typedef unsigned long long u64;

struct Index {
  u32 x, y, z;
};

extern thread_local Index threadIdx, blockIdx, blockDim, gridDim;
extern u32 current_multiprocessor;
extern bool is_multiprocessor_wrong;
extern char dynamic_shared[];

struct Lane;

/* Wait until all threads of the block have come. */
void __syncthreads();

/* Wait until all lanes of the warp have come; the last one does their common work. */
void as_warp(const Lane &lane, void (*work)(Lane *lanes));

/* Run `body` in each of `threads` threads of block blockIdx, as fibers or, if they never wait, one after the other. */
void run_block(u32 threads, bool is_waiting, void (*body)(void *state),
               void *state);
