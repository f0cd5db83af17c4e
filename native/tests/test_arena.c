/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "nodeproof/arena.h"
#include "test.h"

int main(void)
{
    struct np_arena arena;
    CHECK(np_arena_open(&arena, 0) == -EINVAL);
    CHECK(np_arena_open(&arena, SIZE_MAX) == -EINVAL);

    CHECK(np_arena_open(&arena, NP_HUGE_PAGE_BYTES + 1) == 0);
    CHECK(arena.bytes == 2 * (size_t)NP_HUGE_PAGE_BYTES);
    CHECK((uintptr_t)arena.base % NP_HUGE_PAGE_BYTES == 0);
    CHECK((char *)arena.base + arena.bytes <= (char *)arena.map + arena.map_bytes);

    CHECK(np_arena_bind(&arena, 1 << 20) == -EINVAL);
    const int bound = np_arena_bind(&arena, 0);
    CHECK(bound == 0 || bound == -ENOSYS || bound == -EPERM);
    memset(arena.base, 1, arena.bytes);
    double share = 0;
    const int known = np_arena_local_share(&arena, 0, &share);
    CHECK(known == -ENOSYS || known == -EPERM || (known == 0 && (share == 1 || bound != 0)));

    np_arena_close(&arena);
    np_arena_close(&arena);
    CHECK(arena.base == NULL);
    return EXIT_SUCCESS;
}
