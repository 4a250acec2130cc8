// A program that writes to an image is ended at random moments. Afterwards another implementation
// must find no damage in the image, and in it all that was flushed.
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "backends/block/open_block.h"
#include "block/kill_journal.h"

namespace vireo::test {
namespace {

using backends::BlockBackend;
using backends::BlockOperation;
using backends::BlockRequest;

constexpr std::uint32_t kSectors = 32768;
constexpr unsigned kAtATime = 8;
constexpr std::uint32_t kLane = kSectors / kAtATime;  ///< requests of one moment do not overlap

/// Writes until somebody ends it.
class Writer {
 public:
  Writer(BlockBackend& disk, const JournalWriter& journal, std::uint64_t seed, std::uint64_t number)
      : disk_(disk), journal_(journal), random_(seed), number_(number) {}

  [[noreturn]] void run() {
    while (true) {
      for (std::uint32_t lane = 0; lane < kAtATime; ++lane) submit_one(lane);
      // A flush beside them tells about those before only.
      if (random_() % 3 == 0) submit_flush(flushable_);
      disk_.drain();
      flushable_ = number_;
    }
  }

 private:
  void submit_one(std::uint32_t lane) {
    const auto most = static_cast<std::uint32_t>(random_() % 4 == 0 ? 700 : 20);
    const auto in_lane = static_cast<std::uint32_t>(random_() % kLane);
    const auto length = static_cast<std::uint32_t>(1 + random_() % most);
    JournalRecord record{++number_, JournalKind::kWrite, lane * kLane + in_lane,
                         std::min(length, kLane - in_lane), 0};
    if (random_() % 6 == 0) record.kind = JournalKind::kZero;
    if (random_() % 6 == 0) record.kind = JournalKind::kDiscard;
    journal_.append(record);
    buffers_[lane].assign(record.count * kSector / 8, record.number);
    const iovec buffer{buffers_[lane].data(), record.count * kSector};
    BlockRequest request{
        .offset = record.first * kSector, .length = record.count * kSector, .done = expect_success};
    request.may_unmap = random_() % 2 == 0;
    if (record.kind == JournalKind::kDiscard) request.operation = BlockOperation::kDiscard;
    if (record.kind == JournalKind::kZero) request.operation = BlockOperation::kWriteZeroes;
    if (record.kind == JournalKind::kWrite) {
      request.operation = BlockOperation::kWrite;
      request.buffers = {&buffer, 1};
    }
    disk_.submit(std::move(request));
  }

  void submit_flush(std::uint64_t number) {
    disk_.submit(
        {.operation = BlockOperation::kFlush, .done = [this, number](std::error_code error) {
           expect_success(error);
           journal_.append({number, JournalKind::kFlushed, 0, 0, 0});
         }});
  }

  static void expect_success(std::error_code error) {
    if (!error) return;
    fmt::print(stderr, "a request failed: {}\n", error.message());
    std::_Exit(9);
  }

  BlockBackend& disk_;
  const JournalWriter& journal_;
  std::mt19937_64 random_;
  std::uint64_t number_;
  std::uint64_t flushable_ = 0;
  std::array<std::vector<std::uint64_t>, kAtATime> buffers_;
};

int write_for_ever(const std::string& image, const std::string& journal, std::uint64_t seed,
                   std::uint64_t number) {
  // So often that ends fall into commits that nobody asked for, too.
  constexpr std::chrono::milliseconds kCommitAfter{7};
  auto disk = backends::open_block_backend(
      {.path = image, .format = "qcow2", .commit_after = kCommitAfter});
  if (!disk) {
    fmt::print(stderr, "{}\n", disk.error().message);
    return 9;
  }
  const JournalWriter writer(journal);
  Writer(**disk, writer, seed, number).run();
}

int shell(const std::string& command) { return WEXITSTATUS(std::system(command.c_str())); }

struct Shape {
  const char* name;
  const char* create;  ///< with IMAGE for the path
};
constexpr std::array kShapes{
    Shape{"clusters of 64 KiB", "qemu-img create -q -f qcow2 IMAGE 16M"},
    Shape{"clusters of 512 bytes", "qemu-img create -q -f qcow2 -o cluster_size=512 IMAGE 16M"},
    Shape{"version 2", "qemu-img create -q -f qcow2 -o compat=0.10,cluster_size=4k IMAGE 16M"},
    Shape{"a snapshot",
          "qemu-img create -q -f qcow2 -o cluster_size=4k IMAGE 16M && "
          "qemu-io -f qcow2 -c 'write -q -P 0 1M 9M' IMAGE && qemu-img snapshot -c s IMAGE"},
    Shape{"a backing file",
          "qemu-img create -q -f raw IMAGE.below 9M && "
          "qemu-img create -q -f qcow2 -o cluster_size=32k -F raw -b IMAGE.below IMAGE 16M"},
    Shape{"compressed clusters",
          "qemu-img create -q -f raw IMAGE.raw 16M && "
          "qemu-img convert -c -S 0 -f raw -O qcow2 -o cluster_size=16k IMAGE.raw IMAGE"},
};

/// Rounds of writing and ending with one image.
class Campaign {
 public:
  Campaign(const std::string& program, const std::string& folder, std::uint64_t seed)
      : program_(program), folder_(folder), seed_(seed), random_(seed) {}

