/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <string.h>

#define LIBRARY "libibverbs.so.1"

struct symbol {
    const char *name;
    size_t offset; /* of its pointer in struct verbs */
    bool is_optional;
};

#define SYMBOL(name, ...) {"ibv_" #name, offsetof(struct verbs, name), __VA_ARGS__}

/* Without a version dlsym() gives the newest one, which is that of the header that ours is made from. */
static const struct symbol SYMBOLS[] = {
    SYMBOL(get_device_list, false), SYMBOL(free_device_list, false), SYMBOL(open_device, false),
    SYMBOL(close_device, false),    SYMBOL(query_device, false),     SYMBOL(query_port, false),
    SYMBOL(query_gid, false),       SYMBOL(alloc_pd, false),         SYMBOL(dealloc_pd, false),
    SYMBOL(reg_mr, false),          SYMBOL(reg_mr_iova2, true),      SYMBOL(dereg_mr, false),
    SYMBOL(create_cq, false),       SYMBOL(destroy_cq, false),       SYMBOL(create_qp, false),
    SYMBOL(modify_qp, false),       SYMBOL(destroy_qp, false),       SYMBOL(wc_status_str, false),
};

/* The first object is the program itself: if it names no interpreter, nobody can load a library for it. */
static int has_interpreter(struct dl_phdr_info *program, size_t size, void *found)
{
    (void)size;
    for (size_t i = 0; i < program->dlpi_phnum; i++)
        if (program->dlpi_phdr[i].p_type == PT_INTERP)
            *(bool *)found = true;
    return 1;
}

static int find_symbols(void *library, struct verbs *verbs, char why[BENCH_WHY_BYTES])
{
    for (size_t i = 0; i < sizeof SYMBOLS / sizeof *SYMBOLS; i++) {
        void *const address = dlsym(library, SYMBOLS[i].name);
        if (address == NULL && !SYMBOLS[i].is_optional)
            return bench_why(why, -ENOTSUP, LIBRARY " has no %s", SYMBOLS[i].name);
        memcpy((char *)verbs + SYMBOLS[i].offset, &address, sizeof address);
    }
    return 0;
}

int verbs_load(struct verbs *verbs, char why[BENCH_WHY_BYTES])
{
    bool is_dynamic = false;
    *verbs = (struct verbs){0};
    dl_iterate_phdr(has_interpreter, &is_dynamic);
    if (!is_dynamic)
        return bench_why(why, -ENOTSUP, "cannot load " LIBRARY ": this program is linked statically");
    void *const library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library != NULL)
        return find_symbols(library, verbs, why);
    const char *error = dlerror();
    return bench_why(why, -ENOTSUP, "cannot load " LIBRARY ": %s", error != NULL ? error : "no reason given");
}
