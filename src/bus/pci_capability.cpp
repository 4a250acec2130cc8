#include "bus/pci_capability.h"

#include "bus/pci_device.h"

namespace vireo::bus {

void PciCapability::define8(unsigned offset, std::uint8_t value, std::uint8_t writable) {
  function_->define8(offset_ + offset, value, writable);
}
void PciCapability::define16(unsigned offset, std::uint16_t value, std::uint16_t writable) {
  function_->define16(offset_ + offset, value, writable);
}
void PciCapability::define32(unsigned offset, std::uint32_t value, std::uint32_t writable) {
  function_->define32(offset_ + offset, value, writable);
}

std::uint8_t PciCapability::config8(unsigned offset) const {
  return function_->config8(offset_ + offset);
}
std::uint16_t PciCapability::config16(unsigned offset) const {
  return function_->config16(offset_ + offset);
}
std::uint32_t PciCapability::config32(unsigned offset) const {
  return function_->config32(offset_ + offset);
}
void PciCapability::store_config32(unsigned offset, std::uint32_t value) {
  function_->store_config32(offset_ + offset, value);
}

}  // namespace vireo::bus
