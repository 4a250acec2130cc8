#include <algorithm>
#include <bit>
#include <cstring>

#include "x86/cpuid/cpuid_model.h"
#include "x86/semantics/fpu_state.h"
#include "x86/semantics/fpu_state_block.h"
#include "x86/semantics/fpu_state_image.h"

namespace vireo::x86 {
namespace {

// SDM vol. 1, chapter 13.

constexpr std::size_t kHeader = 512, kHeaderSize = 64, kExtended = 576;
constexpr std::size_t kAvxSize = 256, kPkruSize = 8, kPkruOffset = 0xa80, kSlot = 16;
constexpr std::uint64_t kCompactFormat = 1ull << 63;
constexpr std::uint64_t kSupported = xcr0::kX87 | xcr0::kSse | xcr0::kAvx | xcr0::kPkru;

/// Where the extended components are. The compacted format has those of `components` packed.
struct Layout {
  std::size_t avx = kExtended;
  std::size_t pkru = kPkruOffset;

  static Layout compact(std::uint64_t components) {
    return {kExtended, kExtended + ((components & xcr0::kAvx) ? kAvxSize : 0)};
  }
  /// Bytes from the start to the end of the last of the components.
  std::size_t size(std::uint64_t components) const {
    if (components & xcr0::kPkru) return pkru + kPkruSize;
    if (components & xcr0::kAvx) return avx + kAvxSize;
    return kExtended;
  }
};

struct Header {
  std::uint64_t xstate_bv = 0;
  std::uint64_t xcomp_bv = 0;
  std::array<std::uint64_t, 6> reserved{};
};
static_assert(sizeof(Header) == kHeaderSize);

bool is_wide(const Insn& insn) {
  switch (insn.mnemonic) {
    case ZYDIS_MNEMONIC_XSAVE64:
    case ZYDIS_MNEMONIC_XSAVEOPT64:
    case ZYDIS_MNEMONIC_XSAVEC64:
    case ZYDIS_MNEMONIC_XSAVES64:
    case ZYDIS_MNEMONIC_XRSTOR64:
    case ZYDIS_MNEMONIC_XRSTORS64:
      return true;
    default:
      return false;
  }
}

OrFault<> check_xsave(const CpuState& state) {
  if (!(state.cr4 & cr4::kOsxsave)) return undefined_opcode();
  if (state.cr0 & cr0::kTs) return fault(Vector::kNM);
  return Unit{};
}

std::uint64_t requested(const CpuState& state) {
  return (state.gpr[kRdx] << 32) | (state.gpr[kRax] & 0xffffffff);
}

bool all_zero(const auto& registers) {
  return std::all_of(registers.begin(), registers.end(),
                     [](const auto& r) { return (r[0] | r[1]) == 0; });
}

bool x87_in_use(const FpuState& fpu) {
  return fpu.control != 0x37f || fpu.status != 0 || fpu.tag != 0 || fpu.opcode != 0 ||
         fpu.instruction_pointer != 0 || fpu.data_pointer != 0 || !all_zero(fpu.st);
}

/// XINUSE: the components that are not in their initial configuration. SDM vol. 1, 13.6.
std::uint64_t in_use(const CpuState& state) {
  std::uint64_t result = 0;
  if (x87_in_use(state.fpu)) result |= xcr0::kX87;
  if (!all_zero(state.fpu.xmm)) result |= xcr0::kSse;
  if (!all_zero(state.fpu.ymm_high)) result |= xcr0::kAvx;
  if (state.pkru != 0) result |= xcr0::kPkru;
  return result;
}

/// Writes the components, at most those that the instruction asked for. `with_mxcsr` stands apart:
/// the standard format saves MXCSR with SSE or AVX, used or not.
OrFault<> write_components(const StateBlock& block, const CpuState& state, const Layout& layout,
                           std::uint64_t components, bool with_mxcsr, bool wide) {
  const LegacyImage image = LegacyImage::of(state.fpu, wide);
  const auto legacy = std::span(image.bytes);
  const std::size_t registers = vector_registers(state) * kSlot;
  if (components & xcr0::kX87) {
    TRY(block.write(0, legacy.first(LegacyImage::kX87HeaderSize)));
    TRY(block.write(LegacyImage::kX87Registers,
                    legacy.subspan(LegacyImage::kX87Registers, LegacyImage::kX87RegistersSize)));
  }
  if (with_mxcsr) TRY(block.write(LegacyImage::kMxcsr, legacy.subspan(LegacyImage::kMxcsr, 8)));
  if (components & xcr0::kSse)
    TRY(block.write(LegacyImage::kXmm, legacy.subspan(LegacyImage::kXmm, registers)));
  if (components & xcr0::kAvx)
    TRY(block.write(layout.avx, std::as_bytes(std::span(state.fpu.ymm_high)).first(registers)));
  if (components & xcr0::kPkru) {
    const std::uint64_t pkru = state.pkru;
    TRY(block.write(layout.pkru, std::as_bytes(std::span(&pkru, 1))));
  }
  return Unit{};
}

/// XSAVE and, leaving out what is in its initial configuration, XSAVEOPT. SDM vol. 1, 13.7, 13.9.
OrFault<> save_standard(CpuState& state, CpuPort& port, const Insn& insn, bool optimized) {
  TRY(check_xsave(state));
  const std::uint64_t components = requested(state) & state.xcr0 & kSupported;
  const Layout layout;
  const std::size_t size = layout.size(components);
  const auto block = TRY(StateBlock::locate(state, port, insn, size, 64, Use::kWrite));
  TRY(block.check_write(size));
  const auto old = TRY(block.read_value<std::uint64_t>(kHeader));
  const std::uint64_t used = components & in_use(state);
  TRY(write_components(block, state, layout, optimized ? used : components,
                       (components & (xcr0::kSse | xcr0::kAvx)) != 0, is_wide(insn)));
  const std::uint64_t xstate_bv = (old & ~components) | used;
  return block.write(kHeader, std::as_bytes(std::span(&xstate_bv, 1)));
}

/// XSAVEC and XSAVES. SDM vol. 1, 13.10, 13.11.
OrFault<> save_compact(CpuState& state, CpuPort& port, const Insn& insn, std::uint64_t enabled) {
  const std::uint64_t components = requested(state) & enabled & kSupported;
  const Layout layout = Layout::compact(components);
  const std::size_t size = layout.size(components);
  const auto block = TRY(StateBlock::locate(state, port, insn, size, 64, Use::kWrite));
  TRY(block.check_write(size));
  std::uint64_t used = in_use(state);
  if (state.fpu.mxcsr != mxcsr::kDefault) used |= xcr0::kSse;
  used &= components;
  TRY(write_components(block, state, layout, used, (used & xcr0::kSse) != 0, is_wide(insn)));
  const std::array<std::uint64_t, 2> header{used, components | kCompactFormat};
  return block.write(kHeader, std::as_bytes(std::span(header)));
}

/// What a restore has read, before anything of it takes effect; initial where nothing was read.
struct Restored {
  LegacyImage legacy;
  std::array<std::array<std::uint64_t, 2>, 16> ymm_high{};
  std::uint64_t pkru = 0;
};

OrFault<Restored> read_components(const StateBlock& block, const CpuState& state,
                                  const Layout& layout, std::uint64_t components) {
  Restored result;
  TRY(block.read(0, result.legacy.bytes));
  if (components & xcr0::kAvx)
    TRY(block.read(
        layout.avx,
        std::as_writable_bytes(std::span(result.ymm_high)).first(vector_registers(state) * kSlot)));
  if (components & xcr0::kPkru) result.pkru = TRY(block.read_value<std::uint64_t>(layout.pkru));
  return result;
}

/// #GP(0) for a header that asks for what is not enabled. SDM vol. 1, 13.8.
OrFault<> check_header(const Header& header, std::uint64_t enabled, bool compact) {
  if (compact) {
    if (header.xcomp_bv & ~(enabled | kCompactFormat)) return general_protection();
    if (header.xstate_bv & (~header.xcomp_bv | kCompactFormat)) return general_protection();
    if (std::any_of(header.reserved.begin(), header.reserved.end(), [](auto r) { return r != 0; }))
      return general_protection();
    return Unit{};
  }
  if (header.xstate_bv & ~enabled) return general_protection();
  if (header.xcomp_bv != 0 || header.reserved[0] != 0) return general_protection();
  return Unit{};
}

/// Loads the `loaded` of the components and puts the other requested ones into their initial state.
void commit(CpuState& state, const Restored& from, std::uint64_t components, std::uint64_t loaded,
            bool wide) {
  const std::size_t registers = vector_registers(state);
  FpuState& fpu = state.fpu;
  const LegacyImage empty;
  if (loaded & xcr0::kX87) {
    from.legacy.load_x87(fpu, wide);
  } else if (components & xcr0::kX87) {
    empty.load_x87(fpu, wide);
    initialize_x87(fpu);
  }
  if (components & xcr0::kSse)
    ((loaded & xcr0::kSse) ? from.legacy : empty).load_xmm(fpu, registers);
  if (components & xcr0::kAvx) std::copy_n(from.ymm_high.begin(), registers, fpu.ymm_high.begin());
  if (components & xcr0::kPkru) state.pkru = static_cast<std::uint32_t>(from.pkru);
}

OrFault<> restore(CpuState& state, CpuPort& port, const Insn& insn, std::uint64_t enabled,
                  bool supervisor) {
  const std::uint64_t components = requested(state) & enabled & kSupported;
  auto block = TRY(StateBlock::locate(state, port, insn, kExtended, 64, Use::kRead));
  const auto header = TRY(block.read_value<Header>(kHeader));
  const bool compact = (header.xcomp_bv & kCompactFormat) != 0;
  if (supervisor && !compact) return general_protection();
  if (compact && !port.cpuid().features().has(Feature::kXsavec)) return general_protection();
  TRY(check_header(header, enabled, compact));

  const Layout layout = compact ? Layout::compact(header.xcomp_bv) : Layout{};
  const std::uint64_t loaded = components & header.xstate_bv;
  block = TRY(StateBlock::locate(state, port, insn, layout.size(loaded), 64, Use::kRead));
  const Restored from = TRY(read_components(block, state, layout, loaded));
  // The compacted format treats MXCSR as a part of SSE; the standard one loads it with SSE or AVX,
  // whatever XSTATE_BV says.
  const bool load_mxcsr =
      compact ? (loaded & xcr0::kSse) != 0 : (components & (xcr0::kSse | xcr0::kAvx)) != 0;
  if (load_mxcsr && (from.legacy.mxcsr() & ~mxcsr::kValid)) return general_protection();

  commit(state, from, components, loaded, is_wide(insn));
  if (load_mxcsr)
    state.fpu.mxcsr = from.legacy.mxcsr();
  else if (components & xcr0::kSse)
    state.fpu.mxcsr = mxcsr::kDefault;
  if (components & xcr0::kPkru) port.mode_changed();
  return Unit{};
}

}  // namespace

OrFault<> xsave(CpuState& state, CpuPort& port, const Insn& insn) {
  return save_standard(state, port, insn, false);
}

OrFault<> xsaveopt(CpuState& state, CpuPort& port, const Insn& insn) {
  return save_standard(state, port, insn, true);
}

OrFault<> xsavec(CpuState& state, CpuPort& port, const Insn& insn) {
  TRY(check_xsave(state));
  return save_compact(state, port, insn, state.xcr0);
}

OrFault<> xsaves(CpuState& state, CpuPort& port, const Insn& insn) {
  TRY(check_xsave(state));
  if (state.cpl() != 0) return general_protection();
  return save_compact(state, port, insn, state.xcr0 | state.msr.xss);
}

OrFault<> xrstor(CpuState& state, CpuPort& port, const Insn& insn) {
  TRY(check_xsave(state));
  return restore(state, port, insn, state.xcr0, false);
}

OrFault<> xrstors(CpuState& state, CpuPort& port, const Insn& insn) {
  TRY(check_xsave(state));
  if (state.cpl() != 0) return general_protection();
  return restore(state, port, insn, state.xcr0 | state.msr.xss, true);
}

}  // namespace vireo::x86
