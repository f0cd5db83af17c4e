/* SPDX-License-Identifier: Apache-2.0 */
#include "streams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "system.h"

/* Below four times the last-level cache, what stays in it raised the rate by 7 % and more. */
enum { CACHES_PER_ARRAY = 4 };

/* Assumed where the kernel names no cache; also the least, for a VM may hide most of a large one. */
static const uint64_t LEAST_CACHE_BYTES = UINT64_C(32) << 20;

/* Part the CPUs by the last-level cache that they share. */
static int find_domains(struct streams *streams, struct np_cpuset cpus)
{
    streams->cpu_count = np_cpuset_count(&cpus);
    streams->domains = calloc(streams->cpu_count, sizeof *streams->domains);
    if (streams->domains == NULL)
        return -ENOMEM;
    for (unsigned int cpu = 0; cpu < NP_MAX_CPUS; cpu++) {
        struct np_cpuset shared;
        if (!np_cpuset_has(&cpus, cpu))
            continue;
        struct stream_domain *domain = &streams->domains[streams->domain_count++];
        system_cache_siblings(cpu, &shared);
        np_cpuset_intersect(&shared, &cpus);
        domain->cpu_count = np_cpuset_count(&shared);
        domain->cpus = calloc(domain->cpu_count, sizeof *domain->cpus);
        if (domain->cpus == NULL)
            return -ENOMEM;
        np_cpuset_list(&shared, domain->cpus, domain->cpu_count);
        np_cpuset_remove(&cpus, &shared);
    }
    return 0;
}

/* Bytes of one array of one domain: whole huge pages, within half of the memory that is free. */
static size_t share_bytes(const struct streams *streams)
{
    const size_t page = NP_HUGE_PAGE_BYTES, domains = streams->domain_count;
    const uint64_t own = CACHES_PER_ARRAY * streams->cache_bytes;
    const uint64_t wanted = (streams->request->bytes > 0 ? streams->request->bytes : own) / domains;
    const uint64_t allowed = system_available_bytes(streams->node) / 2 / streams->arrays / domains / page * page;
    const uint64_t rounded = (wanted + page - 1) / page * page;
    return rounded < allowed ? rounded : allowed;
}

static int reserve_domain(const struct streams *streams, struct stream_domain *domain, size_t bytes)
{
    int rc = np_arena_open(&domain->arena, streams->arrays * bytes);
    if (rc != 0)
        return rc;
    domain->elements = bytes / sizeof(double);
    /* What the operation does not have is never touched: any place will do. */
    domain->a = domain->arena.base;
    domain->b = domain->a + (streams->arrays > 1 ? domain->elements : 0);
    domain->c = domain->b + (streams->arrays > 2 ? domain->elements : 0);
    if (streams->node >= 0)
        rc = np_arena_bind(&domain->arena, (unsigned int)streams->node);
    /* A container that forbids it: first touch by the pinned thread does the same, if it is on that node. */
    return rc == -ENOSYS || rc == -EPERM ? 0 : rc;
}

static int choose_isa(struct streams *streams, char why[BENCH_WHY_BYTES])
{
    const struct bench_request *request = streams->request;
    streams->isa = request->has_isa ? request->isa : np_stream_widest();
    if (np_stream_kernel(NP_STREAM_TRIAD, streams->isa) != NULL && np_isa_is_supported(streams->isa))
        return 0;
    return bench_why(why, -ENOTSUP, "this CPU does not support %s", np_isa_name(streams->isa));
}

static const char *page_kind(uint64_t wanted_bytes)
{
    const uint64_t huge_bytes = system_huge_bytes();
    if (huge_bytes >= wanted_bytes / 10 * 9)
        return "huge";
    return huge_bytes >= wanted_bytes / 10 ? "mixed" : "base";
}

static void look_at_pages(struct streams *streams)
{
    streams->pages = page_kind(streams->arrays * streams->array_bytes);
    streams->has_local_share = streams->node >= 0;
    for (size_t i = 0; i < streams->domain_count && streams->has_local_share; i++) {
        double share = 0;
        const int rc = np_arena_local_share(&streams->domains[i].arena, (unsigned int)streams->node, &share);
        streams->has_local_share = rc == 0;
        streams->local_share += share / (double)streams->domain_count;
    }
}

static int reserve(struct streams *streams, char why[BENCH_WHY_BYTES])
{
    const size_t bytes = share_bytes(streams);
    int rc = 0;
    if (bytes == 0)
        return bench_why(why, -ENOMEM, "too little free memory for %zu threads", streams->cpu_count);
    for (size_t i = 0; i < streams->domain_count && rc == 0; i++)
        rc = reserve_domain(streams, &streams->domains[i], bytes);
    if (rc != 0) /* EINVAL: the cpuset forbids the memory of this node, mbind(2) */
        return bench_why(why, rc == -EINVAL ? -ENOTSUP : rc, "cannot reserve %zu bytes on NUMA node %d: %s",
                         streams->arrays * bytes, streams->node, strerror(-rc));
    streams->array_bytes = bytes * streams->domain_count;
    return 0;
}

int streams_open(struct streams *streams, const struct bench_request *request, enum np_stream_op op,
                 const struct np_cpuset *cpus, int node, char why[BENCH_WHY_BYTES])
{
    const size_t arrays = np_stream_bytes(op) / sizeof(double);
    *streams = (struct streams){.request = request, .op = op, .arrays = arrays, .node = node};
    int rc = choose_isa(streams, why);
    if (rc != 0)
        return rc;
    streams->cache_bytes = system_cache_bytes(cpus);
    if (streams->cache_bytes < LEAST_CACHE_BYTES)
        streams->cache_bytes = LEAST_CACHE_BYTES;
    rc = find_domains(streams, *cpus);
    if (rc != 0)
        bench_why(why, rc, "out of memory");
    else
        rc = reserve(streams, why);
    if (rc == 0) {
        rc = streams_touch(streams);
        if (rc != 0)
            bench_why(why, rc, "cannot fill the arrays: %s", strerror(-rc));
    }
    if (rc == 0)
        look_at_pages(streams);
    else
        streams_close(streams);
    return rc;
}

void streams_close(struct streams *streams)
{
    for (size_t i = 0; i < streams->domain_count; i++) {
        np_arena_close(&streams->domains[i].arena);
        free(streams->domains[i].cpus);
    }
    free(streams->domains);
    *streams = (struct streams){0};
}

size_t streams_widest(const struct streams *streams)
{
    size_t most = 0;
    for (size_t i = 0; i < streams->domain_count; i++)
        most = streams->domains[i].cpu_count > most ? streams->domains[i].cpu_count : most;
    return most;
}

void streams_put(const struct streams *streams, struct np_json *out)
{
    if (streams->node >= 0)
        np_json_integer(out, "node", (uint64_t)streams->node);
    else
        np_json_null(out, "node");
    np_json_string(out, "isa", np_isa_name(streams->isa));
    np_json_integer(out, "array_bytes", streams->array_bytes);
    np_json_integer(out, "cache_bytes", streams->cache_bytes);
    np_json_bool(out, "is_cache_bound", streams->array_bytes < CACHES_PER_ARRAY * streams->cache_bytes);
    np_json_string(out, "pages", streams->pages);
    if (streams->has_local_share)
        np_json_number(out, "local_share", streams->local_share);
    else
        np_json_null(out, "local_share");
    np_json_integer(out, "wrong_elements", streams->wrong_elements);
}
