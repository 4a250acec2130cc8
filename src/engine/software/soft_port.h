#pragma once
#include "engine/engine.h"
#include "engine/software/cpu.h"
#include "engine/software/soft_mmu.h"
#include "x86/cpu_port.h"

namespace vireo::engine {

/// What the semantics ask of the software engines: memory by the soft MMU, the rest by the machine.
class SoftPort final : public x86::CpuPort {
 public:
  SoftPort(Cpu& cpu, SoftMmu& mmu, const VcpuContext& context)
      : cpu_(cpu), mmu_(mmu), context_(context) {}

  using x86::CpuPort::read;
  x86::OrFault<> read(LinearAddr address, std::span<std::byte> data, x86::Privilege) override;
  x86::OrFault<> write(LinearAddr address, std::span<const std::byte> data,
                       x86::Privilege) override;
  x86::OrFault<> check_write(LinearAddr address, std::size_t size, x86::Privilege) override;
  x86::OrFault<bool> compare_exchange(LinearAddr address, std::span<std::byte> expected,
                                      std::span<const std::byte> desired, x86::Privilege) override;
  std::byte* direct(LinearAddr address, std::size_t size, bool write) override;
  bool is_device(LinearAddr address) override;
  std::uint64_t read_physical(PhysAddr address, std::size_t size) override;
  void pio_read(std::uint16_t port, std::span<std::byte> data) override;
  void pio_write(std::uint16_t port, std::span<const std::byte> data) override;
  std::uint64_t clock_tsc() override;
  std::optional<std::uint64_t> read_platform_msr(std::uint32_t index) override;
  bool write_platform_msr(std::uint32_t index, std::uint64_t value) override;
  std::uint8_t read_cr8() override;
  void write_cr8(std::uint8_t value) override;
  const x86::CpuidModel& cpuid() const override { return context_.cpuid; }
  std::uint32_t apic_id() const override { return context_.index; }
  bool apic_enabled() const override;
  void set_ferr(bool asserted) override;
  bool ignne() override;
  void latch_nmis() override;
  void pause() override { context_.port.pause(); }
  std::uint64_t hypercall(std::uint64_t number,
                          const std::array<std::uint64_t, 4>& arguments) override;
  void flush_tlb(x86::TlbFlush kind) override;
  void invalidate_page(LinearAddr address) override;
  void mode_changed() override;
  void page_tables_changed(bool keep) override;
  void forget_pcid(std::uint16_t pcid) override;

 private:
  TlbIndex who(x86::Privilege privilege) const;
  x86::OrFault<> check_implicit(LinearAddr address, std::size_t size, x86::Privilege) const;

  Cpu& cpu_;
  SoftMmu& mmu_;
  VcpuContext context_;
};

}  // namespace vireo::engine
