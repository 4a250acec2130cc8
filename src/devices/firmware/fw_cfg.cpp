#include "devices/firmware/fw_cfg.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/assert.h"
#include "bus/access_split.h"

namespace vireo::devices {
namespace {

constexpr std::uint16_t kFirstFile = 0x20;
constexpr std::size_t kFileNameSize = 56, kMaxFiles = 0x1000;
constexpr std::uint64_t kSelector = 0, kData = 1, kDmaHigh = 4, kDmaLow = 8;
constexpr std::string_view kDmaSignature = "QEMU CFG";
constexpr std::uint32_t kHasDma = 0x2, kTraditional = 0x1;

// The control field of a DMA request.
constexpr std::uint32_t kDmaError = 0x01, kDmaRead = 0x02, kDmaSkip = 0x04, kDmaSelect = 0x08,
                        kDmaWrite = 0x10;

std::vector<std::uint8_t> little_endian(std::uint64_t value, unsigned size) {
  std::vector<std::uint8_t> bytes;
  for (unsigned i = 0; i < size; ++i) bytes.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  return bytes;
}
void append_big_endian(std::vector<std::uint8_t>& bytes, std::uint64_t value, unsigned size) {
  for (unsigned i = size; i-- > 0;) bytes.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}
std::uint64_t from_big_endian(std::span<const std::byte> bytes) {
  std::uint64_t value = 0;
  for (const std::byte byte : bytes) value = value << 8 | std::to_integer<std::uint64_t>(byte);
  return value;
}

}  // namespace

FwCfg::FwCfg(memory::GuestMemory& memory, const Machine& machine) : memory_(memory) {
  add_item(kSignature, {'Q', 'E', 'M', 'U'});
  add_item(kIdentity, little_endian(kTraditional | kHasDma, 4));
  add_item(kMemorySize, little_endian(machine.memory_bytes, 8));
  add_item(kNoGraphic, little_endian(machine.graphics ? 0 : 1, 2));
  add_item(kCpuCount, little_endian(machine.cpus, 2));
  add_item(kMaxCpus, little_endian(machine.cpus, 2));
  build_directory();
}

void FwCfg::add_item(std::uint16_t key, std::vector<std::uint8_t> bytes) {
  items_[key] = std::move(bytes);
}

Result<> FwCfg::add_file(std::string_view name, std::vector<std::uint8_t> bytes) {
  if (name.empty() || name.size() >= kFileNameSize)
    return usage_error("the firmware file name '{}' must have 1 to {} characters", name,
                       kFileNameSize - 1);
  if (files_.contains(name)) return usage_error("there is a firmware file '{}' already", name);
  if (files_.size() >= kMaxFiles) return usage_error("there are too many firmware files");
  const auto key = static_cast<std::uint16_t>(kFirstFile + files_.size());
  files_.emplace(name, key);
  add_item(key, std::move(bytes));
  build_directory();
  return Unit{};
}

Result<> FwCfg::add_made_file(std::string_view name, Maker make) {
  TRY(add_file(name, make()));
  makers_.emplace(files_.find(name)->second, std::move(make));
  return {};
}

void FwCfg::build_directory() {
  std::vector<std::uint8_t> directory;
  append_big_endian(directory, files_.size(), 4);
  for (const auto& [name, key] : files_) {
    append_big_endian(directory, items_[key].size(), 4);
    append_big_endian(directory, key, 2);
    append_big_endian(directory, 0, 2);
    directory.insert(directory.end(), name.begin(), name.end());
    directory.resize(directory.size() + kFileNameSize - name.size());
  }
  add_item(kDirectory, std::move(directory));
}

void FwCfg::read(std::uint64_t offset, std::span<std::byte> data) {
  std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < data.size(); ++i) {
    const std::uint64_t at = offset + i;
    if (at >= kDmaHigh && at < kDmaHigh + kDmaSignature.size())
      data[i] = static_cast<std::byte>(kDmaSignature[at - kDmaHigh]);
    else
      data[i] = at == kData && data.size() == 1 ? std::byte{next_byte()} : std::byte{0};
  }
}

