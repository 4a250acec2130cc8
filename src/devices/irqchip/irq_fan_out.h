#pragma once
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

}  // namespace vireo::devices
