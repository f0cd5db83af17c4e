/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "kernels.h"
#include "nodeproof/cpuset.h"
#include "nodeproof/team.h"
#include "nodeproof/verify_pair.h"
#include "test.h"

enum { GUARD_BYTES = 64, SEED = 42 };

struct memory {
    _Alignas(NP_VERIFY_ALIGNMENT) uint8_t scratch[NP_VERIFY_MAX_SCRATCH_BYTES + GUARD_BYTES];
    _Alignas(NP_VERIFY_ALIGNMENT) uint8_t output[NP_VERIFY_MAX_OUTPUT_BYTES + GUARD_BYTES];
    _Alignas(NP_VERIFY_ALIGNMENT) uint8_t expected[NP_VERIFY_MAX_OUTPUT_BYTES];
};

/* Whatever was in memory before, the output is the same, and nothing behind it is touched. */
static uint64_t hash_of(const struct np_verify_kernel *kernel, size_t variant, uint64_t seed, uint8_t before,
                        struct memory *memory)
{
    memset(memory->scratch, before, sizeof memory->scratch);
    memset(memory->output, before, sizeof memory->output);
    kernel->variants[variant].run(seed, memory->scratch, memory->output);
    for (size_t i = 0; i < GUARD_BYTES; i++) {
        CHECK(memory->scratch[kernel->scratch_bytes + i] == before);
        CHECK(memory->output[kernel->output_bytes + i] == before);
    }
    return np_verify_hash(memory->output, kernel->output_bytes);
}

