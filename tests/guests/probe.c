// What busybox lacks, for tests inside guests: `probe lock FILE SECONDS` holds a lock of the whole
// file so long, `probe map FILE` prints the sum of its bytes as a mapping shows them. Linked
// statically. Status 1: it could not, with the reason.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int failed(const char* what) {
  perror(what);
  return 1;
}

static int lock(const char* path, unsigned seconds) {
  struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  const int fd = open(path, O_RDWR | O_CREAT, 0644);
  if (fd < 0 || fcntl(fd, F_SETLK, &range) != 0) return failed(path);
  printf("locked\n");
  fflush(stdout);
  sleep(seconds);
  return 0;
}

static int map(const char* path) {
  struct stat info;
  const int fd = open(path, O_RDONLY);
  if (fd < 0 || fstat(fd, &info) != 0) return failed(path);
  const unsigned char* bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (bytes == MAP_FAILED) return failed("mmap");
  unsigned long long sum = 0;
  for (off_t i = 0; i < info.st_size; ++i) sum += bytes[i];
  printf("%llu\n", sum);
  return 0;
}

int main(int argc, char** argv) {
  if (argc == 4 && strcmp(argv[1], "lock") == 0) return lock(argv[2], (unsigned)atoi(argv[3]));
  if (argc == 3 && strcmp(argv[1], "map") == 0) return map(argv[2]);
  return 2;
}
