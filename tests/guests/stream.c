// Moves bytes over one TCP connection as fast as it goes: `stream in|out ADDRESS PORT MEBIBYTES`.
// For measurements in guests: linked statically, large buffers, no dependencies.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char buffer[256 << 10];

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[3]))};
  inet_pton(AF_INET, argv[2], &to.sin_addr);
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, (struct sockaddr*)&to, sizeof(to)) != 0) {
    perror("connect");
    return 1;
  }
  long long left = atoll(argv[4]) << 20;
  const int sends = strcmp(argv[1], "out") == 0;
  while (left > 0) {
    const size_t size = left < (long long)sizeof(buffer) ? (size_t)left : sizeof(buffer);
    const ssize_t moved = sends ? write(fd, buffer, size) : read(fd, buffer, size);
    if (moved <= 0) break;
    left -= moved;
  }
  if (sends) shutdown(fd, SHUT_WR);
  while (sends && read(fd, buffer, sizeof(buffer)) > 0) {
  }
  close(fd);
  return left != 0;
}
