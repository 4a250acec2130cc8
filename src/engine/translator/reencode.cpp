#include "engine/translator/reencode.h"

#include <cstring>

namespace vireo::engine::translator {
namespace {

using x86::Insn;
using x86::OperandKind;

constexpr std::uint8_t kSame = Placement::kSame, kNone = HostMemory::kNone;
constexpr unsigned kRexW = 8, kRexR = 4, kRexX = 2, kRexB = 1;
constexpr std::size_t kMaxInsn = 15;

/// Which operands in the ModRM byte and the opcode are byte registers. SDM vol. 2D, appendix A.
struct ByteOperands {
  bool reg = false, rm = false;
};

ByteOperands byte_operands(const Insn& insn) {
  const unsigned opcode = insn.opcode;
  switch (insn.opcode_map) {
    case 0:
      if (opcode < 0x40) {  // ALU operations: Eb,Gb and Gb,Eb
        const bool byte = (opcode & 5) == 0;
        return {byte, byte};
      }
      if (opcode == 0x84 || opcode == 0x86 || opcode == 0x88 || opcode == 0x8a) return {true, true};
      return {false, opcode == 0x80 || opcode == 0xc0 || opcode == 0xc6 || opcode == 0xd0 ||
                         opcode == 0xd2 || opcode == 0xf6 || opcode == 0xfe ||
                         (opcode & 0xf8) == 0xb0};
    case 1:
      if (opcode == 0xb0 || opcode == 0xc0) return {true, true};
      return {false, (opcode & 0xf0) == 0x90 || opcode == 0xb6 || opcode == 0xbe};
    case 2:
      return {false, opcode == 0xf0 && insn.mnemonic == ZYDIS_MNEMONIC_CRC32};
    default:
      return {};
  }
}

/// Whether the memory form of an instruction with a general register in ModRM.rm exists and does
/// the same with as many bytes.
bool has_memory_form(const Insn& insn) {
  switch (insn.mnemonic) {
    case ZYDIS_MNEMONIC_BT:
    case ZYDIS_MNEMONIC_BTS:
    case ZYDIS_MNEMONIC_BTR:
    case ZYDIS_MNEMONIC_BTC:
      return insn.opcode == 0xba;  // by a register, memory is a string of bits
    case ZYDIS_MNEMONIC_MOV:
      // Control and debug registers have no memory form, segment registers one of 16 bits.
      return insn.opcode_map == 0 && (insn.opcode != 0x8c || insn.operand_width == 2);
    case ZYDIS_MNEMONIC_SLDT:
    case ZYDIS_MNEMONIC_STR:
    case ZYDIS_MNEMONIC_SMSW:
      return insn.operand_width == 2;
    case ZYDIS_MNEMONIC_PEXTRB:
    case ZYDIS_MNEMONIC_PEXTRW:
    case ZYDIS_MNEMONIC_VPEXTRB:
    case ZYDIS_MNEMONIC_VPEXTRW:
    case ZYDIS_MNEMONIC_RDRAND:
    case ZYDIS_MNEMONIC_RDSEED:
    case ZYDIS_MNEMONIC_RDPID:
    case ZYDIS_MNEMONIC_RDFSBASE:
    case ZYDIS_MNEMONIC_RDGSBASE:
    case ZYDIS_MNEMONIC_WRFSBASE:
    case ZYDIS_MNEMONIC_WRGSBASE:
    case ZYDIS_MNEMONIC_UMONITOR:
    case ZYDIS_MNEMONIC_UMWAIT:
    case ZYDIS_MNEMONIC_TPAUSE:
    case ZYDIS_MNEMONIC_NOP:
      return false;
    default:
      return true;
  }
}

/// The fields of REX or VEX, not inverted, as the original has them.
struct Extension {
  unsigned bits = 0;  ///< kRexW kRexR kRexX kRexB
  unsigned vvvv = 0, length = 0, pp = 0;
};

Extension extension_of(const Insn& insn) {
  const x86::Layout& layout = insn.layout;
  if (layout.rex != 0) return {insn.bytes[layout.rex - 1u] & 15u, 0, 0, 0};
  if (layout.vex == 0) return {};
  const std::size_t at = layout.vex - 1u;
  const bool three = insn.bytes[at] == 0xc4;
  const unsigned first = insn.bytes[at + 1], last = insn.bytes[at + (three ? 2 : 1)];
  Extension extension;
  extension.bits = three ? (~first >> 5 & 7) | (last >> 7) * kRexW : (~first >> 7 & 1) * kRexR;
  extension.vvvv = ~last >> 3 & 15;
  extension.length = last >> 2 & 1;
  extension.pp = last & 3;
  return extension;
}

class Encoder {
 public:
  Encoder(const Insn& insn, const Placement& placement, std::uint8_t* out)
      : insn_(insn),
        layout_(insn.layout),
        place_(placement),
        begin_(out),
        out_(out),
        extension_(extension_of(insn)) {}

