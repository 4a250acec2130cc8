#pragma once
#include <cstddef>
#include <deque>
#include <mutex>
#include <utility>
#include <vector>

#include "bus/irq_line.h"

namespace vireo::devices {

/// One output wired to several inputs: ISA interrupt n goes to input n of the PIC and of the I/O
/// APIC (0 goes to input 2 there). The inputs outlive it. Thread safe.
class IrqFanOut final : public bus::IrqLine {
 public:
  explicit IrqFanOut(std::vector<bus::IrqLine*> inputs) : inputs_(std::move(inputs)) {}
  void set_level(bool high) override {
    for (bus::IrqLine* input : inputs_) input->set_level(high);
  }

 private:
  const std::vector<bus::IrqLine*> inputs_;
};

/// Several outputs wired to one input: high while any of them is. Sources are added while the
/// machine is built; each is a line of its own and lives as long as this object. Thread safe.
class IrqWiredOr {
 public:
  explicit IrqWiredOr(bus::IrqLine& input) : input_(input) {}
  IrqWiredOr(const IrqWiredOr&) = delete;

  bus::IrqLine& add_source() { return sources_.emplace_back(*this); }

 private:
  struct Source final : bus::IrqLine {
    explicit Source(IrqWiredOr& owner) : wire(owner) {}
    void set_level(bool high) override { wire.change(*this, high); }
    IrqWiredOr& wire;
    bool level = false;
  };

  void change(Source& source, bool high) {
    const std::lock_guard lock(mutex_);
    if (source.level != high) count_ += high ? 1U : std::size_t(0) - 1U;
    source.level = high;
    input_.set_level(count_ != 0);
  }

  bus::IrqLine& input_;
  std::mutex mutex_;
  std::deque<Source> sources_;
  std::size_t count_ = 0;
};

}  // namespace vireo::devices
