#include "machine/vcpu_port.h"

#include <thread>

namespace vireo::machine {
namespace {

// Each counter has one writer, so no locked instruction is needed.
void count(AccessCounts::Count& counter) {
  counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

}  // namespace

void VcpuPort::mmio_read(PhysAddr address, std::span<std::byte> data) {
  if (apic_.mmio_read(value(address), data)) return count(counts_.apic);
  count(counts_.mmio);
  around_.mmio.read(value(address), data);
}

void VcpuPort::mmio_write(PhysAddr address, std::span<const std::byte> data) {
  if (apic_.mmio_write(value(address), data)) return count(counts_.apic);
  count(counts_.mmio);
  around_.mmio.write(value(address), data);
}

void VcpuPort::pio_read(std::uint16_t port, std::span<std::byte> data) {
  count((*counts_.ports)[port]);
  around_.pio.read(port, data);
}

void VcpuPort::pio_write(std::uint16_t port, std::span<const std::byte> data) {
  count((*counts_.ports)[port]);
  around_.pio.write(port, data);
}

std::optional<std::uint8_t> VcpuPort::acknowledge_interrupt() {
  paravirt_.refresh_steal_time();  // before the guest's timer interrupt accounts for it
  const auto vector = apic_.acknowledge_interrupt();
  if (vector) count(counts_.interrupts);
  return vector;
}

std::optional<std::uint64_t> VcpuPort::read_msr(std::uint32_t index) {
  if (ParavirtCpu::owns_msr(index)) return paravirt_.read_msr(index);
  count(counts_.apic_msrs);
  return apic_.read_msr(index);
}

bool VcpuPort::write_msr(std::uint32_t index, std::uint64_t value) {
  if (ParavirtCpu::owns_msr(index)) return paravirt_.write_msr(index, value);
  count(counts_.apic_msrs);
  return apic_.write_msr(index, value);
}

/// Where there are processors for all CPUs of the machine, other machines may want one.
void VcpuPort::pause() {
  constexpr unsigned kPatience = 64;
  if (!cpus_.crowded() && ++pauses_ < kPatience) return __builtin_ia32_pause();
  pauses_ = 0;
  std::this_thread::yield();
}

std::uint64_t VcpuPort::hypercall(std::uint64_t number,
                                  const std::array<std::uint64_t, 4>& arguments) {
  count(counts_.hypercalls);
  return execute_hypercall(around_.interrupts, around_.kicker, number, arguments);
}

}  // namespace vireo::machine
