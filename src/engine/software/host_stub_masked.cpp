#include "engine/software/host_stub_masked.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "engine/software/x87_host.h"
#include "x86/semantics/fpu_state.h"
#include "x86/semantics/operands.h"

namespace vireo::engine {
namespace {

using x86::CpuPort;
using x86::CpuState;
using x86::Insn;
using x86::Operand;
using x86::OrFault;
using x86::Privilege;
using x86::Use;

/// A YMM register in one piece.
struct Vector {
  alignas(32) std::array<std::byte, 32> bytes{};

  std::uint64_t get(std::size_t lane, std::size_t size) const {
    std::uint64_t result = 0;
    std::memcpy(&result, &bytes[lane * size], size);
    return result;
  }
  void set(std::size_t lane, std::size_t size, std::uint64_t value) {
    std::memcpy(&bytes[lane * size], &value, size);
  }
  bool selects(std::size_t lane, std::size_t size) const {
    return (bytes[lane * size + size - 1] & std::byte{0x80}) != std::byte{0};
  }
};

Vector read_vector(const CpuState& state, unsigned number) {
  Vector result;
  std::memcpy(result.bytes.data(), &state.fpu.xmm[number & 15], 16);
  std::memcpy(&result.bytes[16], &state.fpu.ymm_high[number & 15], 16);
  return result;
}

void write_vector(CpuState& state, unsigned number, const Vector& value) {
  std::memcpy(&state.fpu.xmm[number & 15], value.bytes.data(), 16);
  std::memcpy(&state.fpu.ymm_high[number & 15], &value.bytes[16], 16);
}

struct GatherShape {
  std::size_t index_size;
  std::size_t element_size;
};

GatherShape gather_shape(x86::Mnemonic mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_VPGATHERDD:
    case ZYDIS_MNEMONIC_VGATHERDPS:
      return {4, 4};
    case ZYDIS_MNEMONIC_VPGATHERDQ:
    case ZYDIS_MNEMONIC_VGATHERDPD:
      return {4, 8};
    case ZYDIS_MNEMONIC_VPGATHERQD:
    case ZYDIS_MNEMONIC_VGATHERQPS:
      return {8, 4};
    default:
      return {8, 8};
  }
}

OrFault<LinearAddr> gather_address(const CpuState& state, const Insn& insn, const Vector& indices,
                                   std::size_t lane, const GatherShape& shape) {
  std::uint64_t index = indices.get(lane, shape.index_size);
  if (shape.index_size == 4) index = static_cast<std::uint64_t>(static_cast<std::int32_t>(index));
  const std::uint64_t offset =
      x86::effective_address(state, insn) + (index << insn.memory.scale_shift);
  return x86::linear_address(state, insn.memory.segment,
                             offset & x86::width_mask(insn.address_width), shape.element_size,
                             Use::kRead);
}

/// One element of `size` bytes at `offset` from the operand's start.
OrFault<LinearAddr> element_address(const CpuState& state, const Insn& insn, std::uint64_t start,
                                    std::size_t offset, std::size_t size, Use use) {
  return x86::linear_address(state, insn.memory.segment,
                             (start + offset) & x86::width_mask(insn.address_width), size, use);
}

/// Calls `access(address, index, size)` for an element, or for each byte of one that is not aligned
/// where alignment is checked: silicon does not ask it of elements.
template <class Access>
OrFault<> access_element(const CpuState& state, LinearAddr address, std::size_t size,
                         Access access) {
  if (x86::check_alignment(state, address, size)) return access(address, 0, size);
  for (std::size_t i = 0; i < size; ++i) TRY(access(address + i, i, 1));
  return Unit{};
}

OrFault<> read_element(const CpuState& state, CpuPort& port, LinearAddr address,
                       std::span<std::byte> data) {
  const auto read = [&](LinearAddr at, std::size_t index, std::size_t size) {
    return port.read(at, data.subspan(index, size), Privilege::kCurrent);
  };
  return access_element(state, address, data.size(), read);
}

OrFault<> write_element(const CpuState& state, CpuPort& port, LinearAddr address,
                        std::span<const std::byte> data) {
  const auto write = [&](LinearAddr at, std::size_t index, std::size_t size) {
    return port.write(at, data.subspan(index, size), Privilege::kCurrent);
  };
  return access_element(state, address, data.size(), write);
}

OrFault<> check_element(const CpuState& state, CpuPort& port, LinearAddr address,
                        std::size_t size) {
  const auto check = [&](LinearAddr at, std::size_t, std::size_t part) {
    return port.check_write(at, part, Privilege::kCurrent);
  };
  return access_element(state, address, size, check);
}

OrFault<> masked_load(CpuState& state, CpuPort& port, const Insn& insn, std::size_t size) {
  const Vector mask = read_vector(state, insn.operands[1].number);
  const std::uint64_t start = x86::effective_address(state, insn);
  Vector result;
  for (std::size_t lane = 0; lane < insn.vector_length / size; ++lane) {
    if (!mask.selects(lane, size)) continue;
    const auto address = TRY(element_address(state, insn, start, lane * size, size, Use::kRead));
    TRY(read_element(state, port, address, std::span(result.bytes).subspan(lane * size, size)));
  }
  write_vector(state, insn.operands[0].number, result);
  return Unit{};
}

/// Stores the selected elements after all of them have been found writable.
OrFault<> store_selected(CpuState& state, CpuPort& port, const Insn& insn, std::uint64_t start,
                         const Vector& source, const Vector& mask, std::size_t lanes,
                         std::size_t size) {
  std::array<LinearAddr, 16> addresses;
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    if (!mask.selects(lane, size)) continue;
    addresses[lane] = TRY(element_address(state, insn, start, lane * size, size, Use::kWrite));
    TRY(check_element(state, port, addresses[lane], size));
  }
  for (std::size_t lane = 0; lane < lanes; ++lane)
    if (mask.selects(lane, size))
      TRY(write_element(state, port, addresses[lane],
                        std::span(source.bytes).subspan(lane * size, size)));
  return Unit{};
}

