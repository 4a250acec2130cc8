#include "support/guest_setup.h"

#include <array>
#include <utility>

#include "support/guest_layout.h"

namespace vireo::test {
namespace {

using x86::Segment;

constexpr std::array<std::pair<std::string_view, Mode>, 12> kNames{{
    {"real", Mode::kReal},
    {"real-big", Mode::kRealBig},
    {"protected16", Mode::kProtected16},
    {"protected32", Mode::kProtected32},
    {"paged32", Mode::kPaged32},
    {"pae32", Mode::kPae32},
    {"protected32-user", Mode::kProtected32User},
    {"v86", Mode::kV86},
    {"compat", Mode::kCompat},
    {"compat-kernel", Mode::kCompatKernel},
    {"long-user", Mode::kLongUser},
    {"long-kernel", Mode::kLongKernel},
}};

bool is_real(Mode mode) { return mode == Mode::kReal || mode == Mode::kRealBig; }

std::uint64_t pack_descriptor(std::uint64_t base, std::uint32_t limit, std::uint32_t access) {
  return (limit & 0xffff) | (base & 0xffffff) << 16 | std::uint64_t{access & 0xf0ff} << 40 |
         std::uint64_t{(limit >> 16) & 0xf} << 48 | ((base >> 24) & 0xff) << 56;
}

class Builder {
 public:
  explicit Builder(Mode mode) : mode_(mode) {}

  GuestSetup build() {
    patterns();
    handlers();
    if (is_real(mode_)) {
      real_mode();
      return std::move(setup_);
    }
    descriptors();
    interrupt_table();
    task_state();
    paging();
    control_registers();
    segments();
    return std::move(setup_);
  }

 private:
  void poke(std::uint64_t address, std::uint64_t value, unsigned size) {
    Poke poke{address, {}};
    for (unsigned i = 0; i < size; ++i)
      poke.bytes.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
    setup_.pokes.push_back(std::move(poke));
  }

  void patterns() {
    auto& state = setup_.state;
    const bool wide = mode_ == Mode::kLongUser || mode_ == Mode::kLongKernel;
    for (unsigned i = 0; i < 16; ++i) {
      const std::uint64_t pattern = 0x1111111111111111ull * ((i + 1) & 0xf);
      state.gpr[i] = wide ? pattern : i < 8 ? pattern & 0xffffffff : 0;
    }
    state.gpr[x86::kRsp] = is_16bit(mode_) ? 0x8000 : layout::kStackTop;
    state.rip = is_16bit(mode_) ? 0 : layout::kCode;
    state.rflags = x86::rflags::kFixed1 | (is_user(mode_) ? x86::rflags::kIf : 0);
    if (mode_ == Mode::kV86) state.rflags |= x86::rflags::kVm | x86::rflags::kIopl;
  }

  void handlers() {
    Poke poke{layout::kHandlers, std::vector<std::uint8_t>(4096, 0xf4)};
    setup_.pokes.push_back(std::move(poke));
  }

  Segment real_segment(std::uint16_t selector, bool code) const {
    const std::uint32_t limit = mode_ == Mode::kRealBig && !code ? 0xffffffff : 0xffff;
    return {selector, code ? 0x9bu : 0x93u, limit, std::uint64_t{selector} << 4};
  }

  void real_mode() {
    auto& state = setup_.state;
    for (unsigned vector = 0; vector < 256; ++vector)
      poke(vector * 4, layout::kHandlers + vector * 16, 4);  // segment 0
    state.idtr = {0x3ff, 0};
    state.gdtr = {0x1ff, layout::kGdt};
    state.cr0 = x86::cr0::kEt;
    state.cr4 = x86::cr4::kOsfxsr | x86::cr4::kOsxmmexcpt;
    state.segment[x86::kCs] = real_segment(0x1000, true);
    state.segment[x86::kDs] = real_segment(0x2000, false);
    state.segment[x86::kSs] = real_segment(0x3000, false);
    state.segment[x86::kEs] = real_segment(0x4000, false);
    state.segment[x86::kFs] = state.segment[x86::kGs] = real_segment(0, false);
  }

  void describe(std::uint16_t selector, std::uint64_t base, std::uint32_t limit,
                std::uint32_t access) {
    poke(layout::kGdt + (selector & ~7u), pack_descriptor(base, limit, access), 8);
  }

