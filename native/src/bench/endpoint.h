/* SPDX-License-Identifier: Apache-2.0 */
/* A numeric IP address and a port. Names are not looked up: that could take longer than any deadline. */
#ifndef NODEPROOF_BENCH_ENDPOINT_H
#define NODEPROOF_BENCH_ENDPOINT_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

/** An IPv6 address with the name of its scope; brackets, a colon and a port come to it. */
enum { ENDPOINT_HOST_BYTES = 64, ENDPOINT_TEXT_BYTES = ENDPOINT_HOST_BYTES + 8 };

struct endpoint {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
};

/** Read `127.0.0.1:7000`, `[::1]:7000` or `[fe80::1%eth0]:7000`. Returns 0 or -EINVAL. */
int endpoint_parse(const char *text, struct endpoint *endpoint);

socklen_t endpoint_bytes(const struct endpoint *endpoint);
uint16_t endpoint_port(const struct endpoint *endpoint);
void endpoint_set_port(struct endpoint *endpoint, uint16_t port);

/** Write the address without its port. */
void endpoint_host(const struct endpoint *endpoint, char text[ENDPOINT_HOST_BYTES]);

/** Write it in the form that endpoint_parse() reads. */
void endpoint_text(const struct endpoint *endpoint, char text[ENDPOINT_TEXT_BYTES]);

/** The address of a socket's own end, or of the other one. Returns 0 or -errno. */
int endpoint_of(int fd, struct endpoint *own);
int endpoint_of_peer(int fd, struct endpoint *peer);

#endif
