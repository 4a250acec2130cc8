#include "engine/translator/reencode.h"

#include <Zydis/Zydis.h>
#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "x86/decode/decoder.h"

namespace vireo::engine::translator {
namespace {

using Bytes = std::vector<std::uint8_t>;

x86::FeatureSet everything() {
  x86::FeatureSet set;
  for (unsigned i = 0; i < static_cast<unsigned>(x86::Feature::kCount); ++i)
    set.set(static_cast<x86::Feature>(i));
  return set;
}

std::optional<x86::Insn> decode(const Bytes& bytes) {
  static const x86::FeatureSet features = everything();
  x86::Insn insn;
  if (x86::decode(bytes, x86::CodeSize::k64, features, insn) != x86::DecodeStatus::kOk) return {};
  return insn;
}

/// What Zydis says of some bytes.
struct Read {
  ZydisDecodedInstruction insn;
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

bool read(const std::uint8_t* bytes, std::size_t size, Read& out) {
  static const ZydisDecoder decoder = [] {
    ZydisDecoder made;
    ZydisDecoderInit(&made, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    for (auto mode : {ZYDIS_DECODER_MODE_MPX, ZYDIS_DECODER_MODE_CET, ZYDIS_DECODER_MODE_CLDEMOTE,
                      ZYDIS_DECODER_MODE_WBNOINVD})
      ZydisDecoderEnableMode(&made, mode, ZYAN_FALSE);
    return made;
  }();
  return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, size, &out.insn, out.operands));
}

std::string hex(const std::uint8_t* bytes, std::size_t size) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) {
    static constexpr char kDigits[] = "0123456789abcdef";
    text += {kDigits[bytes[i] >> 4], kDigits[bytes[i] & 15], ' '};
  }
  return text;
}

ZydisRegister gpr(unsigned width_in_bits, unsigned number) {
  const auto from = [](ZydisRegister first, unsigned n) {
    return static_cast<ZydisRegister>(static_cast<unsigned>(first) + n);
  };
  switch (width_in_bits) {
    case 8:  // AH..BH stand between BL and SPL
      return from(ZYDIS_REGISTER_AL, number < 4 ? number : number + 4);
    case 16:
      return from(ZYDIS_REGISTER_AX, number);
    case 32:
      return from(ZYDIS_REGISTER_EAX, number);
    default:
      return from(ZYDIS_REGISTER_RAX, number);
  }
}

bool is_gpr(const ZydisDecodedOperand& operand) {
  return operand.type == ZYDIS_OPERAND_TYPE_REGISTER && operand.reg.value >= ZYDIS_REGISTER_AL &&
         operand.reg.value <= ZYDIS_REGISTER_R15;
}
bool is_high(const ZydisDecodedOperand& operand) {
  return operand.type == ZYDIS_OPERAND_TYPE_REGISTER && operand.reg.value >= ZYDIS_REGISTER_AH &&
         operand.reg.value <= ZYDIS_REGISTER_BH;
}

/// The operand that stands in a field and is a general register or memory; null: there is none.
const ZydisDecodedOperand* in_field(const Read& source, ZydisOperandEncoding field) {
  for (unsigned i = 0; i < source.insn.operand_count_visible; ++i)
    if (source.operands[i].encoding == field &&
        (is_gpr(source.operands[i]) || source.operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY))
      return &source.operands[i];
  return nullptr;
}

ZydisRegister address_register(std::uint8_t number) {
  return number == HostMemory::kNone ? ZYDIS_REGISTER_NONE : gpr(64, number);
}

std::string check_memory(const ZydisDecodedOperand& operand, const HostMemory& want) {
  const auto& mem = operand.mem;
  if (operand.type != ZYDIS_OPERAND_TYPE_MEMORY) return "no memory operand";
  if (mem.base != address_register(want.base)) return "another base";
  if (mem.index != address_register(want.index)) return "another index";
  if (want.index != HostMemory::kNone && mem.scale != 1u << want.scale_shift)
    return "another scale";
  if ((mem.disp.has_displacement ? mem.disp.value : 0) != want.displacement)
    return "another displacement";
  if ((mem.segment == ZYDIS_REGISTER_GS) != want.gs || mem.segment == ZYDIS_REGISTER_FS)
    return "another segment";
  return "";
}