  std::size_t run() {
    if (!prepare()) return 0;
    put_prefixes();
    if (layout_.vex != 0)
      put_vex();
    else if (!put_rex())
      return 0;
    put_opcode();
    if (layout_.modrm != 0) put_operand();
    copy(layout_.immediate, layout_.immediate_size);
    const auto length = static_cast<std::size_t>(out_ - begin_);
    return length <= kMaxInsn ? length : 0;
  }

 private:
  void put(unsigned byte) { *out_++ = static_cast<std::uint8_t>(byte); }
  void copy(std::size_t offset, std::size_t size) {
    std::memcpy(out_, &insn_.bytes[offset], size);
    out_ += size;
  }

  /// Decides on the registers and the form. False: cannot be.
  bool prepare() {
    const unsigned bits = extension_.bits;
    keep_memory_ = false;
    if (layout_.modrm == 0) return prepare_opcode_register();
    const unsigned modrm = insn_.bytes[layout_.modrm];
    const bool register_form = modrm >= 0xc0 || moves_control_register();
    reg_ = place_.reg != kSame ? place_.reg : (modrm >> 3 & 7) | ((bits & kRexR) != 0 ? 8u : 0u);
    bits_ = (bits & kRexW) | (reg_ >= 8 ? kRexR : 0);
    if (place_.to_memory) return prepare_memory(register_form);
    if (register_form) {
      rm_ = place_.rm != kSame ? place_.rm : (modrm & 7) | ((bits & kRexB) != 0 ? 8u : 0u);
      bits_ |= rm_ >= 8 ? kRexB : 0;
      return true;
    }
    keep_memory_ = true;
    bits_ |= bits & (kRexX | kRexB);
    return (modrm & 0xc7) != 0x05;  // RIP-relative
  }

  bool prepare_opcode_register() {
    bits_ = extension_.bits & (kRexW | kRexB);
    if (place_.to_memory) return false;
    if (place_.rm == kSame) return true;
    rm_ = place_.rm;
    bits_ = (bits_ & kRexW) | (rm_ >= 8 ? kRexB : 0);
    const bool exchange = insn_.opcode_map == 0 && (insn_.opcode & 0xf8) == 0x90;
    return !exchange || exchange_stays(rm_);
  }

  /// 90 is NOP, and PAUSE with F3, whatever REX says on some CPUs.
  bool exchange_stays(unsigned number) const {
    if (number == 0) return false;
    if (number != 8) return true;
    for (unsigned i = 0; i < layout_.opcode; ++i)
      if (insn_.bytes[i] == 0xf3) return false;
    return true;
  }

  /// MOV to and from control and debug registers: the mod field is ignored.
  bool moves_control_register() const {
    return insn_.opcode_map == 1 && (insn_.opcode & 0xfc) == 0x20 && layout_.vex == 0;
  }

  bool prepare_memory(bool register_form) {
    const HostMemory& memory = place_.memory;
    if (register_form ? !has_memory_form(insn_) : insn_.memory.vsib) return false;
    if (memory.index == 4) return false;
    if (memory.index != kNone && memory.index >= 8) bits_ |= kRexX;
    if (memory.base != kNone && memory.base >= 8) bits_ |= kRexB;
    return true;
  }

  /// LOCK, 66 and the last of F2 and F3; what addresses memory only if it is still that memory.
  void put_prefixes() {
    const unsigned end = layout_.vex != 0 ? layout_.vex - 1u
                                          : (layout_.rex != 0 ? layout_.rex - 1u : opcode_begin());
    unsigned lock = 0, size = 0, repeat = 0;
    for (unsigned i = 0; i < end; ++i) {
      const unsigned byte = insn_.bytes[i];
      if (byte == 0xf0)
        lock = byte;
      else if (byte == 0x66)
        size = byte;
      else if (byte >= 0xf2 && byte <= 0xf3)
        repeat = byte;
      else if ((byte & 0xf0) != 0x40 && !place_.to_memory)
        put(byte);  // a REX in front of other prefixes means nothing
    }
    if (lock != 0) put(lock);
    if (size != 0) put(size);
    if (repeat != 0) put(repeat);
    if (place_.to_memory && place_.memory.gs) put(0x65);
  }

