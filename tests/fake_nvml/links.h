/* What the fake library says of NVLinks, their fabric, and in its numbered
 * fields. Source: NVML API reference. */
#pragma once

#include "device.h"

typedef struct {
  unsigned field, scope;
  long long timestamp, latency_us;
  int type, error;
  union {
    double number;
    unsigned ui;
    unsigned long long ull;
  } value;
} field_value;

typedef struct {
  unsigned version;
  unsigned char cluster_uuid[16];
  int status;
  unsigned clique;
  unsigned char state;
  unsigned health_mask;
  unsigned char health_summary;
} fabric_info;

/* Numbered fields that this library knows (NVML_FI_DEV_*). */
enum {
  RETIRED_CORRECTED = 29,
  RETIRED_PENDING = 31,
  POLICY_POWER = 74,
  POLICY_THERMAL = 75,
  POLICY_RELIABILITY = 79,
  MEMORY_CELSIUS = 82,
  LINK_COUNT = 91,
  LINK_REPLAY = 161,
  LINK_RECOVERY = 162,
  LINK_CRC = 163,
  LINK_SPEED = 164,
  LINK_STATE = 165,
  LINK5_FIRST = 206,
  LINK5_LAST = 222,
  RECOVERY_ACTION = 230
};

static bool is_up(const int *gpu, unsigned link) {
  return !(is("link_down", gpu) && link == (unsigned)option("down_link", 3));
}

static int link_field(const int *gpu, field_value *out) {
  const generation_t *kind = generation();
  if (out->scope >= (unsigned)kind->links)
    return INVALID_ARGUMENT;
  if (out->field >= LINK5_FIRST)
    return kind->nvlink >= 5 ? SUCCESS : NOT_SUPPORTED;
  switch (out->field) {
  case LINK_STATE:
    out->value.ui = is_up(gpu, out->scope);
    return kind->nvlink >= 4 ? SUCCESS : NOT_SUPPORTED;
  case LINK_SPEED:
    out->value.ui = (unsigned)kind->link_mb_per_s /
                    (is("link_slow", gpu) && out->scope == 5 ? 2 : 1);
    return is_up(gpu, out->scope) ? SUCCESS : NOT_SUPPORTED;
  default:
    return kind->nvlink <= 4 ? SUCCESS : NOT_SUPPORTED;
  }
}

static int field(const int *gpu, field_value *out) {
  enum { UNSIGNED_INT = 1, UNSIGNED_LONG_LONG = 3 };
  out->type = UNSIGNED_INT;
  out->value.ull = 0;
  switch (out->field) {
  case RETIRED_CORRECTED:
  case RETIRED_CORRECTED + 1:
    out->value.ui = is("retired", gpu) ? 32 : 0;
    return generation()->has_rows ? NOT_SUPPORTED : SUCCESS;
  case RETIRED_PENDING:
    out->value.ui = is("retired_pending", gpu);
    return generation()->has_rows ? NOT_SUPPORTED : SUCCESS;
  case POLICY_POWER:
  case POLICY_THERMAL:
  case POLICY_RELIABILITY:
    out->type = UNSIGNED_LONG_LONG;
    out->value.ull = 5000000000ULL;
    return SUCCESS;
  case MEMORY_CELSIUS:
    out->value.ui = is("hot_memory", gpu) ? 95 : 41;
    return SUCCESS;
  case LINK_COUNT:
    out->value.ui = (unsigned)generation()->links;
    return is("no_count", gpu) ? UNKNOWN : SUCCESS;
  case RECOVERY_ACTION:
    out->value.ui =
        is("recovery_gpu", gpu) ? (unsigned)option("recovery", 0) : 0;
    return SUCCESS;
  default:
    return out->field >= LINK_REPLAY && out->field <= LINK5_LAST
               ? link_field(gpu, out)
               : NOT_SUPPORTED;
  }
}

int nvmlDeviceGetFieldValues(const int *gpu, int count, field_value *out) {
  const int error = result(gpu);
  for (int i = 0; i < count; i++)
    out[i].error = error ? error : field(gpu, &out[i]);
  return SUCCESS;
}

int nvmlDeviceGetNvLinkState(const int *gpu, unsigned link, unsigned *out) {
  return link < (unsigned)generation()->links ? set(gpu, out, is_up(gpu, link))
                                              : INVALID_ARGUMENT;
}

int nvmlDeviceGetNvLinkRemotePciInfo_v2(const int *gpu, unsigned link,
                                        pci_info *out) {
  memset(out, 0, sizeof *out);
  snprintf(out->bus_id, sizeof out->bus_id, "00000000:%02X:00.0",
           0x05 + link % 4);
  return is_up(gpu, link) ? result(gpu) : NOT_SUPPORTED;
}

int nvmlDeviceGetGpuFabricInfoV(const int *gpu, fabric_info *out) {
  enum {
    NOT_STARTED = 1,
    COMPLETED = 3,
    ALL_WELL = 2 | 2 << 2 | 2 << 4 | 2 << 6 | 1 << 8,
    DEGRADED = 1,
    MISROUTED = 1 << 4
  };
  unsigned version = out->version;
  if (!generation()->has_fabric)
    return NOT_SUPPORTED;
  if (version >> 24 == 3 && option("old_fabric", 0))
    return ARGUMENT_VERSION_MISMATCH;
  memset(out->cluster_uuid, 0, sizeof out->cluster_uuid);
  out->status = SUCCESS;
  out->clique = is("other_clique", gpu) ? 2 : 1;
  out->state = is("not_joined", gpu) || option("not_joined", NONE) == -1
                   ? NOT_STARTED
                   : COMPLETED;
  out->health_mask =
      is("degraded", gpu)      ? (ALL_WELL & ~3u) | DEGRADED
      : is("misrouted", gpu)   ? (ALL_WELL & ~(3u << 4)) | MISROUTED
      : is("few_nvlinks", gpu) ? (ALL_WELL & ~(15u << 8)) | 5u << 8
                               : ALL_WELL;
  if (version >> 24 == 3)
    out->health_summary = 1;
  return result(gpu);
}

int nvmlDeviceGetP2PStatus(const int *a, const int *b, int index,
                           unsigned *out) {
  enum { OK = 0, CHIPSET_NOT_SUPPORTED = 1, READ = 0 };
  if (index != READ)
    return INVALID_ARGUMENT;
  *out = is("apart", a) || is("apart", b) ? CHIPSET_NOT_SUPPORTED : OK;
  return SUCCESS;
}
