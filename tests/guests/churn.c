// User code that computes without pause while its address space, its code and its processes change
// under it, and judges what it computes. usage: churn SECONDS
// Says "churn: N rounds, all well" at the end, or what went wrong.
#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <immintrin.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { kPage = 4096, kPages = 64 };

static sigjmp_buf fault_exit;
static volatile uintptr_t fault_address;
static volatile int ticks;

static void fail(const char *what, uint64_t got, uint64_t wanted) {
  printf("churn: %s: %llx, not %llx\n", what, (unsigned long long)got, (unsigned long long)wanted);
  fflush(stdout);
  _exit(1);
}

static void expect(const char *what, uint64_t got, uint64_t wanted) {
  if (got != wanted) fail(what, got, wanted);
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void on_fault(int number, siginfo_t *info, void *context) {
  (void)number, (void)context;
  fault_address = (uintptr_t)info->si_addr;
  siglongjmp(fault_exit, 1);
}

static void on_tick(int number) {
  (void)number;
  ++ticks;
}

// Some milliseconds without a system call: long enough to be found worth running natively.
static uint64_t compute(uint64_t seed, unsigned rounds) {
  uint64_t x = seed | 1;
  for (unsigned i = 0; i < rounds; ++i) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    x += __builtin_popcountll(x) + i;
  }
  return x;
}

// Between changes, so that all of them happen to code that runs natively.
static void stay(void) {
  static uint64_t first;
  const uint64_t now = compute(1, 60000);
  if (first == 0) first = now;
  expect("a computation", now, first);
}

static uint64_t sum(const uint8_t *bytes, size_t size) {
  uint64_t result = 0;
  for (size_t i = 0; i < size; i += 8) result = result * 31 + *(const uint64_t *)(bytes + i);
  return result;
}

