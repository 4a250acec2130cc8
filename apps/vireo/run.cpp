#include <fmt/format.h>

#include <atomic>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "machine/machine_builder.h"
#include "parse.h"
#include "parse_channel.h"
#include "parse_disk.h"
#include "parse_share.h"
#include "parse_vsock.h"
#include "signals.h"
#include "stats.h"
#include "verbs.h"

namespace vireo::app {
namespace {

/// The options as they were typed.
struct RunOptions {
  machine::MachineConfig config;
  std::string image;
  std::vector<std::string> disks, shares, channels;
  std::string vsock, memory = "512M", balloon, cpus = "1", timeout, stats;
  bool no_reboot = false;
};

Result<machine::MachineConfig> checked(const RunOptions& options) {
  machine::MachineConfig config = options.config;
  if (!options.image.empty()) config.disks.push_back(TRY(parse_disk(options.image)));
  for (const std::string& disk : options.disks) config.disks.push_back(TRY(parse_disk(disk)));
  for (const std::string& share : options.shares) config.shares.push_back(TRY(parse_share(share)));
  for (const std::string& channel : options.channels)
    config.channels.push_back(TRY(parse_channel(channel)));
  if (config.serial.empty()) config.serial = config.console == "stdio" ? "none" : "stdio";
  if (!options.vsock.empty()) config.vsock = TRY(parse_vsock(options.vsock));
  if (config.kernel.empty() && config.firmware.empty()) {
    if (config.disks.empty() && config.cdroms.empty())
      return usage_error("there is nothing to run: give a disk image, --cdrom or --kernel FILE");
    config.firmware = "seabios";
  }
  config.memory_bytes = TRY(parse_size("--memory", options.memory));
  if (options.balloon != "none")
    config.balloon_bytes =
        options.balloon.empty() ? 0 : TRY(parse_size("--balloon", options.balloon));
  config.cpus = TRY(parse_count("--cpus", options.cpus));
  if (!options.timeout.empty()) {
    config.timeout_seconds = TRY(parse_seconds("--timeout", options.timeout));
  }
  if (options.no_reboot && config.reboot_on_triple_fault) {
    return usage_error("--reboot and --no-reboot contradict each other");
  }
  config.reboot = !options.no_reboot;
  if (config.networks.empty() && config.kernel.empty()) config.networks.emplace_back("user");
  return config;
}

void report(const machine::Ending& ending) {
  const std::string what = machine::describe(ending);
  if (what.empty()) return;
  fmt::print(stderr, "vireo: {}\n", what);
  if (machine::exit_status(ending) != 4 || ending.last_lines.empty()) return;
  fmt::print(stderr, "vireo: the last lines of its console were:\n");
  for (const std::string& line : ending.last_lines) fmt::print(stderr, "  | {}\n", line);
}

/// A screen that cannot be saved now is no reason to end the machine.
void report_screen(const Result<>& saved) {
  if (!saved) fmt::print(stderr, "vireo: {}\n", saved.error().message);
}

Result<int> run_machine(const RunOptions& options) {
  const machine::MachineConfig config = TRY(checked(options));
  StatsFile stats = TRY(StatsFile::open(options.stats));
  WatchedSignals signals;
  std::atomic<int> signal = 0;
  std::atomic<machine::Machine*> quitting = nullptr;
  auto parts = TRY(machine::open_host_parts(config, [&] {
    if (machine::Machine* machine = quitting) machine->request_stop(machine::EndReason::kStopped);
  }));
  machine::Ending ending;
  {
    const auto machine = TRY(machine::build_machine(config, std::move(parts)));
    quitting = machine.get();
    TRY(signals.watch(machine->events(), [&](int number) {
      if (number == SIGUSR1) return report_screen(machine->save_screen());
      signal = number;
      machine->request_stop(machine::EndReason::kStopped);
    }));
    ending = machine->run();
    TRY(machine->save_screen());
    TRY(stats.write(machine->statistics(), ending));
  }  // the terminal is as before from here on
  report(ending);
  constexpr int kSignalStatus = 128;
  if (ending.reason == machine::EndReason::kStopped && signal != 0) return kSignalStatus + signal;
  return machine::exit_status(ending);
}

}  // namespace

void add_run(CLI::App& program, Action& action) {
  auto* verb = program.add_subcommand("run", "Run one machine until it ends");
  auto options = std::make_shared<RunOptions>();
  auto& config = options->config;
  config.serial.clear();  // what it is by default depends on --console
  verb->add_option("IMAGE", options->image,
                   "A disk image: the first disk, given as --disk takes it");
  verb->add_option("--kernel", config.kernel,
                   "Kernel: bzImage, vmlinux, PVH or multiboot 1, told apart by content");
  verb->add_option("--initrd", config.initrd,
                   "Initial RAM disk; for multiboot a comma separated list of \"file arguments\"");
  verb->add_option("--append", config.command_line, "Kernel command line");
  verb->add_option("--firmware", config.firmware,
                   "PC firmware: a file, or seabios or ovmf for what those packages install; "
                   "seabios if there is a disk or a CD-ROM and no kernel");
  verb->add_option("--firmware-variables", config.firmware_variables,
                   "A file in which UEFI firmware remembers, such as what to boot; for ovmf it is "
                   "made if there is none (default: it forgets)");
  verb->add_option("--cdrom", config.cdroms, "CD-ROM: an ISO image; may be given several times")
      ->allow_extra_args(false);
  verb->add_option(
          "--disk", options->disks,
          "Disk: FILE[,format=raw|qcow2][,interface=virtio|ide][,readonly]"
          "[,discard-changes][,cache=writeback|none]: through the host's page cache, or past "
          "it; may be given several times")
      ->allow_extra_args(false);
  verb->add_option("--net", config.networks,
                   "Network card: none, user[,forward=tcp|udp:[ADDRESS:]HOSTPORT:GUESTPORT]..., "
                   "switch=NAME or tap=IFNAME|fd:N, each with "
                   "[,mac=ADDRESS][,rate=NMbit][,pcap=FILE]; may be "
                   "given several times (default: user for a guest that boots from a disk, else "
                   "none)")
      ->allow_extra_args(false);
  verb->add_option("--share", options->shares,
                   "Folder of the host for the guest, HOSTDIR=TAG[,readonly]; Linux mounts it with "
                   "mount -t 9p -o trans=virtio TAG /mnt; may be given several times")
      ->allow_extra_args(false);
  verb->add_option("--vsock", options->vsock,
                   "Sockets between host and guest (AF_VSOCK), [cid=N,]dir=PATH: who listens at "
                   "PATH/PORT is reached by the guest, who says \"CONNECT PORT\" at PATH/connect "
                   "reaches it");
  verb->add_option("--memory", options->memory, "Memory, such as 256M or 2G")
      ->capture_default_str();
  verb->add_option("--balloon", options->balloon,
                   "How much of it the guest gives back at its start, such as 128M; or none, for a "
                   "guest that cannot give back memory that is free, either (default: nothing at "
                   "its start)");
  verb->add_option("--cpus", options->cpus, "Number of virtual CPUs")->capture_default_str();
  verb->add_option("--cpu", config.cpu,
                   "CPU model: baseline, v2, v3, host; MODEL,+feature,-feature,vendor=intel|amd "
                   "(see cpu-models)");
  verb->add_option("--engine", config.engine, "How to execute it (see engines)")
      ->capture_default_str();
  verb->add_option("--serial", config.serial,
                   "First serial port: stdio, none, file:PATH, unix:PATH or pty; on a terminal "
                   "Ctrl-A X ends the machine, Ctrl-A H helps")
      ->default_str("stdio");
  verb->add_option(
          "--console", config.console,
          "Virtio console (hvc0), plugged in as --serial is; with stdio the serial port is "
          "plugged into nothing, unless it is told")
      ->capture_default_str();
  verb->add_option("--channel", options->channels,
                   "Stream of bytes by name, NAME=unix:PATH, NAME=pty or NAME=file:PATH; in the "
                   "guest /dev/virtio-ports/NAME; may be given several times")
      ->allow_extra_args(false);
  verb->add_option("--display", config.display,
                   "The screen: none, vnc=[HOST:]PORT for VNC clients, or png:PATH or text:PATH, "
                   "which is written at the end and when SIGUSR1 asks for it")
      ->capture_default_str();
  verb->add_option("--debug-console", config.debug_console,
                   "Where bytes written to port 0xe9, or by firmware to 0x402, go: stdio or "
                   "file:PATH");
  verb->add_flag("--debug-exit", config.debug_exit,
                 "Writing V to port 0xf4 ends the machine with status (V << 1) | 1");
  verb->add_flag("--no-reboot", options->no_reboot,
                 "A reset ends the machine with status 0 instead of restarting it");
  verb->add_flag("--reboot", config.reboot_on_triple_fault,
                 "A triple fault restarts the guest, as on hardware, instead of ending the machine "
                 "with status 4");
  verb->add_option("--timeout", options->timeout,
                   "End the machine with status 124 after so many seconds");
  verb->add_option("--stats", options->stats,
                   "At the end write accounts of the run as JSON to a file, or - for stdout");
  verb->add_flag("--perf-map", config.perf_map,
                 "Write /tmp/perf-PID.map, by which perf names translated code guest:0xRIP");
  verb->callback([&action, options] { action = [options] { return run_machine(*options); }; });
}

}  // namespace vireo::app
