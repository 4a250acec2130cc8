#include "engine/software/host_stub_simd.h"

#include <cstring>

#include "engine/software/x87_host.h"
#include "x86/semantics/fpu_state.h"

namespace vireo::engine {
namespace {

namespace fp = x86::fp_exception;
namespace mxcsr = x86::mxcsr;

/// A denormal number of a format with `bits`.
bool tiny(std::uint64_t value, unsigned bits) {
  const unsigned fraction_bits = bits == 16 ? 10 : bits == 32 ? 23 : 52;
  const std::uint64_t magnitude = value & (~0ull >> (65 - bits));
  return magnitude != 0 && (magnitude >> fraction_bits) == 0;
}

/// Whether some lane of the result is denormal: an unmasked underflow even where it is exact.
bool has_tiny_lane(const HostStub& stub, const x86::FpuState& fpu, const std::byte* memory) {
  if (stub.result_lane_bits == 0) return false;
  const std::size_t size = stub.result_lane_bits / 8u, total = size * stub.result_lanes;
  std::array<std::byte, 32> result;
  if (stub.memory_use == MemoryUse::kWrite) {
    std::memcpy(result.data(), memory, total);
  } else {
    std::memcpy(result.data(), &fpu.xmm[stub.result_register], 16);
    std::memcpy(&result[16], &fpu.ymm_high[stub.result_register], 16);
  }
  for (std::size_t lane = 0; lane < stub.result_lanes; ++lane) {
    std::uint64_t value = 0;
    std::memcpy(&value, &result[lane * size], size);
    if (tiny(value, stub.result_lane_bits)) return true;
  }
  return false;
}

/// An unmasked exception before the computation keeps those after it from being noticed.
unsigned noticed(unsigned raised, unsigned unmasked) {
  const bool before = (raised & unmasked & fp::kBeforeComputation) != 0;
  return before ? raised & fp::kBeforeComputation : raised;
}

/// Whether the result's being inexact has to be judged apart from its being stored in its format.
bool precision_is_apart(const HostStub& stub, unsigned raised, unsigned unmasked) {
  if (stub.arithmetic.kind == LaneArithmetic::Kind::kNone) return false;
  if ((raised & fp::kPrecision) == 0) return false;
  return (raised & unmasked & (fp::kOverflow | fp::kUnderflow)) != 0;
}

/// #XM comes after the MMX registers have become accessible. SDM vol. 1, 9.5.1.
void become_mmx(x86::FpuState& fpu) {
  x86::move_top(fpu, 0);
  fpu.tag = 0xff;
}

}  // namespace

x86::OrFault<> run_unmasked(const HostStub& stub, x86::CpuState& state, std::byte* memory) {
  if (stub.unit == VectorUnit::kMmx) HostX87::sync(state);
  const x86::FpuState saved_fpu = state.fpu;
  const auto saved_gpr = state.gpr;
  const std::uint64_t saved_flags = state.rflags;
  const std::uint32_t guest = state.fpu.mxcsr & mxcsr::kValid;
  const unsigned unmasked = ~(guest >> mxcsr::kMaskShift) & fp::kAll;

  // Flushing to zero is for masked underflows only.
  const std::uint32_t cleared = fp::kAll | ((unmasked & fp::kUnderflow) ? mxcsr::kFlushToZero : 0u);
  state.fpu.mxcsr = (guest & ~cleared) | mxcsr::kMasks;
  if (stub.unit == VectorUnit::kMmx) HostX87::ensure_loaded(state);
  stub.code(&state, memory);

  unsigned raised = state.fpu.mxcsr & fp::kAll;
  if ((unmasked & fp::kUnderflow) && has_tiny_lane(stub, state.fpu, memory))
    raised |= fp::kUnderflow;
  raised = noticed(raised, unmasked);
  if ((raised & unmasked) == 0) {
    state.fpu.mxcsr = guest | raised;
    return Unit{};
  }
  if (stub.unit == VectorUnit::kMmx) HostX87::discard();
  state.fpu = saved_fpu;
  state.gpr = saved_gpr;
  state.rflags = saved_flags;
  if (precision_is_apart(stub, raised, unmasked)) {
    HostX87::sync(state);  // computing with wider numbers may leave flags in the host's unit
    if (!raises_precision(stub.arithmetic, saved_fpu, memory)) raised &= ~fp::kPrecision;
  }
  state.fpu.mxcsr = guest | raised;
  if (stub.unit == VectorUnit::kMmx) become_mmx(state.fpu);
  if (!(state.cr4 & x86::cr4::kOsxmmexcpt)) return x86::undefined_opcode();
  return x86::fault(x86::Vector::kXM);
}

}  // namespace vireo::engine
