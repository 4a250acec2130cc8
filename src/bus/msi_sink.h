#pragma once
#include <cstdint>

namespace vireo::bus {

/// Takes message-signalled interrupts: a 32-bit write to 0xfeexxxxx. SDM vol. 3A, 10.11.
/// Callable from any thread.
class MsiSink {
 public:
  virtual ~MsiSink() = default;
  virtual void send_msi(std::uint64_t address, std::uint32_t data) = 0;
};

}  // namespace vireo::bus
