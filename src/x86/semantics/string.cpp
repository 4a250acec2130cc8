#include <algorithm>
#include <cstring>
#include <optional>

#include "x86/semantics/alu.h"
#include "x86/semantics/flags_transfer.h"
#include "x86/semantics/integer.h"
#include "x86/semantics/update.h"

namespace vireo::x86 {
namespace {

/// How many elements one call executes at most before interrupts get their turn.
constexpr std::uint64_t kMaxElements = 16384;

/// The index registers and the counter of a string instruction, cut to the address size.
class StringRegisters {
 public:
  StringRegisters(CpuState& state, const Insn& insn, unsigned width)
      : state_(state), insn_(insn), width_(width) {}

  std::uint64_t mask() const { return width_mask(insn_.address_width); }
  std::uint64_t source() const { return state_.gpr[kRsi] & mask(); }
  std::uint64_t destination() const { return state_.gpr[kRdi] & mask(); }
  std::uint64_t count() const { return state_.gpr[kRcx] & mask(); }
  bool down() const { return (state_.rflags & rflags::kDf) != 0; }

  void advance_source(std::uint64_t elements) { advance(kRsi, elements); }
  void advance_destination(std::uint64_t elements) { advance(kRdi, elements); }
  void count_down(std::uint64_t elements) { put(kRcx, state_.gpr[kRcx] - elements); }

  OrFault<LinearAddr> source_address(std::size_t size) const {
    return linear_address(state_, insn_.memory.segment, source(), size, Use::kRead);
  }
  OrFault<LinearAddr> destination_address(std::size_t size, Use use) const {
    return linear_address(state_, kEs, destination(), size, use);
  }
  /// Elements from `offset` upwards before the offset or the page at `linear` ends.
  std::uint64_t room(std::uint64_t offset, LinearAddr linear) const {
    const std::uint64_t in_page = kPageSize - (value(linear) & kPageMask);
    const std::uint64_t in_offset = mask() - offset;
    return std::min(in_page, in_offset == ~0ull ? in_page : in_offset + 1) / width_;
  }

 private:
  void advance(Gpr index, std::uint64_t elements) {
    const std::uint64_t distance = elements * width_;
    put(index, down() ? state_.gpr[index] - distance : state_.gpr[index] + distance);
  }
  void put(Gpr index, std::uint64_t data) {
    write_gpr(state_, {OperandKind::kGpr, index, insn_.address_width}, data);
  }

