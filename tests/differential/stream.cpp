#include "differential/stream.h"

#include <Zydis/Zydis.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "base/assert.h"
#include "differential/policy.h"
#include "differential/vendors.h"
#include "support/silicon.h"

namespace vireo::test {
namespace {

using Bytes = std::vector<std::uint8_t>;

struct Decoded {
  ZydisDecodedInstruction instruction;
  std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT> operands;
};

ZydisDecoder make_decoder(Mode mode) {
  ZydisDecoder decoder;
  if (mode == Mode::kCompat)
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32);
  else if (code_width(mode) == 2)
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
  else if (code_width(mode) == 4)
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
  else
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  return decoder;
}

std::optional<Decoded> decode(Mode mode, const Bytes& bytes) {
  const ZydisDecoder decoder = make_decoder(mode);
  Decoded result;
  if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes.data(), bytes.size(),
                                           &result.instruction, result.operands.data())))
    return std::nullopt;
  return result;
}

std::optional<unsigned> gpr_number(ZydisRegister name) {
  switch (ZydisRegisterGetClass(name)) {
    case ZYDIS_REGCLASS_GPR8:
      return std::nullopt;
    case ZYDIS_REGCLASS_GPR16:
    case ZYDIS_REGCLASS_GPR32:
    case ZYDIS_REGCLASS_GPR64:
      return static_cast<unsigned>(ZydisRegisterGetId(name));
    default:
      return std::nullopt;
  }
}

template <class T>
void append(Bytes& bytes, T number, std::size_t size = sizeof(T)) {
  for (std::size_t i = 0; i < size; ++i)
    bytes.push_back(static_cast<std::uint8_t>(static_cast<std::uint64_t>(number) >> (8 * i)));
}

constexpr unsigned kRcx = 1, kRdx = 2, kRsp = 4;

}  // namespace

/// Builds one item around one accepted instruction.
class ItemBuilder {
 public:
  ItemBuilder(StreamGenerator& generator, std::uint64_t address, Bytes main, const Decoded& decoded)
      : generator_(generator),
        mode_(generator.mode_),
        random_(generator.random_),
        address_(address),
        main_(std::move(main)),
        decoded_(decoded) {}

