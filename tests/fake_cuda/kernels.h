/* The kernels of native/gpu by name, as a launch calls them. */
#pragma once

#include <cstddef>

struct Kernel {
  const char *name;
  bool is_waiting;    /* its threads wait for each other */
  bool is_concurrent; /* the host waits for it while it runs */
  void (*call)(void **parameters);
};

extern const Kernel KERNELS[];
extern const size_t KERNEL_COUNT;
