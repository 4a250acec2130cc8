#pragma once
#include <cstdint>

#include "x86/flags.h"

namespace vireo::x86 {

/// The six arithmetic flags as LAHF and SETO leave them in AX: OF in bit 0; SF, ZF, AF, PF and CF
/// in bits 15, 14, 12, 10 and 8. Guest and host share an instruction set, so every flag, the
/// undefined ones included, is what the silicon says; this form costs two instructions to take.
struct HostFlags {
  static constexpr std::uint16_t kOf = 1, kCf = 1u << 8, kPf = 1u << 10, kAf = 1u << 12,
                                 kZf = 1u << 14, kSf = 1u << 15;
  std::uint16_t ax = 0;
};

constexpr HostFlags to_host_flags(std::uint64_t rflags) {
  return {static_cast<std::uint16_t>((rflags & 0xd7) << 8 | ((rflags >> 11) & 1))};
}
constexpr std::uint64_t from_host_flags(HostFlags flags) {
  return ((flags.ax >> 8) & 0xd5u) | (flags.ax & 1u) << 11;
}
/// `rflags` with its arithmetic flags replaced.
constexpr std::uint64_t merge_flags(std::uint64_t rflags, HostFlags flags) {
  return (rflags & ~rflags::kArithmetic) | from_host_flags(flags);
}

/// Whether condition `cc` (the low four bits of Jcc, SETcc and CMOVcc opcodes) holds. SDM vol. 1,
/// appendix B.
template <unsigned cc>
constexpr bool condition(HostFlags flags) {
  const unsigned ax = flags.ax;
  const bool less = (((ax >> 15) ^ ax) & 1) != 0;
  bool result = false;
  switch (cc >> 1) {
    case 0:
      result = (ax & HostFlags::kOf) != 0;
      break;
    case 1:
      result = (ax & HostFlags::kCf) != 0;
      break;
    case 2:
      result = (ax & HostFlags::kZf) != 0;
      break;
    case 3:
      result = (ax & (HostFlags::kCf | HostFlags::kZf)) != 0;
      break;
    case 4:
      result = (ax & HostFlags::kSf) != 0;
      break;
    case 5:
      result = (ax & HostFlags::kPf) != 0;
      break;
    case 6:
      result = less;
      break;
    default:
      result = less || (ax & HostFlags::kZf) != 0;
      break;
  }
  return (cc & 1) ? !result : result;
}

/// The same with the condition known only at run time.
constexpr bool condition(unsigned cc, HostFlags flags) {
  switch (cc >> 1) {
    case 0:
      return condition<0>(flags) != ((cc & 1) != 0);
    case 1:
      return condition<2>(flags) != ((cc & 1) != 0);
    case 2:
      return condition<4>(flags) != ((cc & 1) != 0);
    case 3:
      return condition<6>(flags) != ((cc & 1) != 0);
    case 4:
      return condition<8>(flags) != ((cc & 1) != 0);
    case 5:
      return condition<10>(flags) != ((cc & 1) != 0);
    case 6:
      return condition<12>(flags) != ((cc & 1) != 0);
    default:
      return condition<14>(flags) != ((cc & 1) != 0);
  }
}

// Bringing HostFlags in AX to the host's flags (OF first, SAHF leaves it alone) and back.
#define VIREO_LOAD_FLAGS "addb $0x7f, %%al\n\tsahf\n\t"
#define VIREO_TAKE_FLAGS "\n\tlahf\n\tseto %%al"

}  // namespace vireo::x86
