#include "devices/virtio/virtio_pci_access.h"

#include <array>

#include "bus/access_split.h"
#include "devices/virtio/virtio_pci_layout.h"

namespace vireo::devices::virtio {
namespace {

constexpr unsigned kBar = 4, kOffset = 8, kLength = 12, kData = 16, kSize = 20;

}  // namespace

VirtioPciAccess::VirtioPciAccess(unsigned bar, bus::BusDevice& window, std::uint64_t size)
    : PciCapability(pci::kVendorCapability, kSize), bar_(bar), window_(window), size_(size) {}

void VirtioPciAccess::define() {
  define8(2, kSize, 0);
  define8(3, pci::kAccessCapability, 0);
  define8(kBar, 0, 0xff);
  define32(kOffset, 0, 0xffffffff);
  define32(kLength, 0, 0xffffffff);
  define32(kData, 0, 0xffffffff);
}

unsigned VirtioPciAccess::access_size() const {
  const std::uint64_t offset = config32(kOffset), length = config32(kLength);
  const bool possible = length == 1 || length == 2 || length == 4;
  if (!possible || config8(kBar) != bar_ || offset % length != 0 || offset + length > size_)
    return 0;
  return static_cast<unsigned>(length);
}

void VirtioPciAccess::on_read(unsigned offset, unsigned) {
  const unsigned size = access_size();
  if (offset != kData || size == 0) return;
  std::array<std::byte, 4> data{};
  window_.read(config32(kOffset), std::span(data).first(size));
  store_config32(kData, static_cast<std::uint32_t>(bus::to_number(data)));
}

void VirtioPciAccess::on_written(unsigned offset, unsigned) {
  const unsigned size = access_size();
  if (offset != kData || size == 0) return;
  std::array<std::byte, 4> data{};
  bus::from_number(data, config32(kData));
  window_.write(config32(kOffset), std::span(data).first(size));
}

}  // namespace vireo::devices::virtio
