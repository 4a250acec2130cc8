#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>

#include "x86/semantics/alu.h"
#include "x86/semantics/flags_transfer.h"
#include "x86/semantics/integer.h"
#include "x86/semantics/string_runs.h"
#include "x86/semantics/update.h"

namespace vireo::x86 {
namespace {

/// How many elements one call executes at most before interrupts get their turn.
constexpr std::uint64_t kMaxElements = 16384;

/// Elements that follow one another in the direction of DF.
struct Stretch {
  LinearAddr first{};
  std::uint64_t count = 0;
};

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
  /// If nothing is repeated, or a fault ends it, silicon writes the counter even so, and with
  /// 32-bit addresses that cuts it. MOVS and STOS write their indexes too.
  void write_unchanged() {
    count_down(0);
    const bool moves = insn_.opcode == 0xa4 || insn_.opcode == 0xa5;
    const bool stores = insn_.opcode == 0xaa || insn_.opcode == 0xab;
    if (moves) advance_source(0);
    if (moves || stores) advance_destination(0);
  }

  OrFault<LinearAddr> source_address(std::size_t size) const {
    return linear_address(state_, insn_.memory.segment, source(), size, Use::kRead);
  }
  OrFault<LinearAddr> destination_address(std::size_t size, Use use) const {
    return linear_address(state_, kEs, destination(), size, use);
  }
  /// The elements from the current one on that lie in one page and in the segment: at most
  /// `limit`, none if the first does not.
  Stretch source_stretch(std::uint64_t limit) const {
    return stretch(insn_.memory.segment, source(), Use::kRead, limit);
  }
  Stretch destination_stretch(std::uint64_t limit, Use use) const {
    return stretch(kEs, destination(), use, limit);
  }
  /// The first `count` elements of a stretch, which has them.
  LinearAddr lowest(const Stretch& stretch, std::uint64_t count) const {
    const std::uint64_t first = value(stretch.first);
    return LinearAddr{down() ? first - (count - 1) * width_ : first};
  }
  /// The same, if they can be accessed directly.
  std::optional<ElementRun> run(CpuPort& port, const Stretch& stretch, std::uint64_t count,
                                Use use) const {
    if (count == 0) return std::nullopt;
    std::byte* host = port.direct(lowest(stretch, count), count * width_, use == Use::kWrite);
    if (host == nullptr) return std::nullopt;
    return ElementRun{host, count, width_, down()};
  }

