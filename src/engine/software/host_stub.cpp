#include "engine/software/host_stub.h"

#include <deque>
#include <string>
#include <unordered_map>

#include "engine/software/host_stub_code.h"
#include "engine/software/host_stub_emitter.h"
#include "engine/software/host_stub_plan.h"
#include "engine/software/host_stub_simd.h"
#include "engine/software/x87_host.h"
#include "x86/semantics/fpu_state.h"
#include "x86/semantics/operands.h"

namespace vireo::engine {
namespace {

/// Equal keys mean equal stubs: the code size matters where widths in the plan depend on it.
std::string key_of(const StubPlan& plan, x86::CodeSize code_size) {
  std::string key(plan.code().begin(), plan.code().end());
  for (unsigned i = 0; i < plan.gpr_count; ++i) key.push_back(static_cast<char>(plan.gpr[i].guest));
  key.push_back(code_size == x86::CodeSize::k64 ? '\1' : '\0');
  return key;
}

/// The x87 instructions that neither wait nor look at a pending exception. SDM vol. 1, 8.3.12.
bool waits(x86::Mnemonic mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_FNSTCW:
    case ZYDIS_MNEMONIC_FNSTSW:
    case ZYDIS_MNEMONIC_FNCLEX:
    case ZYDIS_MNEMONIC_FENI8087_NOP:
    case ZYDIS_MNEMONIC_FDISI8087_NOP:
    case ZYDIS_MNEMONIC_FSETPM287_NOP:
      return false;
    default:
      return true;
  }
}

unsigned unmasked_x87(const x86::FpuState& fpu) {
  return fpu.status & ~fpu.control & x86::fp_exception::kAll;
}

/// The low eleven bits of an x87 instruction's two opcode bytes, as FOP has them.
std::uint16_t x87_opcode(const x86::Insn& insn) {
  for (std::size_t i = 0; i + 1 < insn.length; ++i)
    if ((insn.bytes[i] & 0xf8) == 0xd8)
      return static_cast<std::uint16_t>((insn.bytes[i] & 7) << 8 | insn.bytes[i + 1]);
  return 0;
}

/// FIP and FDP are offsets; FOP is kept for instructions that raise an unmasked exception alone.
/// SDM vol. 1, 8.1.8 and 8.1.9.
void run_x87(const HostStub& stub, x86::CpuState& state, std::byte* memory, const x86::Insn& insn) {
  if (stub.records_pointers) {
    const std::uint64_t mask = state.code64() ? ~0ull : 0xffffffffull;
    state.fpu.instruction_pointer = (state.rip - insn.length) & mask;
    if (stub.memory_use != MemoryUse::kNone)
      state.fpu.data_pointer = x86::effective_address(state, insn);
  }
  HostX87::ensure_loaded(state);
  stub.code(&state, memory);
  if (stub.records_pointers && unmasked_x87(state.fpu)) [[unlikely]]
    state.fpu.opcode = x87_opcode(insn);
}

x86::OrFault<> check_mmx_stub(const x86::CpuState& state, const x86::Insn& insn) {
  // The conversions between MMX and XMM registers are SSE instructions as well.
  for (const x86::Operand& operand : insn.operands)
    if (operand.kind == x86::OperandKind::kXmm) TRY(x86::check_sse(state));
  return x86::check_mmx(state);
}

/// Where the operand is, and that it is aligned. Of an x87 operand of 80 bits the significand is.
x86::OrFault<LinearAddr> operand_address(const HostStub& stub, const x86::CpuState& state,
                                         const x86::Insn& insn) {
  constexpr std::size_t kExtended = 10, kSignificand = 8;
  const auto use = stub.memory_use == MemoryUse::kRead ? x86::Use::kRead : x86::Use::kWrite;
  const LinearAddr address = TRY(x86::memory_address(state, insn, stub.memory_size, use));
  if (value(address) & (stub.alignment - 1u)) return x86::general_protection();
  if (stub.memory_size == kExtended) TRY(x86::check_alignment(state, address, kSignificand));
  return address;
}

/// A store that may end in an unmasked exception: then nothing is stored, and whether it could be
/// has not been looked at.
x86::OrFault<> execute_unmasked_store(const HostStub& stub, x86::CpuState& state,
                                      x86::CpuPort& port, const x86::Insn& insn) {
  HostX87::sync(state);
  const x86::FpuState saved = state.fpu;
  std::array<std::byte, 16> buffer;
  const auto operand = std::span(buffer).first(stub.memory_size);
  run_x87(stub, state, operand.data(), insn);
  if (!wrote_memory(stub, state)) return Unit{};
  const auto store = [&]() -> x86::OrFault<> {
    const auto address = TRY(operand_address(stub, state, insn));
    return port.write(address, operand, x86::Privilege::kCurrent);
  };
  const auto status = store();
  if (!status) {
    HostX87::discard();
    state.fpu = saved;
  }
  return status;
}

x86::OrFault<> execute_with_memory(const HostStub& stub, x86::CpuState& state, x86::CpuPort& port,
                                   const x86::Insn& insn) {
  const bool unmasked = (state.fpu.control & x86::fp_exception::kAll) != x86::fp_exception::kAll;
  if (stub.records_pointers && stub.memory_use == MemoryUse::kWrite && unmasked)
    return execute_unmasked_store(stub, state, port, insn);
  alignas(64) std::array<std::byte, 64> buffer;
  const auto operand = std::span(buffer).first(stub.memory_size);
  const bool written = stub.memory_use != MemoryUse::kRead;
  const LinearAddr address = TRY(operand_address(stub, state, insn));
  // A conversion has set its flags in MXCSR before its store faults.
  const bool flags_first = stub.unit == VectorUnit::kAvx && stub.floating_point;
  if (written && stub.writes_state_too() && !flags_first)
    TRY(port.check_write(address, operand.size(), x86::Privilege::kCurrent));
  if (stub.memory_use != MemoryUse::kWrite)
    TRY(port.read(address, operand, x86::Privilege::kCurrent));
  TRY(run_stub(stub, state, operand.data(), insn));
  if (!written || !wrote_memory(stub, state)) return Unit{};
  return port.write(address, operand, x86::Privilege::kCurrent);
}

}  // namespace

