#include "devices/platform/coprocessor_error.h"

#include <gtest/gtest.h>

#include <array>

namespace vireo::devices {
namespace {

struct Line final : bus::IrqLine {
  void set_level(bool value) override { high = value; }
  bool high = false;
};

struct CoprocessorErrorTest : ::testing::Test {
  void write_port() {
    const std::array data{std::byte{0}};
    device.write(0, data);
  }
  Line irq;
  CoprocessorError device{irq};
};

TEST_F(CoprocessorErrorTest, FerrAssertsTheInterruptUntilThePortIsWritten) {
  device.set_ferr(0, true);
  EXPECT_TRUE(irq.high);
  EXPECT_FALSE(device.ignne(0));
  device.set_ferr(0, false);
  EXPECT_TRUE(irq.high);
  write_port();
  EXPECT_FALSE(irq.high);
}

TEST_F(CoprocessorErrorTest, ThePortAssertsIgnneUntilFerrIsDeasserted) {
  device.set_ferr(0, true);
  write_port();
  EXPECT_TRUE(device.ignne(0));
  device.set_ferr(0, true);  // it is still the same error
  EXPECT_FALSE(irq.high);
  device.set_ferr(0, false);
  EXPECT_FALSE(device.ignne(0));
  device.set_ferr(0, true);
  EXPECT_TRUE(irq.high);
  EXPECT_FALSE(device.ignne(0));
}

TEST_F(CoprocessorErrorTest, WithoutAnErrorThePortDoesNotAssertIgnne) {
  write_port();
  EXPECT_FALSE(device.ignne(0));
  device.set_ferr(0, true);
  device.set_ferr(0, false);
  write_port();
  EXPECT_FALSE(device.ignne(0));
}

TEST_F(CoprocessorErrorTest, EachCpuHasPinsOfItsOwn) {
  device.set_ferr(63, true);
  write_port();
  EXPECT_TRUE(device.ignne(63));
  EXPECT_FALSE(device.ignne(0));
  device.set_ferr(0, true);
  EXPECT_TRUE(irq.high);
  EXPECT_FALSE(device.ignne(0));
}

TEST_F(CoprocessorErrorTest, ThePortCannotBeRead) {
  std::array data{std::byte{0}};
  device.read(0, data);
  EXPECT_EQ(data[0], std::byte{0xff});
}

TEST_F(CoprocessorErrorTest, AResetForgetsAllOfIt) {
  device.set_ferr(0, true);
  device.reset();
  EXPECT_FALSE(irq.high);
  EXPECT_EQ(device.state(), CoprocessorErrorState{});
}

TEST_F(CoprocessorErrorTest, WhatIsRestoredIsAStateThatTheDeviceCanHave) {
  device.restore({.ferr = 1, .ignne = 3, .request = 0xff});
  EXPECT_TRUE(irq.high);
  EXPECT_EQ(device.state(), (CoprocessorErrorState{.ferr = 1, .ignne = 1, .request = 1}));
}

}  // namespace
}  // namespace vireo::devices
