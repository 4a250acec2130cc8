#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "base/result.h"

namespace vireo::backends {

/// What a serial port is plugged into on the host: a terminal, a file, a socket.
///
/// Output comes from any thread and never waits for long. Input is read on the event thread: the
/// loop watches poll_fd() for reading and calls on_readable(). There is no thread of its own.
class CharBackend {
 public:
  /// Takes bytes that arrived and says how many it took. When it takes fewer than it was offered,
  /// the rest is offered again after resume_input(); nothing is lost meanwhile. Called on the event
  /// thread with no lock of the backend held.
  using Reader = std::function<std::size_t(std::span<const std::uint8_t>)>;
  /// The other end sent a break. Called like the reader.
  using BreakListener = std::function<void()>;

  virtual ~CharBackend() = default;

  /// From any thread.
  virtual void write(std::span<const std::uint8_t> bytes) = 0;
  /// Waits until what was written is out, or until the other end has not moved for seconds.
  virtual void flush() {}
  /// The reader has room again. From any thread, also from inside a device's lock: it only leaves a
  /// note for the event thread.
  virtual void resume_input() {}

  /// A descriptor that is readable whenever on_readable() should be called; the same for the life
  /// of the backend, level triggered, fit for epoll. -1: this backend never has any input.
  virtual int poll_fd() const { return -1; }
  virtual void on_readable() {}

  /// Set while the machine is built, before the loop runs.
  void set_reader(Reader reader) { reader_ = std::move(reader); }
  void set_break_listener(BreakListener listener) { break_listener_ = std::move(listener); }

 protected:
  Reader reader_;
  BreakListener break_listener_;
};

/// What the keys after Ctrl-A do; called on the event thread.
struct TerminalActions {
  std::function<void()> quit;  ///< Ctrl-A X
};

/// `spec` is what `--serial` takes: stdio, none, file:PATH, unix:PATH or pty.
Result<std::unique_ptr<CharBackend>> open_char_backend(std::string_view spec,
                                                       TerminalActions actions = {});

/// Output only: what `--debug-console` takes, stdio or file:PATH. It may share the standard output
/// with a serial port.
Result<std::unique_ptr<CharBackend>> open_char_output(std::string_view spec);

}  // namespace vireo::backends
