// How fast images are read and written: one line for each way.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "backends/block/open_block.h"

namespace vireo::test {
namespace {

using backends::BlockBackend;
using backends::BlockOperation;

struct Load {
  const char* name;
  BlockOperation operation;
  std::uint32_t length;  ///< bytes of a request
  bool random;
  unsigned depth;  ///< requests at a time
};
constexpr std::array kLoads{
    Load{"write in order, new", BlockOperation::kWrite, 65536, false, 16},
    Load{"write in order, again", BlockOperation::kWrite, 65536, false, 16},
    Load{"read in order", BlockOperation::kRead, 65536, false, 16},
    Load{"write 4 KiB anywhere", BlockOperation::kWrite, 4096, true, 32},
    Load{"read 4 KiB anywhere", BlockOperation::kRead, 4096, true, 32},
    Load{"read 4 KiB anywhere, alone", BlockOperation::kRead, 4096, true, 1},
};

constexpr unsigned kMostDepth = 32;

/// Keeps so many requests under way until the time is over, or once through the disk if in order.
class Run {
 public:
  Run(BlockBackend& disk, const Load& load, double seconds)
      : disk_(disk), load_(load), seconds_(seconds), buffers_(load.depth) {
    for (auto& buffer : buffers_) buffer.assign(load.length, 0x5a);
  }

  /// Bytes a second.
  double measure() {
    const auto begin = std::chrono::steady_clock::now();
    end_ = begin + std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                       std::chrono::duration<double>(seconds_));
    {
      std::unique_lock lock(mutex_);
      running_ = load_.depth;
    }
    for (unsigned i = 0; i < load_.depth; ++i) next(i);
    std::unique_lock lock(mutex_);
    finished_.wait(lock, [&] { return running_ == 0; });
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    return static_cast<double>(bytes_) / elapsed.count();
  }

 private:
  /// One request after the other, as long as they are done inside submit(); whoever is told later
  /// goes on.
  void next(unsigned index) {
    std::atomic<bool>& other_went_first = other_went_first_[index];
    while (const auto offset = next_offset()) {
      other_went_first = false;
      const iovec buffer{buffers_[index].data(), load_.length};
      disk_.submit({.operation = load_.operation,
                    .offset = *offset,
                    .length = load_.length,
                    .buffers = {&buffer, 1},
                    .done = [this, index](std::error_code error) {
                      if (error) std::abort();
                      if (other_went_first_[index].exchange(true)) next(index);
                    }});
      if (!other_went_first.exchange(true)) return;
    }
  }

  /// Empty: that was all.
  std::optional<std::uint64_t> next_offset() {
    const std::lock_guard lock(mutex_);
    const std::uint64_t blocks = disk_.size() / load_.length;
    const bool over = load_.random ? std::chrono::steady_clock::now() >= end_ : block_ == blocks;
    if (over) {
      if (--running_ == 0) finished_.notify_all();
      return {};
    }
    bytes_ += load_.length;
    return (load_.random ? random_() % blocks : block_++) * load_.length;
  }

  BlockBackend& disk_;
  const Load load_;
  const double seconds_;
  std::vector<std::vector<std::uint8_t>> buffers_;
  /// Of a request's end and the return of its submit(), one has been.
  std::array<std::atomic<bool>, kMostDepth> other_went_first_{};
  std::mutex mutex_;  ///< guards all below
  std::condition_variable finished_;
  std::chrono::steady_clock::time_point end_;
  std::mt19937_64 random_{1};
  std::uint64_t block_ = 0, bytes_ = 0;
  unsigned running_ = 0;
};

int measure_all(const std::string& path, const std::string& format, double seconds) {
  auto disk = backends::open_block_backend({.path = path, .format = format});
  if (!disk) {
    fmt::print(stderr, "{}\n", disk.error().message);
    return 1;
  }
  for (const Load& load : kLoads) {
    const double rate = Run(**disk, load, seconds).measure();
    fmt::print("{:6} {:28} {:8.0f} MiB/s {:10.0f} requests/s\n", format, load.name,
               rate / (1 << 20), rate / load.length);
  }
  return 0;
}

}  // namespace
}  // namespace vireo::test

int main(int argc, char** argv) {
  std::string folder = "/tmp";
  unsigned mebibytes = 1024;
  double seconds = 2;
  CLI::App app("Measures how fast disk images are read and written.");
  app.add_option("--folder", folder, "Where the images are");
  app.add_option("--mebibytes", mebibytes, "The size of the disk");
  app.add_option("--seconds", seconds, "For each load that is not in order");
  CLI11_PARSE(app, argc, argv);
  const std::string path = folder + "/vireo-speed";
  int status = 0;
  for (const std::string format : {"raw", "qcow2"}) {
    const std::string create =
        fmt::format("qemu-img create -q -f {} {} {}M", format, path, mebibytes);
    status =
        std::system(create.c_str()) != 0 ? 77 : vireo::test::measure_all(path, format, seconds);
    ::unlink(path.c_str());
    if (status != 0) break;
  }
  return status;
}
