#include "devices/virtio/flow_table.h"

#include <cstring>

namespace vireo::devices::virtio {
namespace {

// Ethernet II, RFC 791 (IPv4), RFC 8200 (IPv6).
constexpr std::size_t kEthernet = 14, kEtherType = 12, kIpv4Header = 20, kIpv6Header = 40;
constexpr std::uint8_t kTcp = 6, kUdp = 17;

unsigned byte_at(std::span<const std::byte> bytes, std::size_t at) {
  return std::to_integer<unsigned>(bytes[at]);
}

/// The words of a row, all combined in any order.
std::uint32_t folded(std::span<const std::byte> bytes) {
  std::uint32_t sum = 0, word = 0;
  for (; bytes.size() >= sizeof(word); bytes = bytes.subspan(sizeof(word))) {
    std::memcpy(&word, bytes.data(), sizeof(word));
    sum += word;
  }
  return sum;
}

/// Two ports, whichever is the sender's.
std::uint32_t ports(std::span<const std::byte> frame, std::size_t at, unsigned protocol) {
  if ((protocol != kTcp && protocol != kUdp) || frame.size() < at + 4) return 0;
  return (byte_at(frame, at) << 8 | byte_at(frame, at + 1)) +
         (byte_at(frame, at + 2) << 8 | byte_at(frame, at + 3));
}

unsigned mixed(std::uint32_t sum) {
  constexpr std::uint32_t kGoldenRatio = 0x9e3779b9;
  return sum * kGoldenRatio >> 24;
}

}  // namespace

unsigned flow_of(std::span<const std::byte> frame) {
  static_assert(FlowTable::kFlows == 1 << 8);
  if (frame.size() < kEthernet + kIpv4Header) return 0;
  const unsigned type = byte_at(frame, kEtherType) << 8 | byte_at(frame, kEtherType + 1);
  const auto packet = frame.subspan(kEthernet);
  if (type == 0x0800) {
    const std::uint32_t addresses = folded(packet.subspan(12, 8));
    const bool fragment = ((byte_at(packet, 6) << 8 | byte_at(packet, 7)) & 0x3fff) != 0;
    if (fragment) return mixed(addresses);  // only the first would have ports
    return mixed(addresses + ports(packet, (byte_at(packet, 0) & 0xf) * 4, byte_at(packet, 9)));
  }
  if (type == 0x86dd && packet.size() >= kIpv6Header)
    return mixed(folded(packet.subspan(8, 32)) + ports(packet, kIpv6Header, byte_at(packet, 6)));
  return 0;
}

}  // namespace vireo::devices::virtio
