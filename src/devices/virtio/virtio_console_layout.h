#pragma once
#include <cstdint>

/// Numbers of virtio consoles. Virtual I/O Device 1.2, 5.3.
namespace vireo::devices::virtio::console {

inline constexpr std::uint64_t kMultiplePorts = 1 << 1;  ///< a feature: ports besides the first

// Queues. 5.3.2.
inline constexpr unsigned kReceive = 0, kTransmit = 1;
inline constexpr unsigned kControlReceive = 2, kControlTransmit = 3;

/// The device configuration. 5.3.4.
struct ConfigSpace {
  std::uint16_t columns = 0, rows = 0;
  std::uint32_t ports = 1;  ///< the largest number of them, the first included
  std::uint32_t emergency_write = 0;
};
static_assert(sizeof(ConfigSpace) == 12);

/// What is said of ports, in either direction. 5.3.6.2.
enum class Event : std::uint16_t {
  kDeviceReady = 0,
  kPortAdd = 1,
  kPortReady = 3,
  kConsolePort = 4,
  kPortOpen = 6,
  kPortName = 7,
};
struct Control {
  std::uint32_t port = 0;
  Event event{};
  std::uint16_t value = 0;
};
static_assert(sizeof(Control) == 8);

}  // namespace vireo::devices::virtio::console