// What is written, moved, discarded and forbidden is so at the next access.
static void change_mappings(uint64_t seed) {
  uint8_t *area = mmap(NULL, kPages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (area == MAP_FAILED) fail("mmap", errno, 0);
  for (size_t i = 0; i < kPages * kPage; i += 8) *(uint64_t *)(area + i) = seed ^ i;
  stay();
  const uint64_t before = sum(area, kPages * kPage);
  uint8_t *moved = mremap(area, kPages * kPage, kPages * kPage, MREMAP_MAYMOVE | MREMAP_FIXED,
                          area + 4096L * kPage);
  if (moved == MAP_FAILED) fail("mremap", errno, 0);
  expect("moved memory", sum(moved, kPages * kPage), before);
  stay();
  if (sigsetjmp(fault_exit, 1) == 0) {
    *(volatile uint8_t *)area = 1;
    fail("write to where memory was", 0, 1);
  }
  expect("address of that fault", fault_address, (uintptr_t)area);
  stay();
  const size_t page = seed % kPages * kPage;
  madvise(moved + page, kPage, MADV_DONTNEED);
  expect("discarded page", *(volatile uint64_t *)(moved + page), 0);
  stay();
  *(volatile uint64_t *)(moved + page) = seed;
  mprotect(moved + page, kPage, PROT_READ);
  expect("protected page", *(volatile uint64_t *)(moved + page), seed);
  stay();
  if (sigsetjmp(fault_exit, 1) == 0) {
    *(volatile uint64_t *)(moved + page + 8) = 1;
    fail("write to a protected page", 0, 1);
  }
  expect("address of a protected page", fault_address, (uintptr_t)moved + page + 8);
  mprotect(moved + page, kPage, PROT_READ | PROT_WRITE);
  stay();
  *(volatile uint64_t *)(moved + page + 8) = ~seed;
  expect("page that may be written again", *(volatile uint64_t *)(moved + page + 8), ~seed);
  stay();
  munmap(moved, kPages * kPage);
}

// Each process sees its own memory.
static void fork_and_write(uint64_t seed) {
  static uint64_t shared_by_copy[kPage / 8 * 8];
  uint64_t *common = mmap(NULL, kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (size_t i = 0; i < kPage; ++i) shared_by_copy[i] = seed + i;
  const pid_t child = fork();
  if (child == 0) {
    for (size_t i = 0; i < kPage; ++i) shared_by_copy[i] ^= ~0ull;
    common[0] = compute(seed, 400000);
    for (size_t i = 0; i < kPage; ++i) expect("memory of a child", shared_by_copy[i], ~(seed + i));
    _exit(0);
  }
  const uint64_t here = compute(seed, 400000);
  for (size_t i = 0; i < kPage; ++i) expect("memory of a parent", shared_by_copy[i], seed + i);
  for (size_t i = 0; i < kPage; ++i) shared_by_copy[i] = i;
  int status = 0;
  waitpid(child, &status, 0);
  expect("status of a child", (unsigned)status, 0);
  expect("what a child computed", common[0], here);
  munmap(common, kPage);
}

// Code that is written again and again, also in the page that runs.
static void write_code(uint64_t seed) {
  uint8_t *code = mmap(NULL, 2 * kPage, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (unsigned i = 0; i < 8; ++i) {
    const uint32_t answer = (uint32_t)(seed + i);
    uint8_t *at = code + kPage - 3;  // across two pages
    at[0] = 0xb8;  // mov eax, answer; ret
    memcpy(at + 1, &answer, 4);
    at[5] = 0xc3;
    expect("code that was written", ((uint32_t(*)(void))at)(), answer);
    stay();
    expect("the same again", ((uint32_t(*)(void))at)(), answer);
  }
  stay();
  mprotect(code, 2 * kPage, PROT_READ | PROT_WRITE);
  if (sigsetjmp(fault_exit, 1) == 0) {
    ((uint32_t(*)(void))code)();
    fail("code where none may run", 0, 1);
  }
  expect("where none may run", fault_address, (uintptr_t)code);
  munmap(code, 2 * kPage);
}

// Registers stay what they are across everything.
static void keep_registers(uint64_t seed) {
  double lanes[4] = {(double)(seed & 0xffff), 2, 3, 4}, before[4], after[4];
  __m128d low = _mm_loadu_pd(lanes), high = _mm_loadu_pd(lanes + 2);
  long double x87 = (long double)(seed & 0xffff) / 3;
  const long double wanted = x87;
  const int ticks_before = ticks;
  _mm_storeu_pd(before, low), _mm_storeu_pd(before + 2, high);
  uint64_t flags = 0;
  for (unsigned i = 0; i < 200 && ticks == ticks_before; ++i) {
    __asm__ volatile("stc\n\tmov $60000, %%rcx\n1:\tlea -1(%%rcx), %%rcx\n\tjrcxz 2f\n\tjmp 1b\n2:\tpushfq\n\tpop %0"
                     : "=r"(flags), "+x"(low), "+x"(high), "+t"(x87)
                     :
                     : "rcx", "cc");
    expect("the carry flag", flags & 1, 1);
  }
  _mm_storeu_pd(after, low), _mm_storeu_pd(after + 2, high);
  expect("vector registers", (uint64_t)memcmp(before, after, sizeof(before)), 0);
  expect("an x87 register", x87 == wanted, 1);
}

// What the host's own answers would give away. In a page of its own: such code does not run natively.
__attribute__((noinline, section(".text.asks"), aligned(4096))) static void ask_the_cpu(void) {
  static unsigned wanted[4];
  unsigned now[4];
  __cpuid_count(1, 0, now[0], now[1], now[2], now[3]);
  now[1] &= 0x00ffffff;  // the number of the CPU it ran on
  if (wanted[0] == 0) memcpy(wanted, now, sizeof(now));
  for (int i = 0; i < 4; ++i) expect("CPUID", now[i], wanted[i]);
  static uint64_t last;
  const uint64_t tsc = __rdtsc();
  if (tsc < last) fail("the time-stamp counter went back", tsc, last);
  last = tsc;
  uint16_t table[5] = {0};
  __asm__ volatile("str %0" : "=m"(table[0]));
  expect("the task register", table[0], 0x40);
}
__attribute__((used, section(".text.asks"), aligned(4096))) static void behind(void) {}

static void divide_by_zero(void) {
  if (sigsetjmp(fault_exit, 1) == 0) {
    __asm__ volatile("xor %%ecx, %%ecx\n\tidiv %%ecx" : : "a"(1), "d"(0) : "rcx", "cc");
    fail("a division by zero", 0, 1);
  }
}

int main(int count, char **words) {
  const double end = seconds() + (count > 1 ? atof(words[1]) : 1);
  struct sigaction action = {0};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGSEGV, &action, NULL);
  sigaction(SIGFPE, &action, NULL);
  signal(SIGALRM, on_tick);
  const struct itimerval often = {{0, 7000}, {0, 7000}};
  setitimer(ITIMER_REAL, &often, NULL);
  unsigned rounds = 0;
  for (uint64_t seed = 1; seconds() < end; seed = compute(seed, 50), ++rounds) {
    stay();
    change_mappings(seed);
    fork_and_write(seed);
    write_code(seed);
    keep_registers(seed);
    ask_the_cpu();
    divide_by_zero();
  }
  printf("churn: %u rounds, all well\n", rounds);
  return 0;
}