  CpuState& state_;
  const Insn& insn_;
  unsigned width_;
};

/// A string instruction being executed: `step(limit)` does between one and `limit` elements and
/// answers how many; `stop()` says after a step whether a REPE or REPNE condition ends it.
template <class Step, class Stop>
OrFault<> repeat(CpuState& state, const Insn& insn, StringRegisters& registers, Step step,
                 Stop stop) {
  if (!insn.rep && !insn.repne) {
    TRY(step(std::uint64_t{1}));
    return Unit{};
  }
  if (registers.count() == 0) {
    // Silicon writes the counter even so, and with 32-bit addresses that cuts it. MOVS and STOS
    // write their indexes too.
    registers.count_down(0);
    const bool moves = insn.opcode == 0xa4 || insn.opcode == 0xa5;
    const bool stores = insn.opcode == 0xaa || insn.opcode == 0xab;
    if (moves) registers.advance_source(0);
    if (moves || stores) registers.advance_destination(0);
    return Unit{};
  }
  // Until CMPS or SCAS is finished its comparisons show in no flag. SDM vol. 2B, REP.
  const HostFlags before = to_host_flags(state.rflags);
  // Traps come between elements.
  const bool traps = (state.rflags & rflags::kTf) != 0 || (state.dr7 & 0xff) != 0;
  std::uint64_t budget = traps ? 1 : kMaxElements;
  while (registers.count() != 0) {
    if (budget == 0) {
      // On after whatever is waiting, without another instruction breakpoint. SDM vol. 3B,
      // 17.3.1.1.
      state.rip -= insn.length;
      if (!state.code64()) state.rip &= 0xffffffff;
      state.rflags = merge_flags(state.rflags, before) | rflags::kRf;
      return Unit{};
    }
    const auto done = step(std::min(registers.count(), budget));
    if (!done) {
      state.rflags = merge_flags(state.rflags, before);
      return tl::unexpected(done.error());
    }
    registers.count_down(*done);
    budget -= *done;
    if (stop()) return Unit{};
  }
  return Unit{};
}

bool never() { return false; }

/// Copies upwards as MOVS does, element by element where the ranges overlap that way.
void copy_up(std::byte* to, const std::byte* from, std::size_t bytes, unsigned width) {
  const bool smears = to > from && to < from + bytes;
  if (!smears) {
    std::memmove(to, from, bytes);
    return;
  }
  for (std::size_t i = 0; i < bytes; i += width) {
    std::uint64_t element;
    std::memcpy(&element, from + i, width);
    std::memcpy(to + i, &element, width);
  }
}

/// Many elements at once, if both ranges lie in pages that can be accessed directly.
std::optional<std::uint64_t> copy_span(CpuPort& port, StringRegisters& registers,
                                       std::uint64_t limit, unsigned width) {
  const auto from = registers.source_address(width);
  const auto to = registers.destination_address(width, Use::kWrite);
  if (!from || !to) return std::nullopt;
  const std::uint64_t n = std::min({limit, registers.room(registers.source(), *from),
                                    registers.room(registers.destination(), *to)});
  const std::size_t bytes = n * width;
  if (n == 0 || !registers.source_address(bytes) ||
      !registers.destination_address(bytes, Use::kWrite))
    return std::nullopt;
  const std::byte* source = port.direct(*from, bytes, false);
  std::byte* destination = port.direct(*to, bytes, true);
  if (source == nullptr || destination == nullptr) return std::nullopt;
  copy_up(destination, source, bytes, width);
  return n;
}

OrFault<std::uint64_t> read_element(CpuPort& port, LinearAddr address, unsigned width) {
  std::uint64_t data = 0;
  if (const std::byte* host = port.direct(address, width, false)) {
    std::memcpy(&data, host, width);
    return data;
  }
  TRY(port.read(address, std::as_writable_bytes(std::span(&data, 1)).first(width),
                Privilege::kCurrent));
  return data;
}

OrFault<> write_element(CpuPort& port, LinearAddr address, std::uint64_t data, unsigned width) {
  if (std::byte* host = port.direct(address, width, true)) {
    std::memcpy(host, &data, width);
    return Unit{};
  }
  return port.write(address, std::as_bytes(std::span(&data, 1)).first(width), Privilege::kCurrent);
}

OrFault<> movs(CpuState& state, CpuPort& port, const Insn& insn) {
  const unsigned width = insn.operands[0].width;
  StringRegisters registers(state, insn, width);
  const auto step = [&](std::uint64_t limit) -> OrFault<std::uint64_t> {
    std::uint64_t n = 1;
    const bool many = limit > 1 && !registers.down();
    if (const auto span = many ? copy_span(port, registers, limit, width) : std::nullopt) {
      n = *span;
    } else {
      const std::uint64_t data =
          TRY(read_element(port, TRY(registers.source_address(width)), width));
      TRY(write_element(port, TRY(registers.destination_address(width, Use::kWrite)), data, width));
    }
    registers.advance_source(n);
    registers.advance_destination(n);
    return n;
  };
  return repeat(state, insn, registers, step, never);
}

std::optional<std::uint64_t> fill_span(CpuPort& port, StringRegisters& registers,
                                       std::uint64_t limit, unsigned width, std::uint64_t data) {
  const auto to = registers.destination_address(width, Use::kWrite);
  if (!to) return std::nullopt;
  const std::uint64_t n = std::min(limit, registers.room(registers.destination(), *to));
  const std::size_t bytes = n * width;
  if (n == 0 || !registers.destination_address(bytes, Use::kWrite)) return std::nullopt;
  std::byte* destination = port.direct(*to, bytes, true);
  if (destination == nullptr) return std::nullopt;
  const std::uint64_t byte = data & 0xff;
  if ((data & width_mask(width)) == ((byte * 0x0101010101010101u) & width_mask(width))) {
    std::memset(destination, static_cast<int>(byte), bytes);
  } else {
    for (std::size_t i = 0; i < bytes; i += width) std::memcpy(destination + i, &data, width);
  }
  return n;
}

OrFault<> stos(CpuState& state, CpuPort& port, const Insn& insn) {
  const unsigned width = insn.operands[0].width;
  StringRegisters registers(state, insn, width);
  const std::uint64_t data = state.gpr[kRax];
  const auto step = [&](std::uint64_t limit) -> OrFault<std::uint64_t> {
    std::uint64_t n = 1;
    const bool many = limit > 1 && !registers.down();
    if (const auto span = many ? fill_span(port, registers, limit, width, data) : std::nullopt)
      n = *span;
    else
      TRY(write_element(port, TRY(registers.destination_address(width, Use::kWrite)), data, width));
    registers.advance_destination(n);
    return n;
  };
  return repeat(state, insn, registers, step, never);
}

OrFault<> lods(CpuState& state, CpuPort& port, const Insn& insn) {
  const unsigned width = insn.operands[0].width;
  StringRegisters registers(state, insn, width);
  const auto step = [&](std::uint64_t) -> OrFault<std::uint64_t> {
    const std::uint64_t data = TRY(read_element(port, TRY(registers.source_address(width)), width));
    write_gpr(state, {OperandKind::kGpr, kRax, static_cast<std::uint16_t>(width)}, data);
    registers.advance_source(1);
    return std::uint64_t{1};
  };
  return repeat(state, insn, registers, step, never);
}

void compare(CpuState& state, std::uint64_t a, std::uint64_t b, unsigned width) {
  HostFlags flags;
  with_width(width, [&]<class T>() {
    Cmp::apply(static_cast<T>(a), static_cast<T>(b), flags);
    return 0;
  });
  state.rflags = merge_flags(state.rflags, flags);
}

bool condition_ends(const CpuState& state, const Insn& insn) {
  const bool zero = (state.rflags & rflags::kZf) != 0;
  return insn.repne ? zero : !zero;
}

OrFault<> scas(CpuState& state, CpuPort& port, const Insn& insn) {
  const unsigned width = insn.operands[0].width;
  StringRegisters registers(state, insn, width);
  const auto step = [&](std::uint64_t) -> OrFault<std::uint64_t> {
    const std::uint64_t data =
        TRY(read_element(port, TRY(registers.destination_address(width, Use::kRead)), width));
    compare(state, state.gpr[kRax], data, width);
    registers.advance_destination(1);
    return std::uint64_t{1};
  };
  return repeat(state, insn, registers, step, [&] { return condition_ends(state, insn); });
}

OrFault<> cmps(CpuState& state, CpuPort& port, const Insn& insn) {
  const unsigned width = insn.operands[0].width;
  StringRegisters registers(state, insn, width);
  const auto step = [&](std::uint64_t) -> OrFault<std::uint64_t> {
    // Silicon reads at rDI first.
    const std::uint64_t b =
        TRY(read_element(port, TRY(registers.destination_address(width, Use::kRead)), width));
    const std::uint64_t a = TRY(read_element(port, TRY(registers.source_address(width)), width));
    compare(state, a, b, width);
    registers.advance_source(1);
    registers.advance_destination(1);
    return std::uint64_t{1};
  };
  return repeat(state, insn, registers, step, [&] { return condition_ends(state, insn); });
}

/// The destination is checked before the port is read: reading may have effects.
OrFault<> ins(CpuState& state, CpuPort& port, const Insn& insn) {
  const unsigned width = insn.operands[0].width;
  StringRegisters registers(state, insn, width);
  const auto number = static_cast<std::uint16_t>(state.gpr[kRdx]);
  TRY(check_io_permission(state, port, number, width));
  const auto step = [&](std::uint64_t) -> OrFault<std::uint64_t> {
    const auto address = TRY(registers.destination_address(width, Use::kWrite));
    TRY(port.check_write(address, width, Privilege::kCurrent));
    std::array<std::byte, 4> data{};
    const auto bytes = std::span(data).first(width);
    port.pio_read(number, bytes);
    TRY(port.write(address, bytes, Privilege::kCurrent));
    registers.advance_destination(1);
    return std::uint64_t{1};
  };
  return repeat(state, insn, registers, step, never);
}

OrFault<> outs(CpuState& state, CpuPort& port, const Insn& insn) {
  const unsigned width = insn.operands[0].width;
  StringRegisters registers(state, insn, width);
  const auto number = static_cast<std::uint16_t>(state.gpr[kRdx]);
  TRY(check_io_permission(state, port, number, width));
  const auto step = [&](std::uint64_t) -> OrFault<std::uint64_t> {
    const std::uint64_t data = TRY(read_element(port, TRY(registers.source_address(width)), width));
    port.pio_write(number, std::as_bytes(std::span(&data, 1)).first(width));
    registers.advance_source(1);
    return std::uint64_t{1};
  };
  return repeat(state, insn, registers, step, never);
}

constexpr HandlerRow kRows[] = {
    {ZYDIS_MNEMONIC_MOVSB, movs}, {ZYDIS_MNEMONIC_MOVSW, movs}, {ZYDIS_MNEMONIC_MOVSD, movs},
    {ZYDIS_MNEMONIC_MOVSQ, movs}, {ZYDIS_MNEMONIC_STOSB, stos}, {ZYDIS_MNEMONIC_STOSW, stos},
    {ZYDIS_MNEMONIC_STOSD, stos}, {ZYDIS_MNEMONIC_STOSQ, stos}, {ZYDIS_MNEMONIC_LODSB, lods},
    {ZYDIS_MNEMONIC_LODSW, lods}, {ZYDIS_MNEMONIC_LODSD, lods}, {ZYDIS_MNEMONIC_LODSQ, lods},
    {ZYDIS_MNEMONIC_SCASB, scas}, {ZYDIS_MNEMONIC_SCASW, scas}, {ZYDIS_MNEMONIC_SCASD, scas},
    {ZYDIS_MNEMONIC_SCASQ, scas}, {ZYDIS_MNEMONIC_CMPSB, cmps}, {ZYDIS_MNEMONIC_CMPSW, cmps},
    {ZYDIS_MNEMONIC_CMPSD, cmps}, {ZYDIS_MNEMONIC_CMPSQ, cmps}, {ZYDIS_MNEMONIC_INSB, ins},
    {ZYDIS_MNEMONIC_INSW, ins},   {ZYDIS_MNEMONIC_INSD, ins},   {ZYDIS_MNEMONIC_OUTSB, outs},
    {ZYDIS_MNEMONIC_OUTSW, outs}, {ZYDIS_MNEMONIC_OUTSD, outs},
};

}  // namespace

std::span<const HandlerRow> string_handlers() { return kRows; }

}  // namespace vireo::x86
