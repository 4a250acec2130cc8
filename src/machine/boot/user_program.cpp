#include "machine/boot/user_program.h"

#include <algorithm>
#include <array>

#include "x86/decode/decoder.h"

namespace vireo::machine {
namespace {

// Kernels set the CPU up long before; this bounds the time for large programs.
constexpr std::size_t kMostCode = std::size_t{16} << 20;

enum class Role : std::uint8_t { kAny, kCallsSystem, kIsSystem };

Role role_of(const x86::Insn& insn) {
  switch (insn.mnemonic) {
    case ZYDIS_MNEMONIC_SYSCALL:
      return Role::kCallsSystem;
    case ZYDIS_MNEMONIC_INT:
      return insn.immediate == 0x80 ? Role::kCallsSystem : Role::kAny;
    case ZYDIS_MNEMONIC_WRMSR:
    case ZYDIS_MNEMONIC_LGDT:
    case ZYDIS_MNEMONIC_LIDT:
    case ZYDIS_MNEMONIC_LTR:
      return Role::kIsSystem;
    case ZYDIS_MNEMONIC_MOV:
      return insn.operands[0].kind == x86::OperandKind::kControl ? Role::kIsSystem : Role::kAny;
    default:
      return Role::kAny;
  }
}

x86::FeatureSet every_feature() {
  x86::FeatureSet features;
  for (std::size_t i = 0; i < static_cast<std::size_t>(x86::Feature::kCount); ++i)
    features.set(static_cast<x86::Feature>(i));
  return features;
}

/// What the code does, read from end to end; constants in it may hide an instruction or look like
/// one.
Role role_of(std::span<const std::byte> code, x86::CodeSize code_size) {
  static const x86::FeatureSet features = every_feature();
  Role role = Role::kAny;
  while (!code.empty()) {
    std::array<std::uint8_t, x86::kMaxInsnLength> bytes;
    const std::size_t available = std::min(code.size(), bytes.size());
    std::transform(code.begin(), code.begin() + static_cast<std::ptrdiff_t>(available),
                   bytes.begin(), [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
    x86::Insn insn;
    std::size_t length = 1;
    if (x86::decode(std::span(bytes).first(available), code_size, features, insn) ==
        x86::DecodeStatus::kOk) {
      role = std::max(role, role_of(insn));
      length = insn.length;
    }
    if (role == Role::kIsSystem) break;
    code = code.subspan(length);
  }
  return role;
}

bool only_calls_system(const ElfFile& elf) {
  const auto code_size =
      elf.machine() == ElfFile::kMachineAmd64 ? x86::CodeSize::k64 : x86::CodeSize::k32;
  std::size_t left = kMostCode;
  Role role = Role::kAny;
  for (const ElfSegment& s : elf.segments()) {
    if (s.physical != s.virtual_address) return false;
    if (!s.executable) continue;
    const std::size_t size = std::min(left, s.bytes.size());
    role = std::max(role, role_of(s.bytes.first(size), code_size));
    left -= size;
  }
  return role == Role::kCallsSystem;
}

}  // namespace

bool is_user_program(const ElfFile& elf) {
  if (elf.names_system()) return true;
  const auto at_zero = [](const ElfSegment& s) { return s.physical < kPageSize; };
  if (elf.position_independent() &&
      std::any_of(elf.segments().begin(), elf.segments().end(), at_zero)) {
    return true;
  }
  return only_calls_system(elf);
}

}  // namespace vireo::machine
