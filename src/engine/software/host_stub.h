#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "engine/software/lane_arithmetic.h"
#include "x86/cpu_port.h"
#include "x86/cpu_state.h"
#include "x86/decode/insn.h"
#include "x86/fault.h"
#include "x86/semantics/handler.h"

namespace vireo::engine {

/// Which enable bits an instruction depends on. SDM vol. 3A, 2.5, 13 and 14.
enum class VectorUnit : std::uint8_t { kX87, kMmx, kSse, kAvx };

enum class MemoryUse : std::uint8_t { kNone, kRead, kWrite, kReadWrite };

/// A few host instructions that do to the guest's state what one guest instruction of the x87, MMX,
/// SSE or AVX units does, executed by the host's own instruction. Position in guest code does not
/// matter, so equal instructions share one stub. Immutable.
struct HostStub {
  /// `memory` points to the operand's bytes, aligned to `alignment`, or is null if there is none.
  /// To be called by run_stub(), or directly if runs_directly().
  using Code = void (*)(x86::CpuState* state, std::byte* memory);
  Code code = nullptr;
  VectorUnit unit = VectorUnit::kSse;
  MemoryUse memory_use = MemoryUse::kNone;
  std::uint16_t memory_size = 0;
  std::uint16_t alignment = 1;    ///< of the memory operand; #GP(0) if it is not met
  bool floating_point = false;    ///< may raise SIMD floating-point or x87 exceptions
  bool records_pointers = false;  ///< x87: sets FIP and, with a memory operand, FDP
  /// The floating-point lanes of the result, where a tiny one raises #U even if it is exact:
  /// register (unless memory is written), width in bits (0: no such result) and how many.
  std::uint8_t result_register = 0;
  std::uint8_t result_lane_bits = 0;
  std::uint8_t result_lanes = 0;
  LaneArithmetic arithmetic;

  /// Running it changes guest state besides memory: the operand must be known to be writable first.
  bool writes_state_too() const {
    return floating_point || unit == VectorUnit::kX87 || unit == VectorUnit::kMmx;
  }
};

/// Makes and keeps the stubs. Owns the executable memory (written through another mapping, W^X).
/// Used by one vCPU's thread at a time.
///
/// The guest's x87 and MMX registers stay in the host's between two instructions of these units, on
/// the thread that runs them. CpuState::fpu.control and .status (and the pointers) are always
/// current; .tag and .st are only after sync().
class HostStubs {
 public:
  HostStubs();
  ~HostStubs();
  HostStubs(const HostStubs&) = delete;
  HostStubs& operator=(const HostStubs&) = delete;

  /// The stub for the instruction, made at first use; null if the instruction is not of these units
  /// or cannot be made into a stub (then another handler must exist).
  const HostStub* find(const x86::Insn& insn);

  /// Whether there may be no room for the stubs of another block of code.
  bool nearly_full() const;
  /// Forgets all stubs: none of them may be in use any more.
  void clear();

  /// Makes all of `state.fpu` true, and frees the host's x87 registers if they were the state's.
  /// To be called on the thread that ran the stubs, before anyone else reads, writes, replaces,
  /// moves or destroys the state, and before the thread stops running it. Cheap if there is nothing
  /// to do. The handlers of host_stub_rows() do it by themselves.
  static void sync(x86::CpuState& state);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Handlers for the instructions of these units that are not made into stubs: saving and loading of
/// the state, MXCSR, gathers, masked moves, VZEROUPPER and VZEROALL, MOVNTI. They replace
/// x86::fpu_state_rows().
std::span<const x86::HandlerRow> host_stub_rows();

/// A quick look at the enable bits that answers false in all cases of trouble and in some others.
inline bool surely_enabled(const x86::CpuState& state, VectorUnit unit);
x86::OrFault<> check_enabled_slowly(const x86::CpuState& state, VectorUnit unit,
                                    const x86::Insn& insn);

/// #UD, #NM or a pending #MF that the unit's enable bits demand before the instruction runs.
inline x86::OrFault<> check_enabled(const x86::CpuState& state, VectorUnit unit,
                                    const x86::Insn& insn) {
  if (surely_enabled(state, unit)) [[likely]]
    return Unit{};
  return check_enabled_slowly(state, unit, insn);
}

/// Whether the stub can be called as it is, without run_stub(), in this state: it cannot fault then
/// and keeps nothing in the host's registers.
inline bool runs_directly(const HostStub& stub, const x86::CpuState& state) {
  constexpr std::uint32_t kMasks = 0x1f80, kValid = 0xffff;
  const bool simd = stub.unit == VectorUnit::kSse || stub.unit == VectorUnit::kAvx;
  return simd && (!stub.floating_point || (state.fpu.mxcsr & (kMasks | ~kValid)) == kMasks);
}

/// Runs the stub on an operand that the caller has brought to `memory`, or that is in place there:
/// guest memory itself, unless the stub writes it, is not of the x87, and !runs_directly(). On a
/// fault (#XM) the guest's state is as the fault demands; `memory` may hold garbage and must not be
/// written back. On entry RIP already points to the next instruction.
x86::OrFault<> run_stub(const HostStub& stub, x86::CpuState& state, std::byte* memory,
                        const x86::Insn& insn);

/// After run_stub() of a stub that writes memory: whether the operand has been written. It has not
/// if an x87 store raised an unmasked exception, which the guest is told by its next instruction.
bool wrote_memory(const HostStub& stub, const x86::CpuState& state);

/// All of it: checks, address, memory access through `port`, execution.
x86::OrFault<> execute_stub(const HostStub& stub, x86::CpuState& state, x86::CpuPort& port,
                            const x86::Insn& insn);

inline bool surely_enabled(const x86::CpuState& state, VectorUnit unit) {
  constexpr std::uint64_t kAvxState = x86::xcr0::kSse | x86::xcr0::kAvx;
  constexpr std::uint16_t kPending = 1 << 7;  // ES of the x87 status word
  const bool available = (state.cr0 & (x86::cr0::kEm | x86::cr0::kTs)) == 0;
  switch (unit) {
    case VectorUnit::kX87:
      return available && (state.fpu.status & kPending) == 0;
    case VectorUnit::kMmx:
      return available && (state.fpu.status & kPending) == 0 && (state.cr4 & x86::cr4::kOsfxsr);
    case VectorUnit::kSse:
      return available && (state.cr4 & x86::cr4::kOsfxsr);
    case VectorUnit::kAvx:
      return available && state.protected_mode() && (state.cr4 & x86::cr4::kOsxsave) &&
             (state.xcr0 & kAvxState) == kAvxState && !state.virtual8086();
  }
  return false;
}

}  // namespace vireo::engine
