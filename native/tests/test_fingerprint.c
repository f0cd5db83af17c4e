/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/fingerprint.h"

#include <errno.h>

#include "test.h"

enum { BATCHES = 101 };

int main(void)
{
    const atomic_bool is_cancelled = false;
    struct bench_request request = {.is_cancelled = &is_cancelled};
    struct np_samples samples;
    struct np_cpuset allowed;
    CHECK(np_clock_init(&request.clock, false) == 0);
    CHECK(np_affinity_get(&allowed) == 0);
    CHECK(np_samples_open(&samples, BATCHES) == 0);
    const unsigned int here = np_cpuset_first(&allowed), nowhere = NP_MAX_CPUS - 1;

    /* Who would answer does not wait for one that cannot come, whichever of the two that is. */
    CHECK(fingerprint_pair(&request, nowhere, here, 0.05, &samples) == -ENODEV);
    CHECK(fingerprint_pair(&request, here, nowhere, 0.05, &samples) == -ENODEV);
    CHECK(samples.count == 0);
    np_samples_close(&samples);
    return EXIT_SUCCESS;
}