  bool run(const Shape& shape, unsigned rounds) {
    std::string create = shape.create;
    for (std::size_t at; (at = create.find("IMAGE")) != std::string::npos;)
      create.replace(at, 5, image_);
    if (shell("rm -f " + image_ + "*; " + create) != 0) return false;
    std::vector<std::uint64_t> stamps(kSectors);
    std::uint64_t number = 0;
    for (unsigned round = 0; round < rounds; ++round) {
      const auto milliseconds = 1 + random_() % (round % 2 == 0 ? 60 : 400);
      if (!write_and_end(number, milliseconds) || !judge(stamps, number)) {
        fmt::print(stderr, "with {}: round {} of seed {}\n", shape.name, round, seed_);
        return false;
      }
    }
    fmt::print("{}: {} ends, {} requests, {} with leaked clusters\n", shape.name, rounds, number,
               leaks_);
    leaks_ = 0;
    return true;
  }

 private:
  bool write_and_end(std::uint64_t number, std::uint64_t milliseconds) {
    std::filesystem::remove(journal_);
    const pid_t child = ::fork();
    if (child == 0) {
      const std::string seed = std::to_string(random_()), first = std::to_string(number);
      ::execl(program_.c_str(), program_.c_str(), "--write", image_.c_str(), "--journal",
              journal_.c_str(), "--seed", seed.c_str(), "--number", first.c_str(), nullptr);
      std::_Exit(9);
    }
    while (!std::filesystem::exists(journal_) && ::waitpid(child, nullptr, WNOHANG) == 0)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    ::kill(child, SIGKILL);
    int status = 0;
    if (::waitpid(child, &status, 0) == child && WIFSIGNALED(status)) return true;
    fmt::print(stderr, "the writer ended by itself\n");
    return false;
  }

  /// The kernel lets go of the files of a program a little after its end, locks included.
  int check() const {
    const std::string command =
        "qemu-img check -q -f qcow2 " + image_ + " >" + folder_ + "/check 2>&1";
    int status = shell(command);
    for (int tries = 0; status == 1 && tries < 100; ++tries) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      status = shell(command);
    }
    return status;
  }

  bool judge(std::vector<std::uint64_t>& stamps, std::uint64_t& number) {
    const int checked = check();
    if (checked != 0 && checked != 3) {
      shell("tail -n 20 " + folder_ + "/check >&2");
      return false;
    }
    if (checked == 3) {
      ++leaks_;
      shell("qemu-img check -q -r leaks -f qcow2 " + image_ + " >" + folder_ + "/check 2>&1");
    }
    const std::string raw = folder_ + "/raw";
    if (shell("qemu-img convert -f qcow2 -O raw " + image_ + " " + raw) != 0) return false;
    const JournalReader journal(read_journal(journal_), stamps);
    stamps = read_stamps(raw);
    number = std::max(number, journal.last_number());
    const std::string wrong = journal.first_wrong(stamps);
    if (!wrong.empty()) fmt::print(stderr, "{}\n", wrong);
    return wrong.empty();
  }

  const std::string program_, folder_;
  const std::string image_ = folder_ + "/image", journal_ = folder_ + "/journal";
  const std::uint64_t seed_;
  std::mt19937_64 random_;
  unsigned leaks_ = 0;
};

}  // namespace
}  // namespace vireo::test

int main(int argc, char** argv) {
  std::string image, journal, folder = ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
  std::uint64_t seed = 1, number = 0;
  unsigned rounds = 4;
  CLI::App app("Ends a program that writes to disk images, again and again.");
  app.add_option("--rounds", rounds, "How often, for each kind of image");
  app.add_option("--seed", seed, "Of what is written and when it is ended");
  app.add_option("--folder", folder, "Where the images are");
  app.add_option("--write", image, "Be the program that is ended");
  app.add_option("--journal", journal, "Of that program");
  app.add_option("--number", number, "Of its last request before");
  CLI11_PARSE(app, argc, argv);
  if (!image.empty()) return vireo::test::write_for_ever(image, journal, seed, number);
  if (vireo::test::shell("qemu-img --version >/dev/null 2>&1") != 0) {
    fmt::print("skipped: qemu-img is not installed\n");
    return 77;
  }
  std::string place = folder + "/vireo-kill-XXXXXX";
  if (::mkdtemp(place.data()) == nullptr) return 1;
  bool good = true;
  vireo::test::Campaign campaign("/proc/self/exe", place, seed);
  for (const auto& shape : vireo::test::kShapes) good = good && campaign.run(shape, rounds);
  if (good) std::filesystem::remove_all(place);
  return good ? 0 : 1;
}
