#include "machine/machine_builder.h"

#include <algorithm>
#include <utility>

#include "devices/virtio/virtio_9p.h"
#include "devices/virtio/virtio_balloon.h"
#include "devices/virtio/virtio_console.h"
#include "devices/virtio/virtio_entropy.h"
#include "devices/virtio/virtio_net.h"
#include "devices/virtio/virtio_vsock.h"
#include "machine/disk_places.h"
#include "machine/firmware_files.h"
#include "machine/memory_layout.h"
#include "machine/virtio_windows.h"
#include "machine/watched_backend.h"

namespace vireo::machine {

/// The steps of building, with access to what the machine keeps to itself.
class MachineBuilder {
 public:
  MachineBuilder(const MachineConfig& config, HostParts parts)
      : parts_(std::move(parts)), machine_(new Machine(config)) {}

  Result<std::unique_ptr<Machine>> build() {
    TRY(check());
    Machine& m = *machine_;
    const auto devices = virtio_devices();
    m.virtio_windows_ = virtio_window_count(m.config_.command_line, devices);
    if (!vnc_address()) m.display_ = TRY(ScreenFile::parse(m.config_.display));
    TRY(read_images());
    TRY(make_memory());
    m.clock_ = std::make_unique<HostClock>();
    m.loop_ = TRY(EventLoop::create(*m.clock_));
    m.io_loop_ = TRY(EventLoop::create(*m.clock_));
    TRY(make_cpuid());
    TRY(make_console());
    TRY(make_board());
    TRY(make_flash());
    TRY(make_disks());
    TRY(make_networks());
    TRY(make_shares());
    TRY(make_vsock());
    TRY(make_virtio_console());
    TRY(make_entropy());
    TRY(make_balloon());
    TRY(tell_firmware());
    TRY(make_cpus());
    if (const auto address = vnc_address())
      m.vnc_ = TRY(VncDisplay::create(*address, *m.board_->vga(), m.board_->keyboard()));
    make_panic_timer();
    m.initial_state_ = TRY(m.power_on());
    return std::move(machine_);
  }

 private:
  Result<> check() const {
    const MachineConfig& config = machine_->config_;
    if (config.kernel.empty() && config.firmware.empty())
      return usage_error("there is nothing to run: give a disk image, --cdrom or --kernel FILE");
    if (!config.kernel.empty() && !config.firmware.empty())
      return usage_error("a machine begins with --kernel or with --firmware, not with both");
    if (config.cpus == 0) return usage_error("a machine needs at least one CPU");
    constexpr unsigned kMaxCpus = 64;
    if (config.cpus > kMaxCpus) {
      return usage_error("a machine has at most {} CPUs, not {}; give fewer with --cpus", kMaxCpus,
                         config.cpus);
    }
    TRY(check_memory_size(config.memory_bytes));
    return check_balloon(config.balloon_bytes.value_or(0), config.memory_bytes);
  }

  /// Where the screen is served, if it is.
  std::optional<std::string_view> vnc_address() const {
    constexpr std::string_view kVnc = "vnc=";
    const std::string_view display = machine_->config_.display;
    if (!display.starts_with(kVnc)) return std::nullopt;
    return display.substr(kVnc.size());
  }

  Result<> read_images() {
    Machine& m = *machine_;
    if (!m.config_.firmware.empty()) {
      m.firmware_ = TRY(read_firmware(m.config_.firmware, !m.config_.firmware_variables.empty()));
      return {};
    }
    m.boot_image_ =
        TRY(read_boot_image(m.config_.kernel, m.config_.initrd,
                            announce_virtio_windows(m.config_.command_line, m.virtio_windows_)));
    return {};
  }

  Result<> make_memory() {
    Machine& m = *machine_;
    auto regions = ram_regions(m.config_.memory_bytes);
    if (m.firmware_) regions.push_back(firmware_region(*m.firmware_));
    m.memory_ = TRY(
        memory::GuestMemory::create(std::move(regions), m.has_vga() ? devices::Vga::kMemory : 0));
    return {};
  }

  Result<> make_cpuid() {
    Machine& m = *machine_;
    x86::CpuidModel::Topology topology;
    topology.cpus = m.config_.cpus;
    topology.tsc_hz = m.clock_->tsc_hz();
    const std::string model =
        m.config_.cpu.empty() ? std::string(x86::CpuidModel::default_model()) : m.config_.cpu;
    m.cpuid_ = TRY(x86::CpuidModel::parse(model, topology));
    return {};
  }

