#pragma once
#include <cstddef>
#include <mutex>
#include <span>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace vireo::backends {

/// Frames in a file for those who look at networks: the classic pcap format, times in nanoseconds,
/// one write for each frame, so that the file is whole whenever it is read. Thread safe.
class PcapFile {
 public:
  /// Replaces what the file holds.
  static Result<PcapFile> create(const std::string& path);
  PcapFile(PcapFile&& other) noexcept : fd_(std::move(other.fd_)) {}

  /// With the time of now. When the host has no room the rest is left out.
  void write(std::span<const std::byte> frame);

 private:
  PcapFile() = default;
  std::mutex mutex_;  // one record behind another
  UniqueFd fd_;
};

}  // namespace vireo::backends
