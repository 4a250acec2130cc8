// The power of the host fails: of what was written since the last sync any part may be on the disk.
// The image must be free of damage whatever part that is, and hold all that was flushed.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <random>

#include "backends/block/qcow2/image.h"
#include "backends/block/qcow2/qemu_tools_test.h"
#include "block/kill_journal.h"

namespace vireo::test {
namespace {

using namespace vireo::backends;

constexpr std::uint32_t kSectors = 8192;

/// One change to the file, or a sync.
struct Event {
  bool sync = false;
  std::uint64_t offset = 0;
  Bytes bytes;
};

class RecordingFile final : public ImageFile {
 public:
  explicit RecordingFile(const std::string& path)
      : ImageFile(UniqueFd(::open(path.c_str(), O_RDWR | O_CLOEXEC)), path, false) {}

  std::error_code write(std::uint64_t offset, Iovecs buffers) override {
    Bytes bytes(total_length(buffers));
    copy_from(bytes, buffers);
    events.push_back({false, offset, std::move(bytes)});
    return ImageFile::write(offset, std::move(buffers));
  }
  std::error_code sync() override {
    events.push_back({.sync = true, .bytes = {}});
    return {};
  }
  std::error_code discard(std::uint64_t offset, std::uint64_t length) override {
    events.push_back({false, offset, Bytes(length)});
    return ImageFile::discard(offset, length);
  }

  std::vector<Event> events;
};

/// A request, and how many events there were before it.
struct Request {
  JournalRecord record;
  std::size_t events = 0;
};

struct Shape {
  const char* name;
  const char* create;  ///< with IMAGE for the path
};
void PrintTo(const Shape& shape, std::ostream* out) { *out << shape.name; }

struct PowerTest : ::testing::TestWithParam<Shape> {
  void SetUp() override {
    if (!has_qemu_tools()) GTEST_SKIP() << "qemu-img and qemu-io are not installed";
    std::string create = GetParam().create;
    for (std::size_t at; (at = create.find("IMAGE")) != std::string::npos;)
      create.replace(at, 5, image);
    qemu(create);
    first_content = read_whole_file(image);
    qemu("qemu-img convert -f qcow2 -O raw " + image + " " + raw);
    first_stamps = read_stamps(raw);
    file = std::make_shared<RecordingFile>(image);
    auto header = qcow2::read_header(*file);
    ASSERT_TRUE(header) << header.error().message;
    disk = *qcow2::Image::open(file, *header, nullptr);
  }

  void request(std::uint64_t number) {
    const auto first = static_cast<std::uint32_t>(random() % kSectors);
    const auto most = static_cast<std::uint32_t>(random() % 4 == 0 ? 600 : 30);
    JournalRecord record{
        number, JournalKind::kWrite, first,
        std::min(static_cast<std::uint32_t>(1 + random() % most), kSectors - first), 0};
    if (random() % 5 == 0) record.kind = JournalKind::kZero;
    if (random() % 5 == 0) record.kind = JournalKind::kDiscard;
    requests.push_back({record, file->events.size()});
    const std::uint64_t offset = first * kSector, length = record.count * kSector;
    if (record.kind == JournalKind::kDiscard) {
      ASSERT_TRUE(disk->discard(offset, length));
    } else if (record.kind == JournalKind::kZero) {
      ASSERT_TRUE(disk->write_zeroes(offset, length, random() % 2 == 0));
    } else {
      std::vector<std::uint64_t> stamps(length / 8, number);
      const iovec buffer{stamps.data(), length};
      ASSERT_TRUE(disk->write(offset, std::span(&buffer, 1)));
    }
  }
  void commit(std::uint64_t number) {
    ASSERT_TRUE(disk->commit());
    requests.push_back({{number, JournalKind::kFlushed, 0, 0, 0}, file->events.size() - 1});
  }

