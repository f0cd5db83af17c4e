/* SPDX-License-Identifier: Apache-2.0 */
#include "help.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

void help_print(FILE *stream)
{
    fputs("Usage: nodeproof-bench NAME [OPTION…]\n"
          "Run a micro-benchmark and print its result as one line of JSON, in SI base units.\n\n"
          "  --cpus LIST            run on these CPUs, such as 0-3,8\n"
          "  --node N               use the memory of NUMA node N, and by default its CPUs\n"
          "  --seconds S            how long to measure at most\n"
          "  --isa NAME             use these instructions: avx512, avx2, sse2, sve, neon, generic\n"
          "  --bytes N              work on so many bytes (K, M and G are powers of 1024)\n"
          "  --path DIR             work on a file in this directory\n"
          "  --share F              test this share of the free memory, 0 to 1\n"
          "  --seed N               repeat what a run with this seed did\n"
          "  --device LIST          use these ports, such as mlx5_0/1,mlx5_1/1, interfaces, such as eth0,eth1,\n"
          "                         or GPUs, such as 0,3 or 0000:1b:00.0\n"
          "  --between WHAT         measure each port with itself (self) or with the next one of the list (ports)\n"
          "  --listen ADDRESS:PORT  measure between two hosts: wait for the other one here; [::1]:7000 for IPv6\n"
          "  --connect ADDRESS:PORT the same: the other one waits there\n"
          "  --session NAME         what both hosts call their meeting, so that nobody measures with a third one\n"
          "  --gid-index N          use this GID of RoCE ports\n"
          "  --die-with-parent PID  end when process PID, which must be the parent, ends\n"
          "  --list                 list the benchmarks: name, unit, seconds, what it measures, what it needs\n"
          "  --help                 show this text\n"
          "  --version              show the version\n\n"
          "Exit status: 0 measured, 1 failed, 2 wrong use, 3 not possible on this machine.\n",
          stream);
}

void help_list(void)
{
    for (const struct benchmark *b = BENCHMARKS; b->name != NULL; b++)
        printf("%s\t%s\t%g\t%s\t%s\n", b->name, b->unit, b->seconds, b->title, b->needs);
}

int help_finish(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EXIT_SUCCESS;
    fprintf(stderr, "nodeproof-bench: cannot write: %s\n", strerror(errno));
    return EXIT_FAILURE;
}