  void descriptors() {
    constexpr std::uint32_t kFlat = 0xfffff;
    describe(layout::kKernelCode64, 0, kFlat, 0xa09b);
    describe(layout::kKernelData, 0, kFlat, 0xc093);
    describe(layout::kUserCode32, 0, kFlat, 0xc0fb);
    describe(layout::kUserData, 0, kFlat, 0xc0f3);
    describe(layout::kUserCode64, 0, kFlat, 0xa0fb);
    describe(layout::kKernelCode32, 0, kFlat, 0xc09b);
    describe(layout::kKernelCode16, layout::kCode, 0xffff, 0x009b);
    describe(layout::kKernelData16, layout::kData, 0xffff, 0x0093);
    describe(layout::kKernelStack16, layout::kStack, 0xffff, 0x0093);
    describe(layout::kTssSelector, layout::kTss, 0x2fff, 0x008b);
    describe(layout::kLdtSelector, layout::kLdt, 0x3f, 0x0082);
    if (!is_long(mode_)) describe(layout::kTss2Selector, layout::kTss2, 0x67, 0x0089);
    describe(0x80, 0, 0x1ffff, 0x4097);                          // expand-down: 0x20000 and up
    describe(0x88, 0, kFlat, 0xc091);                            // read-only data
    describe(0x90, 0, kFlat, is_long(mode_) ? 0xa09f : 0xc09f);  // conforming code
    describe(0x98, 0, kFlat, is_long(mode_) ? 0xa099 : 0xc099);  // execute-only code
    describe(0xb0, 0, kFlat, 0xc013);                            // data, not present
    describe(0xb8, 0, kFlat, 0xc01b);                            // code, not present
    describe(0xc0, 0, kFlat, is_long(mode_) ? 0xa09b : 0xc09b);  // for SYSENTER and SYSEXIT
    describe(0xc8, 0, kFlat, 0xc093);
    describe(0xd0, 0, kFlat, 0xc0fb);
    describe(0xd8, 0, kFlat, 0xc0f3);
    describe(0xe0, 0, kFlat, 0xa0fb);
    describe(0xe8, 0, kFlat, 0xc0f3);
    poke(layout::kLdt, pack_descriptor(0, kFlat, 0xc0f3), 8);
    auto& state = setup_.state;
    state.gdtr = {0x1ff, layout::kGdt};
    state.ldtr = {layout::kLdtSelector, 0x82, 0x3f, layout::kLdt};
    state.tr = {layout::kTssSelector, 0x8b, 0x2fff, layout::kTss};
  }

  void interrupt_table() {
    for (unsigned vector = 0; vector < 256; ++vector) {
      const std::uint64_t offset = layout::kHandlers + vector * 16;
      const bool for_users = vector == 3 || vector == 4 || (vector >= 0x80 && vector < 0x90);
      const std::uint64_t type = for_users ? 0xee00 : 0x8e00;
      const std::uint64_t ist = is_long(mode_) && vector == 8 ? 1 : 0;
      const std::uint64_t selector = is_long(mode_) ? layout::kKernelCode64 : layout::kKernelCode32;
      const std::uint64_t gate = (offset & 0xffff) | selector << 16 | (type | ist) << 32;
      poke(layout::kIdt + vector * (is_long(mode_) ? 16 : 8), gate, 8);
    }
    setup_.state.idtr = {static_cast<std::uint16_t>(is_long(mode_) ? 0xfff : 0x7ff), layout::kIdt};
  }

  void task_state() {
    if (is_long(mode_)) {
      poke(layout::kTss + 4, layout::kKernelStackTop, 8);
      poke(layout::kTss + 0x24, layout::kIst1Top, 8);
      poke(layout::kTss + 0x2c, layout::kIst2Top, 8);
    } else {
      poke(layout::kTss + 4, layout::kKernelStackTop, 4);
      poke(layout::kTss + 8, layout::kKernelData, 4);
    }
    poke(layout::kTss + 0x66, 0x88, 2);  // I/O bitmap behind the interrupt redirection map
    setup_.pokes.push_back({layout::kTss + 0x68, std::vector<std::uint8_t>(0x20, 0)});
    setup_.pokes.push_back({layout::kTss + 0x88, std::vector<std::uint8_t>(0x2001, 0xff)});
  }

  bool wide_entries() const { return is_long(mode_) || mode_ == Mode::kPae32; }
  bool paged() const {
    return wide_entries() || mode_ == Mode::kPaged32 || mode_ == Mode::kProtected32User;
  }

  std::uint64_t page_entry(std::uint64_t page) const {
    constexpr std::uint64_t kP = 1, kW = 2, kU = 4, kNx = 1ull << 63;
    const std::uint64_t user = is_user(mode_) && page >= layout::kCode ? kU : 0;
    switch (page) {
      case layout::kHole:
        return 0;
      case layout::kReadOnly:
        return page | kP | user;
      case layout::kSupervisor:
        return page | kP | kW;
      case layout::kSupervisorReadOnly:
        return page | kP;
      case layout::kNoExecute:
        return page | kP | kW | user | (wide_entries() ? kNx : 0);
      default:
        return page | kP | kW | user;
    }
  }