std::string check_same(const ZydisDecodedOperand& a, const ZydisDecodedOperand& b) {
  if (a.type != b.type || a.size != b.size) return "another kind of operand";
  switch (a.type) {
    case ZYDIS_OPERAND_TYPE_REGISTER:
      return a.reg.value == b.reg.value ? "" : "another register";
    case ZYDIS_OPERAND_TYPE_IMMEDIATE:
      return a.imm.value.u == b.imm.value.u ? "" : "another immediate";
    case ZYDIS_OPERAND_TYPE_MEMORY:
      return a.mem.base == b.mem.base && a.mem.index == b.mem.index && a.mem.scale == b.mem.scale &&
                     a.mem.segment == b.mem.segment && a.mem.disp.value == b.mem.disp.value
                 ? ""
                 : "other memory";
    default:
      return "";
  }
}

/// The number that a field's general register is to have; empty: the original one.
std::optional<std::uint8_t> placed(const Placement& placement, ZydisOperandEncoding field) {
  std::uint8_t number = Placement::kSame;
  if (field == ZYDIS_OPERAND_ENCODING_MODRM_REG) number = placement.reg;
  if (field == ZYDIS_OPERAND_ENCODING_MODRM_RM || field == ZYDIS_OPERAND_ENCODING_OPCODE)
    number = placement.rm;
  if (field == ZYDIS_OPERAND_ENCODING_NDSNDD) number = placement.vvvv;
  if (number == Placement::kSame) return {};
  return number;
}

std::string check_operand(const ZydisDecodedOperand& was, const ZydisDecodedOperand& is,
                          const Placement& placement) {
  if (was.encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM && placement.to_memory) {
    const bool agen =
        was.type == ZYDIS_OPERAND_TYPE_MEMORY && was.mem.type == ZYDIS_MEMOP_TYPE_AGEN;
    HostMemory want = placement.memory;
    if (agen) want.gs = is.mem.segment == ZYDIS_REGISTER_GS;  // LEA has no segment
    return check_memory(is, want);
  }
  if (is_gpr(was))
    if (const auto number = placed(placement, was.encoding))
      return is.type == ZYDIS_OPERAND_TYPE_REGISTER && is.reg.value == gpr(was.size, *number)
                 ? ""
                 : "a register is not where it was placed";
  return check_same(was, is);
}

/// What is wrong with a copy; empty: nothing.
std::string check(const Read& was, const Placement& placement, const std::uint8_t* bytes,
                  std::size_t size) {
  Read is;
  if (!read(bytes, size, is)) return "undefined";
  if (is.insn.length != size) return "another length";
  if (is.insn.mnemonic != was.insn.mnemonic) return "another mnemonic";
  if (is.insn.operand_width != was.insn.operand_width) return "another operand width";
  if (is.insn.encoding != was.insn.encoding) return "another encoding";
  if (is.insn.avx.vector_length != was.insn.avx.vector_length) return "another vector length";
  constexpr auto kKept = ZYDIS_ATTRIB_HAS_LOCK | ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE |
                         ZYDIS_ATTRIB_HAS_REPNE | ZYDIS_ATTRIB_HAS_XACQUIRE |
                         ZYDIS_ATTRIB_HAS_XRELEASE;
  const bool may_elide = placement.to_memory;  // the register form has no XACQUIRE
  const auto kept =
      may_elide ? kKept & ~(ZYDIS_ATTRIB_HAS_XACQUIRE | ZYDIS_ATTRIB_HAS_XRELEASE) : kKept;
  if ((is.insn.attributes & kept) != (was.insn.attributes & kept)) return "another prefix";
  if (is.insn.operand_count_visible != was.insn.operand_count_visible) return "another form";
  for (unsigned i = 0; i < was.insn.operand_count_visible; ++i)
    if (auto wrong = check_operand(was.operands[i], is.operands[i], placement); !wrong.empty())
      return wrong;
  return "";
}