  Result<> make_console() {
    Machine& m = *machine_;
    m.console_ = std::make_unique<ConsoleWatch>([&m] { m.on_kernel_gave_up(); });
    m.serial_ = std::make_unique<WatchedBackend>(std::move(parts_.serial), *m.console_);
    if (parts_.console)
      m.virtio_console_ = std::make_unique<WatchedBackend>(std::move(parts_.console), *m.console_);
    m.channels_ = std::move(parts_.channels);
    m.debug_console_ = std::move(parts_.debug_console);
    TRY(watch(*m.serial_));
    if (m.virtio_console_) TRY(watch(*m.virtio_console_));
    for (const auto& channel : m.channels_) TRY(watch(*channel));
    return {};
  }

  Result<> watch(backends::CharBackend& backend) {
    const int fd = backend.poll_fd();
    if (fd < 0) return {};
    return machine_->loop_->watch(fd, {.readable = true},
                                  [&backend](EventLoop::Ready) { backend.on_readable(); });
  }

  Result<> make_board() {
    Machine& m = *machine_;
    BoardConfig config;
    config.cpus = m.config_.cpus;
    config.memory_bytes = m.config_.memory_bytes;
    config.physical_address_bits = m.cpuid_->physical_address_bits();
    config.x2apic = m.cpuid_->features().has(x86::Feature::kX2apic);
    config.tsc_deadline = m.cpuid_->features().has(x86::Feature::kTscDeadline);
    config.debug_exit = m.config_.debug_exit;
    config.ide = m.firmware_.has_value() || needs_ide();
    config.vga = m.has_vga();
    config.firmware = m.firmware_.has_value();
    config.virtio_in_memory = m.virtio_windows_ != 0;
    BoardRequests requests{[&m] { m.on_reset_request(); }, [&m] { m.end(EndReason::kPowerOff); },
                           [&m](std::uint32_t value) { m.on_debug_exit(value); }};
    m.board_ = std::make_unique<Board>(config,
                                       Board::Host{*m.clock_, *m.loop_, *m.io_loop_, *m.memory_,
                                                   *m.serial_, m.debug_console_.get()},
                                       std::move(requests));
    return m.board_->attach();
  }

  unsigned virtio_devices() const {
    auto count =
        static_cast<unsigned>(parts_.networks.size() + parts_.shares.size() +
                              (parts_.vsock ? 1 : 0) + (has_virtio_console() ? 1 : 0) +
                              (parts_.random ? 1 : 0) + (machine_->config_.balloon_bytes ? 1 : 0));
    for (std::size_t i = 0; i < parts_.disks.size(); ++i) count += is_ide(i) ? 0 : 1;
    return count;
  }

  bool is_ide(std::size_t disk) const {
    const auto& disks = machine_->config_.disks;
    return disk < disks.size() && disks[disk].interface == "ide";
  }

  bool needs_ide() const {
    if (!parts_.cdroms.empty()) return true;
    for (std::size_t i = 0; i < parts_.disks.size(); ++i) {
      if (is_ide(i)) return true;
    }
    return false;
  }

  Result<> make_flash() {
    Machine& m = *machine_;
    if (!parts_.firmware_variables || !m.firmware_) return {};
    m.firmware_variables_ = std::move(parts_.firmware_variables);
    FirmwareVariables& variables = *m.firmware_variables_;
    return m.board_->attach_flash(
        variables_base(*m.firmware_, variables.content().size()), variables.content(),
        [&variables](std::uint64_t offset, std::span<const std::byte> bytes) {
          return variables.keep(offset, bytes);
        });
  }

  /// Disks in the order in which they are given, then CD-ROMs; firmware is to try them so.
  Result<> make_disks() {
    Machine& m = *machine_;
    m.disks_ = std::move(parts_.disks);
    m.cdroms_ = std::move(parts_.cdroms);
    DiskPlaces places(*m.board_, *m.memory_, m.config_.cpus);
    for (std::size_t i = 0; i < m.disks_.size(); ++i) {
      const std::string serial = fmt::format("vireo-disk-{}", i);
      auto& slot = m.disk_slots_.emplace_back();
      if (!is_ide(i)) slot = m.board_->virtio().size();
      TRY(is_ide(i) ? places.add_ide_disk(*m.disks_[i], serial)
                    : places.add_virtio_disk(*m.disks_[i], serial));
    }
    for (std::size_t i = 0; i < m.cdroms_.size(); ++i)
      TRY(places.add_cdrom(*m.cdroms_[i], fmt::format("vireo-cdrom-{}", i)));
    boot_order_ = places.boot_order();
    return {};
  }

