/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of all streaming kernels. A file for one instruction set defines
 *
 *   TARGET   attribute of a function that uses it        LANES        doubles in a vector
 *   VECTOR   type of a vector                            SET(s)       s in all lanes
 *   LOAD(p), STORE(p, v)                                 AROUND(p, v) store that does not fill the cache
 *   ADD(x, y), MULTIPLY(x, y)                            FUSED(x, y, z)  x * y + z
 *   SUM(v)   of all lanes                                FENCE()      what makes AROUND visible
 *
 * and includes this. Compilers emit no stores around the cache for such loops, hence intrinsics; a
 * plain store would first read the line it is about to overwrite, a stream that the count of bytes
 * does not see. target_clones is of no use: musl cannot load it and gcc 12 for aarch64 refuses it.
 */
#include "nodeproof/stream.h"
#include "table.h"

/* A core has more requests under way to several pages than to one: its prefetchers work page by page, and banks of
   the memory open in parallel. Four places of each array at once are a quarter faster in copying, a tenth in triad.
   A group (NP_STREAM_GROUP) is four vectors for each, of the longest that SVE may have. */
enum { PLACES = 4 };

/* Four vectors at a time: whole cache lines, and enough loads under way to hide their latency. */
#define FOUR_VECTORS(from, step)                                                                                       \
    for (size_t k = from; k < (from) + 4 * LANES; k += LANES)                                                          \
        step;

#define EACH_VECTOR(step)                                                                                              \
    const size_t part = count / PLACES;                                                                                \
    for (size_t i = 0; i < part; i += 4 * LANES) {                                                                     \
        FOUR_VECTORS(i, step)                                                                                          \
        FOUR_VECTORS(i + part, step)                                                                                   \
        FOUR_VECTORS(i + 2 * part, step)                                                                               \
        FOUR_VECTORS(i + 3 * part, step)                                                                               \
    }

TARGET static double run_read(double *a, const double *b, const double *c, double s, size_t count)
{
    VECTOR s0 = SET(0), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
    const size_t part = count / PLACES;
    const double *const b1 = b + part, *const b2 = b1 + part, *const b3 = b2 + part;
    (void)a, (void)c, (void)s;
    for (size_t i = 0; i < part; i += 2 * LANES) {
        s0 = ADD(s0, LOAD(b + i)), s1 = ADD(s1, LOAD(b + i + LANES));
        s2 = ADD(s2, LOAD(b1 + i)), s3 = ADD(s3, LOAD(b1 + i + LANES));
        s4 = ADD(s4, LOAD(b2 + i)), s5 = ADD(s5, LOAD(b2 + i + LANES));
        s6 = ADD(s6, LOAD(b3 + i)), s7 = ADD(s7, LOAD(b3 + i + LANES));
    }
    s0 = ADD(ADD(ADD(s0, s1), ADD(s2, s3)), ADD(ADD(s4, s5), ADD(s6, s7)));
    return SUM(s0);
}

TARGET static double run_write(double *a, const double *b, const double *c, double s, size_t count)
{
    const VECTOR value = SET(s);
    (void)b, (void)c;
    EACH_VECTOR(AROUND(a + k, value))
    FENCE();
    return 0;
}

TARGET static double run_copy(double *a, const double *b, const double *c, double s, size_t count)
{
    (void)c, (void)s;
    EACH_VECTOR(AROUND(a + k, LOAD(b + k)))
    FENCE();
    return 0;
}

TARGET static double run_scale(double *a, const double *b, const double *c, double s, size_t count)
{
    const VECTOR factor = SET(s);
    (void)c;
    EACH_VECTOR(AROUND(a + k, MULTIPLY(factor, LOAD(b + k))))
    FENCE();
    return 0;
}

TARGET static double run_add(double *a, const double *b, const double *c, double s, size_t count)
{
    (void)s;
    EACH_VECTOR(AROUND(a + k, ADD(LOAD(b + k), LOAD(c + k))))
    FENCE();
    return 0;
}

TARGET static double run_triad(double *a, const double *b, const double *c, double s, size_t count)
{
    const VECTOR factor = SET(s);
    EACH_VECTOR(AROUND(a + k, FUSED(factor, LOAD(c + k), LOAD(b + k))))
    FENCE();
    return 0;
}

TARGET static double run_triad_regular(double *a, const double *b, const double *c, double s, size_t count)
{
    const VECTOR factor = SET(s);
    EACH_VECTOR(STORE(a + k, FUSED(factor, LOAD(c + k), LOAD(b + k))))
    return 0;
}

#define STREAM_TABLE                                                                                                   \
    {                                                                                                                  \
        [NP_STREAM_READ] = run_read,                                                                                   \
        [NP_STREAM_WRITE] = run_write,                                                                                 \
        [NP_STREAM_COPY] = run_copy,                                                                                   \
        [NP_STREAM_SCALE] = run_scale,                                                                                 \
        [NP_STREAM_ADD] = run_add,                                                                                     \
        [NP_STREAM_TRIAD] = run_triad,                                                                                 \
        [NP_STREAM_TRIAD_REGULAR] = run_triad_regular,                                                                 \
    }
