#pragma once
#include <cstdint>
#include <span>

#include "bus/bus_device.h"

namespace vireo::bus {

/// One of several windows of a larger device: hands accesses to two of its member functions.
template <class Owner>
class Window final : public BusDevice {
 public:
  using Reader = void (Owner::*)(std::uint64_t offset, std::span<std::byte> data);
  using Writer = void (Owner::*)(std::uint64_t offset, std::span<const std::byte> data);
  Window(Owner& owner, Reader reader, Writer writer)
      : owner_(owner), reader_(reader), writer_(writer) {}

  void read(std::uint64_t offset, std::span<std::byte> data) override {
    (owner_.*reader_)(offset, data);
  }
  void write(std::uint64_t offset, std::span<const std::byte> data) override {
    (owner_.*writer_)(offset, data);
  }

 private:
  Owner& owner_;
  Reader reader_;
  Writer writer_;
};

/// The same for byte-wide registers: a wider access is one call per byte, in order.
template <class Owner>
class ByteWindow final : public BusDevice {
 public:
  using Reader = std::uint8_t (Owner::*)(unsigned offset);
  using Writer = void (Owner::*)(unsigned offset, std::uint8_t value);
  ByteWindow(Owner& owner, Reader reader, Writer writer)
      : owner_(owner), reader_(reader), writer_(writer) {}

  void read(std::uint64_t offset, std::span<std::byte> data) override {
    for (std::size_t i = 0; i < data.size(); ++i)
      data[i] = std::byte{(owner_.*reader_)(static_cast<unsigned>(offset + i))};
  }
  void write(std::uint64_t offset, std::span<const std::byte> data) override {
    for (std::size_t i = 0; i < data.size(); ++i)
      (owner_.*writer_)(static_cast<unsigned>(offset + i), std::to_integer<std::uint8_t>(data[i]));
  }

 private:
  Owner& owner_;
  Reader reader_;
  Writer writer_;
};

}  // namespace vireo::bus
