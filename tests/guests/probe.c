// What busybox lacks, for tests inside guests: `probe lock FILE SECONDS` holds a lock of the whole
// file so long, `probe map FILE` prints the sum of its bytes as a mapping shows them; `probe set FILE
// NAME VALUE` sets an extended attribute, `probe get FILE NAME` prints it, `probe unset FILE NAME`
// takes it away, `probe names FILE` prints the names of all, one in each line; `probe connect
// PORT` and `probe listen PORT` pass standard input to a vsock stream to the host, or from whoever
// comes, and what arrives to standard output, until both have ended; `probe connect-messages PORT` and
// `probe listen-messages PORT` send each message that arrives back as it came, until there are no
// more. Linked statically. Status 1: it could not, with the reason.
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/xattr.h>
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

static int get(const char* path, const char* name) {
  char value[4096];
  const ssize_t size = getxattr(path, name, value, sizeof(value));
  if (size < 0) return failed(name);
  printf("%.*s\n", (int)size, value);
  return 0;
}

static int names(const char* path) {
  char list[4096];
  const ssize_t size = listxattr(path, list, sizeof(list));
  if (size < 0) return failed(path);
  for (const char* name = list; name < list + size; name += strlen(name) + 1) puts(name);
  return 0;
}

static int pass(int from, int to) {
  static char buffer[65536];
  const ssize_t size = read(from, buffer, sizeof(buffer));
  for (ssize_t done = 0; done < size;) {
    const ssize_t put = write(to, buffer + done, (size_t)(size - done));
    if (put <= 0) return -1;
    done += put;
  }
  return (int)size;
}

static int stream(int fd) {
  struct pollfd both[2] = {{.fd = 0, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
  while (both[0].fd >= 0 || both[1].fd >= 0) {
    poll(both, 2, -1);
    if (both[0].revents != 0) {
      const int size = pass(0, fd);
      if (size < 0) return failed("send");
      if (size == 0) {
        shutdown(fd, SHUT_WR);
        both[0].fd = -1;
      }
    }
    if (both[1].revents != 0) {
      const int size = pass(fd, 1);
      if (size < 0) return failed("receive");
      if (size == 0) both[1].fd = -1;
    }
  }
  return 0;
}

static int echo_messages(int fd) {
  static char buffer[256 << 10];
  ssize_t size;
  while ((size = recv(fd, buffer, sizeof(buffer), 0)) > 0)
    if (send(fd, buffer, (size_t)size, MSG_EOR) != size) return failed("send");
  return size < 0 ? failed("receive") : 0;
}

static int vsock(int listens, int type, unsigned port) {
  struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = port};
  int fd = socket(AF_VSOCK, type, 0);
  if (fd < 0) return failed("socket");
  if (listens) {
    address.svm_cid = VMADDR_CID_ANY;
    if (bind(fd, (struct sockaddr*)&address, sizeof(address)) != 0 || listen(fd, 1) != 0)
      return failed("listen");
    fd = accept(fd, NULL, NULL);
    if (fd < 0) return failed("accept");
  } else if (connect(fd, (struct sockaddr*)&address, sizeof(address)) != 0) {
    return failed("connect");
  }
  return type == SOCK_STREAM ? stream(fd) : echo_messages(fd);
}

int main(int argc, char** argv) {
  if (argc == 4 && strcmp(argv[1], "lock") == 0) return lock(argv[2], (unsigned)atoi(argv[3]));
  if (argc == 3 && strcmp(argv[1], "map") == 0) return map(argv[2]);
  if (argc == 5 && strcmp(argv[1], "set") == 0)
    return setxattr(argv[2], argv[3], argv[4], strlen(argv[4]), 0) != 0 ? failed(argv[3]) : 0;
  if (argc == 4 && strcmp(argv[1], "get") == 0) return get(argv[2], argv[3]);
  if (argc == 4 && strcmp(argv[1], "unset") == 0)
    return removexattr(argv[2], argv[3]) != 0 ? failed(argv[3]) : 0;
  if (argc == 3 && strcmp(argv[1], "names") == 0) return names(argv[2]);
  if (argc == 3 && strcmp(argv[1], "connect") == 0) return vsock(0, SOCK_STREAM, (unsigned)atoi(argv[2]));
  if (argc == 3 && strcmp(argv[1], "listen") == 0) return vsock(1, SOCK_STREAM, (unsigned)atoi(argv[2]));
  if (argc == 3 && strcmp(argv[1], "connect-messages") == 0)
    return vsock(0, SOCK_SEQPACKET, (unsigned)atoi(argv[2]));
  if (argc == 3 && strcmp(argv[1], "listen-messages") == 0)
    return vsock(1, SOCK_SEQPACKET, (unsigned)atoi(argv[2]));
  return 2;
}
