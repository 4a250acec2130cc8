#include "machine/isa_interrupts.h"

namespace vireo::machine {

IsaInterrupts::IsaInterrupts(devices::Pic& pic, devices::IoApic& io_apic) {
  for (unsigned pin = 0; pin < kPins; ++pin) {
    pins_[pin] = &shared_.emplace_back(io_apic.input(pin));
  }
  constexpr unsigned kCascade = 2;
  for (unsigned irq = 0; irq < kLines; ++irq) {
    if (irq == kCascade) continue;
    const unsigned pin = irq == 0 ? 2 : irq;
    auto& fan_out = fan_outs_.emplace_back(
        std::vector<bus::IrqLine*>{&pic.input(irq), &pins_[pin]->add_input()});
    isa_[irq] = &shared_.emplace_back(fan_out);
  }
}

}  // namespace vireo::machine
