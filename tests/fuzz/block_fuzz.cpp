// Any image: it is refused, or it is a disk that answers each request. The input becomes the tables
// of a qcow2 image, of small numbers that often make sense; then come requests.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <vector>

#include "backends/block/open_block.h"
#include "backends/block/qcow2/big_endian.h"
#include "base/assert.h"
#include "base/unique_fd.h"
#include "fuzz/fuzz_input.h"

namespace vireo::test {
namespace {

using backends::BlockOperation;
using backends::qcow2::store_big_endian;

constexpr std::uint64_t kLargestDisk = 1u << 20;

/// Mostly the number of one of the first clusters, with the flags that entries have.
std::uint64_t table_entry(FuzzInput& input, unsigned cluster_bits) {
  const auto what = input.take<std::uint8_t>();
  const std::uint64_t offset = std::uint64_t{input.take<std::uint8_t>()} % 48 << cluster_bits;
  switch (what % 8) {
    case 0:
      return 0;
    case 1:
      return 1;
    case 2:
      return offset;
    case 3:
      return offset | 1;
    case 4:
      return offset | std::uint64_t{1} << 62 | std::uint64_t{what} << 40;
    case 5:
      return input.take<std::uint64_t>();
    default:
      return offset | std::uint64_t{1} << 63;
  }
}

/// A header that is nearly right.
void put_header(std::vector<std::uint8_t>& bytes, FuzzInput& input, unsigned cluster_bits) {
  bytes[0] = 'Q', bytes[1] = 'F', bytes[2] = 'I', bytes[3] = 0xfb;
  const auto kind = input.take<std::uint8_t>();
  store_big_endian(&bytes[4], std::uint32_t{kind % 4 == 0 ? 2u : 3u});
  store_big_endian(&bytes[20], std::uint32_t{cluster_bits});
  store_big_endian(&bytes[24], std::uint64_t{input.take<std::uint16_t>()} % 2048 * 512);
  store_big_endian(&bytes[36], std::uint32_t{input.take<std::uint8_t>()});
  store_big_endian(&bytes[40], std::uint64_t{1} << cluster_bits);
  store_big_endian(&bytes[48], std::uint64_t{2} << cluster_bits);
  store_big_endian(&bytes[56], std::uint32_t{1} + kind % 2);
  if (kind % 8 == 1) store_big_endian(&bytes[60], std::uint32_t{2});
  store_big_endian(&bytes[64], std::uint64_t{4} << cluster_bits);
  bytes[79] = kind >> 4 & 9;  // dirty, compression
  store_big_endian(&bytes[96], std::uint32_t{input.take<std::uint8_t>()} % 8);
  store_big_endian(&bytes[100], std::uint32_t{112});
  bytes[104] = kind >> 7;
  if (kind % 16 == 2) {  // stands on itself, by the name that it is opened by
    store_big_endian(&bytes[8], std::uint64_t{200});
    store_big_endian(&bytes[16], std::uint32_t{static_cast<std::uint32_t>(14 + kind % 5)});
  }
  for (int i = input.take<std::uint8_t>() % 4; i > 0; --i)
    bytes[input.take<std::uint8_t>()] = input.take<std::uint8_t>();
}

std::vector<std::uint8_t> make_image(FuzzInput& input) {
  const unsigned cluster_bits = 9 + input.take<std::uint8_t>() % 3;
  std::vector<std::uint8_t> bytes(std::size_t{40} << cluster_bits);
  put_header(bytes, input, cluster_bits);
  for (int i = input.take<std::uint8_t>(); i > 0; --i) {
    const std::uint64_t cluster = 1 + input.take<std::uint8_t>() % 12;
    const std::uint64_t index = input.take<std::uint8_t>() % 16;
    store_big_endian(&bytes[(cluster << cluster_bits) + index * 8],
                     table_entry(input, cluster_bits));
  }
  return bytes;
}

void make_requests(backends::BlockBackend& disk, FuzzInput& input) {
  std::vector<std::uint8_t> buffer(kLargestDisk, 0x5a);
  std::atomic<unsigned> answers = 0;
  const unsigned count = input.take<std::uint8_t>() % 24;
  for (unsigned i = 0; i < count; ++i) {
    const std::uint64_t offset = std::uint64_t{input.take<std::uint16_t>()} % 2048 * 512;
    const std::uint64_t length = std::uint64_t{input.take<std::uint8_t>()} * 512;
    const auto operation = static_cast<BlockOperation>(input.take<std::uint8_t>() % 5);
    const iovec part{buffer.data(), length};
    disk.submit({.operation = operation,
                 .offset = offset,
                 .length = length,
                 .buffers = {&part, 1},
                 .may_unmap = i % 2 == 0,
                 .done = [&](std::error_code) { ++answers; }});
    if (i % 4 == 0) disk.drain();
  }
  disk.drain();
  VIREO_ASSERT(answers == count);
}

void open_and_use(FuzzInput input) {
  const auto mode = input.take<std::uint8_t>();
  std::vector<std::uint8_t> bytes = make_image(input);
  const UniqueFd file(::memfd_create("image", MFD_CLOEXEC));
  const std::string path = "/proc/self/fd/" + std::to_string(file.get());
  std::copy(path.begin(), path.end(), bytes.begin() + 200);
  VIREO_ASSERT(file && ::write(file.get(), bytes.data(), bytes.size()) ==
                           static_cast<ssize_t>(bytes.size()));
  auto disk = backends::open_block_backend({.path = path,
                                            .format = "qcow2",
                                            .read_only = mode % 8 == 1,
                                            .discard_changes = mode % 8 == 2});
  if (!disk) {
    VIREO_ASSERT(!disk.error().message.empty());
    return;
  }
  if ((*disk)->size() <= kLargestDisk) make_requests(**disk, input);
}

}  // namespace
}  // namespace vireo::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vireo::test::open_and_use(vireo::test::FuzzInput({data, size}));
  return 0;
}
