#include "engine/direct/trap_cause.h"

#include <gtest/gtest.h>

namespace vireo::engine::direct {
namespace {

TEST(TrapCause, TheKernelSaysIt) {
  EXPECT_EQ(cause_of({.code = TRAP_HWBKPT, .at_breakpoint = true}), TrapCause::kBreakpoint);
  EXPECT_EQ(cause_of({.code = TRAP_HWBKPT, .stepping = true}), TrapCause::kBreakpoint);
  EXPECT_EQ(cause_of({.code = TRAP_TRACE, .stepping = true}), TrapCause::kStep);
  EXPECT_EQ(cause_of({.code = SI_KERNEL}), TrapCause::kInstruction);
  EXPECT_EQ(cause_of({.code = SI_KERNEL, .stepping = true}), TrapCause::kInstruction);
  EXPECT_EQ(cause_of({.code = TRAP_BRKPT}), TrapCause::kInstruction);
}

TEST(TrapCause, ABreakpointOfWhichTheHostHasLostTheReason) {
  EXPECT_EQ(cause_of({.code = TRAP_BRKPT, .at_breakpoint = true}), TrapCause::kBreakpoint);
  EXPECT_EQ(cause_of({.code = TRAP_BRKPT, .stepping = true, .at_breakpoint = true}),
            TrapCause::kBreakpoint);
}

TEST(TrapCause, Int1InFrontOfABreakpoint) {
  EXPECT_EQ(cause_of({.code = TRAP_BRKPT, .at_breakpoint = true, .behind_int1 = true}),
            TrapCause::kInstruction);
}

TEST(TrapCause, Int3InFrontOfABreakpoint) {
  EXPECT_EQ(cause_of({.code = SI_KERNEL, .at_breakpoint = true}), TrapCause::kInstruction);
}

}  // namespace
}  // namespace vireo::engine::direct
