#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "base/address.h"
#include "x86/fault.h"

namespace vireo::x86 {

class CpuidModel;
class FeatureSet;

/// On whose behalf memory is accessed. SDM vol. 3A, 4.6.
enum class Privilege : std::uint8_t {
  kCurrent,     ///< as the CPL says: an explicit data access of the instruction
  kSupervisor,  ///< an implicit access to a descriptor table, TSS or IDT, whatever the CPL.
                ///< SMAP applies even if EFLAGS.AC is set. #GP(0) if it is not canonical
};

/// Which translations stop being valid. SDM vol. 3A, 4.10.4.
enum class TlbFlush : std::uint8_t {
  kNonGlobal,  ///< all of the current PCID but global ones
  kAnyPcid,    ///< all of any PCID but global ones
  kAll,        ///< everything, global and of any PCID
};

/// What the semantics in this layer ask of the engine that executes them: memory, the machine's
/// ports and clock, and to be told when what it caches is stale. One per virtual CPU, called only
/// on its thread.
class CpuPort {
 public:
  virtual ~CpuPort() = default;

  // Linear memory. Accesses of at most 64 bytes may cross a page; either all of it happens or none.
  virtual OrFault<> read(LinearAddr address, std::span<std::byte> data, Privilege) = 0;
  virtual OrFault<> write(LinearAddr address, std::span<const std::byte> data, Privilege) = 0;
  /// Faults exactly as a write of `size` bytes would, without writing. Any size.
  virtual OrFault<> check_write(LinearAddr address, std::size_t size, Privilege) = 0;
  /// Locked compare-and-exchange of 1, 2, 4, 8 or 16 bytes (`expected` and `desired` have that
  /// size). On a mismatch `expected` is updated and false is the answer. Needs write permission.
  virtual OrFault<bool> compare_exchange(LinearAddr address, std::span<std::byte> expected,
                                         std::span<const std::byte> desired, Privilege) = 0;

  /// The host address of guest memory that may be accessed without further checks: `size` bytes
  /// that lie in one page. Null if there is none; then the methods above must be used. Valid until
  /// any other call to the port.
  virtual std::byte* direct(LinearAddr address, std::size_t size, bool write) {
    static_cast<void>(address), static_cast<void>(size), static_cast<void>(write);
    return nullptr;
  }

  /// Whether a device, not memory, is at a readable address: it must be accessed just once.
  virtual bool is_device(LinearAddr address) {
    static_cast<void>(address);
    return false;
  }

  // Physical memory, for page walks and PDPTEs.
  virtual std::uint64_t read_physical(PhysAddr address, std::size_t size) = 0;

  // Port I/O: the device has acted when these return. `data` has 1, 2 or 4 bytes.
  virtual void pio_read(std::uint16_t port, std::span<std::byte> data) = 0;
  virtual void pio_write(std::uint16_t port, std::span<const std::byte> data) = 0;

  /// The clock's time-stamp counter, before CpuState::tsc_offset.
  virtual std::uint64_t clock_tsc() = 0;
  /// MSRs that belong to the machine (local APIC, TSC deadline, KVM's). Empty or false: no such
  /// MSR, or a value it refuses; the guest gets #GP(0). Of IA32_TSC a guest with KVMCLOCK tells the
  /// machine CpuState::tsc_offset, whenever that may have changed; what is answered does not
  /// matter.
  virtual std::optional<std::uint64_t> read_platform_msr(std::uint32_t index) = 0;
  virtual bool write_platform_msr(std::uint32_t index, std::uint64_t value) = 0;
  /// The task-priority register as CR8 shows it: 0-15.
  virtual std::uint8_t read_cr8() = 0;
  virtual void write_cr8(std::uint8_t value) = 0;

  virtual const CpuidModel& cpuid() const = 0;
  /// The local APIC's id as it is after power-on: what CPUID shows.
  virtual std::uint32_t apic_id() const { return 0; }
  /// Whether IA32_APIC_BASE enables the local APIC: CPUID shows none otherwise.
  virtual bool apic_enabled() const { return true; }
  /// Pins by which x87 exceptions are reported while CR0.NE is clear. SDM vol. 1, 8.7.2.
  virtual void set_ferr(bool asserted) { static_cast<void>(asserted); }
  /// Whether they are to be ignored; only while FERR# is asserted.
  virtual bool ignne() { return false; }
  /// NMIs are about to be unblocked: CpuState::nmi_pending is to say whether one has come
  /// meanwhile.
  virtual void latch_nmis() {}
  /// PAUSE: the guest waits for another of its CPUs.
  virtual void pause() {}
  /// VMCALL: the guest asks its monitor. `number` is RAX, `arguments` are RBX, RCX, RDX and RSI;
  /// the answer goes to RAX.
  virtual std::uint64_t hypercall(std::uint64_t number,
                                  const std::array<std::uint64_t, 4>& arguments) {
    static_cast<void>(number), static_cast<void>(arguments);
    return static_cast<std::uint64_t>(kUnknownHypercall);
  }
  static constexpr std::int64_t kUnknownHypercall = -1000, kHypercallNotPermitted = -1;

  // Told after the state has changed.
  virtual void flush_tlb(TlbFlush kind) = 0;
  /// CR3 was loaded. With `keep` translations that were made under its PCID before may still be
  /// used, but need not be. SDM vol. 3A, 4.10.4.1.
  virtual void page_tables_changed([[maybe_unused]] bool keep) {
    flush_tlb(TlbFlush::kNonGlobal);
    mode_changed();
  }
  /// Translations of a PCID that is not the current one are no longer valid.
  virtual void forget_pcid([[maybe_unused]] std::uint16_t pcid) { flush_tlb(TlbFlush::kAll); }
  /// INVLPG: the page that holds the address, in the current PCID and global.
  virtual void invalidate_page(LinearAddr address) = 0;
  /// CR0, CR4, EFER, CS, SS, PKRU, XCR0, debug registers or the privilege level changed: modes and
  /// permissions that the engine has cached must be computed again.
  virtual void mode_changed() = 0;

  // Conveniences over the above.
  template <class T>
  OrFault<T> read(LinearAddr address, Privilege privilege) {
    T result;
    auto status = read(address, std::as_writable_bytes(std::span(&result, 1)), privilege);
    if (!status) return tl::unexpected(status.error());
    return result;
  }
  template <class T>
  OrFault<> write_value(LinearAddr address, const T& data, Privilege privilege) {
    return write(address, std::as_bytes(std::span(&data, 1)), privilege);
  }
};

}  // namespace vireo::x86