 private:
  Stretch stretch(SegmentIndex segment, std::uint64_t offset, Use use, std::uint64_t limit) const {
    const auto first = linear_address(state_, segment, offset, width_, use);
    if (!first) return {};
    const std::uint64_t in_page = value(*first) & kPageMask, last = width_ - 1;
    if (in_page + last > kPageMask || mask() - offset < last) return {};
    const std::uint64_t beyond =
        down() ? std::min(in_page, offset) : std::min(kPageMask - in_page, mask() - offset) - last;
    const std::uint64_t count = std::min(limit, (beyond >> std::countr_zero(width_)) + 1);
    const std::uint64_t begin = down() ? offset - (count - 1) * width_ : offset;
    const bool inside =  // no page is canonical in part
        state_.code64() || linear_address(state_, segment, begin, count * width_, use);
    return inside ? Stretch{*first, count} : Stretch{};
  }
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
    registers.write_unchanged();
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
      registers.write_unchanged();
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

/// What a page that is written slowly takes at once: one that holds code, say.
constexpr std::uint64_t kPiece = 64;

/// Writes a piece that is no device's. False: it has to be written by elements, which may fault.
bool write_piece(CpuPort& port, LinearAddr lowest, std::span<const std::byte> piece,
                 unsigned width) {
  const bool aligned = (value(lowest) & (width - 1)) == 0;
  return aligned && !port.is_device(lowest) && port.write(lowest, piece, Privilege::kCurrent);
}

/// Many elements at once; 0 if there is none that can be copied so.
std::uint64_t copy_many(CpuPort& port, const StringRegisters& registers, std::uint64_t limit,
                        unsigned width) {
  const Stretch from = registers.source_stretch(limit);
  const Stretch to = registers.destination_stretch(limit, Use::kWrite);
  std::uint64_t count = std::min(from.count, to.count);
  if (const auto target = registers.run(port, to, count, Use::kWrite)) {
    const auto source = registers.run(port, from, count, Use::kRead);
    if (source) copy_run(*target, *source);
    return source ? count : 0;
  }
  count = std::min(count, kPiece / width);
  const std::uint64_t ahead = (value(to.first) - value(from.first)) & kPageMask;
  if (registers.down() || (ahead != 0 && ahead < count * width)) return 0;
  std::array<std::byte, kPiece> piece;
  const auto source = registers.run(port, from, count, Use::kRead);
  if (!source) return 0;
  std::memcpy(piece.data(), source->lowest, source->bytes());
  return write_piece(port, to.first, std::span(piece).first(source->bytes()), width) ? count : 0;
}

OrFault<> movs(CpuState& state, CpuPort& port, const Insn& insn) {
  const unsigned width = insn.operands[0].width;
  StringRegisters registers(state, insn, width);
  const auto step = [&](std::uint64_t limit) -> OrFault<std::uint64_t> {
    std::uint64_t n = limit > 1 ? copy_many(port, registers, limit, width) : 0;
    if (n == 0) {
      const std::uint64_t data =
          TRY(read_element(port, TRY(registers.source_address(width)), width));
      TRY(write_element(port, TRY(registers.destination_address(width, Use::kWrite)), data, width));
      n = 1;
    }
    registers.advance_source(n);
    registers.advance_destination(n);
    return n;
  };
  return repeat(state, insn, registers, step, never);
}

std::uint64_t fill_many(CpuPort& port, const StringRegisters& registers, std::uint64_t limit,
                        unsigned width, std::uint64_t data) {
  const Stretch to = registers.destination_stretch(limit, Use::kWrite);
  if (const auto target = registers.run(port, to, to.count, Use::kWrite)) {
    fill_run(*target, data);
    return to.count;
  }
  const std::uint64_t count = std::min(to.count, kPiece / width);
  if (count == 0) return 0;
  std::array<std::byte, kPiece> piece;
  const ElementRun elements{piece.data(), count, width, false};
  fill_run(elements, data);
  const auto bytes = std::span(piece).first(elements.bytes());
  return write_piece(port, registers.lowest(to, count), bytes, width) ? count : 0;
}

OrFault<> stos(CpuState& state, CpuPort& port, const Insn& insn) {
  const unsigned width = insn.operands[0].width;
  StringRegisters registers(state, insn, width);
  const std::uint64_t data = state.gpr[kRax];
  const auto step = [&](std::uint64_t limit) -> OrFault<std::uint64_t> {
    std::uint64_t n = limit > 1 ? fill_many(port, registers, limit, width, data) : 0;
    if (n == 0) {
      TRY(write_element(port, TRY(registers.destination_address(width, Use::kWrite)), data, width));
      n = 1;
    }
    registers.advance_destination(n);
    return n;
  };
  return repeat(state, insn, registers, step, never);
}

OrFault<> lods(CpuState& state, CpuPort& port, const Insn& insn) {
  const unsigned width = insn.operands[0].width;
  StringRegisters registers(state, insn, width);
  const auto step = [&](std::uint64_t limit) -> OrFault<std::uint64_t> {
    const Stretch from = limit > 1 ? registers.source_stretch(limit) : Stretch{};
    const auto many = registers.run(port, from, from.count, Use::kRead);
    const std::uint64_t n = many ? many->count : 1;
    const std::uint64_t data =
        many ? load_element(many->at(n - 1), width)
             : TRY(read_element(port, TRY(registers.source_address(width)), width));
    write_gpr(state, {OperandKind::kGpr, kRax, static_cast<std::uint16_t>(width)}, data);
    registers.advance_source(n);
    return n;
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
  const auto step = [&](std::uint64_t limit) -> OrFault<std::uint64_t> {
    const Stretch from = limit > 1 ? registers.destination_stretch(limit, Use::kRead) : Stretch{};
    std::uint64_t n = 1, data;
    if (const auto many = registers.run(port, from, from.count, Use::kRead)) {
      n = std::min(scan_run(*many, state.gpr[kRax], insn.repne) + 1, many->count);
      data = load_element(many->at(n - 1), width);
    } else {
      data = TRY(read_element(port, TRY(registers.destination_address(width, Use::kRead)), width));
    }
    compare(state, state.gpr[kRax], data, width);
    registers.advance_destination(n);
    return n;
  };
  return repeat(state, insn, registers, step, [&] { return condition_ends(state, insn); });
}

/// Up to the pair that ends the repetition, which sets the flags; 0 if none can be compared so.
std::uint64_t compare_many(CpuState& state, CpuPort& port, const StringRegisters& registers,
                           std::uint64_t limit, const Insn& insn) {
  const unsigned width = insn.operands[0].width;
  const Stretch a = registers.source_stretch(limit);
  const Stretch b = registers.destination_stretch(limit, Use::kRead);
  const std::uint64_t count = std::min(a.count, b.count);
  const auto run_a = registers.run(port, a, count, Use::kRead);
  const auto run_b = registers.run(port, b, count, Use::kRead);
  if (!run_a || !run_b) return 0;
  const std::uint64_t n = std::min(compare_runs(*run_a, *run_b, insn.repne) + 1, count);
  compare(state, load_element(run_a->at(n - 1), width), load_element(run_b->at(n - 1), width),
          width);
  return n;
}

OrFault<> cmps(CpuState& state, CpuPort& port, const Insn& insn) {
  const unsigned width = insn.operands[0].width;
  StringRegisters registers(state, insn, width);
  const auto step = [&](std::uint64_t limit) -> OrFault<std::uint64_t> {
    std::uint64_t n = limit > 1 ? compare_many(state, port, registers, limit, insn) : 0;
    if (n == 0) {
      // Silicon reads at rDI first.
      const std::uint64_t b =
          TRY(read_element(port, TRY(registers.destination_address(width, Use::kRead)), width));
      const std::uint64_t a = TRY(read_element(port, TRY(registers.source_address(width)), width));
      compare(state, a, b, width);
      n = 1;
    }
    registers.advance_source(n);
    registers.advance_destination(n);
    return n;
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
