/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODEPROOF_TESTS_TEST_H
#define NODEPROOF_TESTS_TEST_H

#include <stdio.h>
#include <stdlib.h>

/** End the test program, naming what does not hold: asserts would be gone from a release build. */
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                             \
            exit(EXIT_FAILURE);                                                                                        \
        }                                                                                                              \
    } while (0)

#endif
