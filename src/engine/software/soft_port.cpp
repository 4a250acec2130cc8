#include "engine/software/soft_port.h"

#include <algorithm>

#include "engine/software/host_stub.h"
#include "x86/semantics/operands.h"

namespace vireo::engine {

using x86::OrFault;
using x86::Privilege;

/// The CPL may have changed inside the handler that asks (a stack switch), so it is looked up anew.
TlbIndex SoftPort::who(Privilege privilege) const {
  return privilege == Privilege::kSupervisor ? TlbIndex::kSupervisor : mmu_.current();
}

/// Explicit accesses have been checked when their address was made.
OrFault<> SoftPort::check_implicit(LinearAddr address, std::size_t size,
                                   Privilege privilege) const {
  const x86::CpuState& state = cpu_.state;
  if (privilege != Privilege::kSupervisor || !state.long_mode() || size == 0) return Unit{};
  const bool good =
      x86::canonical(state, value(address)) && x86::canonical(state, value(address) + size - 1);
  return good ? OrFault<>(Unit{}) : x86::general_protection();
}

OrFault<> SoftPort::read(LinearAddr address, std::span<std::byte> data, Privilege privilege) {
  TRY(check_implicit(address, data.size(), privilege));
  return mmu_.read(address, data, who(privilege));
}
OrFault<> SoftPort::write(LinearAddr address, std::span<const std::byte> data,
                          Privilege privilege) {
  TRY(check_implicit(address, data.size(), privilege));
  return mmu_.write(address, data, who(privilege));
}
OrFault<> SoftPort::check_write(LinearAddr address, std::size_t size, Privilege privilege) {
  TRY(check_implicit(address, size, privilege));
  return mmu_.check_write(address, size, who(privilege));
}
OrFault<bool> SoftPort::compare_exchange(LinearAddr address, std::span<std::byte> expected,
                                         std::span<const std::byte> desired, Privilege privilege) {
  TRY(check_implicit(address, expected.size(), privilege));
  return mmu_.compare_exchange(address, expected, desired, who(privilege));
}
std::byte* SoftPort::direct(LinearAddr address, std::size_t size, bool write) {
  return mmu_.direct(address, size, write);
}
bool SoftPort::is_device(LinearAddr address) { return mmu_.is_device(address); }
std::uint64_t SoftPort::read_physical(PhysAddr address, std::size_t size) {
  return mmu_.read(address, size);
}

void SoftPort::pio_read(std::uint16_t port, std::span<std::byte> data) {
  ++cpu_.counters.pio_accesses;
  mmu_.note_io_access(port, data.size());
  HostStubs::sync(cpu_.state);
  context_.port.pio_read(port, data);
}
void SoftPort::pio_write(std::uint16_t port, std::span<const std::byte> data) {
  ++cpu_.counters.pio_accesses;
  mmu_.note_io_access(port, data.size());
  HostStubs::sync(cpu_.state);
  context_.port.pio_write(port, data);
}

std::uint64_t SoftPort::clock_tsc() { return context_.clock.tsc(); }

std::optional<std::uint64_t> SoftPort::read_platform_msr(std::uint32_t index) {
  return context_.port.read_msr(index);
}
bool SoftPort::write_platform_msr(std::uint32_t index, std::uint64_t value) {
  return context_.port.write_msr(index, value);
}
std::uint8_t SoftPort::read_cr8() { return context_.port.read_cr8(); }
void SoftPort::write_cr8(std::uint8_t value) { context_.port.write_cr8(value); }

void SoftPort::set_ferr(bool asserted) {
  HostStubs::sync(cpu_.state);
  context_.port.set_ferr(asserted);
}
bool SoftPort::ignne() {
  HostStubs::sync(cpu_.state);
  return context_.port.ignne();
}

/// One is latched while another is in service; two if none is yet.
void SoftPort::latch_nmis() {
  const unsigned limit = cpu_.state.nmi_blocked ? 1 : 2;
  const unsigned waiting = cpu_.state.nmi_pending + cpu_.events.take_nmis();
  cpu_.state.nmi_pending = static_cast<std::uint8_t>(std::min(waiting, limit));
}

bool SoftPort::apic_enabled() const {
  constexpr std::uint32_t kApicBase = 0x1b;
  constexpr std::uint64_t kEnable = 1u << 11;
  const auto base = context_.port.read_msr(kApicBase);
  return !base || (*base & kEnable) != 0;
}
std::uint64_t SoftPort::hypercall(std::uint64_t number,
                                  const std::array<std::uint64_t, 4>& arguments) {
  return context_.port.hypercall(number, arguments);
}

void SoftPort::flush_tlb(x86::TlbFlush kind) {
  mmu_.refresh_mode();
  mmu_.flush(kind);
}
void SoftPort::invalidate_page(LinearAddr address) { mmu_.invalidate_page(address); }
void SoftPort::mode_changed() { mmu_.refresh_mode(); }
void SoftPort::page_tables_changed(bool keep) { mmu_.change_page_tables(keep); }
void SoftPort::forget_pcid(std::uint16_t pcid) { mmu_.forget_pcid(pcid); }

}  // namespace vireo::engine
