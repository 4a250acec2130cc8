#pragma once
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "engine/engine.h"

// For tests of this layer: an engine whose "guest" is a C++ function.
namespace vireo::machine::test {

class FakeVcpu;
/// Called by run(); it should return soon after kicked() is true.
using Script = std::function<Result<engine::ExitReason>(FakeVcpu&)>;

class FakeVcpu final : public engine::EngineVcpu {
 public:
  FakeVcpu(Script script, const engine::VcpuContext* context)
      : script_(std::move(script)), context_(context) {}

  Result<engine::ExitReason> run() override {
    if (kicked_.exchange(false)) return engine::ExitReason::kKicked;
    ++runs;
    return script_(*this);
  }
  void kick() noexcept override { kicked_ = true; }
  void notify_interrupt() noexcept override { ++interrupts; }
  void notify_nmi() noexcept override { ++nmis; }
  void load(const x86::CpuState& s) override { state = s; }
  void store(x86::CpuState& s) const override { s = state; }
  void flush_tlb() override { ++flushes; }
  std::vector<engine::Counter> counters() const override { return {{"instructions", runs}}; }

  // For scripts.
  bool kicked() const { return kicked_; }
  /// Guest code that loops until somebody interrupts it.
  Result<engine::ExitReason> spin() {
    while (!kicked_.exchange(false)) std::this_thread::sleep_for(std::chrono::microseconds(100));
    return engine::ExitReason::kKicked;
  }
  engine::MachinePort& port() { return context_->port; }
  void out(std::uint16_t number, std::uint64_t value, std::size_t size = 1) {
    port().pio_write(number, std::as_bytes(std::span(&value, 1)).first(size));
  }
  std::uint32_t in(std::uint16_t number, std::size_t size = 1) {
    std::uint32_t value = 0;
    port().pio_read(number, std::as_writable_bytes(std::span(&value, 1)).first(size));
    return value;
  }
  void print(const std::string& text) {
    for (const char c : text) out(0x3f8, static_cast<std::uint8_t>(c));
  }

  x86::CpuState state;
  std::atomic<unsigned> runs = 0, interrupts = 0, nmis = 0, flushes = 0;

 private:
  const Script script_;
  const engine::VcpuContext* const context_;
  std::atomic<bool> kicked_ = false;
};

class FakeEngine final : public engine::Engine {
 public:
  explicit FakeEngine(Script script) : script_(std::move(script)) {}
  std::string_view name() const override { return "fake"; }
  Result<std::unique_ptr<engine::EngineVcpu>> create_vcpu(
      const engine::VcpuContext& context) override {
    contexts_.push_back(std::make_unique<engine::VcpuContext>(context));
    return std::make_unique<FakeVcpu>(script_, contexts_.back().get());
  }

 private:
  Script script_;
  std::vector<std::unique_ptr<engine::VcpuContext>> contexts_;
};

}  // namespace vireo::machine::test
