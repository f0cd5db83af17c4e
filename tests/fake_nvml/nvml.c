/*
 * A libnvidia-ml.so.1 without a GPU: what pynvml calls, answered from the
 * environment variable FAKE_NVML.
 *
 * Words, separated by spaces: generation=H100 (or V100, A100, B200), gpus=8
 * (how many), init=CODE (nvmlInit fails), hang=INDEX and crash=INDEX (in the
 * handle call of that GPU; -1: in nvmlInit), refused=INDEX code=CODE (no
 * handle). Of one GPU, each as WORD=INDEX: lost (a handle, and then "GPU is
 * lost"), garbled (a name that is not UTF-8), narrow (x8), other_vbios,
 * other_inforom, corrupt_inforom, no_persistence, no_ecc, ecc_pending, mig
 * (which has no remapped rows), mig_pending; uncorrected, sram_threshold,
 * pending, failed, exhausted, worn (remapped rows), forbidden (they need a
 * permission), retired, retired_pending; power_brake, thermal, slow_clocks,
 * low_power, hot, hot_memory, process; link_down (down_link=3: which),
 * link_slow, not_joined (-1: all), degraded, misrouted, few_nvlinks,
 * other_clique, apart (no peer access), no_count (of links: an error), failing
 * (in what fails=FUNCTION says); recovery_gpu=INDEX recovery=ACTION.
 * old_fabric=1: a driver that knows version 2 of fabric info. Events: xid=CODE
 * (what an event set tells of GPU xid_gpu=INDEX, xids=COUNT times; then nothing
 * more, or after=CODE: that error, -1: a crash), deaf=1 (no GPU supports
 * events). Signatures: NVIDIA NVML API reference.
 */
#include "common.h"
#include "device.h"
#include "links.h"

typedef struct {
  int *gpu;
  unsigned long long type, data;
  unsigned gpu_instance, compute_instance;
} event_data;

static int *registered[64];

static void misbehave(int where) {
  if (option("hang", NONE) == where)
    for (;;)
      pause();
  if (option("crash", NONE) == where)
    raise(SIGSEGV);
}

int nvmlInitWithFlags(unsigned flags) {
  (void)flags;
  misbehave(-1);
  return option("init", SUCCESS);
}

int nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(int code) {
  (void)code;
  return "an error of the fake library";
}

int nvmlSystemGetDriverVersion(char *out, unsigned size) {
  return say(NULL, out, size, "570.86.15");
}

int nvmlSystemGetNVMLVersion(char *out, unsigned size) {
  return say(NULL, out, size, "12.570.86.15");
}

int nvmlSystemGetCudaDriverVersion_v2(int *out) {
  *out = 12080;
  return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *out) {
  *out = (unsigned)option("gpus", 8);
  return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, int **out) {
  static int gpus[64];
  if (index >= (unsigned)option("gpus", 8))
    return INVALID_ARGUMENT;
  misbehave((int)index);
  gpus[index] = (int)index;
  *out = &gpus[index];
  return is("refused", *out) ? option("code", GPU_IS_LOST) : SUCCESS;
}

int nvmlEventSetCreate(int **out) {
  static int set;
  *out = &set;
  return SUCCESS;
}

int nvmlDeviceRegisterEvents(int *gpu, unsigned long long types, int *set) {
  enum { XID_CRITICAL_ERROR = 8 };
  if (!set || types != XID_CRITICAL_ERROR)
    return INVALID_ARGUMENT;
  if (option("deaf", 0))
    return NOT_SUPPORTED;
  registered[*gpu] = gpu;
  return result(gpu);
}

int nvmlEventSetWait_v2(int *set, event_data *out, unsigned timeout_ms) {
  static int told;
  int *gpu = registered[option("xid_gpu", 0)];
  if (!set)
    return INVALID_ARGUMENT;
  if (gpu && told < option("xids", option("xid", NONE) == NONE ? 0 : 1)) {
    told++;
    *out = (event_data){
        .gpu = gpu, .type = 8, .data = (unsigned long long)option("xid", 0)};
    return SUCCESS;
  }
  if (option("after", NONE) == -1)
    raise(SIGSEGV);
  if (option("after", NONE) != NONE)
    return option("after", NONE);
  usleep(timeout_ms * 1000);
  return TIMEOUT;
}
