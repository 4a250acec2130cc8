#include "devices/irqchip/i8259.h"

#include "base/assert.h"
#include "bus/access_split.h"

namespace vireo::devices {

Pic::Pic(bus::IrqLine& intr)
    : intr_(intr),
      master_ports_(*this, master_),
      slave_ports_(*this, slave_),
      elcr_ports_(*this),
      master_(I8259::Role::kMaster),
      slave_(I8259::Role::kSlave) {
  for (unsigned irq = 0; irq < kInputs; ++irq) {
    inputs_[irq].pic = this;
    inputs_[irq].irq = irq;
  }
}

bus::IrqLine& Pic::input(unsigned irq) {
  VIREO_ASSERT(irq < kInputs && irq != kCascade);
  return inputs_[irq];
}

std::optional<std::uint8_t> Pic::acknowledge() {
  const std::lock_guard lock(mutex_);
  if (!master_.state().initialized) return std::nullopt;
  const unsigned irq = master_.acknowledge();
  std::uint8_t vector = master_.vector(irq);
  // The slave drops INT with every acknowledge, so that another request is another edge.
  if (irq == kCascade && slave_.state().initialized) {
    vector = slave_.vector(slave_.acknowledge());
    master_.set_input(kCascade, false);
  }
  update();
  return vector;
}

PicState Pic::state() const {
  const std::lock_guard lock(mutex_);
  return {master_.state(), slave_.state()};
}

Result<> Pic::restore(const PicState& state) {
  const std::lock_guard lock(mutex_);
  I8259 master(I8259::Role::kMaster);
  I8259 slave(I8259::Role::kSlave);
  TRY(master.restore(state.master));
  TRY(slave.restore(state.slave));
  TRY(master_.restore(state.master));
  TRY(slave_.restore(state.slave));
  update();
  return Unit{};
}

void Pic::reset() {
  const std::lock_guard lock(mutex_);
  master_.reset();
  slave_.reset();
  update();
}

void Pic::set_input(unsigned irq, bool high) {
  const std::lock_guard lock(mutex_);
  (irq < 8 ? master_ : slave_).set_input(irq & 7, high);
  update();
}

void Pic::update() {
  master_.set_input(kCascade, slave_.output());
  if (master_.output() == intr_level_) return;
  intr_level_ = master_.output();
  intr_.set_level(intr_level_);
}

void Pic::ChipPorts::read(std::uint64_t offset, std::span<std::byte> data) {
  const std::lock_guard lock(pic.mutex_);
  bus::for_each_byte(offset, data, [this](std::uint64_t port, std::uint8_t& byte) {
    const bool poll = chip.state().poll;
    byte = chip.read(static_cast<unsigned>(port & 1));
    if (poll && &chip == &pic.slave_) pic.master_.set_input(kCascade, false);  // an acknowledge too
  });
  pic.update();
}

void Pic::ChipPorts::write(std::uint64_t offset, std::span<const std::byte> data) {
  const std::lock_guard lock(pic.mutex_);
  for (std::size_t i = 0; i < data.size(); ++i)
    chip.write(static_cast<unsigned>((offset + i) & 1), std::to_integer<std::uint8_t>(data[i]));
  pic.update();
}

void Pic::ElcrPorts::read(std::uint64_t offset, std::span<std::byte> data) {
  const std::lock_guard lock(pic.mutex_);
  bus::for_each_byte(offset, data, [this](std::uint64_t port, std::uint8_t& byte) {
    byte = (port == 0 ? pic.master_ : pic.slave_).read_elcr();
  });
}

void Pic::ElcrPorts::write(std::uint64_t offset, std::span<const std::byte> data) {
  const std::lock_guard lock(pic.mutex_);
  for (std::size_t i = 0; i < data.size(); ++i)
    (offset + i == 0 ? pic.master_ : pic.slave_).write_elcr(std::to_integer<std::uint8_t>(data[i]));
  pic.update();
}

}  // namespace vireo::devices
