#include "support/engine_fixture.h"

#include <ctime>

#include "engine/direct/direct.h"
#include "engine/translator/shared_translations.h"
#include "engine/translator/translator.h"
#include "support/guest_layout.h"
#include "x86/fault.h"

namespace vireo::test {
namespace {

/// The time that a run may take: of the calling thread's CPU time, so that a busy host makes no
/// run fail; and much longer of any time, for engines that run the guest elsewhere.
class TimeLimit {
 public:
  explicit TimeLimit(std::chrono::milliseconds limit) : limit_(limit) {}
  bool over() const {
    return cpu_time() - cpu_started_ >= limit_ || Clock::now() - started_ >= 20 * limit_;
  }

 private:
  using Clock = std::chrono::steady_clock;
  static std::chrono::nanoseconds cpu_time() {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
  }

  std::chrono::milliseconds limit_;
  std::chrono::nanoseconds cpu_started_ = cpu_time();
  Clock::time_point started_ = Clock::now();
};

}  // namespace

Result<std::unique_ptr<EngineFixture>> EngineFixture::create(std::string_view engine,
                                                             std::string_view cpu_model) {
  if (engine != kAdoptingTranslator) return create(engine, cpu_model, nullptr);
  const auto shared = std::make_shared<engine::translator::SharedTranslations>();
  auto first = TRY(create(kEagerTranslator, cpu_model, shared));
  auto fixture = TRY(create(kEagerTranslator, cpu_model, shared));
  fixture->first_ = std::move(first);
  return fixture;
}

Result<std::unique_ptr<EngineFixture>> EngineFixture::create(
    std::string_view engine, std::string_view cpu_model,
    std::shared_ptr<engine::translator::SharedTranslations> shared) {
  x86::CpuidModel::Topology topology;
  topology.cpus = 1;
  topology.tsc_hz = 1'000'000'000;
  topology.vendor = x86::Vendor::kIntel;  // on any host
  const x86::CpuidModel model = TRY(x86::CpuidModel::parse(cpu_model, topology));
  std::unique_ptr<EngineFixture> fixture(new EngineFixture(model));
  fixture->memory_ = TRY(memory::GuestMemory::create(
      {{PhysAddr{0}, layout::kRamSize, memory::RegionKind::kRam, "ram"}}));
  engine::DirectOptions eager;
  eager.warm_after = 1;
  eager.exact_flags = true;
  eager.eager = true;
  eager.shared = std::move(shared);
  fixture->engine_ = engine == kEagerTranslator ? engine::make_translator(*fixture->memory_, eager)
                     : engine == kEagerDirect
                         ? engine::make_direct(*fixture->memory_, eager)
                         : TRY(engine::create_engine(engine, *fixture->memory_));
  fixture->vcpu_ =
      TRY(fixture->engine_->create_vcpu({0, fixture->port_, fixture->model_, fixture->clock_}));
  engine::EngineVcpu& vcpu = *fixture->vcpu_;
  fixture->port_.on_stop = [&vcpu] { vcpu.kick(); };
  fixture->port_.on_interrupt = [&vcpu] { vcpu.notify_interrupt(); };
  fixture->port_.on_nmi = [&vcpu] { vcpu.notify_nmi(); };
  return fixture;
}

EngineFixture::~EngineFixture() = default;

void EngineFixture::poke(const Poke& poke) {
  if (first_ != nullptr) first_->poke(poke);
  memory_->write(PhysAddr{poke.address}, std::as_bytes(std::span(poke.bytes)));
}

std::vector<std::uint8_t> EngineFixture::peek(std::uint64_t address, std::size_t size) const {
  std::vector<std::uint8_t> bytes(size);
  memory_->read(PhysAddr{address}, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

std::uint64_t EngineFixture::peek_number(std::uint64_t address, unsigned size) const {
  std::uint64_t result = 0;
  memory_->read(PhysAddr{address}, std::as_writable_bytes(std::span(&result, 1)).first(size));
  return result;
}

Result<Outcome> EngineFixture::run(Mode mode, const x86::CpuState& state,
                                   std::chrono::milliseconds limit, bool software_interrupt) {
  if (first_ != nullptr) TRY(first_->run(mode, state, limit, software_interrupt));
  vcpu_->load(state);
  port_.stopped = false;
  Outcome outcome;
  const TimeLimit time(limit);
  watchdog_.arm(limit, [this] { vcpu_->kick(); });
  for (;;) {
    const auto reason = vcpu_->run();
    if (!reason) {
      watchdog_.disarm();
      return tl::unexpected(reason.error());
    }
    const bool timeout = time.over();
    if (*reason == engine::ExitReason::kKicked && !port_.stopped && !timeout) continue;
    if (*reason == engine::ExitReason::kHalted && port_.halted() && !timeout) continue;
    outcome.stop = *reason == engine::ExitReason::kHalted        ? Stop::kHalt
                   : *reason == engine::ExitReason::kTripleFault ? Stop::kTripleFault
                   : port_.stopped                               ? Stop::kPort
                                                                 : Stop::kTimeout;
    break;
  }
  watchdog_.disarm();
  vcpu_->store(outcome.state);
  outcome.handler = outcome.state;
  if (outcome.stop == Stop::kHalt) read_frame(mode, software_interrupt, outcome);
  return outcome;
}

/// Turns "halted in handler N" into what the frame on its stack says.
void EngineFixture::read_frame(Mode mode, bool software_interrupt, Outcome& outcome) const {
  const x86::CpuState& handler = outcome.handler;
  const std::uint64_t address = handler.segment[x86::kCs].base + handler.rip - 1;
  if (address < layout::kHandlers || address >= layout::kHandlers + 4096 || address % 16 != 0)
    return;
  outcome.stop = Stop::kVector;
  outcome.vector = static_cast<unsigned>((address - layout::kHandlers) / 16);

  const bool real = !handler.protected_mode();
  const unsigned size = real ? 2 : is_long(mode) && handler.code64() ? 8 : 4;
  const bool small_stack = size != 8 && !handler.segment[x86::kSs].big();
  const std::uint64_t mask = size == 8 ? ~0ull : small_stack ? 0xffff : 0xffffffff;
  std::uint64_t offset = handler.gpr[x86::kRsp];
  const std::uint64_t base = size == 8 ? 0 : handler.segment[x86::kSs].base;
  const auto next = [&] {
    const std::uint64_t word = peek_number(base + (offset & mask), size);
    offset += size;
    return word;
  };
  outcome.has_error_code = !real && !software_interrupt && outcome.vector < 32 &&
                           x86::has_error_code(static_cast<x86::Vector>(outcome.vector));
  if (outcome.has_error_code) outcome.error_code = static_cast<std::uint32_t>(next());
  x86::CpuState& state = outcome.state;
  state.rip = next();
  state.segment[x86::kCs].selector = static_cast<std::uint16_t>(next());
  state.rflags = next();
  const bool from_v86 = size == 4 && (state.rflags & x86::rflags::kVm) != 0;
  const bool from_user =
      !real && ((state.segment[x86::kCs].selector & 3) > handler.cpl() || from_v86);
  if (size == 8 || from_user) {
    state.gpr[x86::kRsp] = next();
    state.segment[x86::kSs].selector = static_cast<std::uint16_t>(next());
  } else {
    state.gpr[x86::kRsp] = (handler.gpr[x86::kRsp] & ~mask) | (offset & mask);
  }
}

}  // namespace vireo::test
