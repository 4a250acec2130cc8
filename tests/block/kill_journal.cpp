#include "block/kill_journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "support/read_file.h"

namespace vireo::test {

JournalWriter::JournalWriter(const std::string& path)
    : fd_(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600)) {
  VIREO_ASSERT(fd_);
}

void JournalWriter::append(const JournalRecord& record) const {
  VIREO_ASSERT(::write(fd_.get(), &record, sizeof(record)) == sizeof(record));
}

std::vector<JournalRecord> read_journal(const std::string& path) {
  const auto bytes = read_file(path);
  std::vector<JournalRecord> records(bytes.size() / sizeof(JournalRecord));
  std::memcpy(records.data(), bytes.data(), records.size() * sizeof(JournalRecord));
  return records;
}

JournalReader::JournalReader(const std::vector<JournalRecord>& records,
                             const std::vector<std::uint64_t>& before) {
  for (const std::uint64_t stamp : before) possible_.push_back({stamp});
  std::uint64_t flushed = 0;
  for (const JournalRecord& record : records)
    if (record.kind == JournalKind::kFlushed) flushed = std::max(flushed, record.number);
  for (const JournalRecord& record : records) {
    if (record.kind == JournalKind::kFlushed) continue;
    last_number_ = std::max(last_number_, record.number);
    apply(record, record.number <= flushed);
  }
}

void JournalReader::apply(const JournalRecord& record, bool flushed) {
  for (std::uint32_t i = 0; i < record.count; ++i) {
    auto& possible = possible_.at(record.first + i);
    if (flushed && record.kind != JournalKind::kDiscard) possible.clear();
    possible.insert(record.kind == JournalKind::kWrite ? record.number : 0);
  }
}

std::string JournalReader::first_wrong(const std::vector<std::uint64_t>& now) const {
  if (now.size() != possible_.size()) return fmt::format("{} sectors", now.size());
  for (std::size_t i = 0; i < now.size(); ++i) {
    if (possible_[i].contains(now[i])) continue;
    std::string wanted;
    for (const std::uint64_t stamp : possible_[i]) wanted += fmt::format(" {}", stamp);
    return fmt::format("sector {} holds {}, but may hold{}", i, now[i], wanted);
  }
  return "";
}

std::vector<std::uint64_t> read_stamps(const std::string& raw_path) {
  const auto bytes = read_file(raw_path);
  std::vector<std::uint64_t> stamps(bytes.size() / kSector);
  for (std::size_t i = 0; i < stamps.size(); ++i) {
    const char* sector = bytes.data() + i * kSector;
    std::memcpy(&stamps[i], sector, 8);
    for (std::size_t at = 8; at < kSector; at += 8)
      if (std::memcmp(sector, sector + at, 8) != 0) stamps[i] = ~std::uint64_t{0};
  }
  return stamps;
}

}  // namespace vireo::test