static void finds_every_flip(const struct np_verify_kernel *kernel, struct memory *memory)
{
    const uint64_t hash = np_verify_hash(memory->expected, kernel->output_bytes);
    struct np_verify_difference first;
    memcpy(memory->output, memory->expected, kernel->output_bytes);
    CHECK(np_verify_compare(memory->expected, memory->output, kernel->output_bytes, &first));
    for (size_t bit = 0; bit < 8 * kernel->output_bytes; bit += 331) {
        const size_t offset = bit / 64 * 8;
        memory->output[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(np_verify_hash(memory->output, kernel->output_bytes) != hash);
        CHECK(!np_verify_compare(memory->expected, memory->output, kernel->output_bytes, &first));
        CHECK(first.offset == offset && first.wrong_words == 1);
        CHECK((first.expected ^ first.found) == UINT64_C(1) << bit % 64);
        CHECK(memcmp(&first.expected, memory->expected + offset, 8) == 0);
        memory->output[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    memory->output[8] ^= 1;
    memory->output[kernel->output_bytes - 1] ^= 0x80;
    CHECK(!np_verify_compare(memory->expected, memory->output, kernel->output_bytes, &first));
    CHECK(first.offset == 8 && first.wrong_words == 2);
}

static size_t gives_the_same_everywhere(const struct np_verify_kernel *kernel, struct memory *memory)
{
    size_t tested = 0;
    struct np_verify_difference first;
    CHECK(kernel->variants[0].isa == NP_ISA_GENERIC && kernel->variants[0].is_supported());
    CHECK(kernel->output_bytes % 8 == 0 && kernel->output_bytes <= NP_VERIFY_MAX_OUTPUT_BYTES);
    CHECK(kernel->scratch_bytes <= NP_VERIFY_MAX_SCRATCH_BYTES);
    const uint64_t hash = hash_of(kernel, 0, SEED, 0, memory);
    memcpy(memory->expected, memory->output, kernel->output_bytes);
    for (size_t i = 0; i < kernel->variant_count; i++) {
        const char *isa = np_isa_name(kernel->variants[i].isa);
        if (!kernel->variants[i].is_supported()) {
            printf("%s %s: not supported by this CPU\n", kernel->name, isa);
            continue;
        }
        CHECK(hash_of(kernel, i, SEED, 0xff, memory) == hash);
        CHECK(np_verify_compare(memory->expected, memory->output, kernel->output_bytes, &first));
        const uint64_t standard = hash_of(kernel, i, NP_VERIFY_SEED, 0xa5, memory);
        if (standard != kernel->standard_hash)
            fprintf(stderr, "%s %s: %016llx\n", kernel->name, isa, (unsigned long long)standard);
        CHECK(standard == kernel->standard_hash && standard != hash);
        tested++;
    }
    finds_every_flip(kernel, memory);
    return tested;
}

/* FIPS 197, appendices B and C.1; as many blocks at once as the widest vector holds. */
static void aes_is_the_published_one(enum np_isa isa)
{
    static const uint8_t KEYS[2][17] = {"\x2b\x7e\x15\x16\x28\xae\xd2\xa6\xab\xf7\x15\x88\x09\xcf\x4f\x3c",
                                        "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"};
    static const uint8_t PLAIN[2][17] = {"\x32\x43\xf6\xa8\x88\x5a\x30\x8d\x31\x31\x98\xa2\xe0\x37\x07\x34",
                                         "\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff"};
    static const uint8_t CIPHER[2][17] = {"\x39\x25\x84\x1d\x02\xdc\x09\xfb\xdc\x11\x85\x97\x19\x6a\x0b\x32",
                                          "\x69\xc4\xe0\xd8\x6a\x7b\x04\x30\xd8\xcd\xb7\x80\x70\xb4\xc5\x5a"};
    for (size_t vector = 0; vector < 2; vector++) {
        uint8_t in[64], out[64];
        for (size_t block = 0; block < sizeof in; block += 16)
            memcpy(in + block, PLAIN[vector], 16);
        CHECK(np_verify_aes_apply(isa, false, KEYS[vector], in, out, 4) == 0);
        for (size_t block = 0; block < sizeof out; block += 16)
            CHECK(memcmp(out + block, CIPHER[vector], 16) == 0);
        CHECK(np_verify_aes_apply(isa, true, KEYS[vector], out, out, 4) == 0);
        CHECK(memcmp(in, out, sizeof in) == 0);
    }
}

/* FIPS 180-4 gives the initial state; the messages and digests are NIST's examples. */
static void sha256_is_the_published_one(enum np_isa isa)
{
    static const uint32_t INITIAL[] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                       0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    static const char *const MESSAGES[] = {"abc", "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"};
    static const uint32_t DIGESTS[2][8] = {
        {0xba7816bf, 0x8f01cfea, 0x414140de, 0x5dae2223, 0xb00361a3, 0x96177a9c, 0xb410ff61, 0xf20015ad},
        {0x248d6a61, 0xd20638b8, 0xe5c02693, 0x0c3e6039, 0xa33ce459, 0x64ff2167, 0xf6ecedd4, 0x19db06c1}};
    for (size_t vector = 0; vector < 2; vector++) {
        uint8_t padded[128] = {0};
        uint32_t state[8];
        const size_t length = strlen(MESSAGES[vector]), bytes = length < 56 ? 64 : 128;
        memcpy(padded, MESSAGES[vector], length);
        padded[length] = 0x80;
        padded[bytes - 2] = (uint8_t)(length * 8 >> 8);
        padded[bytes - 1] = (uint8_t)(length * 8);
        memcpy(state, INITIAL, sizeof state);
        CHECK(np_verify_sha256_apply(isa, state, padded, bytes / 64) == 0);
        CHECK(memcmp(state, DIGESTS[vector], sizeof state) == 0);
    }
}

static void crc_of(enum np_isa isa, const void *data, size_t bytes, uint32_t expected)
{
    uint32_t crc = 0;
    CHECK(np_verify_crc32c_apply(isa, &crc, data, bytes) == 0);
    CHECK(crc == expected);
}

/* RFC 3720, appendix B.4. */
static void crc32c_is_the_published_one(enum np_isa isa)
{
    static const uint8_t COMMAND[48] = {
        0x01, 0xc0, 0, 0,    0, 0, 0, 0,    0,    0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0x04, 0,
        0,    0,    0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0,    0,
    };
    uint8_t data[32];
    memset(data, 0, sizeof data);
    crc_of(isa, data, sizeof data, 0x8a9136aa);
    memset(data, 0xff, sizeof data);
    crc_of(isa, data, sizeof data, 0x62a8ab43);
    for (uint8_t i = 0; i < sizeof data; i++)
        data[i] = i;
    crc_of(isa, data, sizeof data, 0x46dd794e);
    for (uint8_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(31 - i);
    crc_of(isa, data, sizeof data, 0x113fdb5c);
    crc_of(isa, COMMAND, sizeof COMMAND, 0xd9963a56);
    crc_of(isa, "123456789", 9, 0xe3069283); /* a length that is no whole word */
}

static void primitives_are_the_published_ones(void)
{
    const struct np_verify_kernel *const primitives[] = {&np_verify_aes, &np_verify_sha256, &np_verify_crc32c};
    void (*const tests[])(enum np_isa) = {aes_is_the_published_one, sha256_is_the_published_one,
                                          crc32c_is_the_published_one};
    uint8_t block[64] = {0};
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < primitives[i]->variant_count; k++)
            if (primitives[i]->variants[k].is_supported())
                tests[i](primitives[i]->variants[k].isa);
    CHECK(np_verify_aes_apply(NP_ISA_COUNT, false, block, block, block, 1) == -ENOTSUP);
    CHECK(np_verify_sha256_apply(NP_ISA_COUNT, (uint32_t *)block, block, 1) == -ENOTSUP);
    CHECK(np_verify_crc32c_apply(NP_ISA_COUNT, (uint32_t *)block, block, 1) == -ENOTSUP);
}

/* The spectrum of the fast transform against sums over sines. */
static void fft_is_a_fourier_transform(struct memory *memory)
{
    double signal[2 * NP_FFT_POINTS];
    const double *spectrum = (const double *)memory->output;
    hash_of(&np_verify_fft_fp64, 0, SEED, 0, memory);
    np_verify_fill_fp64(SEED, signal, 2 * NP_FFT_POINTS);
    for (size_t k = 0; k < NP_FFT_POINTS; k += 93) {
        double re = 0, im = 0;
        for (size_t i = 0; i < NP_FFT_POINTS; i++) {
            const double angle = -2 * M_PI * (double)(i * k % NP_FFT_POINTS) / NP_FFT_POINTS;
            re += signal[i] * cos(angle) - signal[NP_FFT_POINTS + i] * sin(angle);
            im += signal[i] * sin(angle) + signal[NP_FFT_POINTS + i] * cos(angle);
        }
        CHECK(fabs(spectrum[k] - re) < 1e-9 && fabs(spectrum[NP_FFT_POINTS + k] - im) < 1e-9);
    }
}

/* Both keep what went in at the start of their scratch, and give it back at the end of their output. */
static void what_goes_in_comes_out(struct memory *memory)
{
    uint64_t packed_bytes;
    hash_of(&np_verify_lz, 0, SEED, 0, memory);
    memcpy(&packed_bytes, memory->output, sizeof packed_bytes);
    CHECK(packed_bytes > 100 && packed_bytes < NP_LZ_BYTES / 2);
    const size_t at = np_verify_lz.output_bytes - NP_LZ_BYTES;
    CHECK(memcmp(memory->scratch, memory->output + at, NP_LZ_BYTES) == 0);

    const size_t half = np_verify_aes.output_bytes / 2;
    hash_of(&np_verify_aes, 0, SEED, 0, memory);
    np_verify_fill(SEED, memory->expected, half);
    CHECK(memcmp(memory->expected, memory->output + half, half) == 0);
    CHECK(memcmp(memory->expected, memory->output, half) != 0);
}

struct two {
    struct np_verify_pair pair;
    uint64_t outputs[2][NP_VERIFY_PAIR_OUTPUT_BYTES / 8];
    atomic_bool is_cancelled;
};

static int one_side(void *state, size_t index, struct np_gate *gate)
{
    struct two *two = state;
    (void)gate;
    return np_verify_pair_run(&two->pair, (unsigned int)index, SEED, 20, &two->is_cancelled, two->outputs[index]);
}

static void two_cores_agree(struct two *two)
{
    uint64_t expected[NP_VERIFY_PAIR_OUTPUT_BYTES / 8];
    struct np_cpuset allowed;
    unsigned int cpus[2];
    CHECK(np_affinity_get(&allowed) == 0);
    if (np_cpuset_list(&allowed, cpus, 2) < 2)
        cpus[1] = cpus[0];
    np_verify_pair_expected(NP_VERIFY_SEED, expected);
    CHECK(np_verify_hash(expected, sizeof expected) == NP_VERIFY_PAIR_HASH);
    np_verify_pair_expected(SEED, expected);
    for (int i = 0; i < 10; i++) {
        np_verify_pair_init(&two->pair);
        CHECK(np_team_run(cpus, 2, one_side, two) == 0);
        CHECK(memcmp(two->outputs[0], expected, sizeof expected) == 0);
        CHECK(memcmp(two->outputs[1], expected, sizeof expected) == 0);
    }
    np_verify_pair_init(&two->pair);
    CHECK(np_verify_pair_run(&two->pair, 0, SEED, 1e-3, &two->is_cancelled, two->outputs[0]) == -ETIMEDOUT);
    atomic_store(&two->is_cancelled, true);
    np_verify_pair_init(&two->pair);
    CHECK(np_verify_pair_run(&two->pair, 0, SEED, 20, &two->is_cancelled, two->outputs[0]) == -ECANCELED);
}

int main(void)
{
    static struct memory memory;
    static struct two two;
    size_t count, tested = 0;
    const struct np_verify_kernel *const *kernels = np_verify_kernels(&count);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < i; k++)
            CHECK(strcmp(kernels[i]->name, kernels[k]->name) != 0);
        tested += gives_the_same_everywhere(kernels[i], &memory);
    }
    printf("%zu kernels, %zu variants\n", count, tested);
    primitives_are_the_published_ones();
    fft_is_a_fourier_transform(&memory);
    what_goes_in_comes_out(&memory);
    two_cores_agree(&two);
    return EXIT_SUCCESS;
}
