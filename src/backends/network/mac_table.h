#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>

namespace vireo::backends {

/// Behind which port of a switch an Ethernet address was seen last.
class MacTable {
 public:
  /// More are not remembered: who invents addresses makes the switch flood, and nothing else.
  static constexpr std::size_t kMostAddresses = 4096;
  static constexpr std::uint64_t kLifetimeMs = 300'000;

  /// The 48 bits at the start of `bytes`, in the order of the wire.
  static std::uint64_t address_at(std::span<const std::byte> bytes) {
    std::uint64_t result = 0;
    for (const std::byte byte : bytes.first(6))
      result = result << 8 | std::to_integer<unsigned>(byte);
    return result;
  }
  static bool is_group(std::uint64_t address) { return (address >> 40 & 1) != 0; }

  void learn(std::uint64_t address, std::uint64_t port, std::uint64_t now_ms) {
    if (is_group(address)) return;
    if (entries_.size() >= kMostAddresses && !entries_.contains(address)) {
      std::erase_if(entries_, [=](const auto& e) { return expired(e.second, now_ms); });
      if (entries_.size() >= kMostAddresses) return;
    }
    entries_[address] = {port, now_ms};
  }
  /// Empty if it is for several ports, or for one not known.
  std::optional<std::uint64_t> find(std::uint64_t address, std::uint64_t now_ms) const {
    const auto found = entries_.find(address);
    if (found == entries_.end() || expired(found->second, now_ms)) return std::nullopt;
    return found->second.port;
  }
  void forget_port(std::uint64_t port) {
    std::erase_if(entries_, [=](const auto& entry) { return entry.second.port == port; });
  }

 private:
  struct Entry {
    std::uint64_t port = 0, seen_ms = 0;
  };
  static bool expired(const Entry& entry, std::uint64_t now_ms) {
    return now_ms - entry.seen_ms > kLifetimeMs;
  }
  std::unordered_map<std::uint64_t, Entry> entries_;
};

}  // namespace vireo::backends
