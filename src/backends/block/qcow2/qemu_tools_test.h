#pragma once
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <string>

#include "backends/block/block_test_support.h"

namespace vireo::backends {

struct CommandResult {
  int status = -1;
  std::string output;
};

/// Runs a command of the shell.
inline CommandResult run_command(const std::string& command) {
  CommandResult result;
  std::FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return result;
  std::array<char, 4096> part{};
  for (std::size_t size; (size = std::fread(part.data(), 1, part.size(), pipe)) != 0;)
    result.output.append(part.data(), size);
  result.status = WEXITSTATUS(::pclose(pipe));
  return result;
}
inline bool has_qemu_tools() {
  static const bool found = run_command("qemu-img --version && qemu-io --version").status == 0;
  return found;
}
/// Runs it and expects success.
inline std::string qemu(const std::string& command) {
  const CommandResult result = run_command(command);
  EXPECT_EQ(result.status, 0) << command << "\n" << result.output;
  return result.output;
}
/// Neither errors nor clusters that nobody uses.
inline void expect_clean(const std::string& image) {
  const CommandResult result = run_command("qemu-img check -f qcow2 " + image);
  EXPECT_EQ(result.status, 0) << result.output;
}
/// The other reader sees these bytes.
inline void expect_content(const std::string& image, const Bytes& content,
                           const std::string& scratch) {
  write_whole_file(scratch, content);
  const CommandResult result =
      run_command("qemu-img compare -f raw -F qcow2 " + scratch + " " + image);
  EXPECT_EQ(result.status, 0) << result.output;
}

}  // namespace vireo::backends
