// Work for disks and networks, to be measured from outside, on a host and in guests: linked statically, no dependencies.
//   load disk PATH read|write seq|random BYTES COUNT DEPTH [cached]   COUNT transfers of BYTES, DEPTH at a time; past the
//                                                            page cache, or through it
//   load in|out ADDRESS PORT MEBIBYTES                       one TCP connection
//   load serve PORT MEBIBYTES                                the other end of an `out`, then of an `in`
// "load: begin" and "load: end" stand around what counts: writes until they are on the disk, bytes until the other end
// has them all.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { kMostDepth = 64, kAlignment = 4096, kBlock = 256 << 10 };

static void die(const char* what) {
  perror(what);
  exit(1);
}

static void say(const char* what) {
  printf("load: %s\n", what);
  fflush(stdout);
}

// --- Disks.

static uint64_t size_of(int fd) {
  struct stat info;
  uint64_t bytes = 0;
  if (fstat(fd, &info) != 0) die("fstat");
  if (!S_ISBLK(info.st_mode)) return (uint64_t)info.st_size;
  if (ioctl(fd, BLKGETSIZE64, &bytes) != 0) die("size");
  return bytes;
}

static uint64_t place(uint64_t number, uint64_t slots, int random) {
  static uint64_t state = 88172645463325252;
  if (!random) return number % slots;
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return state % slots;
}

struct disk {
  int fd, writes, random;
  uint64_t bytes, count, slots, depth;
  char* buffer;  // of `depth` transfers
};

static void one_at_a_time(const struct disk* disk) {
  for (uint64_t i = 0; i < disk->count; i++) {
    const off_t at = (off_t)(place(i, disk->slots, disk->random) * disk->bytes);
    const ssize_t moved = disk->writes ? pwrite(disk->fd, disk->buffer, disk->bytes, at)
                                       : pread(disk->fd, disk->buffer, disk->bytes, at);
    if (moved != (ssize_t)disk->bytes) die("transfer");
  }
}

static void several_at_a_time(const struct disk* disk) {
  static struct iocb blocks[kMostDepth];
  struct io_event events[kMostDepth];
  struct iocb* list[kMostDepth];
  aio_context_t context = 0;
  uint64_t begun = 0, done = 0;
  if (syscall(SYS_io_setup, kMostDepth, &context) != 0) die("io_setup");
  for (uint64_t i = 0; i < disk->depth; i++) {
    blocks[i].aio_lio_opcode = disk->writes ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
    blocks[i].aio_fildes = (uint32_t)disk->fd;
    blocks[i].aio_buf = (uint64_t)(uintptr_t)(disk->buffer + i * disk->bytes);
    blocks[i].aio_nbytes = disk->bytes;
    events[i].obj = (uint64_t)(uintptr_t)&blocks[i];
  }
  for (uint64_t ready = disk->depth; done < disk->count; done += ready) {
    long next = 0;
    for (uint64_t i = 0; i < ready && begun < disk->count; i++, begun++, next++) {
      struct iocb* const block = (struct iocb*)(uintptr_t)events[i].obj;
      block->aio_offset = (int64_t)(place(begun, disk->slots, disk->random) * disk->bytes);
      list[next] = block;
    }
    for (long given = 0; given < next;) {
      const long taken = syscall(SYS_io_submit, context, next - given, list + given);
      if (taken <= 0) die("io_submit");
      given += taken;
    }
    const long got = syscall(SYS_io_getevents, context, 1L, (long)kMostDepth, events, NULL);
    if (got <= 0) die("io_getevents");
    ready = (uint64_t)got;
    for (long i = 0; i < got; i++)
      if (events[i].res != (int64_t)disk->bytes) die("transfer");
  }
}

static int work_on_disk(char** words, int cached) {
  struct disk disk = {.writes = strcmp(words[1], "write") == 0,
                      .random = strcmp(words[2], "random") == 0,
                      .bytes = strtoull(words[3], NULL, 0),
                      .count = strtoull(words[4], NULL, 0),
                      .depth = strtoull(words[5], NULL, 0)};
  disk.fd = open(words[0], (disk.writes ? O_RDWR : O_RDONLY) | (cached ? 0 : O_DIRECT));
  if (disk.fd < 0) die(words[0]);
  if (disk.bytes == 0 || disk.depth == 0 || disk.depth > kMostDepth) return 2;
  disk.slots = size_of(disk.fd) / disk.bytes;
  disk.buffer = aligned_alloc(kAlignment, disk.bytes * disk.depth);
  memset(disk.buffer, 0x5a, disk.bytes * disk.depth);
  say("begin");
  disk.depth == 1 ? one_at_a_time(&disk) : several_at_a_time(&disk);
  if (disk.writes && fdatasync(disk.fd) != 0) die("fdatasync");
  say("end");
  return 0;
}

// --- Networks.

static char block[kBlock];

static void move(int fd, int sends, uint64_t left) {
  while (left > 0) {
    const size_t size = left < sizeof(block) ? (size_t)left : sizeof(block);
    const ssize_t moved =
        sends ? send(fd, block, size, MSG_NOSIGNAL) : recv(fd, block, size, 0);
    if (moved <= 0) die("stream");
    left -= (uint64_t)moved;
  }
}

// Whoever has read everything closes, which is how the other end knows.
static void finish(int fd, int sends) {
  if (sends && shutdown(fd, SHUT_WR) != 0) die("shutdown");
  while (sends && recv(fd, block, sizeof(block), 0) > 0) {
  }
  close(fd);
}

static int stream(int sends, char** words) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(words[1]))};
  inet_pton(AF_INET, words[0], &to.sin_addr);
  int fd = -1;
  for (int tries = 0; tries < 600; tries++) {  // the other end may still be booting
    fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr*)&to, sizeof(to)) == 0) break;
    close(fd);
    fd = -1;
    usleep(100000);
  }
  if (fd < 0) die("connect");
  say("begin");
  move(fd, sends, strtoull(words[2], NULL, 0) << 20);
  finish(fd, sends);
  say("end");
  return 0;
}

static int serve(char** words) {
  const struct sockaddr_in here = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)atoi(words[0]))};
  const int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(listener, (const struct sockaddr*)&here, sizeof(here)) != 0 || listen(listener, 1) != 0)
    die("listen");
  for (int sends = 0; sends < 2; sends++) {
    const int fd = accept(listener, NULL, NULL);
    if (fd < 0) die("accept");
    move(fd, sends, strtoull(words[1], NULL, 0) << 20);
    finish(fd, sends);
  }
  return 0;
}

int main(int argc, char** argv) {
  if ((argc == 8 || argc == 9) && strcmp(argv[1], "disk") == 0)
    return work_on_disk(argv + 2, argc == 9);
  if (argc == 5 && strcmp(argv[1], "in") == 0) return stream(0, argv + 2);
  if (argc == 5 && strcmp(argv[1], "out") == 0) return stream(1, argv + 2);
  if (argc == 4 && strcmp(argv[1], "serve") == 0) return serve(argv + 2);
  return 2;
}
