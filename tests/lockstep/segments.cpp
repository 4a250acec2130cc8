#include "lockstep/segments.h"

#include "support/guest_layout.h"

namespace vireo::test {
namespace {

using x86::Segment;

constexpr std::uint32_t kNoLimit = 0xffffffff;

class Randomizer {
 public:
  Randomizer(Mode mode, x86::CpuState& state, std::mt19937_64& random)
      : mode_(mode), state_(state), random_(random) {}

  void run(std::uint64_t code) {
    const bool has_descriptors = state_.protected_mode() && !state_.virtual8086();
    for (const unsigned index : {x86::kDs, x86::kFs, x86::kGs, x86::kSs, x86::kEs}) {
      Segment& segment = state_.segment[index];
      if (has_descriptors && one_in(3)) give_base(segment);
      if (has_descriptors && one_in(5)) give_limit(segment);
      if (!has_descriptors && one_in(6) && !state_.virtual8086()) segment.limit = kNoLimit;
    }
    if (has_descriptors) unusual();
    // The counter of the loop is in ES.
    if (code_width(mode_) == 2) state_.segment[x86::kEs].base = layout::kExtra;
    Segment& counted = state_.segment[x86::kEs];
    const std::uint32_t counter_end = code_width(mode_) == 2 ? 0xffff : 0x4a000;
    if (counted.limit < counter_end) counted.limit = counter_end;
    code_segment(code);
  }

 private:
  bool one_in(unsigned n) { return random_() % n == 0; }

  void give_base(Segment& segment) {
    if (code_width(mode_) == 2)
      segment.base += random_() % 0x100;
    else
      segment.base = one_in(2) ? random_() % 0x2000 : 0 - random_() % 0x2000;
    segment.base &= 0xffffffff;
  }

  std::uint32_t below(unsigned limit) { return static_cast<std::uint32_t>(random_() % limit); }

  /// Behind the data and the stack of a stream, or in the middle of an operand, most of which
  /// begin at a multiple of 64.
  void give_limit(Segment& segment) {
    const std::uint32_t in_operand = 0x7800 + below(64) * 64 + below(8);
    if (code_width(mode_) == 2)
      segment.limit = one_in(2) ? in_operand : 0xffff - below(0x4000);
    else
      segment.limit = one_in(2) ? 0x20000 + in_operand : 0x4ffff + below(0x10000);
  }

  /// Access rights that keep DPL, so that CPL stays what it is.
  void give_type(Segment& segment, unsigned type) {
    segment.access = (segment.access & ~15u) | type;
  }

  void unusual() {
    Segment& data = state_.segment[one_in(2) ? x86::kDs : one_in(2) ? x86::kFs : x86::kGs];
    if (one_in(10)) give_type(data, 1);                        // read-only
    if (one_in(10)) give_type(data, 7), data.limit = 0x1ffff;  // expand-down
    if (one_in(10)) give_type(data, one_in(2) ? 9 : 11);       // code
    if (one_in(10)) data.access |= Segment::kUnusable;
    Segment& stack = state_.segment[x86::kSs];
    if (code_width(mode_) == 4 && one_in(8)) {
      stack.access &= ~Segment::kBig;
      stack.base = 0x30000;
    }
    if (one_in(30)) give_type(stack, 7), stack.limit = 0x1fff;
  }

  void code_segment(std::uint64_t code) {
    Segment& cs = state_.segment[x86::kCs];
    const std::uint64_t page = code & ~std::uint64_t{0xfff};
    if (code_width(mode_) == 2) {
      // Sometimes so that the code runs over the end of the segment.
      if (one_in(4)) cs.base = (one_in(2) ? code - 0xff80 : page - 0x1000) & 0xfffffff0;
      return;
    }
    if (one_in(4)) cs.base = page - random_() % 0x3000;
    if (one_in(4)) cs.limit = static_cast<std::uint32_t>(code - cs.base + 0x20 + random_() % 0x200);
  }

  const Mode mode_;
  x86::CpuState& state_;
  std::mt19937_64& random_;
};

void append(std::vector<std::uint8_t>& code, std::uint64_t number, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i)
    code.push_back(static_cast<std::uint8_t>(number >> (8 * i)));
}

}  // namespace

void randomize_segments(Mode mode, x86::CpuState& state, std::mt19937_64& random,
                        std::uint64_t code) {
  Randomizer(mode, state, random).run(code);
}

/// dec word [es:counter]; jnz; int3.
std::vector<std::uint8_t> loop_in_es(Mode mode, const x86::CpuState& state, std::uint64_t counter,
                                     std::size_t distance) {
  const std::size_t width = code_width(mode);
  std::vector<std::uint8_t> code{0x26};
  if (width == 4) code.push_back(0x66);
  code.push_back(0xff);
  code.push_back(width == 4 ? 0x0d : 0x0e);
  append(code, counter - state.segment[x86::kEs].base, width);
  code.push_back(0x0f);
  code.push_back(0x85);
  append(code, 0 - std::uint64_t{distance + code.size() + width}, width);
  code.push_back(0xcc);
  return code;
}

}  // namespace vireo::test