  /// Empty if the operands cannot be put into place.
  std::optional<Item> build() {
    prepare_special();
    for (unsigned i = 0; i < decoded_.instruction.operand_count; ++i) {
      const ZydisDecodedOperand& operand = decoded_.operands[i];
      if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY && operand.mem.type != ZYDIS_MEMOP_TYPE_AGEN)
        if (!place_memory(operand)) return std::nullopt;
    }
    if (!place_branch()) return std::nullopt;
    Item item{setup_, static_cast<unsigned>(setup_.size()), instructions_ + 1};
    item.bytes.insert(item.bytes.end(), main_.begin(), main_.end());
    if (!intel_silicon() && vendors_leave_other_flags(decoded_.instruction.mnemonic)) {
      append(item.bytes, std::uint16_t{0xc038});  // cmp al, al: all flags are defined again
      ++item.instructions;
    }
    return item;
  }

 private:
  std::uint64_t pick(std::uint64_t limit) { return random_() % limit; }

  void set_register(unsigned number, std::uint64_t value) {
    if (code_width(mode_) < 8) {
      if (code_width(mode_) == 2) setup_.push_back(0x66);
      setup_.push_back(static_cast<std::uint8_t>(0xb8 | number));
      append(setup_, static_cast<std::uint32_t>(value));
    } else {
      setup_.push_back(static_cast<std::uint8_t>(0x48 | number >> 3));
      setup_.push_back(static_cast<std::uint8_t>(0xb8 | (number & 7)));
      append(setup_, value);
    }
    ++instructions_;
  }

  void push(std::uint32_t value) {
    setup_.push_back(0x68);
    append(setup_, value, push_size() - 1);
    ++instructions_;
  }
  std::size_t push_size() const { return code_width(mode_) == 2 ? 3 : 5; }

  std::uint64_t main_address() const { return address_ + setup_.size(); }

  std::uint64_t stack_target() {
    return kActiveStack + 0x1000 + pick(0x40) * 8 - generator_.bases_.stack;
  }

  /// A locked access across cache lines stops all CPUs, and some hosts punish it with delays.
  /// The semantics of CMPXCHG8B lock always.
  bool locked() const {
    return (decoded_.instruction.attributes & ZYDIS_ATTRIB_HAS_LOCK) != 0 ||
           decoded_.instruction.mnemonic == ZYDIS_MNEMONIC_XCHG ||
           decoded_.instruction.mnemonic == ZYDIS_MNEMONIC_CMPXCHG8B;
  }

  std::uint64_t data_target() { return linear_data_target() - generator_.bases_.data; }

  std::uint64_t linear_data_target() {
    if (locked()) return kActiveData + 0x1800 + pick(0x80) * 16;
    switch (pick(8)) {
      case 0:
        return kActiveData + 0x2000 - pick(66);  // across a page
      case 1:
        return kActiveData + 0x1000 + pick(0x2000);  // anywhere
      case 2:
        return kActiveData + 0x1800 + pick(0x80) * 16 + 8;
      default:
        return kActiveData + 0x1800 + pick(0x40) * 64;  // aligned
    }
  }

  void prepare_special() {
    const auto& instruction = decoded_.instruction;
    if ((instruction.attributes &
         (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE)) != 0)
      set_register(kRcx, junk_above(pick(4) == 0 ? 0 : pick(40)));
    switch (instruction.mnemonic) {
      case ZYDIS_MNEMONIC_DIV:
      case ZYDIS_MNEMONIC_IDIV:
        if (pick(2) == 0) set_register(kRdx, pick(3));
        break;
      case ZYDIS_MNEMONIC_BT:
      case ZYDIS_MNEMONIC_BTS:
      case ZYDIS_MNEMONIC_BTR:
      case ZYDIS_MNEMONIC_BTC:
        if (decoded_.operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER)
          if (const auto number = gpr_number(decoded_.operands[1].reg.value))
            if (*number != kRsp) set_register(*number, pick(0x4000) - 0x2000);
        break;
      default:
        break;
    }
  }

  /// A number of the address width under bits that the address width ignores.
  std::uint64_t junk_above(std::uint64_t number) {
    switch (decoded_.instruction.address_width) {
      case 16:
        return (number & 0xffff) | random_() << 16;
      case 32:
        return (number & 0xffffffff) | (code_width(mode_) < 8 ? 0 : random_() << 32);
      default:
        return number;
    }
  }

  bool place_memory(const ZydisDecodedOperand& operand) {
    const auto& memory = operand.mem;
    const bool fs_or_gs =
        memory.segment == ZYDIS_REGISTER_FS || memory.segment == ZYDIS_REGISTER_GS;
    if (fs_or_gs && !generator_.with_fs_and_gs_) return false;
    auto base = gpr_number(memory.base);
    // SIB base 5 with mod 0 is no base whatever REX.B says; Zydis 4.0 takes it for R13 if the
    // address size is 32. SDM vol. 2A, table 2-3.
    const auto& raw = decoded_.instruction.raw;
    if (raw.modrm.mod == 0 && raw.modrm.rm == 4 && raw.sib.base == 5 && raw.disp.size == 32)
      base.reset();
    if (base == kRsp || memory.base == ZYDIS_REGISTER_SP) return place_on_stack(operand);
    const auto index = gpr_number(memory.index);
    const std::uint64_t scale = memory.scale == 0 ? 1 : memory.scale;
    std::uint64_t target = data_target();
    if (memory.type == ZYDIS_MEMOP_TYPE_VSIB) load_indices(memory.index);
    if (!base) return place_absolute(operand, target);
    std::uint64_t rest = target - static_cast<std::uint64_t>(memory.disp.value);
    if (index && *index == *base) {
      if (locked()) return false;
      set_register(*base, junk_above(rest / (1 + scale)));
      return true;
    }
    if (index && *index == kRsp) return true;
    if (index) {
      const std::uint64_t number = pick(4) == 0 ? random_() : pick(256);
      set_register(*index, number);
      rest -= number * scale;
    }
    set_register(*base, junk_above(rest));
    return true;
  }

  bool place_on_stack(const ZydisDecodedOperand& operand) {
    if (!stack_placed_) set_register(kRsp, junk_above_stack(stack_target()));
    stack_placed_ = true;
    const auto& raw = decoded_.instruction.raw;
    if (operand.visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT && raw.disp.size == 32)
      patch(raw.disp.offset, pick(0x400) - 0x200, 4);
    if (const auto index = gpr_number(operand.mem.index)) set_register(*index, pick(64));
    switch (decoded_.instruction.mnemonic) {
      case ZYDIS_MNEMONIC_POPF:
      case ZYDIS_MNEMONIC_POPFD:
      case ZYDIS_MNEMONIC_POPFQ:
        push(static_cast<std::uint32_t>(random_()) & (pick(10) == 0 ? ~0u : ~0x40100u) &
             ~(intel_silicon() ? 0 : static_cast<std::uint32_t>(x86::rflags::kAc)));
        break;
      case ZYDIS_MNEMONIC_RET:
        // The push is part of the setup: the address behind the instruction includes it.
        push(static_cast<std::uint32_t>(main_address() + push_size() + main_.size()));
        break;
      default:
        break;
    }
    return true;
  }
  static std::uint64_t junk_above_stack(std::uint64_t number) { return number; }

  bool place_absolute(const ZydisDecodedOperand& operand, std::uint64_t target) {
    const auto& raw = decoded_.instruction.raw;
    if (raw.disp.size < 32 && code_width(mode_) != 2) return true;
    if (const auto index = gpr_number(operand.mem.index)) {
      const std::uint64_t number = pick(256);
      set_register(*index, number);
      target -= number * std::max<std::uint64_t>(operand.mem.scale, 1);
    }
    if (operand.mem.base == ZYDIS_REGISTER_RIP || operand.mem.base == ZYDIS_REGISTER_EIP) {
      relative_offset_ = raw.disp.offset;
      relative_target_ = target;
    } else {
      patch(raw.disp.offset, target, raw.disp.size / 8);
    }
    return true;
  }

  /// vmovdqu ymmN, [indices]
  void load_indices(ZydisRegister name) {
    const auto number = static_cast<unsigned>(ZydisRegisterGetId(name));
    for (unsigned byte :
         {0xc4u, number < 8 ? 0xe1u : 0x61u, 0x7eu, 0x6fu, 4 | (number & 7) << 3, 0x25u})
      setup_.push_back(static_cast<std::uint8_t>(byte));
    append(setup_, static_cast<std::uint32_t>(kGatherIndices + pick(32) * 32));
    ++instructions_;
  }

  void patch(std::size_t offset, std::uint64_t value, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i)
      main_[offset + i] = static_cast<std::uint8_t>(value >> (8 * i));
  }

  /// Branches go on with the next instruction, whether taken or not: what they do shows in RSP, RCX
  /// and on the stack. Conditions show because taken branches skip one NOP-like INC.
  bool place_branch() {
    const auto& instruction = decoded_.instruction;
    if (relative_offset_ != 0)
      patch(relative_offset_, relative_target_ - (main_address() + main_.size()), 4);
    if (instruction.meta.branch_type == ZYDIS_BRANCH_TYPE_NONE) return true;
    // Cut to 16 bits it would lead a kernel into its tables.
    const bool cut = code_width(mode_) == 4 && instruction.operand_width == 16;
    if (cut && !is_user(mode_)) return false;
    if (instruction.mnemonic == ZYDIS_MNEMONIC_RET) return true;
    const ZydisDecodedOperand& target = decoded_.operands[0];
    if (target.type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
      const auto& raw = instruction.raw.imm[0];
      const bool skip = pick(2) == 0;
      patch(raw.offset, skip ? 2 : 0, raw.size / 8);
      append(main_, std::uint16_t{0xc0fe});  // inc al
      return true;
    }
    if (target.type != ZYDIS_OPERAND_TYPE_REGISTER) return false;
    const auto number = gpr_number(target.reg.value);
    if (!number || *number == kRsp) return false;
    const std::size_t set_size = code_width(mode_) == 8 ? 10 : code_width(mode_) == 4 ? 5 : 6;
    set_register(*number, main_address() + set_size + main_.size());
    return true;
  }

  const StreamGenerator& generator_;
  Mode mode_;
  std::mt19937_64& random_;
  std::uint64_t address_;
  Bytes main_, setup_;
  const Decoded& decoded_;
  unsigned instructions_ = 0;
  bool stack_placed_ = false;
  std::size_t relative_offset_ = 0;
  std::uint64_t relative_target_ = 0;
};

