/* SPDX-License-Identifier: Apache-2.0 */
#include "nodeproof/chain.h"
#include "nodeproof/clock.h"
#include "test.h"

static double seconds_of(const struct np_clock *clock, uint64_t adds)
{
    double least_s = 1;
    for (int i = 0; i < 20; i++) {
        const uint64_t begin = np_clock_now(clock);
        const uint64_t made = np_chain_run(adds);
        const double took_s = np_clock_seconds(clock, begin, np_clock_now(clock));
        CHECK(made == adds);
        least_s = took_s < least_s ? took_s : least_s;
    }
    return least_s;
}

int main(void)
{
    struct np_clock clock;
    CHECK(np_chain_run(0) == NP_CHAIN_GROUP && np_chain_run(1) == NP_CHAIN_GROUP);
    CHECK(np_chain_run(NP_CHAIN_GROUP) == NP_CHAIN_GROUP && np_chain_run(NP_CHAIN_GROUP + 1) == 2 * NP_CHAIN_GROUP);
    CHECK(np_chain_run(1000000) == 1000000 / NP_CHAIN_GROUP * NP_CHAIN_GROUP);
    CHECK(np_clock_init(&clock, true) == 0);
    /* Each addition is really made, and made after the last one: no core is clocked at 100 GHz. */
    CHECK(seconds_of(&clock, 10000 * NP_CHAIN_GROUP) > 10000 * NP_CHAIN_GROUP / 100e9);
    return EXIT_SUCCESS;
}
