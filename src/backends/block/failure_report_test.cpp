#include "backends/block/failure_report.h"

#include <gtest/gtest.h>

namespace vireo::backends {
namespace {

struct FailureReportTest : ::testing::Test {
  std::string told(BlockOperation operation, std::errc error) {
    ::testing::internal::CaptureStderr();
    report.note(operation, error == std::errc() ? std::error_code() : std::make_error_code(error));
    return ::testing::internal::GetCapturedStderr();
  }
  FailureReport report{"raw image /a/disk"};
};

TEST_F(FailureReportTest, SaysOnceWhatFailsAndWhatToDo) {
  EXPECT_EQ(told(BlockOperation::kWrite, std::errc()), "");
  EXPECT_EQ(told(BlockOperation::kWrite, std::errc::no_space_on_device),
            "vireo: the guest sees I/O errors, for the raw image /a/disk cannot be written: No "
            "space left on device; make room on the disk where it lies\n");
  for (const auto operation :
       {BlockOperation::kWrite, BlockOperation::kFlush, BlockOperation::kWriteZeroes})
    EXPECT_EQ(told(operation, std::errc::no_space_on_device), "");
}

TEST_F(FailureReportTest, TellsFailuresApart) {
  EXPECT_NE(told(BlockOperation::kFlush, std::errc::io_error).find("cannot be written: Input"),
            std::string::npos);
  EXPECT_NE(told(BlockOperation::kRead, std::errc::io_error).find("cannot be read: Input"),
            std::string::npos);
  EXPECT_NE(told(BlockOperation::kWrite, std::errc::file_too_large).find("ulimit -f"),
            std::string::npos);
  EXPECT_EQ(told(BlockOperation::kRead, std::errc::io_error), "");
}

}  // namespace
}  // namespace vireo::backends
