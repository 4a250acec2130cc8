#include "machine/hypercalls.h"

#include <thread>

#include "x86/cpu_port.h"

namespace vireo::machine {
namespace {

constexpr std::uint64_t kKickCpu = 5, kSendIpi = 10, kSchedYield = 11;
constexpr std::uint64_t kHighestApicId = 0xfffffffe;

/// Two words of a bitmap of APIC ids, the id of its first bit, and ICR's low word. Answers how many
/// CPUs took the interrupt.
std::uint64_t send_ipi(devices::InterruptSink& interrupts,
                       const std::array<std::uint64_t, 4>& arguments) {
  std::uint64_t taken = 0;
  for (unsigned i = 0; i < 128; ++i) {
    if (((arguments[i / 64] >> (i % 64)) & 1) == 0) continue;
    const std::uint64_t id = arguments[2] + i;
    if (id > kHighestApicId) continue;
    devices::InterruptMessage message;
    message.destination = static_cast<std::uint32_t>(id);
    message.mode = static_cast<devices::DeliveryMode>((arguments[3] >> 8) & 7);
    message.vector = static_cast<std::uint8_t>(arguments[3]);
    taken += interrupts.deliver(message) ? 1 : 0;
  }
  return taken;
}

}  // namespace

std::uint64_t execute_hypercall(devices::InterruptSink& interrupts, CpuKicker& cpus,
                                std::uint64_t number,
                                const std::array<std::uint64_t, 4>& arguments) {
  switch (number) {
    case kKickCpu:
      if (arguments[1] <= kHighestApicId) cpus.kick(static_cast<std::uint32_t>(arguments[1]));
      return 0;
    case kSendIpi:
      return send_ipi(interrupts, arguments);
    case kSchedYield:  // to a CPU whose thread may wait for one of the host's: to whoever waits
      std::this_thread::yield();
      return 0;
    default:
      return static_cast<std::uint64_t>(x86::CpuPort::kUnknownHypercall);
  }
}

}  // namespace vireo::machine
