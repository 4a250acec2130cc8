#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <utility>

#include "fuzz/fuzz_input.h"
#include "memory/guest_memory.h"

namespace vireo::test {

/// What fuzz targets of virtio devices are made of: an input, RAM from 0 on, and the tasks of the
/// I/O thread, which run when the target says.
class VirtioFuzzWorld {
 public:
  static constexpr std::uint64_t kMemory = 0x80000;

 protected:
  explicit VirtioFuzzWorld(FuzzInput input)
      : input_(input),
        memory_(std::move(*memory::GuestMemory::create(
            {{PhysAddr{0}, kMemory, memory::RegionKind::kRam, "ram"}}))) {}

  template <class T>
  T take() {
    return input_.take<T>();
  }
  /// For a device: puts a task behind the others.
  std::function<void(std::function<void()>)> post() {
    return [this](std::function<void()> task) { tasks_.push_back(std::move(task)); };
  }
  /// Those that wait, and those that they post.
  void run_tasks() {
    while (!tasks_.empty()) {
      const auto task = std::move(tasks_.front());
      tasks_.pop_front();
      task();
    }
  }

  FuzzInput input_;
  std::unique_ptr<memory::GuestMemory> memory_;

 private:
  std::deque<std::function<void()>> tasks_;
};

}  // namespace vireo::test
