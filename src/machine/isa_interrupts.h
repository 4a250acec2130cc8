#pragma once
#include <array>
#include <deque>

#include "bus/irq_line.h"
#include "bus/shared_irq_line.h"
#include "devices/irqchip/i8259.h"
#include "devices/irqchip/io_apic.h"
#include "devices/irqchip/irq_fan_out.h"

namespace vireo::machine {

/// The PC's interrupt wiring: each ISA interrupt goes to the PIC and to the I/O APIC, to input 2
/// there for interrupt 0, and any line may have several sources. While the machine is built, each
/// source asks for a line of its own.
class IsaInterrupts {
 public:
  static constexpr unsigned kLines = 16, kPins = devices::IoApic::kInputs;

  IsaInterrupts(devices::Pic& pic, devices::IoApic& io_apic);

  /// `irq` is 0-15 but not 2.
  bus::IrqLine& source(unsigned irq) { return isa_[irq]->add_input(); }
  /// An input of the I/O APIC alone, 0-23.
  bus::IrqLine& pin_source(unsigned pin) { return pins_[pin]->add_input(); }

 private:
  std::deque<bus::SharedIrqLine> shared_;
  std::deque<devices::IrqFanOut> fan_outs_;
  std::array<bus::SharedIrqLine*, kPins> pins_{};
  std::array<bus::SharedIrqLine*, kLines> isa_{};
};

}  // namespace vireo::machine