/// Every opcode of the four maps with every mandatory prefix, REX and VEX, and some ModRM bytes.
class Forms {
 public:
  template <class Visit>
  static void visit(Visit&& use) {
    static const Bytes kTails[] = {{0xc1},
                                   {0xec},
                                   {0xf5},
                                   {0xfb},
                                   {0xd7},
                                   {0x04, 0x25, 1, 2, 3, 4},
                                   {0x01},
                                   {0x6c, 0xb4, 0x85},
                                   {0xb4, 0x24, 1, 2, 3, 0x84},
                                   {0x05, 1, 2, 3, 4},
                                   {0x1c, 0xcd, 1, 2, 3, 4},
                                   {0x53, 0x7f}};
    static const Bytes kEscapes[] = {{}, {0x0f}, {0x0f, 0x38}, {0x0f, 0x3a}};
    static const Bytes kPrefixes[] = {
        {}, {0x66}, {0xf2}, {0xf3}, {0xf0}, {0x66, 0xf2}, {0x64}, {0x67}, {0xf0, 0x65, 0x66, 0x66}};
    static const Bytes kRex[] = {{}, {0x40}, {0x48}, {0x4f}, {0x41}, {0x44}};
    for (const Bytes& tail : kTails)
      for (unsigned opcode = 0; opcode < 0x100; ++opcode) {
        for (const Bytes& prefix : kPrefixes)
          for (const Bytes& rex : kRex)
            for (const Bytes& escape : kEscapes) one({&prefix, &rex, &escape}, opcode, tail, use);
        visit_vex(opcode, tail, use);
      }
  }

 private:
  template <class Visit>
  static void visit_vex(unsigned opcode, const Bytes& tail, Visit& use) {
    for (unsigned pp = 0; pp < 4; ++pp)
      for (unsigned vvvv : {15u, 10u, 3u})
        for (unsigned length : {0u, 4u}) {
          const auto last = static_cast<std::uint8_t>(vvvv << 3 | length | pp);
          for (unsigned r : {0u, 0x80u}) {
            const Bytes vex{0xc5, static_cast<std::uint8_t>(r | last)};
            one({&vex}, opcode, tail, use);
          }
          for (unsigned map : {1u, 2u, 3u})
            for (unsigned rxb : {0xe0u, 0u, 0x60u})
              for (unsigned w : {0u, 0x80u}) {
                const Bytes vex{0xc4, static_cast<std::uint8_t>(rxb | map),
                                static_cast<std::uint8_t>(w | last)};
                one({&vex}, opcode, tail, use);
              }
        }
  }

  template <class Visit>
  static void one(std::initializer_list<const Bytes*> heads, unsigned opcode, const Bytes& tail,
                  Visit& use) {
    Bytes bytes;
    for (const Bytes* head : heads) bytes.insert(bytes.end(), head->begin(), head->end());
    bytes.push_back(static_cast<std::uint8_t>(opcode));
    bytes.insert(bytes.end(), tail.begin(), tail.end());
    for (std::uint8_t fill = 0x91; bytes.size() < 15; fill = static_cast<std::uint8_t>(fill + 7))
      bytes.push_back(fill);
    use(bytes);
  }
};

const std::vector<HostMemory>& places() {
  constexpr std::uint8_t kNone = HostMemory::kNone;
  static const std::vector<HostMemory> all = [] {
    std::vector<HostMemory> made{{kNone, kNone, 0, 0x1234, false},
                                 {kNone, kNone, 0, -4, true},
                                 {kNone, 5, 2, 0x40, false},
                                 {kNone, 12, 3, 0, true}};
    for (const std::uint8_t base : std::initializer_list<std::uint8_t>{0, 4, 5, 7, 8, 12, 13})
      for (std::uint8_t index : {kNone, std::uint8_t{1}, std::uint8_t{5}, std::uint8_t{12}})
        for (std::int32_t displacement : {0, 1, -128, 127, 128, -129, 0x12345678})
          made.push_back({base, index, static_cast<std::uint8_t>(base & 3), displacement,
                          (displacement & 1) != 0});
    return made;
  }();
  return all;
}

