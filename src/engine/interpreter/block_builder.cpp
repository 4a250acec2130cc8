#include "engine/interpreter/block_builder.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "engine/interpreter/handlers.h"
#include "x86/decode/decoder.h"
#include "x86/semantics/operands.h"

namespace vireo::engine::interpreter {
namespace {

using x86::Insn;
using x86::Operand;
using x86::OperandKind;

constexpr std::size_t kStateOffset = offsetof(Cpu, state);
constexpr std::uint16_t kZeroOffset = offsetof(Cpu, zero);
constexpr std::uint16_t kRipOffset = kStateOffset + offsetof(x86::CpuState, rip);
constexpr std::size_t kXmmOffset =
    kStateOffset + offsetof(x86::CpuState, fpu) + offsetof(x86::FpuState, xmm);

std::uint16_t register_offset(const Operand& operand) {
  switch (operand.kind) {
    case OperandKind::kGpr:
      return static_cast<std::uint16_t>(kStateOffset + 8u * operand.number);
    case OperandKind::kGprHigh:
      return static_cast<std::uint16_t>(kStateOffset + 8u * operand.number + 1);
    case OperandKind::kXmm:
      return static_cast<std::uint16_t>(kXmmOffset + 16u * operand.number);
    default:
      return kZeroOffset;
  }
}

bool is_register(const Operand& operand) {
  return operand.kind == OperandKind::kGpr || operand.kind == OperandKind::kGprHigh ||
         operand.kind == OperandKind::kXmm;
}

Form form_of(const Insn& insn) {
  const Operand &a = insn.operands[0], &b = insn.operands[1], &c = insn.operands[2];
  const bool a_memory = a.kind == OperandKind::kMemory, b_memory = b.kind == OperandKind::kMemory;
  switch (insn.operand_count) {
    case 1:
      if (a.kind == OperandKind::kRelative) return Form::kRelative;
      if (a.kind == OperandKind::kImmediate) return Form::kImm;
      return a_memory ? Form::kMem : is_register(a) ? Form::kReg : Form::kNone;
    case 2:
      if (is_register(a) && is_register(b)) return Form::kRegReg;
      if (is_register(a) && b.kind == OperandKind::kImmediate) return Form::kRegImm;
      if (is_register(a) && b_memory) return Form::kRegMem;
      if (a_memory && is_register(b)) return Form::kMemReg;
      return a_memory && b.kind == OperandKind::kImmediate ? Form::kMemImm : Form::kNone;
    case 3:
      return is_register(a) && is_register(b) && c.kind == OperandKind::kImmediate
                 ? Form::kRegRegImm
                 : Form::kNone;
    default:
      return Form::kNone;
  }
}

Ea ea_of(const Insn& insn) {
  const bool plain = insn.code_size == x86::CodeSize::k64 && insn.address_width == 8 &&
                     insn.memory.segment < x86::kFs;
  if (!plain) return Ea::kGeneral;
  return insn.memory.index == x86::kNoRegister ? Ea::kBase : Ea::kIndexed;
}

Shape shape_of(const Insn& insn) {
  return {insn.mnemonic,
          form_of(insn),
          static_cast<std::uint8_t>(insn.operands[0].width),
          static_cast<std::uint8_t>(insn.operands[1].width),
          insn.operand_width,
          ea_of(insn),
          insn.code_size == x86::CodeSize::k64};
}

/// The handler made for this shape, if there is one. Locked instructions and those with operands
/// outside the general registers have none here.
OpHandler special_handler(const Insn& insn, const Shape& shape) {
  if (insn.lock || insn.far) return nullptr;
  for (unsigned i = 0; i < insn.operand_count; ++i)
    if (insn.operands[i].kind == OperandKind::kXmm) return vector_move_handler(insn, shape);
  if (insn.mnemonic == ZYDIS_MNEMONIC_NOP) return op_nop;
  if (insn.mnemonic == ZYDIS_MNEMONIC_RET) return branch_handler(shape);
  for (const auto family : {alu_handler, move_handler, shift_handler, multiply_handler, bit_handler,
                            stack_handler, branch_handler}) {
    const bool accumulator_only = insn.operand_count == 0;
    if (shape.form == Form::kNone && !accumulator_only) break;
    if (const auto handler = family(shape)) return handler;
  }
  return nullptr;
}

void resolve_memory(Op& op, const Insn& insn) {
  const x86::MemoryOperand& memory = insn.memory;
  op.segment = memory.segment;
  op.address_width = insn.address_width;
  op.shift = memory.scale_shift;
  op.displacement = memory.displacement;
  op.base = kZeroOffset;
  op.index = kZeroOffset;
  if (memory.base == x86::kRipBase) {
    op.base = kRipOffset;  // the start of the block; operands count from the next instruction
    op.displacement += op.offset + op.length;
  } else if (memory.base != x86::kNoRegister) {
    op.base = static_cast<std::uint16_t>(kStateOffset + 8u * memory.base);
  }
  if (memory.index != x86::kNoRegister && !memory.vsib)
    op.index = static_cast<std::uint16_t>(kStateOffset + 8u * memory.index);
}

}  // namespace

bool ends_block(const Insn& insn) {
  switch (insn.mnemonic) {
    case ZYDIS_MNEMONIC_JMP:
    case ZYDIS_MNEMONIC_CALL:
    case ZYDIS_MNEMONIC_RET:
    case ZYDIS_MNEMONIC_IRET:
    case ZYDIS_MNEMONIC_IRETD:
    case ZYDIS_MNEMONIC_IRETQ:
    case ZYDIS_MNEMONIC_SYSCALL:
    case ZYDIS_MNEMONIC_SYSRET:
    case ZYDIS_MNEMONIC_SYSENTER:
    case ZYDIS_MNEMONIC_SYSEXIT:
    case ZYDIS_MNEMONIC_INT:
    case ZYDIS_MNEMONIC_INT1:
    case ZYDIS_MNEMONIC_INT3:
    case ZYDIS_MNEMONIC_HLT:
    case ZYDIS_MNEMONIC_UD0:
    case ZYDIS_MNEMONIC_UD1:
    case ZYDIS_MNEMONIC_UD2:
      return true;
    default:
      return false;
  }
}

bool only_reads(const Insn& insn) {
  if (insn.operands[0].kind == OperandKind::kRelative) return insn.mnemonic != ZYDIS_MNEMONIC_CALL;
  switch (insn.mnemonic) {
    case ZYDIS_MNEMONIC_CMP:
    case ZYDIS_MNEMONIC_TEST:
      return true;
    case ZYDIS_MNEMONIC_ADC:
    case ZYDIS_MNEMONIC_ADD:
    case ZYDIS_MNEMONIC_AND:
    case ZYDIS_MNEMONIC_IMUL:
    case ZYDIS_MNEMONIC_LEA:
    case ZYDIS_MNEMONIC_MOV:
    case ZYDIS_MNEMONIC_MOVSX:
    case ZYDIS_MNEMONIC_MOVSXD:
    case ZYDIS_MNEMONIC_MOVZX:
    case ZYDIS_MNEMONIC_OR:
    case ZYDIS_MNEMONIC_SBB:
    case ZYDIS_MNEMONIC_SUB:
    case ZYDIS_MNEMONIC_XOR:
      return insn.operands[0].kind == OperandKind::kGpr ||
             insn.operands[0].kind == OperandKind::kGprHigh;
    default:
      return false;
  }
}

void resolve_operands(Op& op, const Insn& insn) {
  const Operand &a = insn.operands[0], &b = insn.operands[1];
  op.dst = register_offset(a);
  op.src = is_register(b) ? register_offset(b) : kZeroOffset;
  op.immediate = insn.immediate;
  op.width = static_cast<std::uint8_t>(a.kind == OperandKind::kMemory ? a.width : b.width);
  for (unsigned i = 0; i < insn.operand_count; ++i)
    if (insn.operands[i].kind == OperandKind::kMemory) resolve_memory(op, insn);
  if (a.kind == OperandKind::kRelative) op.immediate += op.offset + op.length;
}

/// A block in the making. Its large arrays are used again by the next.
struct BlockBuilder::Draft {
  void begin(PhysAddr where, BlockMode how) {
    physical = where;
    mode = how;
    page_offset = page_read = value(where) & kPageMask;
    count = 1;
    bytes = 0;
    straddles = done = faults = may_write = false;
    may_pass = !how.single && !how.limited_code;
    second_page = {};
  }

