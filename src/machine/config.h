#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace vireo::machine {

/// A disk, as its user asked for it.
struct DiskConfig {
  std::string path;
  std::string format;  ///< "raw", "qcow2"; empty: told by content
  std::string interface = "virtio";
  bool read_only = false;
  bool discard_changes = false;  ///< what the guest writes is gone at the end
  bool bypass_cache = false;     ///< the host's page cache keeps nothing of it
};

/// A folder of the host that the guest can mount.
struct ShareConfig {
  std::string path;
  std::string tag;  ///< by which the guest mounts it
  bool read_only = false;
};

/// Sockets between host and guest without a network.
struct VsockConfig {
  std::uint32_t cid = 3;  ///< the guest's address, from 3 on
  std::string folder;     ///< of Unix sockets
};

/// A stream of bytes that the guest finds by its name.
struct ChannelConfig {
  std::string name;
  std::string backend;  ///< as backends::open_char_backend() takes it
};

/// What a machine is made of, as its user asked for it. Plain data; nothing here has been checked.
struct MachineConfig {
  std::string kernel;        ///< file name
  std::string initrd;        ///< file name; for Multiboot a list of modules; empty: none
  std::string command_line;  ///< for the kernel
  std::string firmware;      ///< file name, or one of those that firmware_path() knows; or a kernel
  std::string firmware_variables;  ///< file in which it remembers; empty: it forgets
  std::vector<DiskConfig> disks;
  std::vector<std::string> networks;  ///< cards, each as backends::parse_network() takes it
  std::vector<ShareConfig> shares;
  std::optional<VsockConfig> vsock;
  std::vector<std::string> cdroms;  ///< file names of images
  std::uint64_t memory_bytes = std::uint64_t{512} << 20;
  /// What the guest gives back at its start, by a balloon; without one it cannot give back any.
  std::optional<std::uint64_t> balloon_bytes;
  unsigned cpus = 1;
  std::string cpu;  ///< CPU model; empty: the highest of v1..v3 that the host has
  std::string engine = "auto";
  std::string serial = "stdio";  ///< as backends::open_char_backend() takes it
  std::string console = "none";  ///< the virtio console, as the serial port
  std::vector<ChannelConfig> channels;
  std::string debug_console;     ///< as backends::open_char_output() takes it; empty: none
  std::string display = "none";  ///< none, vnc=ADDRESS, or a ScreenFile
  bool debug_exit = false;       ///< the exit port at 0xf4
  bool perf_map = false;         ///< names host code made of guest code for `perf report`
  /// A reset restarts the guest; otherwise it ends the machine.
  bool reboot = true;
  /// A triple fault is a reset too, as on hardware; otherwise it ends the machine as a failure.
  bool reboot_on_triple_fault = false;
  std::optional<double> timeout_seconds;  ///< of host time
};

}  // namespace vireo::machine