  unsigned opcode_begin() const {
    static constexpr unsigned kEscapes[4] = {0, 1, 2, 2};
    return layout_.opcode - kEscapes[insn_.opcode_map & 3];
  }

  /// False if AH..BH would become SPL..DIL.
  bool put_rex() {
    const ByteOperands byte = byte_operands(insn_);
    bool needed = bits_ != 0, forbidden = false;
    if (byte.reg || byte.rm) {
      const auto look = [&](unsigned number, bool placed) {
        if (number < 4 || number > 7) return;
        if (placed || layout_.rex != 0)
          needed = true;
        else
          forbidden = true;
      };
      if (byte.reg && layout_.modrm != 0) look(reg_, place_.reg != kSame);
      if (byte.rm && !place_.to_memory && !keep_memory_) {
        const unsigned original = insn_.opcode & 7u;
        const bool placed = place_.rm != kSame;
        look(layout_.modrm != 0 || placed ? rm_ : original, placed);
      }
    }
    if (needed && forbidden) return false;
    if (needed) put(0x40 | bits_);
    return true;
  }

  void put_vex() {
    const unsigned vvvv = place_.vvvv != kSame ? place_.vvvv : extension_.vvvv;
    const unsigned last = (~vvvv & 15) << 3 | extension_.length << 2 | extension_.pp;
    const unsigned inverted = ~bits_ & 7;
    if (insn_.opcode_map == 1 && (bits_ & (kRexW | kRexX | kRexB)) == 0) {
      put(0xc5);
      put((inverted & kRexR) << 5 | last);
      return;
    }
    put(0xc4);
    put(inverted << 5 | insn_.opcode_map);
    put((bits_ & kRexW) << 4 | last);
  }

  void put_opcode() {
    if (layout_.vex == 0) copy(opcode_begin(), layout_.opcode - opcode_begin());
    unsigned opcode = insn_.bytes[layout_.opcode];
    if (layout_.modrm == 0 && place_.rm != kSame) opcode = (opcode & 0xf8) | (rm_ & 7);
    put(opcode);
    // An address without ModRM.
    if (layout_.modrm == 0) copy(layout_.displacement, layout_.displacement_size);
  }

  void put_operand() {
    const unsigned reg = (reg_ & 7) << 3;
    if (place_.to_memory) {
      put_memory(reg);
    } else if (keep_memory_) {
      put((insn_.bytes[layout_.modrm] & 0xc7u) | reg);
      if (layout_.sib != 0) copy(layout_.sib, 1);
      copy(layout_.displacement, layout_.displacement_size);
    } else {
      put(0xc0 | reg | (rm_ & 7));
    }
  }

  /// SDM vol. 2A, tables 2-2 and 2-3.
  void put_memory(unsigned reg) {
    const HostMemory& memory = place_.memory;
    const unsigned index = (memory.index != kNone ? memory.index & 7u : 4u) << 3;
    const unsigned sib = static_cast<unsigned>(memory.scale_shift) << 6 | index;
    const std::int32_t displacement = memory.displacement;
    if (memory.base == kNone) {
      put(reg | 4);
      put(memory.index != kNone ? sib | 5 : 0x25);
      put_displacement(4);
      return;
    }
    const unsigned base = memory.base & 7u;
    const bool none = displacement == 0 && base != 5;
    const bool small = displacement == static_cast<std::int8_t>(displacement);
    const unsigned mod = none ? 0 : small ? 0x40 : 0x80;
    if (memory.index != kNone || base == 4) {
      put(mod | reg | 4);
      put((memory.index != kNone ? sib : index) | base);
    } else {
      put(mod | reg | base);
    }
    if (!none) put_displacement(small ? 1 : 4);
  }

  void put_displacement(std::size_t size) {
    std::memcpy(out_, &place_.memory.displacement, size);
    out_ += size;
  }

  const Insn& insn_;
  const x86::Layout& layout_;
  const Placement& place_;
  std::uint8_t* const begin_;
  std::uint8_t* out_;
  const Extension extension_;
  unsigned bits_ = 0;  ///< REX or VEX bits of the copy
  unsigned reg_ = 0, rm_ = 0;
  bool keep_memory_ = false;
};

}  // namespace

std::size_t reencode(const Insn& insn, const Placement& placement, std::uint8_t* out) {
  return Encoder(insn, placement, out).run();
}

}  // namespace vireo::engine::translator
