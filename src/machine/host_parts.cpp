#include <sys/random.h>

#include <algorithm>

#include "backends/block/open_block.h"
#include "devices/virtio/virtio_9p.h"
#include "devices/virtio/virtio_console.h"
#include "engine/engines.h"
#include "engine/perf_map.h"
#include "machine/machine_builder.h"

namespace vireo::machine {
namespace {

Result<> check_interface(const DiskConfig& disk) {
  if (disk.interface == "virtio" || disk.interface == "ide") return {};
  return usage_error("a disk has interface=virtio or interface=ide, not interface={}",
                     disk.interface);
}

/// A guest that looks for a tag finds one folder.
Result<> check_tag(const ShareConfig& share, const std::vector<ShareConfig>& all) {
  constexpr std::size_t kMost = devices::virtio::Virtio9p::kMostTagBytes;
  if (share.tag.empty() || share.tag.size() > kMost)
    return usage_error("the tag of a shared folder has 1 to {} characters", kMost);
  const auto same = [&](const ShareConfig& other) { return other.tag == share.tag; };
  if (std::ranges::count_if(all, same) > 1)
    return usage_error("two shared folders have the tag '{}'; give each its own", share.tag);
  return {};
}

Result<> check_channels(const std::vector<ChannelConfig>& channels) {
  constexpr std::size_t kMost = devices::virtio::VirtioConsole::kMostChannels;
  if (channels.size() > kMost)
    return usage_error("a machine has room for {} channels, not {}", kMost, channels.size());
  for (const ChannelConfig& channel : channels) {
    const auto same = [&](const ChannelConfig& other) { return other.name == channel.name; };
    if (std::ranges::count_if(channels, same) > 1)
      return usage_error("two channels have the name '{}'; give each its own", channel.name);
    if (channel.backend == "stdio")
      return usage_error("a channel is no terminal; use file:PATH, unix:PATH or pty for '{}'",
                         channel.name);
  }
  return {};
}

/// The kernel's generator, which is seeded long before anybody runs this.
void fill_with_random(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::getrandom(bytes.data(), bytes.size(), 0);
    if (count > 0) bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

}  // namespace

Result<HostParts> open_host_parts(const MachineConfig& config, std::function<void()> quit) {
  HostParts parts;
  engine::EngineOptions options;
  if (config.perf_map) {
    options.code_listener = TRY(engine::PerfMap::create(engine::PerfMap::default_path()));
  }
  parts.create_engine = [options](std::string_view name, memory::GuestMemory& memory) {
    return engine::create_engine(name, memory, options);
  };
  TRY(check_channels(config.channels));
  if (config.console != "none") {
    if (config.console == "stdio" && config.serial == "stdio")
      return usage_error("the terminal is for --console or for --serial, not for both");
    parts.console = TRY(backends::open_char_backend(config.console, {quit}));
  }
  for (const ChannelConfig& channel : config.channels)
    parts.channels.push_back(TRY(backends::open_char_backend(channel.backend)));
  parts.serial = TRY(backends::open_char_backend(config.serial, {std::move(quit)}));
  if (!config.debug_console.empty()) {
    parts.debug_console = TRY(backends::open_char_output(config.debug_console));
  }
  for (const DiskConfig& disk : config.disks) {
    TRY(check_interface(disk));
    parts.disks.push_back(TRY(backends::open_block_backend(
        {disk.path, disk.format, disk.read_only, disk.discard_changes, disk.bypass_cache})));
  }
  for (const std::string& network : config.networks) {
    const auto wanted = TRY(backends::parse_network(network));
    if (!wanted) continue;
    const auto index = static_cast<unsigned>(parts.networks.size());
    parts.networks.push_back(TRY(backends::open_network(*wanted, index)));
  }
  for (const ShareConfig& share : config.shares) {
    TRY(check_tag(share, config.shares));
    parts.shares.push_back(TRY(backends::SharedFolder::open(share.path, share.read_only)));
  }
  if (!config.firmware_variables.empty()) {
    if (config.firmware.empty())
      return usage_error("--firmware-variables are of --firmware: a kernel has none");
    parts.firmware_variables =
        TRY(FirmwareVariables::open(config.firmware_variables, config.firmware));
  }
  if (config.vsock) parts.vsock = TRY(backends::SocketFolder::open(config.vsock->folder));
  for (const std::string& path : config.cdroms)
    parts.cdroms.push_back(
        TRY(backends::open_block_backend({.path = path, .format = "raw", .read_only = true})));
  parts.random = fill_with_random;
  return parts;
}

}  // namespace vireo::machine
