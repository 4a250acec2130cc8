#include "devices/virtio/flow_table.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <set>
#include <vector>

namespace vireo::devices::virtio {
namespace {

using Frame = std::vector<std::byte>;

void put(Frame& frame, std::size_t at, std::initializer_list<int> bytes) {
  for (const int byte : bytes) frame[at++] = std::byte(byte);
}

Frame tcp4(int from, int to, int from_port, int to_port) {
  Frame frame(60);
  put(frame, 12, {8, 0, 0x45});
  put(frame, 23, {6});
  put(frame, 26, {10, 0, 0, from, 10, 0, 0, to});
  put(frame, 34, {from_port >> 8, from_port & 0xff, to_port >> 8, to_port & 0xff});
  return frame;
}

TEST(FlowTable, BothDirectionsAreOneFlow) {
  EXPECT_EQ(flow_of(tcp4(1, 2, 1000, 80)), flow_of(tcp4(2, 1, 80, 1000)));
  Frame there(80), back(80);
  for (Frame* frame : {&there, &back}) put(*frame, 12, {0x86, 0xdd, 0x60}), put(*frame, 20, {17});
  put(there, 22, {1, 2, 3}), put(there, 38, {4, 5, 6}), put(there, 54, {7, 8, 9, 10});
  put(back, 22, {4, 5, 6}), put(back, 38, {1, 2, 3}), put(back, 54, {9, 10, 7, 8});
  EXPECT_EQ(flow_of(there), flow_of(back));
  EXPECT_NE(flow_of(there), 0u);
}

TEST(FlowTable, FlowsAreToldApart) {
  std::set<unsigned> flows;
  for (int port = 1000; port < 1016; ++port) flows.insert(flow_of(tcp4(1, 2, port, 80)));
  EXPECT_GT(flows.size(), 12u);
}

TEST(FlowTable, FragmentsFollowTheFirstOfThem) {
  Frame first = tcp4(1, 2, 1000, 80), second = tcp4(1, 2, 7, 7);
  put(first, 20, {0x20, 0});
  put(second, 20, {0, 100});
  EXPECT_EQ(flow_of(first), flow_of(second));
}

TEST(FlowTable, WhateverTheFrameIsItHasAFlow) {
  for (std::size_t size = 0; size < 80; ++size) {
    for (const int type : {0x08, 0x86}) {
      Frame frame(size, std::byte{0xff});
      if (size > 13) put(frame, 12, {type, type == 8 ? 0 : 0xdd});
      EXPECT_LT(flow_of(frame), FlowTable::kFlows);
    }
  }
}

TEST(FlowTable, WhatIsLearnedIsRememberedUntilItIsForgotten) {
  FlowTable table;
  EXPECT_EQ(table.pair_of(tcp4(1, 2, 1000, 80)), 0u);
  table.learn(tcp4(1, 2, 1000, 80), 3);
  EXPECT_EQ(table.pair_of(tcp4(2, 1, 80, 1000)), 3u);
  table.forget();
  EXPECT_EQ(table.pair_of(tcp4(2, 1, 80, 1000)), 0u);
}

}  // namespace
}  // namespace vireo::devices::virtio
