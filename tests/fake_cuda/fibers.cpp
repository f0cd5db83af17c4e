#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "cpu_device.h"

/* Stacks are no power of two apart: their tops would share a few lines of the caches. */
enum {
  WARP = 32,
  MOST_THREADS = 256,
  STACK_BYTES = (1 << 17) + 320,
  SHARED_BYTES = 256 << 10
};

thread_local Index threadIdx, blockIdx, blockDim, gridDim;
u32 current_multiprocessor;
bool is_multiprocessor_wrong;
alignas(128) char dynamic_shared[SHARED_BYTES];

struct Fiber {
  jmp_buf place;
  bool is_started, is_done;
};

struct Warp {
  Lane lanes[WARP];
  u32 arrived, round;
};

/* All static: what a function keeps in registers is lost in a jump. */
static Fiber fibers[MOST_THREADS];
static Warp warps[MOST_THREADS / WARP];
static char *stacks;
static jmp_buf scheduler;
static u32 current, thread_count, left, arrived, barrier_round;
static void (*block_body)(void *state);
static void *block_state;

static void take_turns() {
  if (!_setjmp(fibers[current].place))
    _longjmp(scheduler, 1);
}

void __syncthreads() {
  const u32 round = barrier_round;
  if (++arrived == thread_count) {
    arrived = 0;
    barrier_round++;
  }
  while (barrier_round == round)
    take_turns();
}

void as_warp(const Lane &lane, void (*work)(Lane *lanes)) {
  Warp &warp = warps[current / WARP];
  const u32 round = warp.round;
  warp.lanes[current % WARP] = lane;
  if (++warp.arrived == WARP) {
    work(warp.lanes);
    warp.arrived = 0;
    warp.round++;
  }
  while (warp.round == round)
    take_turns();
}

/* A fiber outlives a block: the next one is run by the same. */
static void live() {
  for (;;) {
    block_body(block_state);
    fibers[current].is_done = true;
    take_turns();
  }
}

static void start() {
  static ucontext_t contexts[MOST_THREADS];
  ucontext_t &context = contexts[current];
  fibers[current].is_started = true;
  getcontext(&context);
  context.uc_stack.ss_sp = stacks + (size_t)current * STACK_BYTES;
  context.uc_stack.ss_size = STACK_BYTES;
  makecontext(&context, live, 0);
  setcontext(&context);
}

/* Let each lane that is not done go on until it waits. */
static void run_lanes(u32 first) {
  for (current = first; current < first + WARP && current < thread_count;
       current++) {
    if (fibers[current].is_done)
      continue;
    threadIdx.x = current;
    if (!_setjmp(scheduler)) {
      if (fibers[current].is_started)
        _longjmp(fibers[current].place, 1);
      start();
    }
    left -= fibers[current].is_done;
  }
}

/* Stay with a warp while its lanes wait for each other only: what they use is in the caches. */
static void run_warp(u32 first) {
  u32 round;
  do {
    round = warps[first / WARP].round;
    run_lanes(first);
  } while (warps[first / WARP].round != round);
}

static void run_as_fibers() {
  if (!stacks)
    stacks = (char *)mmap(nullptr, (size_t)MOST_THREADS * STACK_BYTES,
                          PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                          -1, 0);
  for (current = 0; current < thread_count; current++)
    fibers[current].is_done = false;
  for (left = thread_count; left > 0;)
    for (u32 first = 0; first < thread_count; first += WARP)
      run_warp(first);
}

void run_block(u32 threads, bool is_waiting, void (*body)(void *state),
               void *state) {
  block_body = body;
  block_state = state;
  thread_count = threads;
  if (is_waiting) {
    run_as_fibers();
    return;
  }
  for (u32 thread = 0; thread < threads; thread++) {
    threadIdx.x = thread;
    body(state);
  }
}
