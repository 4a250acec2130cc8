#include "engine/translator/step.h"

#include <algorithm>
#include <array>
#include <initializer_list>

#include "engine/interpreter/block_builder.h"
#include "engine/software/host_stub_plan.h"
#include "x86/cpu_state.h"

namespace vireo::engine::translator {
namespace {

using x86::Insn;
using x86::Operand;
using x86::OperandKind;

constexpr std::size_t kMnemonics = ZYDIS_MNEMONIC_MAX_VALUE + 1;
using MnemonicSet = std::array<bool, kMnemonics>;

MnemonicSet set_of(std::initializer_list<ZydisMnemonic> mnemonics) {
  MnemonicSet result{};
  for (const ZydisMnemonic mnemonic : mnemonics) result[mnemonic] = true;
  return result;
}

/// What the host does to its general registers, flags and memory as the guest asks for. Not PAUSE:
/// the CPU that the guest waits for may wait for this one's place on the host.
bool copies_integer(ZydisMnemonic mnemonic) {
  static const MnemonicSet set = set_of({
      ZYDIS_MNEMONIC_ADC,        ZYDIS_MNEMONIC_ADCX,    ZYDIS_MNEMONIC_ADD,
      ZYDIS_MNEMONIC_ADOX,       ZYDIS_MNEMONIC_AND,     ZYDIS_MNEMONIC_ANDN,
      ZYDIS_MNEMONIC_BEXTR,      ZYDIS_MNEMONIC_BLSI,    ZYDIS_MNEMONIC_BLSMSK,
      ZYDIS_MNEMONIC_BLSR,       ZYDIS_MNEMONIC_BSF,     ZYDIS_MNEMONIC_BSR,
      ZYDIS_MNEMONIC_BSWAP,      ZYDIS_MNEMONIC_BT,      ZYDIS_MNEMONIC_BTC,
      ZYDIS_MNEMONIC_BTR,        ZYDIS_MNEMONIC_BTS,     ZYDIS_MNEMONIC_BZHI,
      ZYDIS_MNEMONIC_CBW,        ZYDIS_MNEMONIC_CDQ,     ZYDIS_MNEMONIC_CDQE,
      ZYDIS_MNEMONIC_CLC,        ZYDIS_MNEMONIC_CMC,     ZYDIS_MNEMONIC_CMOVB,
      ZYDIS_MNEMONIC_CMOVBE,     ZYDIS_MNEMONIC_CMOVL,   ZYDIS_MNEMONIC_CMOVLE,
      ZYDIS_MNEMONIC_CMOVNB,     ZYDIS_MNEMONIC_CMOVNBE, ZYDIS_MNEMONIC_CMOVNL,
      ZYDIS_MNEMONIC_CMOVNLE,    ZYDIS_MNEMONIC_CMOVNO,  ZYDIS_MNEMONIC_CMOVNP,
      ZYDIS_MNEMONIC_CMOVNS,     ZYDIS_MNEMONIC_CMOVNZ,  ZYDIS_MNEMONIC_CMOVO,
      ZYDIS_MNEMONIC_CMOVP,      ZYDIS_MNEMONIC_CMOVS,   ZYDIS_MNEMONIC_CMOVZ,
      ZYDIS_MNEMONIC_CMP,        ZYDIS_MNEMONIC_CMPXCHG, ZYDIS_MNEMONIC_CMPXCHG8B,
      ZYDIS_MNEMONIC_CMPXCHG16B, ZYDIS_MNEMONIC_CQO,     ZYDIS_MNEMONIC_CRC32,
      ZYDIS_MNEMONIC_CWD,        ZYDIS_MNEMONIC_CWDE,    ZYDIS_MNEMONIC_DEC,
      ZYDIS_MNEMONIC_IMUL,       ZYDIS_MNEMONIC_INC,     ZYDIS_MNEMONIC_LAHF,
      ZYDIS_MNEMONIC_LFENCE,     ZYDIS_MNEMONIC_LZCNT,   ZYDIS_MNEMONIC_MFENCE,
      ZYDIS_MNEMONIC_MOV,        ZYDIS_MNEMONIC_MOVBE,   ZYDIS_MNEMONIC_MOVNTI,
      ZYDIS_MNEMONIC_MOVSX,      ZYDIS_MNEMONIC_MOVSXD,  ZYDIS_MNEMONIC_MOVZX,
      ZYDIS_MNEMONIC_MUL,        ZYDIS_MNEMONIC_MULX,    ZYDIS_MNEMONIC_NEG,
      ZYDIS_MNEMONIC_NOT,        ZYDIS_MNEMONIC_OR,      ZYDIS_MNEMONIC_PDEP,
      ZYDIS_MNEMONIC_PEXT,       ZYDIS_MNEMONIC_POPCNT,  ZYDIS_MNEMONIC_RCL,
      ZYDIS_MNEMONIC_RCR,        ZYDIS_MNEMONIC_RDRAND,  ZYDIS_MNEMONIC_RDSEED,
      ZYDIS_MNEMONIC_ROL,        ZYDIS_MNEMONIC_ROR,     ZYDIS_MNEMONIC_RORX,
      ZYDIS_MNEMONIC_SAHF,       ZYDIS_MNEMONIC_SALC,    ZYDIS_MNEMONIC_SAR,
      ZYDIS_MNEMONIC_SARX,       ZYDIS_MNEMONIC_SBB,     ZYDIS_MNEMONIC_SETB,
      ZYDIS_MNEMONIC_SETBE,      ZYDIS_MNEMONIC_SETL,    ZYDIS_MNEMONIC_SETLE,
      ZYDIS_MNEMONIC_SETNB,      ZYDIS_MNEMONIC_SETNBE,  ZYDIS_MNEMONIC_SETNL,
      ZYDIS_MNEMONIC_SETNLE,     ZYDIS_MNEMONIC_SETNO,   ZYDIS_MNEMONIC_SETNP,
      ZYDIS_MNEMONIC_SETNS,      ZYDIS_MNEMONIC_SETNZ,   ZYDIS_MNEMONIC_SETO,
      ZYDIS_MNEMONIC_SETP,       ZYDIS_MNEMONIC_SETS,    ZYDIS_MNEMONIC_SETZ,
      ZYDIS_MNEMONIC_SFENCE,     ZYDIS_MNEMONIC_SHL,     ZYDIS_MNEMONIC_SHLD,
      ZYDIS_MNEMONIC_SHLX,       ZYDIS_MNEMONIC_SHR,     ZYDIS_MNEMONIC_SHRD,
      ZYDIS_MNEMONIC_SHRX,       ZYDIS_MNEMONIC_STC,     ZYDIS_MNEMONIC_SUB,
      ZYDIS_MNEMONIC_TEST,       ZYDIS_MNEMONIC_TZCNT,   ZYDIS_MNEMONIC_XADD,
      ZYDIS_MNEMONIC_XCHG,       ZYDIS_MNEMONIC_XOR,
  });
  return set[mnemonic];
}

bool does_nothing(ZydisMnemonic mnemonic) {
  static const MnemonicSet set =
      set_of({ZYDIS_MNEMONIC_NOP, ZYDIS_MNEMONIC_ENDBR32, ZYDIS_MNEMONIC_ENDBR64,
              ZYDIS_MNEMONIC_PREFETCH, ZYDIS_MNEMONIC_PREFETCHNTA, ZYDIS_MNEMONIC_PREFETCHT0,
              ZYDIS_MNEMONIC_PREFETCHT1, ZYDIS_MNEMONIC_PREFETCHT2, ZYDIS_MNEMONIC_PREFETCHW});
  return set[mnemonic];
}

bool is_jcc(ZydisMnemonic mnemonic) {
  static const MnemonicSet set =
      set_of({ZYDIS_MNEMONIC_JB, ZYDIS_MNEMONIC_JBE, ZYDIS_MNEMONIC_JL, ZYDIS_MNEMONIC_JLE,
              ZYDIS_MNEMONIC_JNB, ZYDIS_MNEMONIC_JNBE, ZYDIS_MNEMONIC_JNL, ZYDIS_MNEMONIC_JNLE,
              ZYDIS_MNEMONIC_JNO, ZYDIS_MNEMONIC_JNP, ZYDIS_MNEMONIC_JNS, ZYDIS_MNEMONIC_JNZ,
              ZYDIS_MNEMONIC_JO, ZYDIS_MNEMONIC_JP, ZYDIS_MNEMONIC_JS, ZYDIS_MNEMONIC_JZ});
  return set[mnemonic];
}

/// LOOP and JCXZ of every address size.
bool counts_down(ZydisMnemonic mnemonic) {
  return mnemonic == ZYDIS_MNEMONIC_LOOP || mnemonic == ZYDIS_MNEMONIC_JCXZ ||
         mnemonic == ZYDIS_MNEMONIC_JECXZ;
}

const Operand* memory_operand(const Insn& insn) {
  for (unsigned i = 0; i < insn.operand_count; ++i)
    if (insn.operands[i].kind == OperandKind::kMemory) return &insn.operands[i];
  return nullptr;
}

bool has_operand_outside_gprs(const Insn& insn) {
  for (unsigned i = 0; i < insn.operand_count; ++i) switch (insn.operands[i].kind) {
      case OperandKind::kNone:
      case OperandKind::kGpr:
      case OperandKind::kGprHigh:
      case OperandKind::kMemory:
      case OperandKind::kImmediate:
      case OperandKind::kImmediate2:
        continue;
      default:
        return true;
    }
  return false;
}

/// The first operand is only read.
bool reads_first_operand_only(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_CMP:
    case ZYDIS_MNEMONIC_TEST:
    case ZYDIS_MNEMONIC_BT:
    case ZYDIS_MNEMONIC_MUL:
    case ZYDIS_MNEMONIC_DIV:
    case ZYDIS_MNEMONIC_IDIV:
      return true;
    default:
      return false;
  }
}

bool writes_memory(const Insn& insn) {
  if (insn.operands[0].kind == OperandKind::kMemory)
    return !reads_first_operand_only(insn.mnemonic) &&
           !(insn.mnemonic == ZYDIS_MNEMONIC_IMUL && insn.operand_count == 1);
  return insn.mnemonic == ZYDIS_MNEMONIC_XCHG || insn.mnemonic == ZYDIS_MNEMONIC_XADD;
}

/// The address depends on more than the address registers.
bool is_bit_string(const Insn& insn) {
  switch (insn.mnemonic) {
    case ZYDIS_MNEMONIC_BT:
    case ZYDIS_MNEMONIC_BTC:
    case ZYDIS_MNEMONIC_BTR:
    case ZYDIS_MNEMONIC_BTS:
      return insn.operands[1].kind == OperandKind::kGpr;
    default:
      return false;
  }
}

bool is_long(const Insn& insn) { return insn.code_size == x86::CodeSize::k64; }

/// Of a whole stack pointer, where that is not SP.
bool is_constant_to_rsp(const Insn& insn) {
  const unsigned width = is_long(insn) ? 8 : 4;
  const bool rsp = insn.operands[0].kind == OperandKind::kGpr &&
                   insn.operands[0].number == x86::kRsp && insn.operands[0].width == width;
  if (!rsp) return false;
  switch (insn.mnemonic) {
    case ZYDIS_MNEMONIC_ADD:
    case ZYDIS_MNEMONIC_SUB:
      return insn.operands[1].kind == OperandKind::kImmediate;
    case ZYDIS_MNEMONIC_LEA:
      return insn.memory.base == x86::kRsp && insn.memory.index == x86::kNoRegister &&
             insn.address_width == width;
    default:
      return false;
  }
}

bool usable_address(const Insn& insn) {
  if (insn.memory.vsib) return false;
  if (is_long(insn)) return insn.address_width == 8 && insn.layout.modrm != 0;
  const bool without_modrm = insn.opcode_map == 0 && (insn.opcode & 0xfc) == 0xa0;
  return insn.layout.modrm != 0 || (without_modrm && insn.mnemonic == ZYDIS_MNEMONIC_MOV);
}

/// BSF or BSR spelled with the prefix that makes it TZCNT or LZCNT where those exist.
bool is_masked_count(const Insn& insn) {
  const bool scan = insn.mnemonic == ZYDIS_MNEMONIC_BSF || insn.mnemonic == ZYDIS_MNEMONIC_BSR;
  const auto prefixes = insn.bytes.begin() + insn.layout.opcode;
  return scan && std::find(insn.bytes.begin(), prefixes, 0xf3) != prefixes;
}

void classify_integer(Step& step) {
  const Insn& insn = step.insn;
  if (is_masked_count(insn)) return;
  const Operand* memory = memory_operand(insn);
  if (has_operand_outside_gprs(insn) || insn.repne) return;
  const unsigned widest = insn.mnemonic == ZYDIS_MNEMONIC_CMPXCHG16B ? 16 : 8;
  if (memory != nullptr && (!usable_address(insn) || memory->width == 0 || memory->width > widest))
    return;
  if (memory != nullptr && is_bit_string(insn)) return;
  step.kind = Kind::kCopy;
  step.has_memory = memory != nullptr;
  if (memory == nullptr) return;
  step.memory_size = memory->width;
  step.memory_written = writes_memory(insn);
  // Across cache lines it would lock the host's buses: see host_exchange.h.
  const bool locked = insn.lock || insn.mnemonic == ZYDIS_MNEMONIC_XCHG;
  if (locked || memory->width == 16) step.alignment = memory->width;
}

bool uses(const Insn& insn, OperandKind kind) {
  return std::any_of(insn.operands.begin(), insn.operands.begin() + insn.operand_count,
                     [kind](const Operand& operand) { return operand.kind == kind; });
}

/// Instructions of the x87 and MMX units, some of which use vector registers as well. What has a
/// handler of its own is for C++.
void take_x87(Step& step, const HostStub& stub, const Units& units) {
  const bool conversion = stub.unit == VectorUnit::kMmx && stub.floating_point;  // uses MXCSR
  step.with_vectors = conversion || uses(step.insn, OperandKind::kXmm);
  if (!units.x87 || (step.with_vectors && !units.sse)) return;
  step.notes_pointers = stub.records_pointers;
  step.kind = Kind::kX87;
}

void classify_vector(Step& step, const Units& units) {
  const Insn& insn = step.insn;
  const bool zeroing =
      insn.mnemonic == ZYDIS_MNEMONIC_VZEROUPPER || insn.mnemonic == ZYDIS_MNEMONIC_VZEROALL;
  if (zeroing) {
    if (units.avx) step.kind = Kind::kVector;
    return;
  }
  if (insn.memory.vsib || insn.lock || (!units.sse && !units.avx && !units.x87)) return;
  const auto plan = plan_stub(insn);
  if (!plan) return;
  const HostStub& stub = plan->stub;
  step.has_memory = stub.memory_use != MemoryUse::kNone;
  if (step.has_memory && !usable_address(insn)) return;
  step.memory_size = stub.memory_size;
  step.memory_written = stub.memory_use != MemoryUse::kRead;
  step.alignment = stub.alignment;
  switch (stub.unit) {
    case VectorUnit::kSse:
      if (units.sse) step.kind = Kind::kVector;
      return;
    case VectorUnit::kAvx:
      if (units.avx) step.kind = Kind::kVector;
      return;
    case VectorUnit::kX87:
    case VectorUnit::kMmx:
      return take_x87(step, stub, units);
  }
}

/// PUSH, POP, CALL, JMP and RET in their common forms.
void classify_control(Step& step) {
  const Insn& insn = step.insn;
  const Operand& operand = insn.operands[0];
  const Operand* memory = memory_operand(insn);
  const bool plain = memory == nullptr || usable_address(insn);
  if (insn.far || !plain || (is_long(insn) && insn.operand_width == 2)) return;
  const auto width = static_cast<std::uint16_t>(step.stack_width());
  const bool rsp = operand.kind == OperandKind::kGpr && operand.number == x86::kRsp;
  switch (insn.mnemonic) {
    case ZYDIS_MNEMONIC_PUSH:
      if (operand.kind == OperandKind::kSegment) return;
      step.kind = Kind::kPush;
      step.has_memory = memory != nullptr;
      step.memory_size = width;
      return;
    case ZYDIS_MNEMONIC_POP:
      if (operand.kind != OperandKind::kGpr || (rsp && width == 2)) return;
      step.kind = Kind::kPop;
      return;
    case ZYDIS_MNEMONIC_LEAVE:
      step.kind = Kind::kLeave;
      return;
    case ZYDIS_MNEMONIC_RET:
      step.kind = Kind::kReturn;
      return;
    case ZYDIS_MNEMONIC_CALL:
    case ZYDIS_MNEMONIC_JMP:
      if (rsp) return;
      step.kind = insn.mnemonic == ZYDIS_MNEMONIC_CALL ? Kind::kCall : Kind::kJump;
      step.has_memory = memory != nullptr;
      step.memory_size = width;
      return;
    default:
      return;
  }
}

bool is_control(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_PUSH:
    case ZYDIS_MNEMONIC_POP:
    case ZYDIS_MNEMONIC_LEAVE:
    case ZYDIS_MNEMONIC_RET:
    case ZYDIS_MNEMONIC_CALL:
    case ZYDIS_MNEMONIC_JMP:
      return true;
    default:
      return false;
  }
}

}  // namespace

