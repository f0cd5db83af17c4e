/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "nodeproof/cpuset.h"
#include "test.h"

static void reads(const char *text, size_t count, const char *written)
{
    struct np_cpuset set;
    char out[NP_CPULIST_BYTES];
    CHECK(np_cpulist_parse(text, &set) == 0);
    CHECK(np_cpuset_count(&set) == count);
    CHECK(np_cpulist_format(&set, out, sizeof out) == 0);
    CHECK(strcmp(out, written) == 0);
}

static void refuses(const char *text, int rc)
{
    struct np_cpuset set;
    CHECK(np_cpulist_parse(text, &set) == rc);
}

static void every_second_cpu_fits(void)
{
    struct np_cpuset set = {{0}}, again;
    char out[NP_CPULIST_BYTES];
    for (unsigned int cpu = 0; cpu < NP_MAX_CPUS; cpu += 2)
        np_cpuset_add(&set, cpu);
    CHECK(np_cpulist_format(&set, out, sizeof out) == 0);
    CHECK(np_cpulist_parse(out, &again) == 0);
    CHECK(memcmp(&set, &again, sizeof set) == 0);
    CHECK(np_cpulist_format(&set, out, 10) == -ENOSPC);
}

int main(void)
{
    reads("", 0, "");
    reads("\n", 0, "");
    reads("0\n", 1, "0");
    reads("0-3,8,10-11\n", 7, "0-3,8,10-11");
    reads("3,1,2,2", 3, "1-3");
    reads("8191", 1, "8191");
    refuses("8192", -ERANGE);
    refuses("99999999999999999999", -ERANGE);
    refuses("3-1", -EINVAL);
    refuses("1-", -EINVAL);
    refuses("-1", -EINVAL);
    refuses("1,", -EINVAL);
    refuses(",1", -EINVAL);
    refuses(" 1", -EINVAL);
    refuses("1 2", -EINVAL);
    refuses("0x1", -EINVAL);
    refuses("1-2-3", -EINVAL);
    refuses("1\n2", -EINVAL);
    every_second_cpu_fits();

    struct np_cpuset some, allowed;
    unsigned int missing, cpus[2];
    CHECK(np_affinity_get(&allowed) == 0);
    CHECK(np_cpuset_count(&allowed) > 0);
    CHECK(np_affinity_pin(NP_MAX_CPUS) == -EINVAL);
    CHECK(np_affinity_pin(np_cpuset_first(&allowed)) == 0);
    CHECK(np_affinity_get(&some) == 0);
    CHECK(np_cpuset_count(&some) == 1 && np_cpuset_first(&some) == np_cpuset_first(&allowed));

    CHECK(np_cpulist_parse("1,5,9", &some) == 0);
    CHECK(np_cpulist_parse("0-7", &allowed) == 0);
    CHECK(!np_cpuset_is_within(&some, &allowed, &missing) && missing == 9);
    CHECK(np_cpuset_list(&some, cpus, 2) == 3 && cpus[0] == 1 && cpus[1] == 5);
    np_cpuset_intersect(&some, &allowed);
    CHECK(np_cpuset_is_within(&some, &allowed, &missing));
    CHECK(np_cpuset_count(&some) == 2);
    return EXIT_SUCCESS;
}
