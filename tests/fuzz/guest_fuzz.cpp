// Any bytes as a kernel, in any mode: the guest may end itself, never the monitor; and what the CPU
// became is a state that a CPU can be in.
#include <array>
#include <cstdlib>
#include <memory>
#include <optional>

#include "base/assert.h"
#include "fuzz/fuzz_input.h"
#include "support/engine_fixture.h"
#include "support/guest_layout.h"

namespace vireo::test {
namespace {

using x86::CpuState;

constexpr std::array kModes{Mode::kReal,     Mode::kRealBig,    Mode::kProtected16,
                            Mode::kPaged32,  Mode::kPae32,      Mode::kProtected32User,
                            Mode::kV86,      Mode::kCompat,     Mode::kCompatKernel,
                            Mode::kLongUser, Mode::kLongKernel, Mode::kProtected32};
constexpr std::chrono::milliseconds kLimit{1};

using Guests = std::vector<std::unique_ptr<EngineFixture>>;

/// One on each engine that this host has; but programs that end at once never come to run natively.
Guests& guests() {
  static Guests made = [] {
    Guests result;
    for (const engine::EngineInfo& info : engine::engines()) {
      if (!info.available || info.name == "direct") continue;
      auto guest = EngineFixture::create(info.name, "host");
      VIREO_ASSERT(guest);
      (*guest)->port().keep_log(false);
      result.push_back(std::move(*guest));
    }
    return result;
  }();
  return made;
}

void check(const CpuState& state) {
  VIREO_ASSERT((state.rflags & x86::rflags::kFixed1) != 0);
  VIREO_ASSERT((state.rflags & ~x86::rflags::kAll & ~x86::rflags::kFixed1) == 0);
  VIREO_ASSERT(state.protected_mode() || !state.paging());
  VIREO_ASSERT(!state.long_mode() || state.paging());
  VIREO_ASSERT((state.xcr0 & x86::xcr0::kX87) != 0);
  VIREO_ASSERT(!state.virtual8086() || (state.protected_mode() && state.cpl() == 3));
  VIREO_ASSERT(state.code64() || state.rip <= 0xffffffff);
  VIREO_ASSERT((state.dr7 >> 32) == 0 && (state.dr6 >> 32) == 0);
}

/// Its page tables are many bytes to make anew for each guest.
const GuestSetup& setup_of(Mode mode) {
  static std::array<std::optional<GuestSetup>, 256> made;
  auto& setup = made[static_cast<std::uint8_t>(mode)];
  if (!setup) setup = prepare(mode);
  return *setup;
}

/// Most guests touch few pages, and to look is cheaper than to write.
void clear_memory(EngineFixture& guest) {
  static constexpr std::array<std::byte, kPageSize> kZeroes{};
  for (std::uint64_t page = 0; page < layout::kRamSize; page += kPageSize)
    if (std::memcmp(guest.memory().host_page(PhysAddr{page}), kZeroes.data(), kPageSize) != 0)
      guest.memory().write(PhysAddr{page}, kZeroes);
}

void run(FuzzInput input, EngineFixture& guest) {
  const Mode mode = kModes[input.take<std::uint8_t>() % kModes.size()];
  CpuState state = setup_of(mode).state;
  for (auto& gpr : state.gpr) {
    const auto choice = input.take<std::uint8_t>();
    if (choice < 0x40) gpr = layout::kData + choice * 64u;
    if (choice >= 0xc0) gpr = choice;
  }
  if (!state.long_mode())
    for (auto& gpr : state.gpr) gpr &= 0xffffffff;
  state.rflags |= input.take<std::uint8_t>() & x86::rflags::kArithmetic;

  clear_memory(guest);
  for (const Poke& poke : setup_of(mode).pokes) guest.poke(poke);
  Poke code{layout::kCode, {input.rest().begin(), input.rest().end()}};
  if (code.bytes.size() > layout::kSegmentSize) code.bytes.resize(layout::kSegmentSize);
  // The same bytes as handlers, so that faults go on executing them.
  Poke handlers{layout::kHandlers, code.bytes};
  handlers.bytes.resize(std::min<std::size_t>(handlers.bytes.size(), 4096));
  guest.poke(code);
  if (!code.bytes.empty() && (code.bytes[0] & 1) != 0) guest.poke(handlers);

  const auto outcome = guest.run(mode, state, kLimit);
  VIREO_ASSERT(outcome);
  check(outcome->handler);
}

}  // namespace
}  // namespace vireo::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  for (const auto& guest : vireo::test::guests())
    vireo::test::run(vireo::test::FuzzInput({data, size}), *guest);
  return 0;
}