/// Whether the register form has a memory form at all, says Zydis.
bool has_memory_form(const x86::Insn& insn, const Read& was) {
  Bytes bytes(insn.bytes.begin(), insn.bytes.begin() + insn.length);
  bytes[insn.layout.modrm] &= 0x38;  // [rax]
  Read is;
  if (!read(bytes.data(), bytes.size(), is) || is.insn.mnemonic != was.insn.mnemonic) return false;
  const auto* const rm = in_field(was, ZYDIS_OPERAND_ENCODING_MODRM_RM);
  const auto* const memory = in_field(is, ZYDIS_OPERAND_ENCODING_MODRM_RM);
  const bool bit_string = was.insn.meta.category == ZYDIS_CATEGORY_BITBYTE &&
                          in_field(was, ZYDIS_OPERAND_ENCODING_MODRM_REG) != nullptr &&
                          was.insn.mnemonic != ZYDIS_MNEMONIC_BSF &&
                          was.insn.mnemonic != ZYDIS_MNEMONIC_BSR;
  const bool reads_less = (rm->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) == 0;
  return memory != nullptr && memory->type == ZYDIS_OPERAND_TYPE_MEMORY &&
         was.insn.mnemonic != ZYDIS_MNEMONIC_NOP && (memory->size == rm->size || reads_less) &&
         !bit_string;
}

bool may_refuse(const x86::Insn& insn, const Read& was, const Placement& placement) {
  const ZydisDecodedOperand* const rm = in_field(was, ZYDIS_OPERAND_ENCODING_MODRM_RM);
  if (placement.to_memory && rm != nullptr && is_gpr(*rm) && !has_memory_form(insn, was))
    return true;
  bool high = false;
  for (unsigned i = 0; i < was.insn.operand_count_visible; ++i) high |= is_high(was.operands[i]);
  return high || (was.insn.mnemonic == ZYDIS_MNEMONIC_XCHG && (placement.rm & 7) == 0);
}

class Tally {
 public:
  void try_one(const x86::Insn& insn, const Read& was, const Placement& placement) {
    std::uint8_t out[kMaxEncoding + 1];
    out[kMaxEncoding] = 0xa5;
    const std::size_t size = reencode(insn, placement, out);
    ASSERT_EQ(out[kMaxEncoding], 0xa5);
    if (size == 0) {
      if (!may_refuse(insn, was, placement)) fail(insn, "refused", out, 0);
      return;
    }
    const auto* const rm = in_field(was, ZYDIS_OPERAND_ENCODING_MODRM_RM);
    if (placement.to_memory && rm != nullptr && is_gpr(*rm) && !has_memory_form(insn, was))
      fail(insn, "has no memory form", out, size);
    ++copies;
    mnemonics.insert(was.insn.mnemonic);
    if (const std::string wrong = check(was, placement, out, size); !wrong.empty())
      fail(insn, wrong, out, size);
  }

  std::size_t copies = 0;
  std::set<ZydisMnemonic> mnemonics;

 private:
  void fail(const x86::Insn& insn, const std::string& why, const std::uint8_t* out,
            std::size_t size) {
    if (!failed_.insert(ZydisMnemonicGetString(insn.mnemonic) + why).second) return;
    ADD_FAILURE() << ZydisMnemonicGetString(insn.mnemonic) << " "
                  << hex(&insn.bytes[0], insn.length) << "-> " << hex(out, size) << why;
  }
  std::set<std::string> failed_;
};

constexpr std::uint8_t kNumbers[] = {0, 3, 4, 5, 7, 8, 12, 13, 15};

void place_all(const x86::Insn& insn, const Read& was, std::mt19937& random, Tally& tally) {
  const auto number = [&random] { return kNumbers[random() % std::size(kNumbers)]; };
  const auto* const rm = in_field(was, ZYDIS_OPERAND_ENCODING_MODRM_RM);
  const auto* const opcode = in_field(was, ZYDIS_OPERAND_ENCODING_OPCODE);
  const bool has_reg = in_field(was, ZYDIS_OPERAND_ENCODING_MODRM_REG) != nullptr;
  const bool has_vvvv = in_field(was, ZYDIS_OPERAND_ENCODING_NDSNDD) != nullptr;
  const bool rip = insn.memory.base == x86::kRipBase;
  const bool vector_index = insn.memory.vsib;
  if (!rip) tally.try_one(insn, was, Placement{});
  for (unsigned i = 0; i < 3; ++i) {
    Placement placement;
    if (has_reg && i != 1) placement.reg = number();
    if (has_vvvv) placement.vvvv = number();
    if (((rm != nullptr && is_gpr(*rm)) || opcode != nullptr) && i != 2) placement.rm = number();
    if (!rip) tally.try_one(insn, was, placement);
    if (rm == nullptr || vector_index) continue;
    placement.rm = Placement::kSame;
    placement.to_memory = true;
    placement.memory = places()[random() % places().size()];
    tally.try_one(insn, was, placement);
  }
}

