#pragma once
#include <memory>
#include <utility>

#include "backends/character/char_backend.h"
#include "machine/console_watch.h"

namespace vireo::machine {

/// A character backend whose output is read along by a ConsoleWatch, which outlives it.
class WatchedBackend final : public backends::CharBackend {
 public:
  WatchedBackend(std::unique_ptr<backends::CharBackend> inner, ConsoleWatch& watch)
      : inner_(std::move(inner)), watch_(watch) {
    inner_->set_reader([this](std::span<const std::uint8_t> bytes) {
      return reader_ ? reader_(bytes) : bytes.size();
    });
    inner_->set_break_listener([this] {
      if (break_listener_) break_listener_();
    });
  }

  void write(std::span<const std::uint8_t> bytes) override {
    inner_->write(bytes);
    watch_.write(bytes);
  }
  void flush() override { inner_->flush(); }
  void resume_input() override { inner_->resume_input(); }
  int poll_fd() const override { return inner_->poll_fd(); }
  void on_readable() override { inner_->on_readable(); }

 private:
  const std::unique_ptr<backends::CharBackend> inner_;
  ConsoleWatch& watch_;
};

}  // namespace vireo::machine
