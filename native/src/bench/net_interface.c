/* SPDX-License-Identifier: Apache-2.0 */
#include "net_interface.h"

#include <errno.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "system.h"

bool net_interface_is_name(const char *name)
{
    const size_t length = strlen(name);
    if (length == 0 || length >= IFNAMSIZ || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    for (const char *c = name; *c != '\0'; c++)
        if (*c <= ' ' || *c >= 0x7f || *c == '/' || *c == ':')
            return false;
    return true;
}

static bool take_address(const struct ifaddrs *entry, struct endpoint *address)
{
    if (entry->ifa_addr == NULL)
        return false;
    const int family = entry->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6)
        return false;
    *address = (struct endpoint){0};
    memcpy(address, entry->ifa_addr, family == AF_INET ? sizeof address->v4 : sizeof address->v6);
    return true;
}

static bool is_link_local(const struct endpoint *address)
{
    return address->any.sa_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&address->v6.sin6_addr);
}

/* Of the family asked for, and not only for the link: 3 is best, 0 none. */
static int rank(const struct endpoint *address, int family)
{
    return 1 + 2 * (address->any.sa_family == family) - is_link_local(address);
}

int net_interface_address(const char *name, int family, struct endpoint *address, char why[BENCH_WHY_BYTES])
{
    struct ifaddrs *all;
    struct endpoint found;
    int best = -1;
    if (getifaddrs(&all) != 0)
        return bench_why(why, -errno, "cannot read the addresses of interfaces: %s", strerror(errno));
    for (const struct ifaddrs *entry = all; entry != NULL; entry = entry->ifa_next) {
        if (strcmp(entry->ifa_name, name) != 0 || !(entry->ifa_flags & IFF_UP) || !take_address(entry, &found))
            continue;
        if (rank(&found, family) <= best)
            continue;
        best = rank(&found, family);
        *address = found;
    }
    freeifaddrs(all);
    return best >= 0 ? 0 : bench_why(why, -ENOTSUP, "network interface %s is down or has no IP address", name);
}

static bool is_same_host(const struct endpoint *one, const struct endpoint *other)
{
    if (one->any.sa_family != other->any.sa_family)
        return false;
    if (one->any.sa_family == AF_INET)
        return one->v4.sin_addr.s_addr == other->v4.sin_addr.s_addr;
    return memcmp(&one->v6.sin6_addr, &other->v6.sin6_addr, sizeof one->v6.sin6_addr) == 0 &&
           one->v6.sin6_scope_id == other->v6.sin6_scope_id;
}

void net_interface_of(const struct endpoint *address, char name[IFNAMSIZ])
{
    struct ifaddrs *all;
    struct endpoint found;
    name[0] = '\0';
    if (getifaddrs(&all) != 0)
        return;
    for (const struct ifaddrs *entry = all; entry != NULL && name[0] == '\0'; entry = entry->ifa_next)
        if (take_address(entry, &found) && is_same_host(&found, address) && net_interface_is_name(entry->ifa_name))
            snprintf(name, IFNAMSIZ, "%s", entry->ifa_name);
    freeifaddrs(all);
}

static int read_file(const char *name, const char *file, char *text, size_t size)
{
    char path[128];
    snprintf(path, sizeof path, "/sys/class/net/%s/%s", name, file);
    return net_interface_is_name(name) ? system_read_text(path, text, size) : -EINVAL;
}

uint64_t net_interface_number(const char *name, const char *file)
{
    char text[32];
    if (read_file(name, file, text, sizeof text) != 0)
        return 0;
    const long long value = strtoll(text, NULL, 10);
    return value > 0 ? (uint64_t)value : 0;
}

void net_interface_cpus(const char *name, struct np_cpuset *cpus)
{
    char text[4096];
    *cpus = (struct np_cpuset){{0}};
    if (read_file(name, "device/local_cpulist", text, sizeof text) != 0 || np_cpulist_parse(text, cpus) != 0)
        *cpus = (struct np_cpuset){{0}};
}
