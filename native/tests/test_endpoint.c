/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "bench/endpoint.h"
#include "test.h"

static void is(const char *text, const char *host, int port)
{
    struct endpoint endpoint;
    char found[ENDPOINT_TEXT_BYTES], address[ENDPOINT_HOST_BYTES];
    CHECK(endpoint_parse(text, &endpoint) == 0);
    CHECK(endpoint_port(&endpoint) == port);
    endpoint_host(&endpoint, address);
    CHECK(strcmp(address, host) == 0);
    endpoint_text(&endpoint, found);
    CHECK(strcmp(found, text) == 0);
}

int main(void)
{
    static const char *const NONE[] = {
        "",          ":",           "127.0.0.1", "127.0.0.1:",   "127.0.0.1:-1", "127.0.0.1:65536", "127.0.0.1:7 ",
        "::1:7000",  "[::1]",       "[::1]:",    "[::1]7000",    "[]:7000",      "[127.0.0.1]:7",   "localhost:7000",
        "[::1]:0x1", "1.2.3.4.5:6", "[::1:7000", "[[::1]]:7000", "*:7000",       ":7000",           "[::1%nosuch]:1",
    };
    struct endpoint endpoint;
    char longest[ENDPOINT_TEXT_BYTES * 2];
    is("127.0.0.1:7000", "127.0.0.1", 7000);
    is("0.0.0.0:0", "0.0.0.0", 0);
    is("[::1]:65535", "::1", 65535);
    is("[fd00::1]:7000", "fd00::1", 7000);
    for (size_t i = 0; i < sizeof NONE / sizeof NONE[0]; i++)
        CHECK(endpoint_parse(NONE[i], &endpoint) == -EINVAL);
    memset(longest, '1', sizeof longest - 3);
    memcpy(longest + sizeof longest - 3, ":1", 3);
    CHECK(endpoint_parse(longest, &endpoint) == -EINVAL);
    return EXIT_SUCCESS;
}
