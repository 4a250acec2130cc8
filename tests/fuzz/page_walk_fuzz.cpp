// Any page tables: a walk answers, a fault changes nothing, and a translation holds when asked
// again.
#include <array>

#include "base/assert.h"
#include "fuzz/fuzz_input.h"
#include "x86/paging/page_walk.h"

namespace vireo::test {
namespace {

using namespace vireo::x86;

/// A few pages that repeat through all of physical memory, so that every pointer leads somewhere.
class FoldedMemory final : public PhysicalMemory {
 public:
  explicit FoldedMemory(std::span<const std::uint8_t> bytes) {
    for (std::size_t i = 0; i < kSize && !bytes.empty(); ++i) bytes_[i] = bytes[i % bytes.size()];
  }
  std::uint64_t read(PhysAddr address, std::size_t size) override {
    VIREO_ASSERT((size == 4 || size == 8) && value(address) % size == 0);
    std::uint64_t word = 0;
    std::memcpy(&word, &bytes_[value(address) % kSize], size);
    return word;
  }
  bool compare_exchange(PhysAddr address, std::size_t size, std::uint64_t expected,
                        std::uint64_t desired) override {
    if (read(address, size) != expected) return false;
    std::memcpy(&bytes_[value(address) % kSize], &desired, size);
    return true;
  }
  bool operator==(const FoldedMemory& other) const { return bytes_ == other.bytes_; }

 private:
  static constexpr std::size_t kSize = 4096;
  std::array<std::uint8_t, kSize> bytes_{};
};

PagingMode take_mode(FuzzInput& input) {
  PagingMode mode;
  mode.kind = static_cast<PagingMode::Kind>(input.take<std::uint8_t>() % 5);
  const auto bits = input.take<std::uint16_t>();
  mode.write_protect = (bits & 1) != 0;
  mode.smep = (bits & 2) != 0;
  mode.smap = (bits & 4) != 0;
  mode.execute_disable = (bits & 8) != 0;
  mode.large_pages = (bits & 16) != 0;
  mode.pse36 = (bits & 32) != 0;
  mode.huge_pages = (bits & 64) != 0;
  mode.global_pages = (bits & 128) != 0;
  mode.protection_keys = (bits & 256) != 0;
  mode.attributes = (bits & 512) != 0;
  mode.physical_address_bits = static_cast<std::uint8_t>(36 + (bits >> 10) % 17);
  mode.pkru = input.take<std::uint32_t>();
  mode.cr3 = input.take<std::uint64_t>() & ((1ull << mode.physical_address_bits) - 1);
  for (auto& entry : mode.pdpte)
    entry = input.take<std::uint64_t>() & ((1ull << mode.physical_address_bits) - 1) & ~0x1e6ull;
  return mode;
}

std::uint64_t canonical_address(const PagingMode& mode, std::uint64_t address) {
  const auto fold = [address](unsigned bits) {
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(address << (64 - bits)) >>
                                      (64 - bits));
  };
  if (mode.kind == PagingMode::Kind::k4Level) return fold(48);
  if (mode.kind == PagingMode::Kind::k5Level) return fold(57);
  return address & 0xffffffff;
}

void check_fault(const Fault& fault, const WalkRequest& request) {
  VIREO_ASSERT(fault.vector == Vector::kPF);
  VIREO_ASSERT(fault.address == value(request.address));
  VIREO_ASSERT(((fault.error_code & 2) != 0) == (request.access == Access::kWrite));
  VIREO_ASSERT(((fault.error_code & 4) != 0) == request.user);
  VIREO_ASSERT((fault.error_code & 0x10) == 0 || request.access == Access::kExecute);
  VIREO_ASSERT((fault.error_code & 8) == 0 || (fault.error_code & 1) != 0);
}

void walk(FuzzInput input) {
  const PagingMode mode = take_mode(input);
  WalkRequest request{LinearAddr{canonical_address(mode, input.take<std::uint64_t>())}};
  const auto kind = input.take<std::uint8_t>();
  request.access = static_cast<Access>(kind % 3);
  request.user = (kind & 0x40) != 0;
  request.smap_suspended = (kind & 0x80) != 0;

  FoldedMemory memory(input.rest());
  const FoldedMemory before = memory;
  const auto first = walk_pages(mode, memory, request);
  if (!first) {
    check_fault(first.error(), request);
    VIREO_ASSERT(memory == before);
    return;
  }
  VIREO_ASSERT(value(first->page) % kPageSize == 0);
  if (mode.kind != PagingMode::Kind::kNone)
    VIREO_ASSERT(value(first->page) >> mode.physical_address_bits == 0);
  VIREO_ASSERT(permitted(mode, first->rights, request));
  VIREO_ASSERT(request.access != Access::kWrite || first->rights.dirty);
}

}  // namespace
}  // namespace vireo::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vireo::test::walk(vireo::test::FuzzInput({data, size}));
  return 0;
}
