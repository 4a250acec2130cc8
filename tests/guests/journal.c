// A guest that writes to its virtio disk for ever, and knows afterwards what must be there: a Multiboot kernel, run with
// pci=off. Write number n is always the same, so what has been flushed is said by one number, which is kept on the disk.
// At its start the guest judges what it finds by it: `bad SECTOR HAS WANTED`, or `good N` and then `N` for each N up to
// which all is flushed. Numbers are hexadecimal.
#include <stdint.h>

enum {
  kSectorBytes = 512,
  kWords = kSectorBytes / 4,
  kLanes = 8,  // writes that are under way at a time, each in sectors of its own
  kLaneSectors = 1024,
  kFirst = 8,  // sector of the first lane; before it is the journal, in two places in turn
  kMost = 64,  // sectors of a write
  kQueue = 32,
};

struct header {
  uint32_t magic, flags, checksum;
};
__attribute__((section(".multiboot"), used)) static const struct header multiboot = {0x1badb002, 0, -0x1badb002u};

// The registers of virtio over MMIO, version 2.
static volatile uint32_t* const device = (uint32_t*)0xfec20000;
enum {
  kVersion = 1,
  kDriverFeatures = 8,
  kDriverSelect = 9,
  kSize = 14,
  kReady = 17,
  kNotify = 20,
  kStatus = 28,
  kTable = 32,
  kAvailable = 36,
  kUsed = 40,
};

struct descriptor {
  uint64_t address;
  uint32_t length;
  uint16_t flags, next;
};
static struct descriptor table[kQueue] __attribute__((aligned(4096)));
static struct {
  uint16_t flags, index, ring[kQueue];
} available __attribute__((aligned(4096)));
static struct {
  uint16_t flags, index;
  struct {
    uint32_t id, length;
  } ring[kQueue];
} used __attribute__((aligned(4096)));

struct request {
  uint32_t type, priority;
  uint64_t sector;
};
static struct request requests[kLanes];
static volatile uint8_t states[kLanes];
static uint32_t buffers[kLanes][kMost * kWords];
static uint32_t least[kLanes * kLaneSectors];  // of each sector: the number of the last write that is flushed

static void say(char character) { __asm__ volatile("outb %0, %1" : : "a"(character), "Nd"((uint16_t)0x3f8)); }
static void say_text(const char* text) {
  while (*text != 0) say(*text++);
}
static void say_number(uint32_t number) {
  for (int shift = 28; shift >= 0; shift -= 4) say("0123456789abcdef"[number >> shift & 15]);
}
static void end(void) {
  for (;;) __asm__ volatile("cli; hlt");
}
static void fail(const char* why) {
  say_text(why);
  say('\n');
  end();
}

static uint32_t mixed(uint32_t x) {
  x = (x ^ x >> 16) * 0x7feb352d;
  x = (x ^ x >> 15) * 0x846ca68b;
  return x ^ x >> 16;
}

// Write n: its lane is n % kLanes.
static uint32_t start_of(uint32_t n, uint32_t* count) {
  const uint32_t random = mixed(n);
  *count = 1 + random % ((random >> 8 & 3) == 0 ? kMost : 8);
  return mixed(random) % (kLaneSectors - *count + 1);
}

static void fill(uint32_t* words, uint32_t n, uint32_t sector) {
  uint32_t random = mixed(n ^ sector << 20) | 1, sum = 0;
  words[0] = n;
  words[1] = sector;
  for (unsigned i = 2; i < kWords - 1; ++i) words[i] = random += 0x9e3779b9;
  for (unsigned i = 0; i < kWords - 1; ++i) sum = (sum << 1 | sum >> 31) + words[i];
  words[kWords - 1] = sum;
}
static int is_whole(const uint32_t* words, uint32_t sector) {
  uint32_t sum = 0;
  for (unsigned i = 0; i < kWords - 1; ++i) sum = (sum << 1 | sum >> 31) + words[i];
  return words[1] == sector && words[kWords - 1] == sum;
}

static void start_disk(void) {
  if (device[kVersion] != 2) fail("no virtio disk; run it with pci=off");
  device[kStatus] = 0;
  device[kStatus] = 3;
  device[kDriverSelect] = 0;
  device[kDriverFeatures] = 1 << 9;  // flushes
  device[kDriverSelect] = 1;
  device[kDriverFeatures] = 1;  // version 1
  device[kStatus] = 11;
  device[kSize] = kQueue;
  device[kTable] = (uint32_t)table;
  device[kAvailable] = (uint32_t)&available;
  device[kUsed] = (uint32_t)&used;
  device[kReady] = 1;
  device[kStatus] = 15;
  available.flags = 1;  // no interrupts
}