struct HostStubs::Impl {
  StubCode code;
  std::deque<HostStub> stubs;  // never moves
  std::unordered_map<std::string, const HostStub*> by_key;
};

HostStubs::HostStubs() : impl_(std::make_unique<Impl>()) {}
HostStubs::~HostStubs() { HostX87::discard(); }

const HostStub* HostStubs::find(const x86::Insn& insn) {
  const auto plan = plan_stub(insn);
  if (!plan) return nullptr;
  const auto [entry, fresh] = impl_->by_key.try_emplace(key_of(*plan, insn.code_size), nullptr);
  if (!fresh) return entry->second;
  std::array<std::uint8_t, kMaxStubSize> buffer;
  const void* code = impl_->code.add(emit_stub(*plan, buffer));
  if (!code) {
    impl_->by_key.erase(entry);
    return nullptr;
  }
  HostStub& stub = impl_->stubs.emplace_back(plan->stub);
  // SAFETY: the code was made for this signature and keeps the calling convention.
  stub.code = reinterpret_cast<HostStub::Code>(const_cast<void*>(code));
  return entry->second = &stub;
}

bool HostStubs::nearly_full() const { return impl_->code.room() < 64 * kMaxStubSize; }

void HostStubs::clear() {
  impl_->by_key.clear();
  impl_->stubs.clear();
  impl_->code.clear();
}

void HostStubs::sync(x86::CpuState& state) { HostX87::sync(state); }

x86::OrFault<> check_enabled_slowly(const x86::CpuState& state, VectorUnit unit,
                                    const x86::Insn& insn) {
  switch (unit) {
    case VectorUnit::kX87:
      return waits(insn.mnemonic) ? x86::check_x87(state) : x86::check_x87_no_wait(state);
    case VectorUnit::kMmx:
      return check_mmx_stub(state, insn);
    case VectorUnit::kSse:
      return x86::check_sse(state);
    case VectorUnit::kAvx:
      return x86::check_avx(state);
  }
  return Unit{};
}

x86::OrFault<> run_stub(const HostStub& stub, x86::CpuState& state, std::byte* memory,
                        const x86::Insn& insn) {
  if (runs_directly(stub, state)) {
    stub.code(&state, memory);
    return Unit{};
  }
  if (stub.unit == VectorUnit::kX87) {
    run_x87(stub, state, memory, insn);
    return Unit{};
  }
  if (stub.floating_point) return run_unmasked(stub, state, memory);
  HostX87::ensure_loaded(state);
  stub.code(&state, memory);
  return Unit{};
}

bool wrote_memory(const HostStub& stub, const x86::CpuState& state) {
  if (!stub.records_pointers) return true;
  // An inexact result is stored before it is reported; after anything else nothing is.
  return (unmasked_x87(state.fpu) & ~x86::fp_exception::kPrecision) == 0;
}

x86::OrFault<> execute_stub(const HostStub& stub, x86::CpuState& state, x86::CpuPort& port,
                            const x86::Insn& insn) {
  TRY(check_enabled(state, stub.unit, insn));
  if (stub.memory_use == MemoryUse::kNone) return run_stub(stub, state, nullptr, insn);
  const auto done = execute_with_memory(stub, state, port, insn);
  // A store of an MMX register has become one of the unit, but for the tags, before it faults.
  if (!done && stub.unit == VectorUnit::kMmx && stub.memory_use == MemoryUse::kWrite) {
    HostX87::sync(state);
    x86::move_top(state.fpu, 0);
  }
  return done;
}

}  // namespace vireo::engine
