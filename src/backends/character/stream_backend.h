#pragma once
#include <cstdint>
#include <vector>

#include "backends/character/char_backend.h"
#include "backends/character/output_queue.h"
#include "base/unique_fd.h"

namespace vireo::backends {

/// What all backends on descriptors share. poll_fd() is an epoll instance of its own that watches
/// the input while the reader takes it, the output while bytes are waiting, and an eventfd by which
/// other threads ask for attention; so descriptors may come and go behind a constant one.
class StreamBackend : public CharBackend {
 public:
  void write(std::span<const std::uint8_t> bytes) override;
  void flush() override { output_.flush(); }
  void resume_input() override { attention(); }
  int poll_fd() const override { return epoll_.get(); }
  void on_readable() override;

 protected:
  StreamBackend(WhenFull when_full, std::size_t capacity) : output_(when_full, capacity) {}
  /// Before anything else.
  Result<> open_epoll();
  /// Where bytes come from and where they go; -1: nowhere (any more). They stay the caller's.
  void connect(int input, int output);
  /// What was read, before the reader gets it; may change it.
  virtual void filter(std::vector<std::uint8_t>& /*bytes*/) {}
  /// The input came to its end. Event thread.
  virtual void on_end_of_input() {}
  /// A further descriptor for on_other_readable().
  void watch_other(int fd, bool watched);
  virtual void on_other_readable() {}
  void attention();

 private:
  void deliver();
  void read_some();
  void update_interest();
  void set_interest(int fd, std::uint32_t events, std::uint32_t& current);

  OutputQueue output_;
  UniqueFd epoll_, event_;
  // Event thread only.
  int input_ = -1;
  UniqueFd watched_output_;
  bool always_ready_ = false;  // epoll does not take regular files
  std::uint32_t input_interest_ = 0, output_interest_ = 0;
  std::vector<std::uint8_t> pending_;  // read, but not taken by the reader
};

}  // namespace vireo::backends
