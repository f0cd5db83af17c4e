/*
 * A libnvidia-ml.so.1 without a GPU: what pynvml calls, answered from the environment variable FAKE_NVML.
 *
 * Words, separated by spaces: gpus=8 (how many), init=CODE (nvmlInit fails), hang=INDEX and crash=INDEX (in the
 * handle call of that GPU; -1: in nvmlInit), refused=INDEX code=CODE (no handle), lost=INDEX (a handle, and then
 * "GPU is lost"), narrow=INDEX (x8), pending=INDEX, failed=INDEX, exhausted=INDEX, mig=INDEX (remapped rows not
 * supported), forbidden=INDEX (remapped rows need a permission), garbled=INDEX (a name that is not UTF-8),
 * xid=CODE (what an event set tells of GPU xid_gpu=INDEX, xids=COUNT times; then nothing more, or after=CODE: that
 * error, -1: a crash), deaf=1 (no GPU supports events).
 * Signatures: NVIDIA NVML API reference.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, TIMEOUT = 10, GPU_IS_LOST = 15, NONE = -2 };

typedef struct {
    char bus_id_legacy[16];
    unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
    char bus_id[32];
} pci_info;

typedef struct {
    unsigned max, high, partial, low, none;
} histogram;

typedef struct {
    int *gpu;
    unsigned long long type, data;
    unsigned gpu_instance, compute_instance;
} event_data;

static int *registered[64];

static int option(const char *name, int otherwise)
{
    const char *words = getenv("FAKE_NVML");
    size_t length = strlen(name);
    for (const char *word = words; word && *word; word = strchr(word, ' ') ? strchr(word, ' ') + 1 : NULL)
        if (!strncmp(word, name, length) && word[length] == '=')
            return atoi(word + length + 1);
    return otherwise;
}

static void misbehave(int where)
{
    if (option("hang", NONE) == where)
        for (;;)
            pause();
    if (option("crash", NONE) == where)
        raise(SIGSEGV);
}

static int is(const char *name, const int *gpu)
{
    return option(name, NONE) == *gpu;
}

static int lost_handle(const int *gpu)
{
    return is("lost", gpu) ? GPU_IS_LOST : SUCCESS;
}

static int say(const int *gpu, char *out, unsigned size, const char *format, int value)
{
    if (gpu && lost_handle(gpu))
        return GPU_IS_LOST;
    snprintf(out, size, format, value);
    return SUCCESS;
}

static int set(const int *gpu, unsigned *out, unsigned value)
{
    *out = value;
    return lost_handle(gpu);
}

int nvmlInitWithFlags(unsigned flags)
{
    (void)flags;
    misbehave(-1);
    return option("init", SUCCESS);
}

int nvmlShutdown(void)
{
    return SUCCESS;
}

const char *nvmlErrorString(int code)
{
    (void)code;
    return "an error of the fake library";
}

int nvmlSystemGetDriverVersion(char *out, unsigned size)
{
    return say(NULL, out, size, "570.86.15", 0);
}

int nvmlSystemGetNVMLVersion(char *out, unsigned size)
{
    return say(NULL, out, size, "12.570.86.15", 0);
}

int nvmlSystemGetCudaDriverVersion_v2(int *out)
{
    *out = 12080;
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *out)
{
    *out = (unsigned)option("gpus", 8);
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, int **out)
{
    static int gpus[64];
    if (index >= (unsigned)option("gpus", 8))
        return INVALID_ARGUMENT;
    misbehave((int)index);
    gpus[index] = (int)index;
    *out = &gpus[index];
    return is("refused", *out) ? option("code", GPU_IS_LOST) : SUCCESS;
}

int nvmlDeviceGetPciInfo_v3(const int *gpu, pci_info *out)
{
    /* from memory that the driver keeps: a lost GPU still has its address */
    memset(out, 0, sizeof *out);
    snprintf(out->bus_id, sizeof out->bus_id, "00000000:%02X:00.0", 0x1b + *gpu);
    return SUCCESS;
}