void FwCfg::write(std::uint64_t offset, std::span<const std::byte> data) {
  std::lock_guard lock(mutex_);
  if (offset == kSelector && data.size() == 2) {
    select(static_cast<std::uint16_t>(bus::to_number(data)));
  } else if (offset == kDmaHigh && data.size() == 4) {
    state_.dma_address_high = static_cast<std::uint32_t>(from_big_endian(data));
  } else if (offset == kDmaLow && data.size() == 4) {
    const std::uint64_t high = std::exchange(state_.dma_address_high, 0);
    run_dma(high << 32 | from_big_endian(data));
  } else if (offset == kDmaHigh && data.size() == 8) {
    run_dma(from_big_endian(data));
  }
}

void FwCfg::select(std::uint16_t key) {
  state_.selected = key;
  state_.offset = 0;
  const auto maker = makers_.find(key);
  if (maker == makers_.end()) return;
  auto bytes = maker->second();
  VIREO_ASSERT(bytes.size() == items_[key].size());  // the directory tells it
  items_[key] = std::move(bytes);
}

std::span<const std::uint8_t> FwCfg::rest_of_item() const {
  const auto item = items_.find(state_.selected);
  if (item == items_.end() || state_.offset >= item->second.size()) return {};
  return std::span(item->second).subspan(state_.offset);
}

/// Behind the end of an item there are zeros; the offset stops where it cannot count further.
void FwCfg::skip(std::uint32_t bytes) {
  const std::uint32_t room = std::numeric_limits<std::uint32_t>::max() - state_.offset;
  state_.offset += std::min(bytes, room);
}

std::uint8_t FwCfg::next_byte() {
  const auto rest = rest_of_item();
  const std::uint8_t byte = rest.empty() ? std::uint8_t{0} : rest[0];
  skip(1);
  return byte;
}

/// The request: control, length and address, big endian. The answer goes where control was.
void FwCfg::run_dma(std::uint64_t address) {
  std::array<std::byte, 16> request{};
  if (!memory_.read(PhysAddr{address}, request)) return;
  const auto control = static_cast<std::uint32_t>(from_big_endian(std::span(request).first(4)));
  const auto length = static_cast<std::uint32_t>(from_big_endian(std::span(request).subspan(4, 4)));
  const std::uint64_t target = from_big_endian(std::span(request).subspan(8));
  if (control & kDmaSelect) select(static_cast<std::uint16_t>(control >> 16));
  bool good = true;
  if (control & kDmaRead)
    good = copy_to_guest(target, length);
  else if (control & kDmaWrite)
    good = false;  // no item can be written
  else if (control & kDmaSkip)
    skip(length);
  const std::array<std::byte, 4> answer{std::byte{0}, std::byte{0}, std::byte{0},
                                        std::byte{static_cast<std::uint8_t>(good ? 0 : kDmaError)}};
  memory_.write(PhysAddr{address}, answer);
}

bool FwCfg::copy_to_guest(std::uint64_t address, std::uint32_t length) {
  static constexpr std::array<std::byte, 4096> kZeros{};
  if (address + length < address) return false;
  while (length > 0) {
    const auto rest = rest_of_item();
    const auto source = rest.empty() ? std::span<const std::byte>(kZeros) : std::as_bytes(rest);
    const auto part = source.first(std::min<std::size_t>(length, source.size()));
    if (!memory_.write(PhysAddr{address}, part)) return false;
    const auto size = static_cast<std::uint32_t>(part.size());
    skip(size);
    address += size;
    length -= size;
  }
  return true;
}

void FwCfg::reset() {
  std::lock_guard lock(mutex_);
  state_ = {};
}

FwCfgState FwCfg::state() const {
  std::lock_guard lock(mutex_);
  return state_;
}
Result<> FwCfg::restore(const FwCfgState& state) {
  std::lock_guard lock(mutex_);
  state_ = state;
  return Unit{};
}

}  // namespace vireo::devices
