// Functions of which the compiler makes one for each of several CPUs; which of them runs is chosen by
// what the CPU is called, not by what it says it can do. Says "clones: all well" and who was chosen.
#include <stdint.h>
#include <stdio.h>

enum { kCount = 1000 };

#define CLONES                                                                                  \
  __attribute__((target_clones("default", "arch=nehalem", "arch=haswell",             \
                                         "arch=skylake-avx512", "arch=sapphirerapids",          \
                                         "arch=alderlake", "arch=amdfam10", "arch=bdver4",      \
                                         "arch=znver3")))

static uint8_t bytes[kCount];
static int8_t signs[kCount];
static uint64_t words[kCount];
static double reals[kCount];

// What each kind of CPU has instructions of its own for.
CLONES int dot_product(void) {
  int sum = 0;
  for (int i = 0; i < kCount; ++i) sum += bytes[i] * signs[i];
  return sum;
}

CLONES void to_reals(double factor) {
  for (int i = 0; i < kCount; ++i) reals[i] = (double)words[i] * factor + 1.0;
}

CLONES uint64_t count_bits(void) {
  uint64_t sum = 0;
  for (int i = 0; i < kCount; ++i)
    sum += (uint64_t)__builtin_popcountll(words[i]) + (uint64_t)__builtin_clzll(words[i] | 1) +
           (~words[i] & (words[i] + 1));
  return sum;
}

#define SAY(name) \
  if (__builtin_cpu_is(name)) printf("clones: a CPU called %s\n", name)

int main(void) {
  int sum = 0;
  uint64_t bits = 0;
  for (int i = 0; i < kCount; ++i) {
    bytes[i] = (uint8_t)(i * 7);
    signs[i] = (int8_t)(i * 3);
    words[i] = (uint64_t)i * 0x9e3779b97f4a7c15;
    sum += (uint8_t)(i * 7) * (int8_t)(i * 3);
    uint64_t ones = 0, zeros = 0;
    for (int bit = 0; bit < 64; ++bit) ones += words[i] >> bit & 1;
    while (zeros < 63 && (words[i] >> (63 - zeros)) == 0) ++zeros;
    bits += ones + zeros + (~words[i] & (words[i] + 1));
  }
  SAY("nehalem");
  SAY("haswell");
  SAY("skylake-avx512");
  SAY("sapphirerapids");
  SAY("alderlake");
  SAY("bdver4");
  SAY("znver3");
  fflush(stdout);
  to_reals(0.5);
  int wrong = dot_product() != sum || count_bits() != bits;
  for (int i = 0; i < kCount; ++i) wrong |= reals[i] != (double)words[i] * 0.5 + 1.0;
  puts(wrong ? "clones: wrong sums" : "clones: all well");
  return wrong;
}