  Result<> make_networks() {
    using devices::virtio::VirtioNet;
    Machine& m = *machine_;
    for (backends::NetworkPart& part : parts_.networks) {
      auto& backend = *m.networks_.emplace_back(std::move(part.backend));
      auto card = std::make_unique<VirtioNet>(backend, *m.memory_, part.mac,
                                              std::min(m.config_.cpus, VirtioNet::kMostPairs));
      m.cards_.push_back({card.get(), m.board_->virtio().size()});
      TRY(m.board_->virtio().add(std::move(card)));
    }
    return {};
  }

  Result<> make_shares() {
    Machine& m = *machine_;
    for (std::size_t i = 0; i < parts_.shares.size(); ++i) {
      TRY(m.board_->virtio().add(std::make_unique<devices::virtio::Virtio9p>(
          std::move(parts_.shares[i]), m.config_.shares.at(i).tag, *m.memory_)));
    }
    return {};
  }

  Result<> make_vsock() {
    Machine& m = *machine_;
    if (!parts_.vsock) return {};
    return m.board_->virtio().add(std::make_unique<devices::virtio::VirtioVsock>(
        std::move(parts_.vsock), m.config_.vsock.value_or(VsockConfig{}).cid, *m.memory_,
        *m.io_loop_));
  }

  bool has_virtio_console() const { return parts_.console || !parts_.channels.empty(); }

  Result<> make_virtio_console() {
    Machine& m = *machine_;
    std::vector<devices::virtio::VirtioConsole::Channel> channels;
    for (std::size_t i = 0; i < m.channels_.size(); ++i)
      channels.push_back({m.channels_[i].get(), m.config_.channels.at(i).name});
    if (!m.virtio_console_ && channels.empty()) return {};
    return m.board_->virtio().add(std::make_unique<devices::virtio::VirtioConsole>(
        m.virtio_console_.get(), channels, *m.memory_));
  }

  Result<> make_entropy() {
    Machine& m = *machine_;
    if (!parts_.random) return {};
    return m.board_->virtio().add(
        std::make_unique<devices::virtio::VirtioEntropy>(*m.memory_, std::move(parts_.random)));
  }

  /// The last: one that was not asked for yields to everything else.
  Result<> make_balloon() {
    Machine& m = *machine_;
    const auto bytes = m.config_.balloon_bytes;
    if (!bytes || (*bytes == 0 && m.board_->virtio().full())) return {};
    auto balloon = std::make_unique<devices::virtio::VirtioBalloon>(*m.memory_, *bytes);
    m.balloon_ = balloon.get();
    return m.board_->virtio().add(std::move(balloon));
  }

  Result<> tell_firmware() {
    Machine& m = *machine_;
    if (!m.firmware_) return {};
    const std::vector<std::byte> video_bios = TRY(read_video_bios());
    return add_firmware_files(m.board_->fw_cfg(), {m.firmware_tables(), boot_order_, video_bios,
                                                   [&m] { return m.board_->pm_base(); }});
  }

  Result<> make_cpus() {
    Machine& m = *machine_;
    VcpuOwner& owner = m;
    m.engine_ = TRY(parts_.create_engine(m.config_.engine, *m.memory_));
    for (unsigned index = 0; index < m.config_.cpus; ++index) {
      auto port = std::make_unique<VcpuPort>(index, m.board_->apic(index), m.board_->surroundings(),
                                             m.busy_cpus_);
      auto vcpu = TRY(m.engine_->create_vcpu({index, *port, *m.cpuid_, *m.clock_, m.loop_.get()}));
      auto thread = std::make_unique<VcpuThread>(index, std::move(vcpu), owner, m.busy_cpus_,
                                                 m.cpuid_->signature());
      thread->connect(port->paravirt());
      m.board_->pins(index).connect(*thread);
      m.vcpus_.push_back({std::move(port), std::move(thread)});
    }
    return {};
  }

  void make_panic_timer() {
    Machine& m = *machine_;
    m.panic_timer_ = m.loop_->create_timer([&m] {
      const bool silent = m.console_->bytes() == m.panic_bytes_ && m.halts() == m.panic_halts_;
      if (silent && m.console_->panicked()) m.end(EndReason::kPanic, m.console_->panic());
    });
  }

  HostParts parts_;
  std::vector<std::string> boot_order_;
  std::unique_ptr<Machine> machine_;
};

Result<std::unique_ptr<Machine>> build_machine(const MachineConfig& config, HostParts parts) {
  return MachineBuilder(config, std::move(parts)).build();
}

}  // namespace vireo::machine
