#include "litmus/guest_cpus.h"

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>

#include "engine/translator/translator.h"
#include "support/guest_layout.h"

namespace vireo::test {
namespace {

constexpr std::uint64_t kCodeSize = 0x2000, kStackSize = 0x1000;

/// What the expected holds; what a test cannot go on without.
template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}

x86::CpuidModel model() {
  x86::CpuidModel::Topology topology;
  topology.tsc_hz = 1'000'000'000;
  return must(x86::CpuidModel::parse("host", topology));
}

}  // namespace

struct GuestCpus::Cpu {
  x86::CpuidModel cpuid = model();
  RecordingPort port;
  std::unique_ptr<engine::EngineVcpu> vcpu;
  bool halted = false;
};

GuestCpus::GuestCpus(std::string_view engine, unsigned cpus) {
  memory_ = must(memory::GuestMemory::create(
      {{PhysAddr{0}, layout::kRamSize, memory::RegionKind::kRam, "ram"}}));
  engine_ = engine == kEagerTranslator ? engine::make_translator(*memory_, {.warm_after = 1})
                                       : must(engine::create_engine(engine, *memory_));
  for (unsigned i = 0; i < cpus; ++i) {
    auto& cpu = *cpus_.emplace_back(std::make_unique<Cpu>());
    cpu.port.keep_log(false);
    cpu.vcpu = must(engine_->create_vcpu({i, cpu.port, cpu.cpuid, clock_}));
  }
  for (const Poke& poke : prepare(Mode::kLongKernel).pokes)
    memory_->write(PhysAddr{poke.address}, std::as_bytes(std::span(poke.bytes)));
}

GuestCpus::~GuestCpus() = default;

bool GuestCpus::run(const std::function<void(unsigned, Xbyak::CodeGenerator&)>& write,
                    std::chrono::seconds limit) {
  for (unsigned i = 0; i < count(); ++i) {
    Xbyak::CodeGenerator code(kCodeSize);
    write(i, code);
    code.hlt();
    const std::uint64_t start = layout::kCode + i * kCodeSize;
    memory_->write(PhysAddr{start}, std::as_bytes(std::span(code.getCode(), code.getSize())));
    x86::CpuState state = prepare(Mode::kLongKernel).state;
    state.rip = start;
    state.gpr[x86::kRsp] = layout::kStack + (i + 1) * kStackSize;
    cpus_[i]->vcpu->load(state);
    cpus_[i]->halted = false;
  }
  std::atomic<bool> over = false;
  std::vector<std::thread> threads;
  for (const auto& cpu : cpus_)
    threads.emplace_back([&over, &cpu = *cpu] {
      while (!over) {
        const auto reason = cpu.vcpu->run();
        if (reason && *reason == engine::ExitReason::kKicked) continue;
        cpu.halted = reason && *reason == engine::ExitReason::kHalted;
        return;
      }
    });
  Watchdog watchdog;
  watchdog.arm(limit, [&] {
    over = true;
    for (const auto& cpu : cpus_) cpu->vcpu->kick();
  });
  for (std::thread& thread : threads) thread.join();
  watchdog.disarm();
  for (const auto& cpu : cpus_) {
    if (!cpu->halted) return false;
    // A HLT of a handler is an exception that nobody expected.
    x86::CpuState state;
    cpu->vcpu->store(state);
    if (state.rip < layout::kCode) return false;
  }
  return true;
}

std::uint64_t GuestCpus::read(std::uint64_t address) const {
  std::uint64_t value = 0;
  memory_->read_value(PhysAddr{address}, value);
  return value;
}

void GuestCpus::write(std::uint64_t address, std::uint64_t value) {
  memory_->write_value(PhysAddr{address}, value);
}

void GuestCpus::clear(std::uint64_t begin, std::uint64_t end) {
  memory_->write(PhysAddr{begin}, std::vector<std::byte>(end - begin));
}

std::uint64_t GuestCpus::page_entry(std::uint64_t page) {
  return layout::kPageTable + (page >> kPageShift) * 8;
}

void meet(Xbyak::CodeGenerator& code, std::uint64_t at, unsigned cpus) {
  using namespace Xbyak::util;
  Xbyak::Label again;
  code.mov(eax, static_cast<std::uint32_t>(at));
  code.lock();
  code.inc(qword[rax]);
  code.L(again);
  code.pause();
  code.cmp(qword[rax], cpus);
  code.jb(again);
}

std::vector<std::string_view> software_engines() {
  return {"interpreter", "translator", kEagerTranslator};
}

}  // namespace vireo::test
