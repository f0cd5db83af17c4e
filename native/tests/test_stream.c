/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "nodeproof/stream.h"
#include "test.h"

enum { COUNT = 4 * NP_STREAM_GROUP };

static _Alignas(64) double a[COUNT], b[COUNT], c[COUNT];

static uint64_t wrong_after(enum np_stream_op op, enum np_isa isa)
{
    np_stream_fn *kernel = np_stream_kernel(op, isa);
    CHECK(kernel != NULL);
    memset(a, 0, sizeof a);
    np_stream_fill(op, a, b, c, 0, COUNT);
    const double sum = kernel(a + NP_STREAM_GROUP, b + NP_STREAM_GROUP, c + NP_STREAM_GROUP, 3, 2 * NP_STREAM_GROUP);
    for (int i = 0; i < NP_STREAM_GROUP; i++) /* nothing outside was touched */
        CHECK(a[i] == 0 && a[3 * NP_STREAM_GROUP + i] == 0);
    return np_stream_wrong(op, a, 3, sum, NP_STREAM_GROUP, 2 * NP_STREAM_GROUP);
}

static void a_flipped_bit_is_found(enum np_stream_op op)
{
    uint64_t bits;
    np_stream_fill(op, a, b, c, 0, COUNT);
    np_stream_kernel(op, NP_ISA_GENERIC)(a, b, c, 3, COUNT);
    CHECK(np_stream_wrong(op, a, 3, 0, 0, COUNT) == 0);
    memcpy(&bits, &a[700], sizeof bits);
    bits ^= 1;
    memcpy(&a[700], &bits, sizeof bits);
    CHECK(np_stream_wrong(op, a, 3, 0, 0, COUNT) == 1);
}

static void a_flipped_bit_is_missing_from_the_sum(void)
{
    np_stream_fill(NP_STREAM_READ, a, b, c, 0, COUNT);
    b[700] += 1;
    const double sum = np_stream_kernel(NP_STREAM_READ, NP_ISA_GENERIC)(a, b, c, 3, COUNT);
    CHECK(np_stream_wrong(NP_STREAM_READ, a, 3, sum, 0, COUNT) == 1);
}

/* What an operation does not have is not even there in a benchmark. */
static void only_the_arrays_of_the_operation_are_filled(enum np_stream_op op)
{
    double *const arrays[] = {a, b, c};
    const unsigned int used = np_stream_arrays(op);
    for (int i = 0; i < 3; i++)
        arrays[i][0] = -1;
    np_stream_fill(op, a, b, c, 0, COUNT);
    for (int i = 0; i < 3; i++)
        CHECK((arrays[i][0] < 0) == !(used & 1U << i));
}

int main(void)
{
    int tested = 0;
    for (int isa = 0; isa < NP_ISA_COUNT; isa++)
        for (int op = 0; op < NP_STREAM_OP_COUNT && np_isa_is_supported((enum np_isa)isa); op++, tested++)
            CHECK(wrong_after((enum np_stream_op)op, (enum np_isa)isa) == 0);
    CHECK(tested >= 2 * NP_STREAM_OP_COUNT);
    for (int op = NP_STREAM_WRITE; op < NP_STREAM_OP_COUNT; op++)
        a_flipped_bit_is_found((enum np_stream_op)op);
    for (int op = 0; op < NP_STREAM_OP_COUNT; op++)
        only_the_arrays_of_the_operation_are_filled((enum np_stream_op)op);
    a_flipped_bit_is_missing_from_the_sum();
    CHECK(np_isa_is_supported(np_stream_widest()) && np_stream_widest() != NP_ISA_GENERIC);
    CHECK(np_stream_bytes(NP_STREAM_TRIAD) == 24);
    return EXIT_SUCCESS;
}