enum { kRead = 0, kWrite = 1, kFlush = 4 };
static void submit(unsigned slot, uint32_t type, uint32_t sector, uint32_t count) {
  requests[slot] = (struct request){type, 0, sector};
  states[slot] = 255;
  struct descriptor* const first = &table[slot * 3];
  const uint16_t data = type == kRead ? 3 : 1;
  first[0] = (struct descriptor){(uint32_t)&requests[slot], sizeof(struct request), 1, slot * 3 + 1};
  first[1] = (struct descriptor){(uint32_t)buffers[slot], count * kSectorBytes, data, slot * 3 + 2};
  first[2] = (struct descriptor){(uint32_t)&states[slot], 1, 2, 0};
  if (count == 0) first[0].next = slot * 3 + 2;
  available.ring[available.index % kQueue] = slot * 3;
  __asm__ volatile("" ::: "memory");
  ++available.index;
  __asm__ volatile("mfence" ::: "memory");
  device[kNotify] = 0;
}
static void wait_for(unsigned slots) {
  for (unsigned slot = 0; slot < slots; ++slot) {
    while (states[slot] == 255) __asm__ volatile("pause" ::: "memory");
    if (states[slot] != 0) fail("an I/O error");
  }
}
static void flush(void) {
  submit(0, kFlush, 0, 0);
  wait_for(1);
}

static uint32_t journal_place;  // the older of the two
// What the newer of its two places says; 0 on a new disk.
static uint32_t read_journal(void) {
  uint32_t flushed = 0;
  submit(0, kRead, 0, 2);
  wait_for(1);
  for (uint32_t place = 0; place < 2; ++place) {
    const uint32_t* words = &buffers[0][place * kWords];
    if (!is_whole(words, place) || words[0] <= flushed) continue;
    flushed = words[0];
    journal_place = 1 - place;
  }
  return flushed;
}
static void write_journal(uint32_t flushed) {
  fill(buffers[0], flushed, journal_place);
  submit(0, kWrite, journal_place, 1);
  wait_for(1);
  journal_place = 1 - journal_place;
}

static void judge(uint32_t flushed) {
  for (uint32_t n = 1; n <= flushed; ++n) {
    uint32_t count;
    const uint32_t start = n % kLanes * kLaneSectors + start_of(n, &count);
    for (uint32_t i = 0; i < count; ++i) least[start + i] = n;
  }
  for (uint32_t at = 0; at < kLanes * kLaneSectors; at += kMost) {
    submit(0, kRead, kFirst + at, kMost);
    wait_for(1);
    for (uint32_t i = 0; i < kMost; ++i) {
      const uint32_t* words = &buffers[0][i * kWords];
      const uint32_t sector = kFirst + at + i;
      const int empty = words[0] == 0 && words[1] == 0 && words[kWords - 1] == 0;
      if (words[0] >= least[at + i] && (empty || is_whole(words, sector))) continue;
      say_text("bad ");
      say_number(sector);
      say(' ');
      say_number(words[0]);
      say(' ');
      say_number(least[at + i]);
      fail("");
    }
  }
}

__attribute__((used)) static void run(void) {
  start_disk();
  uint32_t n = read_journal();
  judge(n);
  say_text("good ");
  for (;;) {
    say_number(n);
    say('\n');
    // Whole rounds of lanes, then all of it flushed before the journal says so.
    const uint32_t rounds = 1 + mixed(n) % 8;
    for (uint32_t round = 0; round < rounds; ++round) {
      for (uint32_t slot = 0; slot < kLanes; ++slot) {
        uint32_t count;
        const uint32_t lane = ++n % kLanes;
        const uint32_t start = kFirst + lane * kLaneSectors + start_of(n, &count);
        for (uint32_t i = 0; i < count; ++i) fill(&buffers[slot][i * kWords], n, start + i);
        submit(slot, kWrite, start, count);
      }
      wait_for(kLanes);
    }
    flush();
    write_journal(n);
    flush();
  }
}

static uint8_t boot_stack[16384] __attribute__((used));
__asm__(".globl _start\n_start:\n  mov $boot_stack + 16384, %esp\n  call run\n");