  void paging() {
    if (!paged()) return;
    const unsigned size = wide_entries() ? 8 : 4;
    for (unsigned i = 0; i < 4096 / size; ++i)
      poke(layout::kPageTable + i * size, page_entry(std::uint64_t{i} << 12), size);
    constexpr std::uint64_t kTable = 7, kBig = 0x87;
    if (!wide_entries()) {
      poke(layout::kPageRoot, layout::kPageTable | kTable, 4);
      for (std::uint64_t i = 1; i < 1024; ++i) poke(layout::kPageRoot + i * 4, i << 22 | kBig, 4);
      return;
    }
    poke(layout::kPageDirectory, layout::kPageTable | kTable, 8);
    for (std::uint64_t i = 1; i < 512; ++i) poke(layout::kPageDirectory + i * 8, i << 21 | kBig, 8);
    if (mode_ == Mode::kPae32) {
      poke(layout::kPageRoot, layout::kPageDirectory | 1, 8);
      setup_.state.pdpte[0] = layout::kPageDirectory | 1;
      return;
    }
    poke(layout::kPageRoot, layout::kPageDirectoryPointers | kTable, 8);
    poke(layout::kPageDirectoryPointers, layout::kPageDirectory | kTable, 8);
  }

  void control_registers() {
    auto& state = setup_.state;
    state.cr0 = x86::cr0::kPe | x86::cr0::kEt | x86::cr0::kNe | x86::cr0::kMp | x86::cr0::kWp |
                x86::cr0::kAm | (paged() ? x86::cr0::kPg : 0);
    state.cr3 = paged() ? layout::kPageRoot : 0;
    state.cr4 = x86::cr4::kOsfxsr | x86::cr4::kOsxmmexcpt | x86::cr4::kDe;
    if (paged()) state.cr4 |= wide_entries() ? x86::cr4::kPae : x86::cr4::kPse;
    if (is_long(mode_)) {
      state.msr.efer = x86::efer::kLme | x86::efer::kLma | x86::efer::kNxe | x86::efer::kSce;
      state.msr.star = std::uint64_t{0x18} << 48 | std::uint64_t{0x08} << 32;
    } else if (mode_ == Mode::kPae32) {
      state.msr.efer = x86::efer::kNxe;
    }
  }

  void segments() {
    auto& segment = setup_.state.segment;
    if (mode_ == Mode::kV86) {
      constexpr std::array<std::uint16_t, 6> kSelectors{0x4000, 0x1000, 0x3000, 0x2000, 0, 0};
      for (unsigned i = 0; i < 6; ++i)
        segment[i] = {kSelectors[i], 0xf3, 0xffff, std::uint64_t{kSelectors[i]} << 4};
      return;
    }
    if (mode_ == Mode::kProtected16) {
      segment[x86::kCs] = {layout::kKernelCode16, 0x009b, 0xffff, layout::kCode};
      segment[x86::kSs] = {layout::kKernelStack16, 0x0093, 0xffff, layout::kStack};
      for (unsigned i : {x86::kEs, x86::kDs, x86::kFs, x86::kGs})
        segment[i] = {layout::kKernelData16, 0x0093, 0xffff, layout::kData};
      return;
    }
    const bool user = is_user(mode_);
    const Segment data = user ? Segment{layout::kUserData, 0xc0f3, 0xffffffff, 0}
                              : Segment{layout::kKernelData, 0xc093, 0xffffffff, 0};
    segment.fill(data);
    if (mode_ == Mode::kLongUser)
      segment[x86::kCs] = {layout::kUserCode64, 0xa0fb, 0xffffffff, 0};
    else if (mode_ == Mode::kLongKernel)
      segment[x86::kCs] = {layout::kKernelCode64, 0xa09b, 0xffffffff, 0};
    else if (user)
      segment[x86::kCs] = {layout::kUserCode32, 0xc0fb, 0xffffffff, 0};
    else
      segment[x86::kCs] = {layout::kKernelCode32, 0xc09b, 0xffffffff, 0};
  }

  Mode mode_;
  GuestSetup setup_;
};

}  // namespace

std::optional<Mode> parse_mode(std::string_view name) {
  for (const auto& [text, mode] : kNames)
    if (text == name) return mode;
  return std::nullopt;
}

bool is_user(Mode mode) {
  return mode == Mode::kProtected32User || mode == Mode::kV86 || mode == Mode::kCompat ||
         mode == Mode::kLongUser;
}

bool is_16bit(Mode mode) {
  return is_real(mode) || mode == Mode::kProtected16 || mode == Mode::kV86;
}

unsigned code_width(Mode mode) {
  if (is_16bit(mode)) return 2;
  return mode == Mode::kLongUser || mode == Mode::kLongKernel ? 8 : 4;
}

bool is_long(Mode mode) {
  return mode == Mode::kCompat || mode == Mode::kCompatKernel || mode == Mode::kLongUser ||
         mode == Mode::kLongKernel;
}

GuestSetup prepare(Mode mode) { return Builder(mode).build(); }

}  // namespace vireo::test
