/* SPDX-License-Identifier: Apache-2.0 */
#include "endpoint.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "option_values.h"

/* Split at the last colon; an address with colons of its own has brackets. Returns false if there is no such place. */
static bool split(const char *text, char host[ENDPOINT_HOST_BYTES], const char **port)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL)
        return false;
    size_t length = (size_t)(colon - text);
    const bool has_brackets = length >= 2 && text[0] == '[' && text[length - 1] == ']';
    if (has_brackets) {
        text++;
        length -= 2;
    }
    if (length == 0 || length >= ENDPOINT_HOST_BYTES || has_brackets != (memchr(text, ':', length) != NULL))
        return false;
    memcpy(host, text, length);
    host[length] = '\0';
    *port = colon + 1;
    return true;
}

int endpoint_parse(const char *text, struct endpoint *endpoint)
{
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    char host[ENDPOINT_HOST_BYTES];
    const char *port;
    long number;
    if (!split(text, host, &port) || !option_whole(port, UINT16_MAX, &number) ||
        getaddrinfo(host, NULL, &hints, &found) != 0)
        return -EINVAL;
    *endpoint = (struct endpoint){0};
    const bool is_known = found->ai_family == AF_INET || found->ai_family == AF_INET6;
    if (is_known)
        memcpy(endpoint, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    endpoint_set_port(endpoint, (uint16_t)number);
    return is_known ? 0 : -EINVAL;
}

socklen_t endpoint_bytes(const struct endpoint *endpoint)
{
    return endpoint->any.sa_family == AF_INET ? sizeof endpoint->v4 : sizeof endpoint->v6;
}

uint16_t endpoint_port(const struct endpoint *endpoint)
{
    return ntohs(endpoint->any.sa_family == AF_INET ? endpoint->v4.sin_port : endpoint->v6.sin6_port);
}

void endpoint_set_port(struct endpoint *endpoint, uint16_t port)
{
    *(endpoint->any.sa_family == AF_INET ? &endpoint->v4.sin_port : &endpoint->v6.sin6_port) = htons(port);
}

void endpoint_host(const struct endpoint *endpoint, char text[ENDPOINT_HOST_BYTES])
{
    if (getnameinfo(&endpoint->any, endpoint_bytes(endpoint), text, ENDPOINT_HOST_BYTES, NULL, 0, NI_NUMERICHOST) != 0)
        snprintf(text, ENDPOINT_HOST_BYTES, "unknown");
}

void endpoint_text(const struct endpoint *endpoint, char text[ENDPOINT_TEXT_BYTES])
{
    char host[ENDPOINT_HOST_BYTES];
    endpoint_host(endpoint, host);
    snprintf(text, ENDPOINT_TEXT_BYTES, endpoint->any.sa_family == AF_INET ? "%s:%u" : "[%s]:%u", host,
             endpoint_port(endpoint));
}

int endpoint_of(int fd, struct endpoint *own)
{
    socklen_t length = sizeof *own;
    *own = (struct endpoint){0};
    return getsockname(fd, &own->any, &length) == 0 ? 0 : -errno;
}

int endpoint_of_peer(int fd, struct endpoint *peer)
{
    socklen_t length = sizeof *peer;
    *peer = (struct endpoint){0};
    return getpeername(fd, &peer->any, &length) == 0 ? 0 : -errno;
}