StreamGenerator::StreamGenerator(Mode mode, std::vector<Family> families, std::uint64_t seed)
    : mode_(mode), families_(std::move(families)), random_(seed) {}

std::vector<std::uint8_t> StreamGenerator::random_bytes() {
  static constexpr std::array<std::uint8_t, 8> kPrefixes{0x66, 0x66, 0x67, 0xf2,
                                                         0xf3, 0xf0, 0x2e, 0x3e};
  const Family family = families_[random_() % families_.size()];
  Bytes bytes;
  const bool vex = family == Family::kAvx || (family == Family::kInteger && random_() % 8 == 0);
  const auto byte = [this] { return static_cast<std::uint8_t>(random_()); };
  if (vex) {
    if (random_() % 8 == 0) bytes.push_back(random_() % 2 == 0 ? 0x67 : 0x3e);
    if (random_() % 3 == 0 && family == Family::kAvx) {
      bytes.push_back(0xc5);
      bytes.push_back(byte());
    } else {
      bytes.push_back(0xc4);
      bytes.push_back(static_cast<std::uint8_t>((byte() & 0xe0) | (1 + random_() % 3)));
      bytes.push_back(byte());
    }
  } else {
    for (auto n = random_() % 4; n > 1; --n) bytes.push_back(kPrefixes[random_() % 8]);
    if (with_fs_and_gs_ && random_() % 8 == 0) bytes.push_back(random_() % 2 == 0 ? 0x64 : 0x65);
    if (code_width(mode_) == 8 && random_() % 2 == 0)
      bytes.push_back(static_cast<std::uint8_t>(0x40 | (random_() & 15)));
    if (family == Family::kX87) {
      bytes.push_back(static_cast<std::uint8_t>(0xd8 | (random_() & 7)));
    } else if (family == Family::kSse || random_() % 3 == 0) {
      bytes.push_back(0x0f);
      if (random_() % 4 == 0) bytes.push_back(random_() % 2 == 0 ? 0x38 : 0x3a);
    }
  }
  while (bytes.size() < 15) bytes.push_back(byte());
  return bytes;
}

