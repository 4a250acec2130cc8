#pragma once
#include <cstdint>
#include <span>

#include "x86/semantics/handler.h"

namespace vireo::x86 {

// The instructions that save, load and control the state of the x87, SSE and AVX units, on
// CpuState::fpu, which must be whole: an engine that keeps a part of it elsewhere writes it back
// before it calls one of these.

/// Exceptions that are masked or flagged: the low six bits of the x87 control and status words and
/// of MXCSR. SDM vol. 1, 8.1 and 10.2.3.
namespace fp_exception {
inline constexpr unsigned kInvalid = 1u << 0, kDenormal = 1u << 1, kZeroDivide = 1u << 2,
                          kOverflow = 1u << 3, kUnderflow = 1u << 4, kPrecision = 1u << 5,
                          kAll = 0x3f, kBeforeComputation = kInvalid | kDenormal | kZeroDivide;
}
namespace mxcsr {
inline constexpr std::uint32_t kDaz = 1u << 6, kMasks = 0x3fu << 7, kUnderflowMask = 1u << 11,
                               kFlushToZero = 1u << 15, kDefault = 0x1f80, kValid = 0xffff;
inline constexpr unsigned kMaskShift = 7;
}  // namespace mxcsr
namespace x87_status {
inline constexpr std::uint16_t kErrorSummary = 1u << 7, kBusy = 1u << 15;
inline constexpr unsigned kTopShift = 11;
}  // namespace x87_status

/// #NM if CR0.EM or CR0.TS is set, then #MF if an unmasked exception is pending (also with CR0.NE
/// clear: then numeric_error.h says what becomes of it).
OrFault<> check_x87(const CpuState& state);
/// #NM alone: for the instructions that do not wait.
OrFault<> check_x87_no_wait(const CpuState& state);
/// MMX registers: #UD if CR0.EM is set, #NM if CR0.TS is, #MF if an exception is pending.
OrFault<> check_mmx(const CpuState& state);
/// SSE in legacy encoding: #UD if CR0.EM is set or CR4.OSFXSR is clear, #NM if CR0.TS is set.
OrFault<> check_sse(const CpuState& state);
/// VEX encoding: #UD outside protected mode or unless CR4.OSXSAVE and both bits of XCR0 are set,
/// #NM if CR0.TS is set.
OrFault<> check_avx(const CpuState& state);

/// The control word with its fixed bits, and the status word with ES and B as the flags and masks
/// make them: what loading any words leaves in the unit.
std::uint16_t loaded_control(std::uint16_t control);
std::uint16_t loaded_status(std::uint16_t control, std::uint16_t status);
/// Makes physical register `top` (0-7) ST(0); the registers stay what they are, ST(i) changes.
void move_top(FpuState& fpu, unsigned top);
/// What FNINIT leaves; the physical registers' contents stay. SDM vol. 2A, FINIT.
void initialize_x87(FpuState& fpu);

OrFault<> fwait(CpuState& state, CpuPort& port, const Insn& insn);
OrFault<> fninit(CpuState& state, CpuPort& port, const Insn& insn);
OrFault<> fnstenv(CpuState& state, CpuPort& port, const Insn& insn);
OrFault<> fldenv(CpuState& state, CpuPort& port, const Insn& insn);
OrFault<> fnsave(CpuState& state, CpuPort& port, const Insn& insn);
OrFault<> frstor(CpuState& state, CpuPort& port, const Insn& insn);
OrFault<> fxsave(CpuState& state, CpuPort& port, const Insn& insn);
OrFault<> fxrstor(CpuState& state, CpuPort& port, const Insn& insn);
OrFault<> xsave(CpuState& state, CpuPort& port, const Insn& insn);
OrFault<> xsaveopt(CpuState& state, CpuPort& port, const Insn& insn);
OrFault<> xsavec(CpuState& state, CpuPort& port, const Insn& insn);
OrFault<> xsaves(CpuState& state, CpuPort& port, const Insn& insn);
OrFault<> xrstor(CpuState& state, CpuPort& port, const Insn& insn);
OrFault<> xrstors(CpuState& state, CpuPort& port, const Insn& insn);
OrFault<> ldmxcsr(CpuState& state, CpuPort& port, const Insn& insn);
OrFault<> stmxcsr(CpuState& state, CpuPort& port, const Insn& insn);

/// All of the above.
std::span<const HandlerRow> fpu_state_rows();

}  // namespace vireo::x86