  /// The file when the power fails before event `end`.
  Bytes content_at(std::size_t end) {
    std::size_t safe = end;
    while (safe > 0 && !file->events[safe - 1].sync) --safe;
    Bytes content = first_content;
    const auto put = [&](const Event& event, std::uint64_t from, std::uint64_t length) {
      if (content.size() < event.offset + from + length)
        content.resize(event.offset + from + length);
      std::copy_n(event.bytes.begin() + static_cast<std::ptrdiff_t>(from), length,
                  content.begin() + static_cast<std::ptrdiff_t>(event.offset + from));
    };
    for (std::size_t i = 0; i < safe; ++i) put(file->events[i], 0, file->events[i].bytes.size());
    const unsigned rarity = 1 + static_cast<unsigned>(random() % 4);
    for (std::size_t i = safe; i < end; ++i) {
      const bool part_of_it = random() % 2 == 0;
      const bool whole = random() % rarity == 0;
      for (std::uint64_t at = 0; at < file->events[i].bytes.size();) {
        const std::uint64_t sector_end = ((file->events[i].offset + at) / kSector + 1) * kSector;
        const std::uint64_t length =
            std::min(sector_end - file->events[i].offset, file->events[i].bytes.size()) - at;
        if (part_of_it ? random() % 2 == 0 : whole) put(file->events[i], at, length);
        at += length;
      }
    }
    return content;
  }

  void expect_sound(std::size_t end) {
    write_whole_file(image + ".cut", content_at(end));
    const CommandResult checked = run_command("qemu-img check -f qcow2 " + image + ".cut");
    ASSERT_TRUE(checked.status == 0 || checked.status == 3) << "before event " << end << "\n"
                                                            << checked.output.substr(0, 2000);
    qemu("qemu-img convert -f qcow2 -O raw " + image + ".cut " + raw);
    std::vector<JournalRecord> journal;
    for (const Request& one : requests)
      if (one.events < end) journal.push_back(one.record);
    ASSERT_EQ(JournalReader(journal, first_stamps).first_wrong(read_stamps(raw)), "")
        << "before event " << end;
  }

  std::mt19937_64 random{11};
  TemporaryFolder folder;
  const std::string image = folder.file("disk.qcow2"), raw = folder.file("raw");
  Bytes first_content;
  std::vector<std::uint64_t> first_stamps;
  std::shared_ptr<RecordingFile> file;
  std::shared_ptr<qcow2::Image> disk;
  std::vector<Request> requests;
};

TEST_P(PowerTest, NothingThatWasFlushedIsLostAndNothingIsDamaged) {
  std::uint64_t number = 0;
  for (unsigned round = 0; round < 30 && !HasFatalFailure(); ++round) {
    for (unsigned i = 0; i < 6; ++i) request(++number);
    commit(number);
  }
  std::vector<std::size_t> syncs;
  for (std::size_t i = 0; i < file->events.size(); ++i)
    if (file->events[i].sync) syncs.push_back(i);
  // Most is at stake just before a sync, and in the beginning, while tables are made.
  for (unsigned i = 0; i < 80 && !HasFatalFailure(); ++i) {
    if (i < 40)
      expect_sound(syncs[i / 2]);
    else
      expect_sound(i % 2 == 0 ? syncs[random() % syncs.size()] : random() % file->events.size());
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, PowerTest,
    ::testing::Values(
        Shape{"cluster9", "qemu-img create -q -f qcow2 -o cluster_size=512 IMAGE 4M"},
        Shape{"refcount64",
              "qemu-img create -q -f qcow2 -o cluster_size=512,refcount_bits=64 IMAGE 4M"},
        Shape{"cluster12", "qemu-img create -q -f qcow2 -o cluster_size=4096 IMAGE 4M"},
        Shape{"version2", "qemu-img create -q -f qcow2 -o compat=0.10,cluster_size=1024 IMAGE 4M"},
        Shape{"cluster16", "qemu-img create -q -f qcow2 IMAGE 4M"},
        Shape{"snapshot",
              "qemu-img create -q -f qcow2 -o cluster_size=2048 IMAGE 4M && "
              "qemu-io -f qcow2 -c 'write -q -P 1 0 4M' IMAGE && "
              "qemu-img snapshot -c s IMAGE"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace vireo::test