void clear_from(Vector& vector, std::size_t size) {
  std::fill(vector.bytes.begin() + static_cast<std::ptrdiff_t>(size), vector.bytes.end(),
            std::byte{0});
}

/// Makes each element of the mask all ones or all zeros by its sign, also those that no element is
/// gathered for, and clears what is above the vector.
void spread_signs(Vector& mask, std::size_t length, std::size_t size) {
  for (std::size_t lane = 0; lane < mask.bytes.size() / size; ++lane)
    mask.set(lane, size, lane * size < length && mask.selects(lane, size) ? ~0ull : 0);
}

/// The address of a page fault as silicon has it, when the byte `lane` at `address` cannot be
/// written: that of the upper half, selected or not, if it cannot be written where it begins.
std::uint64_t reported_address(CpuPort& port, std::uint64_t address, std::size_t lane,
                               std::size_t size) {
  const std::uint64_t start = address - lane, upper = start + size - 8;
  if (!port.check_write(LinearAddr{upper}, 1, Privilege::kCurrent)) return upper;
  return std::max(start, address & ~kPageMask);
}

/// MASKMOVDQU and MASKMOVQ: `size` bytes. The upper half is looked at first.
OrFault<> store_bytes(CpuState& state, CpuPort& port, const Insn& insn, std::uint64_t start,
                      const Vector& source, const Vector& mask, std::size_t size) {
  // Even if nothing is selected.
  TRY(x86::check_alignment(state, TRY(element_address(state, insn, start, 0, 1, Use::kWrite)), 8));
  for (std::size_t i = 0; i < size; ++i) {
    const std::size_t lane = i ^ (size - 8);
    if (!mask.selects(lane, 1)) continue;
    const auto address = TRY(element_address(state, insn, start, lane, 1, Use::kWrite));
    auto status = port.check_write(address, 1, Privilege::kCurrent);
    if (status) continue;
    if (status.error().vector == x86::Vector::kPF)
      status.error().address = reported_address(port, value(address), lane, size);
    return status;
  }
  return store_selected(state, port, insn, start, source, mask, size, 1);
}

