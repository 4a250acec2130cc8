#include "backends/network/offload.h"

#include <algorithm>
#include <array>
#include <cstring>

// Checksums: RFC 1071, summed up as the host's words, which gives the sum in the order of memory.
namespace vireo::backends {
namespace {

constexpr std::size_t kEthernetHeader = 14, kVlanTag = 4, kEtherType = 12;
constexpr std::uint16_t kIpv4Type = 0x0800, kIpv6Type = 0x86dd, kVlanType = 0x8100;
constexpr std::size_t kIpv4Header = 20, kIpv6Header = 40, kTcpHeader = 20;
constexpr std::uint8_t kTcp = 6;

// Offsets in the headers of IPv4 (RFC 791), IPv6 (RFC 8200) and TCP (RFC 9293).
constexpr std::size_t kTotalLength = 2, kIdentification = 4, kFragment = 6, kProtocol = 9;
constexpr std::size_t kIpv4Checksum = 10, kIpv4Addresses = 12;
constexpr std::size_t kPayloadLength = 4, kNextHeader = 6, kIpv6Addresses = 8;
constexpr std::size_t kSequence = 4, kDataOffset = 12, kTcpFlags = 13, kTcpChecksum = 16;
constexpr std::uint8_t kFin = 0x01, kPush = 0x08, kCwr = 0x80;

using Bytes = std::span<const std::byte>;

unsigned byte_at(Bytes bytes, std::size_t at) { return std::to_integer<unsigned>(bytes[at]); }
std::uint16_t load16(Bytes bytes, std::size_t at) {
  return static_cast<std::uint16_t>(byte_at(bytes, at) << 8 | byte_at(bytes, at + 1));
}
void store16(std::span<std::byte> bytes, std::size_t at, unsigned value) {
  bytes[at] = std::byte(value >> 8 & 0xff);
  bytes[at + 1] = std::byte(value & 0xff);
}
void add32(std::span<std::byte> bytes, std::size_t at, std::uint32_t more) {
  const std::uint32_t sum = (std::uint32_t{load16(bytes, at)} << 16 | load16(bytes, at + 2)) + more;
  store16(bytes, at, sum >> 16);
  store16(bytes, at + 2, sum & 0xffff);
}

/// Frames are so short that 64 bits do not overflow.
std::uint64_t sum_up(Bytes bytes) {
  std::uint64_t sum = 0;
  std::size_t at = 0;
  for (; at + 4 <= bytes.size(); at += 4) {
    std::uint32_t word;
    std::memcpy(&word, &bytes[at], 4);
    sum += word;
  }
  std::array<std::byte, 4> rest{};
  std::copy(bytes.begin() + static_cast<std::ptrdiff_t>(at), bytes.end(), rest.begin());
  std::uint32_t word;
  std::memcpy(&word, rest.data(), 4);
  return sum + word;
}

std::uint16_t folded(std::uint64_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

void put_checksum(std::span<std::byte> bytes, std::size_t at, std::uint64_t sum) {
  std::uint16_t checksum = folded(sum);
  // Zero means "none" to UDP (RFC 768), and is the same to all others.
  if (checksum == 0) checksum = 0xffff;
  std::memcpy(&bytes[at], &checksum, sizeof(checksum));
}

/// Where the headers of a TCP segment begin.
struct TcpFrame {
  bool ipv6 = false;
  std::size_t ip = 0, tcp = 0, payload = 0;
};

std::optional<std::size_t> find_tcp(Bytes frame, const TcpFrame& at) {
  if (at.ipv6) {
    if (frame.size() < at.ip + kIpv6Header || byte_at(frame, at.ip) >> 4 != 6 ||
        byte_at(frame, at.ip + kNextHeader) != kTcp)
      return std::nullopt;
    return at.ip + kIpv6Header;
  }
  if (frame.size() < at.ip + kIpv4Header || byte_at(frame, at.ip) >> 4 != 4 ||
      byte_at(frame, at.ip + kProtocol) != kTcp)
    return std::nullopt;
  constexpr unsigned kMoreOrOffset = 0x3fff;
  const std::size_t length = (byte_at(frame, at.ip) & 0xf) * std::size_t{4};
  if (length < kIpv4Header || (load16(frame, at.ip + kFragment) & kMoreOrOffset) != 0)
    return std::nullopt;
  return at.ip + length;
}

std::optional<TcpFrame> parse_tcp(Bytes frame) {
  TcpFrame at;
  at.ip = kEthernetHeader;
  if (frame.size() < at.ip + kVlanTag) return std::nullopt;
  std::uint16_t type = load16(frame, kEtherType);
  if (type == kVlanType) {
    type = load16(frame, kEtherType + kVlanTag);
    at.ip += kVlanTag;
  }
  if (type != kIpv4Type && type != kIpv6Type) return std::nullopt;
  at.ipv6 = type == kIpv6Type;
  const auto tcp = find_tcp(frame, at);
  if (!tcp || frame.size() < *tcp + kTcpHeader) return std::nullopt;
  at.tcp = *tcp;
  const std::size_t length = (byte_at(frame, at.tcp + kDataOffset) >> 4) * std::size_t{4};
  at.payload = at.tcp + length;
  if (length < kTcpHeader || frame.size() < at.payload) return std::nullopt;
  return at;
}

std::uint64_t pseudo_header(Bytes frame, const TcpFrame& at) {
  std::array<std::byte, 4> rest{};
  rest[1] = std::byte{kTcp};
  store16(rest, 2, static_cast<unsigned>(frame.size() - at.tcp));
  const Bytes addresses = at.ipv6 ? frame.subspan(at.ip + kIpv6Addresses, 32)
                                  : frame.subspan(at.ip + kIpv4Addresses, 8);
  return sum_up(addresses) + sum_up(rest);
}

void put_ipv4_length(std::span<std::byte> frame, std::size_t ip, std::size_t header) {
  store16(frame, ip + kTotalLength, static_cast<unsigned>(frame.size() - ip));
  store16(frame, ip + kIpv4Checksum, 0);
  put_checksum(frame, ip + kIpv4Checksum, sum_up(frame.subspan(ip, header)));
}

/// The headers of one segment of many, whose bytes are copied already.
void correct_headers(std::span<std::byte> frame, const TcpFrame& at, std::size_t number,
                     std::size_t position, bool last) {
  if (at.ipv6) {
    store16(frame, at.ip + kPayloadLength,
            static_cast<unsigned>(frame.size() - at.ip - kIpv6Header));
  } else {
    const unsigned first = load16(frame, at.ip + kIdentification);
    store16(frame, at.ip + kIdentification, first + static_cast<unsigned>(number));
    put_ipv4_length(frame, at.ip, at.tcp - at.ip);
  }
  add32(frame, at.tcp + kSequence, static_cast<std::uint32_t>(position));
  if (!last) frame[at.tcp + kTcpFlags] &= ~std::byte{kFin | kPush};
  if (number != 0) frame[at.tcp + kTcpFlags] &= ~std::byte{kCwr};
  store16(frame, at.tcp + kTcpChecksum, 0);
  put_checksum(frame, at.tcp + kTcpChecksum,
               pseudo_header(frame, at) + sum_up(frame.subspan(at.tcp)));
}

}  // namespace

bool sound(const FrameHeader& header, Bytes frame) {
  if (frame.size() < kLeastFrameBytes || frame.size() > kMostFrameBytes) return false;
  const bool needs_checksum = (header.flags & FrameHeader::kNeedsChecksum) != 0;
  if (needs_checksum &&
      std::size_t{header.checksum_start} + header.checksum_offset + 2 > frame.size())
    return false;
  if (header.segmentation == FrameHeader::kWhole) return true;
  const unsigned kind = header.segmentation & ~FrameHeader::kEcn;
  if (kind != FrameHeader::kTcp4 && kind != FrameHeader::kTcp6) return false;
  const auto at = parse_tcp(frame);
  return at && at->ipv6 == (kind == FrameHeader::kTcp6) && needs_checksum &&
         header.checksum_start == at->tcp && header.checksum_offset == kTcpChecksum &&
         header.segment_bytes >= kLeastSegmentBytes;
}

void finish_checksum(FrameHeader& header, std::span<std::byte> frame) {
  if ((header.flags & FrameHeader::kNeedsChecksum) != 0) {
    put_checksum(frame, std::size_t{header.checksum_start} + header.checksum_offset,
                 sum_up(frame.subspan(header.checksum_start)));
    header.flags = FrameHeader::kChecksumValid;
  }
  header = {.flags = header.flags};
}

void segment(const FrameHeader& header, Bytes frame, std::size_t first,
             std::vector<std::byte>& scratch, const std::function<bool(Bytes)>& emit) {
  const auto at = parse_tcp(frame);
  if (!at) return;
  const std::size_t end = frame.size() - at->payload;
  std::size_t number = first, position = first * header.segment_bytes;
  if (position > end) return;
  do {
    const std::size_t size = std::min<std::size_t>(header.segment_bytes, end - position);
    scratch.assign(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(at->payload));
    const Bytes payload = frame.subspan(at->payload + position, size);
    scratch.insert(scratch.end(), payload.begin(), payload.end());
    correct_headers(scratch, *at, number, position, position + size == end);
    if (!emit(scratch)) return;
    ++number;
    position += size;
  } while (position < end);
}

std::optional<FrameHeader> leave_to_segment(std::span<std::byte> frame, std::uint16_t mtu) {
  const auto at = parse_tcp(frame);
  if (!at || mtu < at->payload - at->ip + kLeastSegmentBytes) return std::nullopt;
  const std::uint16_t sum = folded(pseudo_header(frame, *at));
  const auto pseudo = static_cast<std::uint16_t>(~sum);
  std::memcpy(&frame[at->tcp + kTcpChecksum], &pseudo, sizeof(pseudo));
  return FrameHeader{FrameHeader::kNeedsChecksum,
                     at->ipv6 ? FrameHeader::kTcp6 : FrameHeader::kTcp4,
                     static_cast<std::uint16_t>(at->payload),
                     static_cast<std::uint16_t>(mtu - (at->payload - at->ip)),
                     static_cast<std::uint16_t>(at->tcp),
                     kTcpChecksum,
                     0};
}

bool fragment(Bytes frame, std::uint16_t mtu, std::vector<std::byte>& scratch,
              const std::function<void(Bytes)>& emit) {
  constexpr std::size_t kIp = kEthernetHeader;
  constexpr unsigned kMoreFragments = 0x2000, kOffsetBits = 0x1fff, kUnit = 8;
  if (frame.size() < kIp + kIpv4Header || load16(frame, kEtherType) != kIpv4Type) return false;
  const std::size_t header = (byte_at(frame, kIp) & 0xf) * std::size_t{4};
  const unsigned flags = load16(frame, kIp + kFragment);
  if (header < kIpv4Header || frame.size() < kIp + header || mtu < header + kUnit ||
      (flags & (kMoreFragments | kOffsetBits)) != 0)
    return false;
  const Bytes payload = frame.subspan(kIp + header);
  const std::size_t most = (mtu - header) / kUnit * kUnit;
  for (std::size_t position = 0; position < payload.size(); position += most) {
    const Bytes part = payload.subspan(position, std::min(most, payload.size() - position));
    scratch.assign(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(kIp + header));
    scratch.insert(scratch.end(), part.begin(), part.end());
    const bool last = position + part.size() == payload.size();
    store16(scratch, kIp + kFragment,
            static_cast<unsigned>(position / kUnit) | (last ? 0 : kMoreFragments));
    put_ipv4_length(scratch, kIp, header);
    emit(scratch);
  }
  return true;
}

}  // namespace vireo::backends
