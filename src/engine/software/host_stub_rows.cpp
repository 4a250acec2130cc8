#include <array>

#include "engine/software/host_stub.h"
#include "engine/software/host_stub_masked.h"
#include "x86/semantics/fpu_state.h"
#include "x86/semantics/operands.h"

namespace vireo::engine {
namespace {

using x86::HandlerRow;

/// The handler on a whole FpuState.
template <x86::Handler handler>
x86::OrFault<> synced(x86::CpuState& state, x86::CpuPort& port, const x86::Insn& insn) {
  HostStubs::sync(state);
  return handler(state, port, insn);
}

x86::OrFault<> movnti(x86::CpuState& state, x86::CpuPort& port, const x86::Insn& insn) {
  const std::uint64_t value = TRY(x86::read_operand(state, port, insn, 1));
  return x86::write_operand(state, port, insn, 0, value);
}

constexpr std::array kRows = {
    HandlerRow{ZYDIS_MNEMONIC_FWAIT, x86::fwait},
    HandlerRow{ZYDIS_MNEMONIC_FNINIT, synced<x86::fninit>},
    HandlerRow{ZYDIS_MNEMONIC_FNSTENV, synced<x86::fnstenv>},
    HandlerRow{ZYDIS_MNEMONIC_FLDENV, synced<x86::fldenv>},
    HandlerRow{ZYDIS_MNEMONIC_FNSAVE, synced<x86::fnsave>},
    HandlerRow{ZYDIS_MNEMONIC_FRSTOR, synced<x86::frstor>},
    HandlerRow{ZYDIS_MNEMONIC_FXSAVE, synced<x86::fxsave>},
    HandlerRow{ZYDIS_MNEMONIC_FXSAVE64, synced<x86::fxsave>},
    HandlerRow{ZYDIS_MNEMONIC_FXRSTOR, synced<x86::fxrstor>},
    HandlerRow{ZYDIS_MNEMONIC_FXRSTOR64, synced<x86::fxrstor>},
    HandlerRow{ZYDIS_MNEMONIC_XSAVE, synced<x86::xsave>},
    HandlerRow{ZYDIS_MNEMONIC_XSAVE64, synced<x86::xsave>},
    HandlerRow{ZYDIS_MNEMONIC_XSAVEOPT, synced<x86::xsaveopt>},
    HandlerRow{ZYDIS_MNEMONIC_XSAVEOPT64, synced<x86::xsaveopt>},
    HandlerRow{ZYDIS_MNEMONIC_XSAVEC, synced<x86::xsavec>},
    HandlerRow{ZYDIS_MNEMONIC_XSAVEC64, synced<x86::xsavec>},
    HandlerRow{ZYDIS_MNEMONIC_XSAVES, synced<x86::xsaves>},
    HandlerRow{ZYDIS_MNEMONIC_XSAVES64, synced<x86::xsaves>},
    HandlerRow{ZYDIS_MNEMONIC_XRSTOR, synced<x86::xrstor>},
    HandlerRow{ZYDIS_MNEMONIC_XRSTOR64, synced<x86::xrstor>},
    HandlerRow{ZYDIS_MNEMONIC_XRSTORS, synced<x86::xrstors>},
    HandlerRow{ZYDIS_MNEMONIC_XRSTORS64, synced<x86::xrstors>},
    HandlerRow{ZYDIS_MNEMONIC_LDMXCSR, x86::ldmxcsr},
    HandlerRow{ZYDIS_MNEMONIC_VLDMXCSR, x86::ldmxcsr},
    HandlerRow{ZYDIS_MNEMONIC_STMXCSR, x86::stmxcsr},
    HandlerRow{ZYDIS_MNEMONIC_VSTMXCSR, x86::stmxcsr},
    HandlerRow{ZYDIS_MNEMONIC_MOVNTI, movnti},
    HandlerRow{ZYDIS_MNEMONIC_VZEROUPPER, vzeroupper},
    HandlerRow{ZYDIS_MNEMONIC_VZEROALL, vzeroall},
    HandlerRow{ZYDIS_MNEMONIC_MASKMOVQ, masked_store_bytes},
    HandlerRow{ZYDIS_MNEMONIC_MASKMOVDQU, masked_store_bytes},
    HandlerRow{ZYDIS_MNEMONIC_VMASKMOVDQU, masked_store_bytes},
    HandlerRow{ZYDIS_MNEMONIC_VMASKMOVPS, masked_move},
    HandlerRow{ZYDIS_MNEMONIC_VMASKMOVPD, masked_move},
    HandlerRow{ZYDIS_MNEMONIC_VPMASKMOVD, masked_move},
    HandlerRow{ZYDIS_MNEMONIC_VPMASKMOVQ, masked_move},
    HandlerRow{ZYDIS_MNEMONIC_VPGATHERDD, gather},
    HandlerRow{ZYDIS_MNEMONIC_VPGATHERDQ, gather},
    HandlerRow{ZYDIS_MNEMONIC_VPGATHERQD, gather},
    HandlerRow{ZYDIS_MNEMONIC_VPGATHERQQ, gather},
    HandlerRow{ZYDIS_MNEMONIC_VGATHERDPS, gather},
    HandlerRow{ZYDIS_MNEMONIC_VGATHERDPD, gather},
    HandlerRow{ZYDIS_MNEMONIC_VGATHERQPS, gather},
    HandlerRow{ZYDIS_MNEMONIC_VGATHERQPD, gather},
};

}  // namespace

std::span<const HandlerRow> host_stub_rows() { return kRows; }

}  // namespace vireo::engine