Item StreamGenerator::next(std::uint64_t address) {
  for (;;) {
    Bytes bytes = random_bytes();
    const auto decoded = decode(mode_, bytes);
    if (!decoded) continue;
    const auto family = comparable(decoded->instruction, decoded->operands.data());
    if (!family || std::find(families_.begin(), families_.end(), *family) == families_.end())
      continue;
    bytes.resize(decoded->instruction.length);
    if (auto item = ItemBuilder(*this, address, std::move(bytes), *decoded).build()) return *item;
  }
}

std::vector<std::string> disassemble(Mode mode, std::uint64_t address,
                                     const std::vector<std::uint8_t>& bytes) {
  const ZydisDecoder decoder = make_decoder(mode);
  ZydisFormatter formatter;
  ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
  std::vector<std::string> lines;
  std::size_t offset = 0;
  while (offset < bytes.size()) {
    Decoded decoded;
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, &bytes[offset], bytes.size() - offset,
                                             &decoded.instruction, decoded.operands.data()))) {
      lines.push_back(fmt::format("{:#x}  {:02x}  ?", address + offset, bytes[offset]));
      ++offset;
      continue;
    }
    std::array<char, 128> text{};
    ZydisFormatterFormatInstruction(&formatter, &decoded.instruction, decoded.operands.data(),
                                    decoded.instruction.operand_count_visible, text.data(),
                                    text.size(), address + offset, nullptr);
    std::string hex;
    for (std::size_t i = 0; i < decoded.instruction.length; ++i)
      hex += fmt::format("{:02x}", bytes[offset + i]);
    lines.push_back(fmt::format("{:#x}  {:<30}  {}", address + offset, hex, text.data()));
    offset += decoded.instruction.length;
  }
  return lines;
}

}  // namespace vireo::test
