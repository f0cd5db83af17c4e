/* SPDX-License-Identifier: Apache-2.0 */
#include "library.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <string.h>

/* The first object is the program itself: if it names no interpreter, nobody can load a library for it. */
static int has_interpreter(struct dl_phdr_info *program, size_t size, void *found)
{
    (void)size;
    for (size_t i = 0; i < program->dlpi_phnum; i++)
        if (program->dlpi_phdr[i].p_type == PT_INTERP)
            *(bool *)found = true;
    return 1;
}

static void *find(void *library, const struct library_symbol *symbol)
{
    void *const address = dlsym(library, symbol->name);
    return address != NULL || symbol->older_name == NULL ? address : dlsym(library, symbol->older_name);
}

static int find_all(void *library, const char *name, const struct library_symbol *symbols, size_t count,
                    void *functions, char why[BENCH_WHY_BYTES])
{
    for (size_t i = 0; i < count; i++) {
        void *const address = find(library, &symbols[i]);
        if (address == NULL && !symbols[i].is_optional)
            return bench_why(why, -ENOTSUP, "%s has no %s", name, symbols[i].name);
        memcpy((char *)functions + symbols[i].offset, &address, sizeof address);
    }
    return 0;
}

/* The loader's words are no code. Of a library that needs another one, which is missing, they name that one. */
static int not_loaded(const char *name, char why[BENCH_WHY_BYTES])
{
    const char *words = dlerror();
    if (words == NULL)
        return bench_why(why, -ENOTSUP, "cannot load %s: no reason given", name);
    const char *at = strstr(words, name);
    if (at != NULL && at[strlen(name)] == ':' && strstr(at, strerror(ENOENT)) != NULL)
        return bench_why(why, -ENOENT, "%s is not installed", name);
    return bench_why(why, -ENOTSUP, "cannot load %s: %s", name, words);
}

int library_load(const char *name, const struct library_symbol *symbols, size_t count, void *functions,
                 char why[BENCH_WHY_BYTES])
{
    bool is_dynamic = false;
    dl_iterate_phdr(has_interpreter, &is_dynamic);
    if (!is_dynamic)
        return bench_why(why, -ENOTSUP, "cannot load %s: this program is linked statically", name);
    void *const library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    return library != NULL ? find_all(library, name, symbols, count, functions, why) : not_loaded(name, why);
}
