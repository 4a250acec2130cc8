#include "engine/direct/insn_length.h"

#include <algorithm>
#include <array>
#include <initializer_list>

namespace vireo::engine::direct {
namespace {

/// What follows the opcode, in the lower bits of a byte of the tables; kModrm comes on top. The
/// first of them are numbers of bytes.
enum Tail : std::uint8_t {
  kNone,
  kByte,
  kWord,
  kEnter,  ///< 16 bits and 8
  kLong,
  kOperand,   ///< 32 bits, 16 with the prefix 66
  kFull,      ///< as kOperand, and 64 with REX.W
  kOffset,    ///< 64 bits, 32 with the prefix 67
  kTestByte,  ///< kByte with ModRM.reg 0 and 1
  kTest,      ///< kOperand with ModRM.reg 0 and 1
  kPrefix,
  kEscape,  ///< 0F
  kVex2,
  kVex3,
  kEvex,
  kXop,  ///< POP or, by its map, an XOP prefix
};
constexpr std::uint8_t kModrm = 0x80, kTail = 0x7f;

constexpr std::size_t kMaxLength = 15;

using Table = std::array<std::uint8_t, 256>;

constexpr void fill(Table& table, unsigned first, unsigned last, unsigned entry) {
  for (unsigned i = first; i <= last; ++i) table[i] = static_cast<std::uint8_t>(entry);
}

constexpr void put(Table& table, std::initializer_list<unsigned> opcodes, unsigned entry) {
  for (const unsigned opcode : opcodes) table[opcode] = static_cast<std::uint8_t>(entry);
}

constexpr Table one_byte_map() {
  Table t{};
  for (unsigned row = 0; row < 0x40; row += 8) {  // ADD to CMP
    fill(t, row, row + 3, kModrm);
    t[row + 4] = kByte;
    t[row + 5] = kOperand;
  }
  put(t, {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3}, kPrefix);
  fill(t, 0x40, 0x4f, kPrefix);
  put(t, {0x63, 0x8f, 0xc4, 0xc5, 0xf6, 0xf7, 0xfe, 0xff}, kModrm);
  put(t, {0x68, 0xa9}, kOperand);
  put(t, {0x69, 0x81, 0xc7}, kModrm | kOperand);
  put(t, {0x6a, 0xa8, 0xcd, 0xd4, 0xd5, 0xeb}, kByte);
  put(t, {0x6b, 0x80, 0x82, 0x83, 0xc0, 0xc1, 0xc6}, kModrm | kByte);
  fill(t, 0x70, 0x7f, kByte);
  fill(t, 0x84, 0x8e, kModrm);
  fill(t, 0xa0, 0xa3, kOffset);
  fill(t, 0xb0, 0xb7, kByte);
  fill(t, 0xb8, 0xbf, kFull);
  put(t, {0xc2, 0xca}, kWord);
  t[0xc8] = kEnter;
  fill(t, 0xd0, 0xd3, kModrm);
  fill(t, 0xd8, 0xdf, kModrm);
  fill(t, 0xe0, 0xe7, kByte);
  put(t, {0xe8, 0xe9}, kLong);
  t[0xf6] = kModrm | kTestByte;
  t[0xf7] = kModrm | kTest;
  t[0x0f] = kEscape;
  t[0xc5] = kVex2;
  t[0xc4] = kVex3;
  t[0x62] = kEvex;
  t[0x8f] = kXop;
  return t;
}

/// 0F; of VEX and EVEX also, but for VZEROUPPER none of those without ModRM is there.
constexpr Table two_byte_map() {
  Table t{};
  fill(t, 0x00, 0xff, kModrm);
  fill(t, 0x04, 0x0c, kNone);
  t[0x0d] = kModrm;
  t[0x0e] = kNone;
  t[0x0f] = kModrm | kByte;    // 3DNow!, whose opcode is the last byte
  fill(t, 0x20, 0x23, kByte);  // ModRM that names registers whatever its mod field
  fill(t, 0x30, 0x37, kNone);
  fill(t, 0x70, 0x73, kModrm | kByte);
  t[0x77] = kNone;
  fill(t, 0x80, 0x8f, kLong);
  put(t, {0xa0, 0xa1, 0xa2, 0xa8, 0xa9, 0xaa}, kNone);
  put(t, {0xa4, 0xac, 0xba, 0xc2, 0xc4, 0xc5, 0xc6}, kModrm | kByte);
  fill(t, 0xc8, 0xcf, kNone);
  return t;
}

constexpr Table kOneByteMap = one_byte_map();
constexpr Table kTwoByteMap = two_byte_map();

constexpr std::uint8_t prefixed_entry(unsigned map, std::uint8_t opcode) {
  if (map == 1) return kTwoByteMap[opcode];
  return map == 3 ? kModrm | kByte : kModrm;
}

/// ModRM, SIB and the displacement, by ModRM, but for a SIB that asks for one of its own.
/// SDM vol. 2A, 2.1.3.
constexpr Table kAddressLength = [] {
  Table t{};
  for (unsigned modrm = 0; modrm < 256; ++modrm) {
    const unsigned mod = modrm >> 6, rm = modrm & 7;
    const unsigned displacement = mod == 1 ? 1 : mod == 2 || (mod == 0 && rm == 5) ? 4 : 0;
    t[modrm] = static_cast<std::uint8_t>(1 + (mod != 3 && rm == 4 ? 1 : 0) + displacement);
  }
  return t;
}();

std::size_t address_length(const std::uint8_t* modrm) {
  const std::size_t length = kAddressLength[*modrm];
  return (*modrm & 0xc7) == 4 && (modrm[1] & 7) == 5 ? length + 4 : length;
}

struct Prefixes {
  bool operand16 = false, address32 = false, rex_w = false;
};

std::size_t tail_length(unsigned tail, const Prefixes& prefixes, std::uint8_t modrm) {
  const std::size_t operand = prefixes.operand16 && !prefixes.rex_w ? 2 : 4;
  switch (tail) {
    case kOperand:
      return operand;
    case kFull:
      return prefixes.rex_w ? 8 : operand;
    case kOffset:
      return prefixes.address32 ? 4 : 8;
    case kTestByte:
      return (modrm & 0x30) == 0 ? 1 : 0;
    case kTest:
      return (modrm & 0x30) == 0 ? operand : 0;
    default:
      return 0;
  }
}

/// The table's entry behind an escape or a prefix that contains one; moves `at` to the opcode.
std::uint8_t escaped_entry(unsigned tail, const std::uint8_t* bytes, std::size_t& at) {
  switch (tail) {
    case kEscape: {
      const std::uint8_t opcode = bytes[++at];
      if (opcode != 0x38 && opcode != 0x3a) return kTwoByteMap[opcode];
      ++at;
      return prefixed_entry(opcode == 0x38 ? 2 : 3, 0);
    }
    case kVex2:
      at += 2;
      return prefixed_entry(1, bytes[at]);
    case kVex3: {
      const unsigned map = bytes[at + 1] & 0x1f;
      at += 3;
      return prefixed_entry(map, bytes[at]);
    }
    case kEvex: {
      const unsigned map = bytes[at + 1] & 7;
      at += 4;
      return prefixed_entry(map, bytes[at]);
    }
    default: {  // AMD APM vol. 3, 1.2.3
      const unsigned map = bytes[at + 1] & 0x1f;
      if (map < 8) return kModrm;
      at += 3;
      return map == 8 ? kModrm | kByte : map == 10 ? kModrm | kLong : kModrm;
    }
  }
}

}  // namespace

bool is_insn_prefix(std::uint8_t byte) { return kOneByteMap[byte] == kPrefix; }

std::size_t insn_length(const std::uint8_t* bytes) {
  Prefixes prefixes;
  std::size_t at = 0;
  std::uint8_t entry = kOneByteMap[bytes[0]];
  while (entry == kPrefix && at < kMaxLength - 1) {
    prefixes.operand16 |= bytes[at] == 0x66;
    prefixes.address32 |= bytes[at] == 0x67;
    prefixes.rex_w = (bytes[at] & 0xf8) == 0x48;  // that of the last byte in front counts
    entry = kOneByteMap[bytes[++at]];
  }
  if ((entry & kTail) >= kEscape && (entry & kModrm) == 0) entry = escaped_entry(entry, bytes, at);
  ++at;
  const std::uint8_t modrm = bytes[at];
  if (entry & kModrm) at += address_length(bytes + at);
  const unsigned tail = entry & kTail;
  return std::min(at + (tail <= kLong ? tail : tail_length(tail, prefixes, modrm)), kMaxLength);
}

}  // namespace vireo::engine::direct