int nvmlDeviceGetName(const int *gpu, char *out, unsigned size)
{
    return say(gpu, out, size, is("garbled", gpu) ? "\xff\xfe" : "NVIDIA H100 80GB HBM3", 0);
}

int nvmlDeviceGetUUID(const int *gpu, char *out, unsigned size)
{
    return say(gpu, out, size, "GPU-00000000-0000-0000-0000-%012d", *gpu);
}

int nvmlDeviceGetSerial(const int *gpu, char *out, unsigned size)
{
    return say(gpu, out, size, "165092300000%d", *gpu);
}

int nvmlDeviceGetVbiosVersion(const int *gpu, char *out, unsigned size)
{
    return say(gpu, out, size, "96.00.99.00.01", 0);
}

int nvmlDeviceGetCurrPcieLinkWidth(const int *gpu, unsigned *out)
{
    return set(gpu, out, is("narrow", gpu) ? 8 : 16);
}

int nvmlDeviceGetMaxPcieLinkWidth(const int *gpu, unsigned *out)
{
    return set(gpu, out, 16);
}

int nvmlDeviceGetCurrPcieLinkGeneration(const int *gpu, unsigned *out)
{
    return set(gpu, out, 1);
}

int nvmlDeviceGetMaxPcieLinkGeneration(const int *gpu, unsigned *out)
{
    return set(gpu, out, 5);
}

int nvmlDeviceGetEccMode(const int *gpu, unsigned *current, unsigned *pending)
{
    *pending = 1;
    return set(gpu, current, 1);
}

int nvmlDeviceGetMigMode(const int *gpu, unsigned *current, unsigned *pending)
{
    *pending = 0;
    return set(gpu, current, is("mig", gpu));
}

int nvmlDeviceGetRemappedRows(const int *gpu, unsigned *correctable, unsigned *uncorrectable, unsigned *pending,
                              unsigned *failed)
{
    *correctable = 0;
    *uncorrectable = (unsigned)(is("pending", gpu) || is("failed", gpu));
    *pending = (unsigned)is("pending", gpu);
    *failed = (unsigned)is("failed", gpu);
    return is("mig", gpu) ? NOT_SUPPORTED : is("forbidden", gpu) ? NO_PERMISSION : lost_handle(gpu);
}

int nvmlDeviceGetRowRemapperHistogram(const int *gpu, histogram *out)
{
    unsigned exhausted = is("exhausted", gpu) ? 2 : 0;
    *out = (histogram){.max = 640 - exhausted, .none = exhausted};
    return is("mig", gpu) ? NOT_SUPPORTED : lost_handle(gpu);
}

int nvmlEventSetCreate(int **out)
{
    static int set;
    *out = &set;
    return SUCCESS;
}

int nvmlDeviceRegisterEvents(int *gpu, unsigned long long types, int *set)
{
    enum { XID_CRITICAL_ERROR = 8 };
    if (!set || types != XID_CRITICAL_ERROR)
        return INVALID_ARGUMENT;
    if (option("deaf", 0))
        return NOT_SUPPORTED;
    registered[*gpu] = gpu;
    return lost_handle(gpu);
}

int nvmlEventSetWait_v2(int *set, event_data *out, unsigned timeout_ms)
{
    static int told;
    int *gpu = registered[option("xid_gpu", 0)];
    if (!set)
        return INVALID_ARGUMENT;
    if (gpu && told < option("xids", option("xid", NONE) == NONE ? 0 : 1)) {
        told++;
        *out = (event_data){.gpu = gpu, .type = 8, .data = (unsigned long long)option("xid", 0)};
        return SUCCESS;
    }
    if (option("after", NONE) == -1)
        raise(SIGSEGV);
    if (option("after", NONE) != NONE)
        return option("after", NONE);
    usleep(timeout_ms * 1000);
    return TIMEOUT;
}