void classify(Step& step, const Units& units) {
  const Insn& insn = step.insn;
  step.kind = Kind::kInterpret;
  // Where x87 code runs as it is, no exception waits for FWAIT.
  if (does_nothing(insn.mnemonic) || (units.x87 && insn.mnemonic == ZYDIS_MNEMONIC_FWAIT)) {
    step.kind = Kind::kNothing;
    return;
  }
  if (classify_system(step)) return;
  if (is_jcc(insn.mnemonic)) {
    if (!is_long(insn) || insn.operand_width != 2) step.kind = Kind::kBranch;
    return;
  }
  if (!is_long(insn) && counts_down(insn.mnemonic)) {
    step.kind = Kind::kBranch;
    return;
  }
  if (is_control(insn.mnemonic)) return classify_control(step);
  if (is_constant_to_rsp(insn)) {
    step.kind = Kind::kAdjustStack;
    return;
  }
  if (insn.mnemonic == ZYDIS_MNEMONIC_LEA) {
    step.kind = Kind::kLea;
    return;
  }
  if (insn.mnemonic == ZYDIS_MNEMONIC_DIV || insn.mnemonic == ZYDIS_MNEMONIC_IDIV) {
    classify_integer(step);
    const bool wide = insn.operands[0].width >= 4;
    if (step.kind == Kind::kCopy) step.kind = wide ? Kind::kDivide : Kind::kInterpret;
    return;
  }
  if (copies_integer(insn.mnemonic)) return classify_integer(step);
  classify_vector(step, units);
}

bool ends_block(const Step& step) { return interpreter::ends_block(step.insn); }

}  // namespace vireo::engine::translator
