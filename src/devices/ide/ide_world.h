#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bus/access_split.h"
#include "devices/ide/ata_disk.h"
#include "devices/ide/ata_registers.h"
#include "devices/ide/atapi_cdrom.h"
#include "devices/ide/ide_channel.h"
#include "devices/virtio/fake_disk.h"

namespace vireo::devices::test {

struct IdeLine final : bus::IrqLine {
  void set_level(bool value) override {
    if (value && !high) ++edges;
    high = value;
  }
  bool high = false;
  unsigned edges = 0;
};

/// A channel with a disk and a CD-ROM, and a driver's way to reach for them.
struct IdeWorld {
  static constexpr std::uint64_t kMemory = 0x100000, kTable = 0x1000, kData = 0x10000;
  static constexpr std::uint16_t kError = 1, kCount = 2, kLow = 3, kMid = 4, kHigh = 5, kDevice = 6,
                                 kStatus = 7;
  static constexpr std::uint8_t kReady = 0x50, kFailed = 0x51, kWantsData = 0x58, kBusy = 0x80;

  explicit IdeWorld(bool read_only = false, std::size_t disk_bytes = 4 << 20)
      : disk(disk_bytes, read_only), disc(64 * 2048, true) {
    for (std::size_t i = 0; i < disk.content.size(); ++i)
      disk.content[i] = std::byte((i * 7 >> 3 ^ i >> 9) & 0xff);
    for (std::size_t i = 0; i < disc.content.size(); ++i)
      disc.content[i] = std::byte((i * 5 >> 2 ^ i >> 11) & 0xff);
    channel.add(0, std::make_unique<AtaDisk>(disk, "a serial"));
    channel.add(1, std::make_unique<AtapiCdrom>(disc, "another"));
  }
  ~IdeWorld() { disk.run(), disc.run(); }

  // The ports.
  std::uint8_t in(std::uint64_t port) {
    std::byte value{};
    channel.command_ports().read(port, {&value, 1});
    return std::to_integer<std::uint8_t>(value);
  }
  void out(std::uint64_t port, unsigned value) {
    const auto byte = static_cast<std::byte>(value);
    channel.command_ports().write(port, {&byte, 1});
  }
  std::uint8_t quiet_status() {
    std::byte value{};
    channel.control_ports().read(0, {&value, 1});
    return std::to_integer<std::uint8_t>(value);
  }
  void control(unsigned value) {
    const auto byte = static_cast<std::byte>(value);
    channel.control_ports().write(0, {&byte, 1});
  }
  std::vector<std::byte> take(std::size_t bytes) {
    std::vector<std::byte> data((bytes + 1) / 2 * 2);  // words
    for (std::size_t i = 0; i < bytes; i += 2)
      channel.command_ports().read(0, std::span(data).subspan(i, 2));
    data.resize(bytes);
    return data;
  }
  void give(std::span<const std::byte> data) {
    for (std::size_t i = 0; i < data.size(); i += 2)
      channel.command_ports().write(0, data.subspan(i, 2));
  }

  // The bus master.
  std::uint8_t master(std::uint64_t offset) {
    std::byte value{};
    channel.master_ports().read(offset, {&value, 1});
    return std::to_integer<std::uint8_t>(value);
  }
  void set_master(std::uint64_t offset, std::uint64_t value, std::size_t size = 1) {
    std::array<std::byte, 8> data{};
    bus::from_number(data, value);
    channel.master_ports().write(offset, std::span(data).first(size));
  }
  /// A table with these regions, the last marked.
  void put_table(const std::vector<std::pair<std::uint32_t, std::uint32_t>>& regions) {
    for (std::size_t i = 0; i < regions.size(); ++i) {
      const std::uint32_t last = i + 1 == regions.size() ? 0x80000000u : 0u;
      memory->write_value(PhysAddr{kTable + 8 * i}, regions[i].first);
      memory->write_value(PhysAddr{kTable + 8 * i + 4}, (regions[i].second & 0xffff) | last);
    }
    set_master(4, kTable, 4);
  }
  void start_master(bool to_memory) { set_master(0, to_memory ? 9 : 1); }
  std::vector<std::byte> at(std::uint64_t address, std::size_t bytes) {
    std::vector<std::byte> data(bytes);
    memory->read(PhysAddr{address}, data);
    return data;
  }

  // Commands.
  void command(unsigned code, std::uint64_t sector, unsigned count) {
    out(kDevice, 0x40 | (sector >> 24 & 0xf));
    out(kCount, count);
    out(kLow, sector & 0xff);
    out(kMid, sector >> 8 & 0xff);
    out(kHigh, sector >> 16 & 0xff);
    out(kStatus, code);
  }
  void wide_command(unsigned code, std::uint64_t sector, unsigned count) {
    out(kDevice, 0x40);
    const std::pair<std::uint16_t, std::uint64_t> registers[] = {
        {kCount, count >> 8}, {kLow, sector >> 24}, {kMid, sector >> 32}, {kHigh, sector >> 40},
        {kCount, count},      {kLow, sector},       {kMid, sector >> 8},  {kHigh, sector >> 16}};
    for (const auto& [port, value] : registers) out(port, value & 0xff);
    out(kStatus, code);
  }
  /// A packet command for the CD-ROM; `limit` bytes at a time, or by DMA.
  void packet(std::vector<unsigned> bytes, unsigned limit = 0x8000, bool dma = false) {
    out(kDevice, 0x10);
    out(kError, dma ? 1 : 0);
    out(kMid, limit & 0xff);
    out(kHigh, limit >> 8);
    out(kStatus, 0xa0);
    bytes.resize(12);
    std::vector<std::byte> data;
    for (const unsigned byte : bytes) data.push_back(static_cast<std::byte>(byte));
    give(data);
  }
  static std::vector<std::byte> part(const virtio::FakeDisk& from, std::size_t offset,
                                     std::size_t bytes) {
    const auto begin = from.content.begin() + static_cast<std::ptrdiff_t>(offset);
    return {begin, begin + static_cast<std::ptrdiff_t>(bytes)};
  }

  std::unique_ptr<memory::GuestMemory> memory = std::move(
      *memory::GuestMemory::create({{PhysAddr{0}, kMemory, memory::RegionKind::kRam, "ram"}}));
  virtio::FakeDisk disk, disc;
  IdeLine irq;
  IdeChannel channel{irq, *memory};
};

}  // namespace vireo::devices::test