Vector mmx_vector(CpuState& state, unsigned number) {
  Vector result;
  result.set(0, 8, HostX87::read_mmx(state, number));
  return result;
}

void clear_upper(CpuState& state, unsigned number) { state.fpu.ymm_high[number] = {}; }

unsigned registers_in_sight(const CpuState& state) { return state.code64() ? 16 : 8; }

}  // namespace

OrFault<> gather(CpuState& state, CpuPort& port, const Insn& insn) {
  TRY(x86::check_avx(state));
  const unsigned target = insn.operands[0].number, mask_number = insn.operands[2].number;
  const unsigned index_number = insn.memory.index;
  if (target == mask_number || target == index_number || mask_number == index_number)
    return x86::undefined_opcode();
  const GatherShape shape = gather_shape(insn.mnemonic);
  const std::size_t size = shape.element_size;
  const std::size_t lanes = insn.vector_length / std::max(shape.index_size, size);

  Vector result = read_vector(state, target), mask = read_vector(state, mask_number);
  const Vector indices = read_vector(state, index_number);
  spread_signs(mask, insn.vector_length, size);
  bool any = false;  // what lies above the vector is cleared with the first element
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    if (!mask.selects(lane, size)) continue;
    const auto load = [&]() -> OrFault<> {
      const auto address = TRY(gather_address(state, insn, indices, lane, shape));
      return read_element(state, port, address, std::span(result.bytes).subspan(lane * size, size));
    };
    if (const auto status = load(); !status) {
      if (any) clear_from(result, insn.vector_length);
      write_vector(state, target, result);
      write_vector(state, mask_number, mask);
      return tl::unexpected(status.error());
    }
    mask.set(lane, size, 0);
    any = true;
  }
  clear_from(result, lanes * size);
  write_vector(state, target, result);
  write_vector(state, mask_number, Vector{});
  return Unit{};
}

OrFault<> masked_move(CpuState& state, CpuPort& port, const Insn& insn) {
  TRY(x86::check_avx(state));
  const bool wide =
      insn.mnemonic == ZYDIS_MNEMONIC_VMASKMOVPD || insn.mnemonic == ZYDIS_MNEMONIC_VPMASKMOVQ;
  const std::size_t size = wide ? 8 : 4;
  if (insn.operands[0].kind != x86::OperandKind::kMemory)
    return masked_load(state, port, insn, size);
  const Vector mask = read_vector(state, insn.operands[1].number);
  const Vector source = read_vector(state, insn.operands[2].number);
  return store_selected(state, port, insn, x86::effective_address(state, insn), source, mask,
                        insn.vector_length / size, size);
}

OrFault<> masked_store_bytes(CpuState& state, CpuPort& port, const Insn& insn) {
  const bool mmx = insn.mnemonic == ZYDIS_MNEMONIC_MASKMOVQ;
  TRY(mmx ? x86::check_mmx(state) : insn.vex ? x86::check_avx(state) : x86::check_sse(state));
  const unsigned source_number = insn.operands[0].number, mask_number = insn.operands[1].number;
  const std::uint64_t start = state.gpr[x86::kRdi] & x86::width_mask(insn.address_width);
  if (!mmx)
    return store_bytes(state, port, insn, start, read_vector(state, source_number),
                       read_vector(state, mask_number), 16);
  // A fault may leave the x87 registers in MMX state; what is in them stays.
  const Vector source = mmx_vector(state, source_number), mask = mmx_vector(state, mask_number);
  return store_bytes(state, port, insn, start, source, mask, 8);
}

OrFault<> vzeroupper(CpuState& state, CpuPort&, const Insn&) {
  TRY(x86::check_avx(state));
  for (unsigned n = 0; n < registers_in_sight(state); ++n) clear_upper(state, n);
  return Unit{};
}

OrFault<> vzeroall(CpuState& state, CpuPort&, const Insn&) {
  TRY(x86::check_avx(state));
  for (unsigned n = 0; n < registers_in_sight(state); ++n) {
    state.fpu.xmm[n] = {};
    clear_upper(state, n);
  }
  return Unit{};
}

}  // namespace vireo::engine