TEST(Reencode, EveryFormWithItsOperandsElsewhereReadsAsItShould) {
  Tally tally;
  std::mt19937 random;
  std::size_t forms = 0;
  Forms::visit([&](const Bytes& bytes) {
    const auto insn = decode(bytes);
    Read was;
    if (!insn || !read(bytes.data(), bytes.size(), was) || was.insn.length != insn->length ||
        was.insn.mnemonic != insn->mnemonic)
      return;
    ++forms;
    place_all(*insn, was, random, tally);
  });
  RecordProperty("forms", std::to_string(forms));
  RecordProperty("copies", std::to_string(tally.copies));
  RecordProperty("mnemonics", std::to_string(tally.mnemonics.size()));
  EXPECT_GT(forms, 100'000u);
  EXPECT_GT(tally.copies, 300'000u);
  EXPECT_GT(tally.mnemonics.size(), 700u);
}

TEST(Reencode, EveryPlaceInMemoryReadsAsItShould) {
  Tally tally;
  for (const Bytes& bytes : std::vector<Bytes>{
           {0x48, 0x8b, 0x04, 0x8b},                    // mov rax, [rbx+rcx*4]
           {0xf0, 0x80, 0x0d, 1, 2, 3, 4, 0x55},        // lock or byte [rip+...], 0x55
           {0x66, 0x81, 0x40, 0x10, 0x34, 0x12},        // add word [rax+16], 0x1234
           {0x64, 0x67, 0x44, 0x89, 0x38},              // mov fs:[eax], r15d
           {0xc5, 0xfa, 0x10, 0x00},                    // vmovss xmm0, [rax]
           {0xc4, 0xe3, 0x71, 0x4a, 0x40, 0x01, 0x20},  // vblendvps xmm0, xmm1, [rax+1], xmm2
           {0x41, 0xff, 0xc4},                          // inc r12d
           {0x66, 0x0f, 0x38, 0xdc, 0x08}}) {           // aesenc xmm1, [rax]
    const auto insn = decode(bytes);
    Read was;
    ASSERT_TRUE(insn && read(bytes.data(), bytes.size(), was));
    for (const HostMemory& memory : places()) {
      Placement placement;
      placement.to_memory = true;
      placement.memory = memory;
      tally.try_one(*insn, was, placement);
    }
  }
  EXPECT_EQ(tally.copies, 8 * places().size());
}

Bytes copy_of(const Bytes& bytes, const Placement& placement) {
  const auto insn = decode(bytes);
  EXPECT_TRUE(insn);
  std::uint8_t out[kMaxEncoding];
  return insn ? Bytes(out, out + reencode(*insn, placement, out)) : Bytes{};
}
Placement in_memory(HostMemory memory) {
  Placement placement;
  placement.to_memory = true;
  placement.memory = memory;
  return placement;
}
Placement in_rm(std::uint8_t number) {
  Placement placement;
  placement.rm = number;
  return placement;
}

TEST(Reencode, EncodesShortWhatFits) {
  const Bytes load{0x48, 0x8b, 0x83, 1, 0, 0, 0};  // mov rax, [rbx+1]
  EXPECT_EQ(copy_of(load, in_memory({3, 0xff, 0, 0, false})), (Bytes{0x48, 0x8b, 0x03}));
  EXPECT_EQ(copy_of(load, in_memory({5, 0xff, 0, 0, false})), (Bytes{0x48, 0x8b, 0x45, 0}));
  EXPECT_EQ(copy_of(load, in_memory({13, 0xff, 0, -128, true})),
            (Bytes{0x65, 0x49, 0x8b, 0x45, 0x80}));
  EXPECT_EQ(copy_of(load, in_memory({4, 0xff, 0, 8, false})), (Bytes{0x48, 0x8b, 0x44, 0x24, 8}));
  // A VEX prefix shrinks to two bytes where it can, and grows where it must.
  const Bytes andn{0xc4, 0xe2, 0x70, 0xf2, 0xc2};  // andn eax, ecx, edx
  EXPECT_EQ(copy_of(andn, in_rm(9)), (Bytes{0xc4, 0xc2, 0x70, 0xf2, 0xc1}));
  const Bytes vmovss{0xc4, 0xc1, 0x7a, 0x10, 0x00};  // vmovss xmm0, [r8]
  EXPECT_EQ(copy_of(vmovss, in_memory({0, 0xff, 0, 0, false})), (Bytes{0xc5, 0xfa, 0x10, 0x00}));
  EXPECT_EQ(copy_of({0xc5, 0xfa, 0x10, 0x00}, in_memory({8, 0xff, 0, 0, false})), vmovss);
}

TEST(Reencode, HighByteRegistersStayOnlyWithoutRex) {
  const Bytes move{0x88, 0xe0};  // mov al, ah
  EXPECT_EQ(copy_of(move, {}), move);
  EXPECT_EQ(copy_of(move, in_rm(3)), (Bytes{0x88, 0xe3}));
  EXPECT_EQ(copy_of(move, in_rm(6)), Bytes{});  // SIL needs REX
  EXPECT_EQ(copy_of(move, in_rm(8)), Bytes{});
  EXPECT_EQ(copy_of(move, in_memory({8, 0xff, 0, 0, false})), Bytes{});
  EXPECT_EQ(copy_of(move, in_memory({3, 0xff, 0, 0, false})), (Bytes{0x88, 0x23}));
  EXPECT_EQ(copy_of({0x40, 0x88, 0xe0}, in_rm(0)), (Bytes{0x40, 0x88, 0xe0}));  // mov al, spl
  EXPECT_EQ(copy_of({0x88, 0xc8}, in_rm(7)), (Bytes{0x40, 0x88, 0xcf}));        // mov dil, cl
  EXPECT_EQ(copy_of({0xb4, 5}, in_rm(5)), (Bytes{0x40, 0xb5, 5}));              // mov bpl, 5
}

TEST(Reencode, RefusesWhatWouldBeTooLong) {
  Bytes longest(13, 0x2e);
  longest.insert(longest.end(), {0x89, 0x00});  // mov [rax], eax
  Placement placement;
  placement.reg = 7;
  EXPECT_EQ(copy_of(longest, placement).size(), 15u);
  placement.reg = 8;
  EXPECT_EQ(copy_of(longest, placement), Bytes{});
  placement.to_memory = true;
  placement.memory.base = 0;
  EXPECT_EQ(copy_of(longest, placement), (Bytes{0x44, 0x89, 0x00}));
}

TEST(Reencode, RefusesWhatWouldMeanSomethingElse) {
  const Placement memory = in_memory({0, 0xff, 0, 0, false});
  EXPECT_EQ(copy_of({0x0f, 0xa3, 0xc8}, memory), Bytes{});  // bt eax, ecx
  EXPECT_EQ(copy_of({0x0f, 0xba, 0xe0, 3}, memory), (Bytes{0x0f, 0xba, 0x20, 3}));
  EXPECT_EQ(copy_of({0x0f, 0xc7, 0xf0}, memory), Bytes{});  // rdrand eax
  EXPECT_EQ(copy_of({0x8c, 0xd8}, memory), Bytes{});        // mov eax, ds
  EXPECT_EQ(copy_of({0x50}, memory), Bytes{});              // push rax
  EXPECT_EQ(copy_of({0x49, 0x90}, in_rm(0)), Bytes{});      // xchg r8, rax
  EXPECT_EQ(copy_of({0x91}, in_rm(8)), (Bytes{0x41, 0x90}));
  EXPECT_EQ(copy_of({0xf3, 0x91}, in_rm(8)), Bytes{});                          // may be a PAUSE
  EXPECT_EQ(copy_of({0x0f, 0x20, 0x04}, in_rm(1)), (Bytes{0x0f, 0x20, 0xc1}));  // mov ecx, cr0
  EXPECT_EQ(copy_of({0x8b, 0x05, 0, 0, 0, 0}, {}), Bytes{});                    // mov eax, [rip]
  EXPECT_EQ(copy_of({0x8b, 0x00}, in_memory({0, 4, 0, 0, false})), Bytes{});    // index RSP
  EXPECT_EQ(copy_of({0xc4, 0xe2, 0x69, 0x90, 0x04, 0x08}, memory), Bytes{});    // vpgatherdd
}

}  // namespace
}  // namespace vireo::engine::translator
