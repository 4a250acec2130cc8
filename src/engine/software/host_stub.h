#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

#include "x86/cpu_port.h"
#include "x86/cpu_state.h"
#include "x86/decode/insn.h"
#include "x86/fault.h"

namespace vireo::engine {

/// Which enable bits an instruction depends on. SDM vol. 3A, 2.5, 13 and 14.
enum class VectorUnit : std::uint8_t { kX87, kMmx, kSse, kAvx };

enum class MemoryUse : std::uint8_t { kNone, kRead, kWrite, kReadWrite };

/// A few host instructions that do to the guest's state what one guest instruction of the x87, MMX,
/// SSE or AVX units does, executed by the host's own instruction. Position in guest code does not
/// matter, so equal instructions share one stub. Immutable.
struct HostStub {
  /// `memory` points to the operand's bytes, or is null if there is none.
  using Code = void (*)(x86::CpuState* state, std::byte* memory);
  Code code = nullptr;
  VectorUnit unit = VectorUnit::kSse;
  MemoryUse memory_use = MemoryUse::kNone;
  std::uint16_t memory_size = 0;
  std::uint16_t alignment = 1;        ///< of the memory operand; #GP(0) if it is not met
  bool floating_point = false;        ///< may raise SIMD floating-point or x87 exceptions
};

/// Makes and keeps the stubs. Owns the executable memory (written through another mapping, W^X).
/// Used by one vCPU's thread at a time.
class HostStubs {
 public:
  HostStubs();
  ~HostStubs();
  /// The stub for the instruction, made at first use; null if the instruction is not of these units
  /// or cannot be made into a stub (then another handler must exist).
  const HostStub* find(const x86::Insn& insn);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// #UD, #NM or a pending #MF that the unit's enable bits demand before the instruction runs.
x86::OrFault<> check_enabled(const x86::CpuState& state, VectorUnit unit, const x86::Insn& insn);

/// Runs the stub on an operand that the caller has brought to `memory`. On a fault (#XM, #MF) the
/// guest's state is as the fault demands; `memory` may hold garbage and must not be written back.
x86::OrFault<> run_stub(const HostStub& stub, x86::CpuState& state, std::byte* memory,
                        const x86::Insn& insn);

/// All of it: checks, address, memory access through `port`, execution.
x86::OrFault<> execute_stub(const HostStub& stub, x86::CpuState& state, x86::CpuPort& port,
                            const x86::Insn& insn);

}  // namespace vireo::engine
