#pragma once
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "engine/software/soft_world.h"

namespace vireo::engine::test {

using Bytes = std::vector<std::uint8_t>;

/// The low `size` bytes of a number, as instructions have them.
inline void append(Bytes& code, std::uint64_t number, unsigned size) {
  for (unsigned i = 0; i < size; ++i) code.push_back(static_cast<std::uint8_t>(number >> 8 * i));
}

/// One vCPU of an engine in 64-bit mode, its first 2 MiB mapped one to one. Every vector's handler
/// is a HLT.
struct VcpuWorld {
  using Make = std::function<std::unique_ptr<Engine>(memory::GuestMemory&)>;
  static constexpr std::uint64_t kCode = 0x10000, kStack = 0x20000, kIdt = 0x30000, kGdt = 0x31000,
                                 kHandlers = 0x32000, kData = 0x40000;

  std::unique_ptr<memory::GuestMemory> memory = make_memory();
  LoggingMachine machine;
  StepClock clock;
  x86::CpuidModel model = x86::CpuidModel::parse("baseline", {.cpus = 1, .tsc_hz = 1}).value();
  PageTables tables{*memory};
  std::unique_ptr<Engine> engine;
  std::unique_ptr<EngineVcpu> vcpu;
  x86::CpuState state = long_mode(tables.root());

  explicit VcpuWorld(const Make& make)
      : engine(make(*memory)), vcpu(engine->create_vcpu({0, machine, model, clock}).value()) {
    for (std::uint64_t page = 0; page < 0x200000; page += kPageSize) tables.map(page, page);
    for (std::uint64_t vector = 0; vector < 256; ++vector) {
      set_handler(vector, kHandlers + vector * 16);
      put<std::uint8_t>(kHandlers + vector * 16, 0xf4);
    }
    put<std::uint64_t>(kGdt + 8, 0x00af9b000000ffff);
    put<std::uint64_t>(kGdt + 16, 0x00cf93000000ffff);
    state.idtr = {0xfff, kIdt};
    state.gdtr = {0xff, kGdt};
    state.rip = kCode;
    state.gpr[x86::kRsp] = kStack;
    machine.on_out = [this](std::uint16_t) { vcpu->kick(); };
  }
  void set_handler(std::uint64_t vector, std::uint64_t handler) {
    put<std::uint64_t>(kIdt + vector * 16,
                       (handler & 0xffff) | 8u << 16 | 0x8e00ull << 32 | handler >> 16 << 48);
  }
  template <class T>
  void put(std::uint64_t address, T data) {
    memory->write_value(PhysAddr{address}, data);
  }
  template <class T>
  T get(std::uint64_t address) {
    T data{};
    memory->read_value(PhysAddr{address}, data);
    return data;
  }
  void code(std::uint64_t address, const Bytes& bytes) {
    memory->write(PhysAddr{address}, std::as_bytes(std::span(bytes)));
  }
  /// Loads `state`, runs once and stores back.
  ExitReason run() {
    vcpu->load(state);
    const auto exit = vcpu->run();
    vcpu->store(state);
    return exit.value();
  }
  std::uint64_t counter(std::string_view name) {
    for (const Counter& c : vcpu->counters())
      if (c.name == name) return c.value;
    return 0;
  }
  /// The vector whose handler halted the CPU.
  std::uint64_t vector() const { return (state.rip - 1 - kHandlers) / 16; }
  std::uint64_t pushed_rip(bool error_code = false) {
    return get<std::uint64_t>(state.gpr[x86::kRsp] + (error_code ? 8 : 0));
  }
};

}  // namespace vireo::engine::test
