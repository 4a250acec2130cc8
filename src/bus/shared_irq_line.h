#pragma once
#include <cstdint>
#include <deque>
#include <mutex>

#include "base/assert.h"
#include "bus/irq_line.h"

namespace vireo::bus {

/// Several outputs wired to one interrupt input: it is high while any of them is. Inputs are made
/// while the machine is built and live as long as this object; setting them is thread safe.
class SharedIrqLine {
 public:
  explicit SharedIrqLine(IrqLine& target) : target_(target) {}
  SharedIrqLine(const SharedIrqLine&) = delete;

  IrqLine& add_input() {
    std::lock_guard lock(mutex_);
    VIREO_ASSERT(inputs_.size() < 64);
    return inputs_.emplace_back(*this, std::uint64_t{1} << inputs_.size());
  }

 private:
  class Input final : public IrqLine {
   public:
    Input(SharedIrqLine& line, std::uint64_t bit) : line_(line), bit_(bit) {}
    void set_level(bool high) override { line_.set(bit_, high); }

   private:
    SharedIrqLine& line_;
    std::uint64_t bit_;
  };

  void set(std::uint64_t bit, bool high) {
    std::lock_guard lock(mutex_);
    high_ = high ? high_ | bit : high_ & ~bit;
    target_.set_level(high_ != 0);
  }

  IrqLine& target_;
  std::mutex mutex_;
  std::deque<Input> inputs_;
  std::uint64_t high_ = 0;
};

}  // namespace vireo::bus
