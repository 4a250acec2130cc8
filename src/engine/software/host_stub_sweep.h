#pragma once
#include <Zydis/Zydis.h>

#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "engine/software/host_stub.h"
#include "x86/cpuid/cpuid_model.h"
#include "x86/decode/decoder.h"

namespace vireo::engine::test {

/// For tests: RBX + this is where the memory operand is.
inline constexpr std::uint8_t kDisplacement = 0x20;

/// Whether the instruction keeps away from what belongs to the test: RSP, R15 and all memory but
/// the operand that it provides.
inline bool is_testable(const x86::Insn& insn) {
  for (const auto& operand : insn.operands) {
    if (operand.kind == x86::OperandKind::kGpr && (operand.number == 4 || operand.number == 15))
      return false;
    if (operand.kind == x86::OperandKind::kMemory &&
        (insn.memory.base != x86::kRbx || insn.memory.index != x86::kNoRegister ||
         insn.memory.displacement != kDisplacement))
      return false;
  }
  return true;
}

/// ModRM and what follows: register forms and [RBX + kDisplacement], then bytes of which an
/// immediate takes what it needs. `group`: the register field is a part of the opcode.
inline std::vector<std::string> tails(bool group) {
  std::vector<std::string> result;
  const auto add = [&](unsigned modrm, bool memory) {
    std::string tail{static_cast<char>(modrm)};
    if (memory) tail += static_cast<char>(kDisplacement);
    result.push_back(tail + "\x5b\x29\x36\x47");
  };
  for (unsigned reg = 0; reg < 8; reg += group ? 1 : 5) {
    add(0x43 | reg << 3, true);
    add(0xc1 | reg << 3, false);
  }
  if (!group) add(0xc0, false), add(0xea, false), add(0xdd, false);
  return result;
}

/// Shifts by an immediate.
inline bool is_group(unsigned opcode) { return opcode >= 0x71 && opcode <= 0x73; }

inline bool is_memory_form(const std::string& tail) { return (tail[0] & 0xc0) != 0xc0; }

inline void each_legacy_encoding(const std::function<void(const std::string&)>& visit) {
  for (const std::string prefix : {"", "\x66", "\xf2", "\xf3"})
    for (const std::string rex : {"", "\x48", "\x45", "\x4d"})
      for (const std::string map : {"\x0f", "\x0f\x38", "\x0f\x3a"})
        for (unsigned opcode = 0; opcode < 256; ++opcode)
          for (const auto& tail : tails(is_group(opcode)))
            // With REX.B the base is R11: the memory forms are for the others.
            if (rex.find_first_of("\x45\x4d") == std::string::npos || !is_memory_form(tail))
              visit(prefix + rex + map + static_cast<char>(opcode) + tail);
}

inline void each_vex_encoding(const std::function<void(const std::string&)>& visit) {
  for (unsigned map = 1; map <= 3; ++map)
    for (unsigned high : {0xe0u, 0x40u, 0x60u})      // R, X, B inverted
      for (unsigned flags = 0; flags < 16; ++flags)  // W, L, pp
        for (unsigned vvvv : {15u, 9u})
          for (unsigned opcode = 0; opcode < 256; ++opcode)
            for (const auto& tail : tails(is_group(opcode))) {
              if (!(high & 0x20) && is_memory_form(tail)) continue;
              std::string bytes = "\xc4";
              bytes += static_cast<char>(high | map);
              bytes += static_cast<char>((flags & 8) << 4 | vvvv << 3 | (flags & 7));
              visit(bytes + static_cast<char>(opcode) + tail);
            }
}

inline void each_x87_encoding(const std::function<void(const std::string&)>& visit) {
  for (unsigned opcode = 0xd8; opcode < 0xe0; ++opcode) {
    for (unsigned reg = 0; reg < 8; ++reg)
      visit({static_cast<char>(opcode), static_cast<char>(0x43 | reg << 3), kDisplacement});
    for (unsigned modrm = 0xc0; modrm < 0x100; ++modrm)
      visit({static_cast<char>(opcode), static_cast<char>(modrm)});
  }
}

/// Decodes; false for what does not exist.
inline bool decode_bytes(const std::string& bytes, x86::Insn& insn,
                         x86::CodeSize code_size = x86::CodeSize::k64) {
  static const x86::FeatureSet features = x86::host_features();
  const std::span data(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  return x86::decode(data, code_size, features, insn) == x86::DecodeStatus::kOk;
}

inline std::string describe(const x86::Insn& insn) {
  std::string text = ZydisMnemonicGetString(insn.mnemonic);
  for (std::size_t i = 0; i < insn.length; ++i) text += fmt::format(" {:02x}", insn.bytes[i]);
  return text;
}

/// Guest states full of the numbers that matter: zeros, denormals, infinities, NaNs, ones near a
/// limit, and plain random bits.
class RandomState {
 public:
  explicit RandomState(unsigned seed) : random_(seed) {}

  std::uint64_t bits() { return random_(); }
  unsigned below(unsigned n) { return static_cast<unsigned>(random_() % n); }

  std::uint32_t float32() {
    static constexpr std::uint32_t kPool[] = {
        0,          0x80000000, 1,          0x80000001, 0x007fffff, 0x00800000, 0x00800001,
        0x3f800000, 0xbf800000, 0x3f800001, 0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000,
        0x7fc00000, 0x7f800001, 0xffc12345, 0x4f000000, 0xcf000000, 0x4b000001, 0x3f000000,
        0x40490fdb, 0x0d800000, 0x5f000000, 0x38800000, 0x33000000, 0x477fe000, 0x477ff000};
    return below(4) ? kPool[below(std::size(kPool))] : static_cast<std::uint32_t>(bits());
  }
  std::uint64_t float64() {
    static constexpr std::uint64_t kPool[] = {0,
                                              0x8000000000000000,
                                              1,
                                              0x000fffffffffffff,
                                              0x0010000000000000,
                                              0x8010000000000001,
                                              0x3ff0000000000000,
                                              0xbff0000000000000,
                                              0x3ff0000000000001,
                                              0x7fefffffffffffff,
                                              0x7ff0000000000000,
                                              0xfff0000000000000,
                                              0x7ff8000000000000,
                                              0x7ff0000000000001,
                                              0xfff8000012345678,
                                              0x41dfffffffc00000,
                                              0x41e0000000000000,
                                              0x43e0000000000000,
                                              0xc3e0000000000000,
                                              0x3fe0000000000000,
                                              0x400921fb54442d18,
                                              0x36a0000000000000,
                                              0x380fffffe0000000,
                                              0x3810000000000001,
                                              0x47efffffe0000000,
                                              0x47f0000000000000,
                                              0x2000000000000000,
                                              0x5fe0000000000000,
                                              0x4330000000000001,
                                              0x0350000000000000};
    return below(4) ? kPool[below(std::size(kPool))] : bits();
  }
  std::uint64_t lanes() {
    switch (below(4)) {
      case 0:
        return bits();
      case 1:
        return float64();
      default:
        return float32() | static_cast<std::uint64_t>(float32()) << 32;
    }
  }
  std::array<std::uint64_t, 2> float80() {
    static constexpr std::uint64_t kExponents[] = {0,      1,      0x3fff, 0x4000, 0x7ffe,
                                                   0x7fff, 0x3ffe, 0x403e, 0x403d, 0x3c00,
                                                   0x3f80, 0x43ff, 0x407f};
    static constexpr std::uint64_t kMantissas[] = {0,
                                                   1ull << 63,
                                                   3ull << 62,
                                                   ~0ull,
                                                   1,
                                                   (1ull << 63) + 1,
                                                   0xc90fdaa22168c235,
                                                   0x4000000000000000,
                                                   0xfffffffffffff800};
    const std::uint64_t sign = below(2) ? 0x8000 : 0;
    if (below(5) == 0) return {bits(), bits() & 0xffff};
    return {kMantissas[below(std::size(kMantissas))],
            sign | kExponents[below(std::size(kExponents))]};
  }

  /// All exceptions masked; `unmasked` clears some of the masks of MXCSR and the x87.
  void fill(x86::CpuState& state, bool unmasked) {
    for (std::size_t i = 0; i < 16; ++i) {
      if (i != 4 && i != 15) state.gpr[i] = below(3) ? bits() : below(20);
      state.fpu.xmm[i] = {lanes(), lanes()};
      state.fpu.ymm_high[i] = {lanes(), lanes()};
    }
    state.rflags = (bits() & x86::rflags::kArithmetic) | 2;
    state.fpu.mxcsr = static_cast<std::uint32_t>((bits() & 0xe07f) | 0x1f80);
    if (unmasked) state.fpu.mxcsr = static_cast<std::uint32_t>(bits() & 0xffff & ~0x3fu);
    state.fpu.control = static_cast<std::uint16_t>((bits() & 0x0f00) | 0x7f);
    state.fpu.status = static_cast<std::uint16_t>(bits() & 0x7f7f);
    if (unmasked) {
      state.fpu.control = static_cast<std::uint16_t>((bits() & 0x0f3f) | 0x40);
      state.fpu.status &= static_cast<std::uint16_t>(0x7f00);
    }
    state.fpu.tag = static_cast<std::uint8_t>(below(3) ? bits() : 0xff);
    for (auto& st : state.fpu.st) st = float80();
  }

 private:
  std::mt19937_64 random_;
};

}  // namespace vireo::engine::test
