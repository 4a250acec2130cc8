#include "backends/network/offload.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

namespace vireo::backends {
namespace {

using Frame = std::vector<std::byte>;

void put16(Frame& frame, std::size_t at, unsigned value) {
  frame[at] = std::byte(value >> 8 & 0xff), frame[at + 1] = std::byte(value & 0xff);
}
unsigned get16(const Frame& frame, std::size_t at) {
  return std::to_integer<unsigned>(frame[at]) << 8 | std::to_integer<unsigned>(frame[at + 1]);
}
unsigned get32(const Frame& frame, std::size_t at) {
  return get16(frame, at) << 16 | get16(frame, at + 2);
}

/// RFC 1071 as it is written there: big-endian words, one by one.
unsigned plain_sum(const Frame& frame, std::size_t from, std::size_t to, unsigned sum = 0) {
  for (; from < to; from += 2)
    sum += std::to_integer<unsigned>(frame[from]) << 8 |
           (from + 1 < to ? std::to_integer<unsigned>(frame[from + 1]) : 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

struct Layout {
  bool ipv6, vlan;
  std::size_t ip() const { return vlan ? 18 : 14; }
  std::size_t tcp() const { return ip() + (ipv6 ? 40 : 24); }  // IPv4 with an option
  std::size_t payload() const { return tcp() + 32; }           // and TCP with twelve bytes of them
};

/// What a driver leaves to be segmented: the sum of the pseudo header is in the checksum's place.
Frame tcp_frame(const Layout& layout, std::size_t payload) {
  Frame frame(layout.payload() + payload);
  std::mt19937 random(7);
  for (std::byte& byte : frame) byte = std::byte(random() & 0xff);
  if (layout.vlan) put16(frame, 12, 0x8100);
  put16(frame, layout.ip() - 2, layout.ipv6 ? 0x86dd : 0x0800);
  const std::size_t ip = layout.ip();
  unsigned pseudo = 6 + static_cast<unsigned>(frame.size() - layout.tcp());
  if (layout.ipv6) {
    frame[ip] = std::byte{0x60};
    put16(frame, ip + 4, static_cast<unsigned>(frame.size() - ip - 40));
    frame[ip + 6] = std::byte{6};
    pseudo = plain_sum(frame, ip + 8, ip + 40, pseudo);
  } else {
    frame[ip] = std::byte{0x46};
    put16(frame, ip + 2, static_cast<unsigned>(frame.size() - ip));
    put16(frame, ip + 4, 0xffff);
    put16(frame, ip + 6, 0x4000);
    frame[ip + 9] = std::byte{6};
    pseudo = plain_sum(frame, ip + 12, ip + 20, pseudo);
  }
  frame[layout.tcp() + 12] = std::byte{0x80};
  frame[layout.tcp() + 13] = std::byte{0x99};  // CWR, ACK, PSH, FIN
  put16(frame, layout.tcp() + 16, pseudo);
  return frame;
}

FrameHeader header_of(const Layout& layout, std::uint16_t segment_bytes) {
  FrameHeader header;
  header.flags = FrameHeader::kNeedsChecksum;
  header.segmentation = layout.ipv6 ? FrameHeader::kTcp6 : FrameHeader::kTcp4;
  header.segment_bytes = segment_bytes;
  header.checksum_start = static_cast<std::uint16_t>(layout.tcp());
  header.checksum_offset = 16;
  return header;
}

void expect_good_sums(const Frame& frame, const Layout& layout) {
  const std::size_t ip = layout.ip(), tcp = layout.tcp();
  unsigned pseudo = 6 + static_cast<unsigned>(frame.size() - tcp);
  pseudo = layout.ipv6 ? plain_sum(frame, ip + 8, ip + 40, pseudo)
                       : plain_sum(frame, ip + 12, ip + 20, pseudo);
  EXPECT_EQ(plain_sum(frame, tcp, frame.size(), pseudo), 0xffffu);
  if (!layout.ipv6) EXPECT_EQ(plain_sum(frame, ip, tcp), 0xffffu);
}

struct OffloadTest : ::testing::TestWithParam<Layout> {};
INSTANTIATE_TEST_SUITE_P(Layouts, OffloadTest,
                         ::testing::Values(Layout{false, false}, Layout{false, true},
                                           Layout{true, false}, Layout{true, true}));

TEST_P(OffloadTest, ChecksumsOfFramesOfAnyLengthAreFinished) {
  for (const std::size_t payload : {0u, 1u, 2u, 3u, 999u, 65000u}) {
    Frame frame = tcp_frame(GetParam(), payload);
    FrameHeader header = header_of(GetParam(), 1000);
    ASSERT_TRUE(sound(header, frame));
    finish_checksum(header, frame);
    EXPECT_EQ(header, FrameHeader{.flags = FrameHeader::kChecksumValid});
    const std::size_t tcp = GetParam().tcp();
    unsigned pseudo = 6 + static_cast<unsigned>(frame.size() - tcp);
    const std::size_t ip = GetParam().ip();
    pseudo = GetParam().ipv6 ? plain_sum(frame, ip + 8, ip + 40, pseudo)
                             : plain_sum(frame, ip + 12, ip + 20, pseudo);
    EXPECT_EQ(plain_sum(frame, tcp, frame.size(), pseudo), 0xffffu) << payload;
  }
}

TEST_P(OffloadTest, SegmentsAreFramesThatNeedNoMoreWork) {
  const Layout& layout = GetParam();
  constexpr std::size_t kPayload = 2501;
  const Frame whole = tcp_frame(layout, kPayload);
  std::vector<Frame> segments;
  Frame scratch, payload;
  segment(header_of(layout, 1000), whole, 0, scratch, [&](std::span<const std::byte> one) {
    segments.emplace_back(one.begin(), one.end());
    return true;
  });
  ASSERT_EQ(segments.size(), 3u);
  for (unsigned i = 0; i < 3; ++i) {
    const Frame& one = segments[i];
    expect_good_sums(one, layout);
    EXPECT_EQ(one.size(), layout.payload() + (i < 2 ? 1000 : 501));
    EXPECT_EQ(get32(one, layout.tcp() + 4), get32(whole, layout.tcp() + 4) + 1000 * i);
    EXPECT_EQ(std::to_integer<unsigned>(one[layout.tcp() + 13]),
              0x10u | (i == 0 ? 0x80u : 0) | (i == 2 ? 0x09u : 0));
    if (layout.ipv6) {
      EXPECT_EQ(get16(one, layout.ip() + 4), one.size() - layout.ip() - 40);
    } else {
      EXPECT_EQ(get16(one, layout.ip() + 2), one.size() - layout.ip());
      EXPECT_EQ(get16(one, layout.ip() + 4), (0xffff + i) & 0xffff) << "identification";
    }
    payload.insert(payload.end(), one.begin() + static_cast<std::ptrdiff_t>(layout.payload()),
                   one.end());
  }
  EXPECT_TRUE(std::equal(payload.begin(), payload.end(),
                         whole.begin() + static_cast<std::ptrdiff_t>(layout.payload())));
}

TEST_P(OffloadTest, WhoSegmentsMayStopAndGoOn) {
  Frame scratch;
  unsigned count = 0;
  const Frame frame = tcp_frame(GetParam(), 500);
  const auto count_to = [&](unsigned most) {
    return [&count, most](std::span<const std::byte>) { return ++count < most; };
  };
  segment(header_of(GetParam(), 100), frame, 0, scratch, count_to(3));
  EXPECT_EQ(count, 3u);
  segment(header_of(GetParam(), 100), frame, 3, scratch, count_to(100));
  EXPECT_EQ(count, 5u) << "and go on later";
}

TEST_P(OffloadTest, HeadersThatLieAreNotSound) {
  const Layout& layout = GetParam();
  const Frame frame = tcp_frame(layout, 100);
  const FrameHeader good = header_of(layout, 60);
  ASSERT_TRUE(sound(good, frame));
  const auto refuses = [&](auto change) {
    FrameHeader header = good;
    Frame bytes = frame;
    change(header, bytes);
    return !sound(header, bytes);
  };
  EXPECT_TRUE(refuses([](auto& h, auto&) { h.segment_bytes = 0; }));
  EXPECT_TRUE(refuses([](auto& h, auto&) { h.segment_bytes = kLeastSegmentBytes - 1; }));
  EXPECT_TRUE(refuses([](auto& h, auto&) { h.segmentation = 3; }));
  EXPECT_TRUE(refuses([](auto& h, auto&) { h.segmentation = FrameHeader::kEcn; }))
      << "ECN of what is no segment";
  EXPECT_TRUE(refuses([](auto& h, auto&) { h.segmentation ^= 5; })) << "the other IP";
  EXPECT_TRUE(refuses([](auto& h, auto&) { h.flags = 0; }));
  EXPECT_TRUE(refuses([](auto& h, auto&) { h.checksum_offset = 14; }));
  EXPECT_TRUE(refuses([](auto& h, auto&) { h.checksum_start += 2; }));
  EXPECT_TRUE(refuses([](auto& h, auto&) { h.checksum_start = 0xffff; }));
  EXPECT_TRUE(refuses([&](auto&, auto& f) { f.resize(layout.payload() - 1); }));
  EXPECT_TRUE(refuses([&](auto&, auto& f) { f.resize(layout.ip() + 3); }));
  EXPECT_TRUE(refuses([&](auto&, auto& f) { f[layout.tcp() + 12] = std::byte{0x40}; }));
  EXPECT_TRUE(
      refuses([&](auto&, auto& f) { f[layout.tcp() + 12] = std::byte{0xf0}, f.resize(60); }));
  EXPECT_TRUE(refuses([&](auto&, auto& f) { f[layout.ip()] = std::byte{0x55}; }));
  EXPECT_TRUE(
      refuses([&](auto&, auto& f) { f[layout.ip() + (layout.ipv6 ? 6 : 9)] = std::byte{17}; }));
  if (!layout.ipv6) {
    EXPECT_TRUE(refuses([&](auto&, auto& f) { f[layout.ip()] = std::byte{0x44}; }));
    EXPECT_TRUE(refuses([&](auto&, auto& f) { f[layout.ip() + 6] = std::byte{0x20}; }));
  }
}

TEST_P(OffloadTest, AFinishedFrameIsLeftToBeSegmented) {
  const Layout& layout = GetParam();
  const Frame unfinished = tcp_frame(layout, 5000);
  Frame frame = unfinished;
  FrameHeader header = header_of(layout, 100);
  finish_checksum(header, frame);
  const auto left = leave_to_segment(frame, 1500);
  ASSERT_TRUE(left);
  FrameHeader expected =
      header_of(layout, static_cast<std::uint16_t>(1500 - (layout.payload() - layout.ip())));
  expected.header_bytes = static_cast<std::uint16_t>(layout.payload());
  EXPECT_EQ(*left, expected);
  EXPECT_EQ(frame, unfinished);
  Frame other = frame;
  other[layout.ip() + (layout.ipv6 ? 6 : 9)] = std::byte{17};
  EXPECT_FALSE(leave_to_segment(other, 1500));
}

TEST(Offload, FragmentsAreOneDatagram) {
  Frame frame(14 + 24 + 3000);
  for (std::size_t i = 0; i < frame.size(); ++i) frame[i] = std::byte(i * 7 & 0xff);
  put16(frame, 12, 0x0800);
  frame[14] = std::byte{0x46};
  put16(frame, 20, 0);
  Frame scratch, payload;
  std::vector<Frame> parts;
  const auto keep = [&](std::span<const std::byte> one) {
    parts.emplace_back(one.begin(), one.end());
  };
  ASSERT_TRUE(fragment(frame, 1500, scratch, keep));
  ASSERT_EQ(parts.size(), 3u);
  for (const Frame& one : parts) {
    EXPECT_LE(one.size(), 1514u);
    EXPECT_EQ(get16(one, 16), one.size() - 14);
    EXPECT_EQ(get16(one, 18), get16(frame, 18)) << "identification";
    EXPECT_EQ((get16(one, 20) & 0x1fff) * 8, payload.size());
    EXPECT_EQ((get16(one, 20) & 0x2000) != 0, &one != &parts.back());
    EXPECT_EQ(plain_sum(one, 14, 38), 0xffffu);
    payload.insert(payload.end(), one.begin() + 38, one.end());
  }
  EXPECT_TRUE(std::equal(payload.begin(), payload.end(), frame.begin() + 38));
  EXPECT_FALSE(fragment(parts[1], 1000, scratch, keep)) << "a fragment already";
  put16(frame, 12, 0x86dd);
  EXPECT_FALSE(fragment(frame, 1500, scratch, keep));
}

TEST(Offload, AChecksumOutsideTheFrameIsNotSound) {
  const Frame frame(60);
  FrameHeader header{.flags = FrameHeader::kNeedsChecksum, .checksum_start = 40};
  header.checksum_offset = 18;
  EXPECT_TRUE(sound(header, frame));
  header.checksum_offset = 19;
  EXPECT_FALSE(sound(header, frame));
  header.checksum_start = header.checksum_offset = 0xffff;
  EXPECT_FALSE(sound(header, frame));
}

TEST(Offload, FramesHaveALengthThatFramesHave) {
  EXPECT_FALSE(sound({}, Frame(kLeastFrameBytes - 1)));
  EXPECT_TRUE(sound({}, Frame(kLeastFrameBytes)));
  EXPECT_TRUE(sound({}, Frame(kMostFrameBytes)));
  EXPECT_FALSE(sound({}, Frame(kMostFrameBytes + 1)));
}

}  // namespace
}  // namespace vireo::backends