  std::uint16_t relied_on() const {
    const std::size_t most = straddles ? x86::kMaxInsnLength : kPageSize - page_offset;
    return static_cast<std::uint16_t>(faults ? std::min(x86::kMaxInsnLength, most) : bytes);
  }

  /// It stands for its bytes alone, which are in one page.
  bool is_plain() const { return !straddles && !faults; }

  std::uint64_t first_bytes() const {
    std::uint64_t result = 0;
    std::memcpy(&result, page.data() + page_offset, std::min(bytes, sizeof result));
    return result;
  }

  PhysAddr physical;
  BlockMode mode;
  std::array<std::uint8_t, kPageSize> page;  ///< the guest page, copied once as far as it is read
  std::size_t page_offset;
  std::size_t page_read;  ///< from `page_offset` up to here
  std::array<Op, kMaxBlockInstructions + 2> ops;
  std::array<bool, kMaxBlockInstructions + 2> branches;  ///< operations that can be linked
  std::size_t count;                                     ///< operation 0 is the entry
  std::size_t bytes;
  bool straddles;
  bool done;
  bool faults;     ///< its bytes are no instruction
  bool may_write;  ///< its last instruction may write memory
  bool may_pass;   ///< it needs nothing from the cache, and writes at its end at most
  PhysAddr second_page;
  Block passing;
};

BlockBuilder::BlockBuilder(Cpu& cpu, BlockCache& cache, HostStubs& stubs,
                           memory::GuestMemory& memory, x86::DecodeCache& decoder, OpHandler enter)
    : cpu_(cpu),
      cache_(cache),
      stubs_(stubs),
      memory_(memory),
      decoder_(decoder),
      enter_(enter),
      draft_(std::make_unique<Draft>()),
      previous_(std::make_unique<Draft>()) {
  cache_.set_mender(this);
}

BlockBuilder::~BlockBuilder() { cache_.set_mender(nullptr); }

/// What an instruction at this offset in the page may consist of.
std::span<const std::uint8_t> BlockBuilder::code_at(Draft& draft, std::size_t offset) {
  constexpr std::size_t kStep = 128;  // more than most blocks have
  const std::size_t end = std::min(offset + x86::kMaxInsnLength, kPageSize);
  if (end > draft.page_read) {
    const std::size_t from = draft.page_read;
    draft.page_read = std::min(end + kStep, kPageSize);
    const auto rest = std::span(draft.page).first(draft.page_read).subspan(from);
    const PhysAddr where{(value(draft.physical) & ~kPageMask) + from};
    if (!memory_.read(where, std::as_writable_bytes(rest)))
      std::ranges::fill(rest, std::uint8_t{0xff});  // nothing drives the bus
  }
  return std::span(draft.page).first(end).subspan(offset);
}

x86::OrFault<PhysAddr> translate_next_page(Cpu& cpu, LinearAddr linear) {
  std::uint64_t next = (value(linear) | kPageMask) + 1;
  if (!cpu.state.code64()) next &= 0xffffffff;
  if (cpu.state.code64() && !x86::canonical(cpu.state, next)) return x86::general_protection();
  return cpu.mmu->translate_code(LinearAddr{next});
}

x86::OrFault<PhysAddr> BlockBuilder::fetch_across(Draft& draft, LinearAddr linear,
                                                  std::span<std::uint8_t, 15> bytes) {
  const std::size_t first = kPageSize - draft.page_offset;
  std::copy_n(draft.page.begin() + static_cast<std::ptrdiff_t>(draft.page_offset), first,
              bytes.begin());
  const PhysAddr second = TRY(translate_next_page(cpu_, linear));
  cache_.watch(second);
  const auto rest = std::as_writable_bytes(bytes.subspan(first));
  if (!memory_.read(second, rest)) std::fill(rest.begin(), rest.end(), std::byte{0xff});
  return PhysAddr{value(second) & ~kPageMask};
}

x86::OrFault<> BlockBuilder::add_first(Draft& draft, LinearAddr linear) {
  const auto here = code_at(draft, draft.page_offset);
  Insn insn;
  auto status = decoder_.decode(here, draft.mode.code_size, insn);
  if (status == x86::DecodeStatus::kNeedMoreBytes) {
    std::array<std::uint8_t, 15> bytes{};
    draft.second_page = TRY(fetch_across(draft, linear, bytes));
    draft.straddles = true;
    draft.done = true;
    status = decoder_.decode(bytes, draft.mode.code_size, insn);
  }
  if (status == x86::DecodeStatus::kOk) {
    add(draft, insn);
    return Unit{};
  }
  add_fault(draft, status == x86::DecodeStatus::kTooLong ? x86::Vector::kGP : x86::Vector::kUD,
            static_cast<std::uint8_t>(draft.straddles ? here.size() + 1 : 1));
  return Unit{};
}

/// False if the block ends in front of the next instruction.
bool BlockBuilder::add_next(Draft& draft) {
  const std::size_t offset = draft.page_offset + draft.bytes;
  if (draft.done || offset >= kPageSize || draft.count > kMaxBlockInstructions) return false;
  Insn insn;
  const auto status = decoder_.decode(code_at(draft, offset), draft.mode.code_size, insn);
  if (status != x86::DecodeStatus::kOk) return false;
  add(draft, insn);
  return true;
}

void BlockBuilder::add(Draft& draft, const Insn& insn) {
  Op& op = draft.ops[draft.count++];
  op = {};
  op.offset = static_cast<std::uint16_t>(draft.bytes);
  op.length = insn.length;
  resolve_operands(op, insn);
  choose(op, insn);
  draft.branches[draft.count - 1] =
      insn.operands[0].kind == OperandKind::kRelative && op.run != op_call_handler;
  draft.may_pass = draft.may_pass && op.insn == nullptr && !draft.may_write;
  draft.may_write = !only_reads(insn);
  draft.bytes += insn.length;
  draft.done = draft.done || draft.mode.single || ends_block(insn);
}

void BlockBuilder::choose(Op& op, const Insn& insn) {
  const Shape shape = shape_of(insn);
  op.run = special_handler(insn, shape);
  const bool is_vector_move = op.run != nullptr && insn.operands[0].kind != OperandKind::kNone &&
                              vector_move_handler(insn, shape) == op.run;
  if (op.run == op_nop || (op.run != nullptr && !is_vector_move)) return;
  if (const auto handler = op.run ? nullptr : find_handler(insn)) {
    op.run = op_call_handler;
    op.immediate = std::bit_cast<std::uint64_t>(handler);
    op.insn = cache_.allocate_insn(insn);
    return;
  }
  if (const HostStub* stub = stubs_.find(insn)) {
    if (op.run == nullptr) op.run = op_host_stub;
    // SAFETY: an address is made from the pointer; op_host_stub makes it one again.
    op.immediate = reinterpret_cast<std::uint64_t>(stub);
    op.insn = cache_.allocate_insn(insn);
    return;
  }
  op.run = op_raise;
  op.immediate = static_cast<std::uint64_t>(x86::Vector::kUD);
}

void BlockBuilder::add_fault(Draft& draft, x86::Vector vector, std::uint8_t length) {
  draft.branches[draft.count] = false;
  Op& op = draft.ops[draft.count++];
  op = {};
  op.run = op_raise;
  op.immediate = static_cast<std::uint64_t>(vector);
  op.length = length;
  draft.bytes += length;
  draft.done = draft.faults = true;
}

/// What the block needs as long as it is in the cache.
Op* BlockBuilder::keep(const Draft& draft, Block& block) {
  if (draft.is_plain())
    block.code =
        cache_.allocate_code(std::span(draft.page).subspan(draft.page_offset, draft.bytes));
  Op* const ops = cache_.allocate_ops(draft.count);
  std::copy_n(draft.ops.begin(), draft.count, ops);
  return ops;
}

Block* BlockBuilder::finish(Draft& draft) {
  Op& exit = draft.ops[draft.count++];
  exit = {};
  exit.run = op_fall_through;
  exit.offset = static_cast<std::uint16_t>(draft.bytes);
  Op& entry = draft.ops[0];
  entry = {};
  entry.run = enter_;
  const std::size_t instructions = draft.count - 2;
  entry.immediate = instructions;
  for (std::size_t i = 1; i < draft.count; ++i)
    draft.ops[i].remaining = static_cast<std::uint8_t>(instructions + 1 - i);
  ++cpu_.counters.blocks_decoded;
  const bool passes = draft.may_pass && draft.is_plain() &&
                      passing_.expects(draft.physical, draft.mode.key(), draft.first_bytes());
  Block& block = passes ? draft.passing : cache_.allocate_block();
  block.start = draft.physical;
  block.mode = draft.mode.key();
  block.bytes = static_cast<std::uint16_t>(draft.bytes);
  block.op_count = static_cast<std::uint16_t>(draft.count);
  block.relied_on = draft.relied_on();
  block.straddles = draft.straddles;
  block.second_page = draft.second_page;
  block.ops = passes ? draft.ops.data() : keep(draft, block);
  for (std::size_t i = 0; i < draft.count; ++i)
    if (i == 0 || i + 1 == draft.count || draft.branches[i]) block.ops[i].block = &block;
  block.valid = !passes;
  if (passes) return &block;
  if (cache_.full()) cpu_.events.raise(PendingEvents::kStop);  // back to where there is a trim()
  cache_.insert(block);
  return &block;
}

x86::OrFault<Block*> BlockBuilder::build(LinearAddr linear, PhysAddr physical, BlockMode mode) {
  std::swap(draft_, previous_);
  Draft& draft = *draft_;
  draft.begin(physical, mode);
  cache_.begin_block();
  cache_.watch(physical);
  TRY(add_first(draft, linear));
  while (add_next(draft)) {
  }
  return finish(draft);
}

}  // namespace vireo::engine::interpreter
