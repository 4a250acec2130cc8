// Work for more threads than there are processors, to be timed from outside: linked statically, no dependencies.
//   crowd messages COUNT     8 pairs of processes pass COUNT messages of 100 bytes from one to the other
//   crowd mutex COUNT        8 threads take one lock COUNT times each
//   crowd turns COUNT        4 pairs of threads hand over to each other COUNT times
//   crowd unmap COUNT        8 threads map 16 pages, write to them and unmap them, COUNT times
//   crowd files COUNT        8 processes create and remove a file in one folder, COUNT times
//   crowd fork COUNT         8 processes start and await COUNT children
//   crowd barrier COUNT      a barrier of all processors in the kernel (membarrier), COUNT times by each of 4 threads
//   crowd compute COUNT      8 threads compute; nobody waits for anybody
// "crowd: begin" and "crowd: end" stand around what counts.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kWorkers = 8, kMessage = 100, kPages = 16 };

static uint64_t count;

static void die(const char* what) {
  perror(what);
  exit(1);
}

static void transfer(int fd, int out) {
  char data[kMessage] = {0};
  for (size_t done = 0; done < sizeof(data);) {
    const ssize_t size = out ? write(fd, data + done, sizeof(data) - done) : read(fd, data + done, sizeof(data) - done);
    if (size <= 0) die("message");
    done += (size_t)size;
  }
}

static void* messages(void* argument) {
  int fds[2];
  (void)argument;
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) die("socketpair");
  const pid_t child = fork();
  if (child < 0) die("fork");
  for (uint64_t i = 0; i < count; ++i) transfer(fds[child != 0], child != 0);
  if (child == 0) _exit(0);
  if (waitpid(child, NULL, 0) != child) die("waitpid");
  return NULL;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static volatile uint64_t shared;

static void* mutex(void* argument) {
  (void)argument;
  for (uint64_t i = 0; i < count; ++i) {
    pthread_mutex_lock(&lock);
    ++shared;
    pthread_mutex_unlock(&lock);
  }
  return NULL;
}

static uint32_t turn[kWorkers / 2][16];  // a line of the cache for each

static void* turns(void* argument) {
  const size_t worker = (size_t)argument;
  uint32_t* mine = &turn[worker / 2][0];
  for (uint64_t i = 0; i < count; ++i) {
    uint32_t now;
    while ((now = __atomic_load_n(mine, __ATOMIC_ACQUIRE)) % 2 != worker % 2) {
      syscall(SYS_futex, mine, FUTEX_WAIT_PRIVATE, now, NULL, NULL, 0);
    }
    __atomic_store_n(mine, now + 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, mine, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
  }
  return NULL;
}

static void* unmap(void* argument) {
  (void)argument;
  for (uint64_t i = 0; i < count; ++i) {
    char* pages = mmap(NULL, kPages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) die("mmap");
    for (int page = 0; page < kPages; ++page) pages[page * 4096] = 1;
    if (munmap(pages, kPages * 4096) != 0) die("munmap");
  }
  return NULL;
}

static void* files(void* argument) {
  char name[32];
  snprintf(name, sizeof(name), "/tmp/%zu", (size_t)argument);
  for (uint64_t i = 0; i < count; ++i) {
    const int fd = open(name, O_CREAT | O_WRONLY, 0600);
    if (fd < 0) die(name);
    close(fd);
    if (unlink(name) != 0) die(name);
  }
  return NULL;
}

static void* start_children(void* argument) {
  (void)argument;
  for (uint64_t i = 0; i < count; ++i) {
    const pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) _exit(0);
    if (waitpid(child, NULL, 0) != child) die("waitpid");
  }
  return NULL;
}

static void* barrier(void* argument) {
  if ((size_t)argument % 2 == 0) {  // the others are in its way
    for (uint64_t i = 0; i < count; ++i) {
      if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0) die("membarrier");
    }
    __atomic_add_fetch(&shared, 1, __ATOMIC_RELEASE);
    return NULL;
  }
  while (__atomic_load_n(&shared, __ATOMIC_ACQUIRE) < kWorkers / 2) {
  }
  return NULL;
}

static void* compute(void* argument) {
  uint64_t x = 88172645463325252u + (size_t)argument;
  for (uint64_t i = 0; i < count; ++i) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
  }
  shared = x;
  return NULL;
}

static void in_threads(void* (*body)(void*)) {
  pthread_t threads[kWorkers];
  for (size_t i = 0; i < kWorkers; ++i) {
    if (pthread_create(&threads[i], NULL, body, (void*)i) != 0) die("pthread_create");
  }
  for (size_t i = 0; i < kWorkers; ++i) pthread_join(threads[i], NULL);
}

static void in_processes(void* (*body)(void*)) {
  for (size_t i = 0; i < kWorkers; ++i) {
    const pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) {
      body((void*)i);
      _exit(0);
    }
  }
  int status;
  for (int i = 0; i < kWorkers; ++i) {
    if (wait(&status) < 0 || status != 0) die("a worker");
  }
}

int main(int count_of_words, char** words) {
  if (count_of_words != 3) return 2;
  const char* what = words[1];
  count = strtoull(words[2], NULL, 10);
  if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0) die("membarrier");
  puts("crowd: begin");
  fflush(stdout);
  if (strcmp(what, "messages") == 0) in_processes(messages);
  else if (strcmp(what, "mutex") == 0) in_threads(mutex);
  else if (strcmp(what, "turns") == 0) in_threads(turns);
  else if (strcmp(what, "unmap") == 0) in_threads(unmap);
  else if (strcmp(what, "files") == 0) in_processes(files);
  else if (strcmp(what, "fork") == 0) in_processes(start_children);
  else if (strcmp(what, "barrier") == 0) in_threads(barrier);
  else if (strcmp(what, "compute") == 0) in_threads(compute);
  else return 2;
  puts("crowd: end");
  return 0;
}
