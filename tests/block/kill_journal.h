#pragma once
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace vireo::test {

constexpr std::uint64_t kSector = 512;

enum class JournalKind : std::uint32_t {
  kWrite,    ///< each sector holds the record's number, over and over
  kZero,     ///< zeroes
  kDiscard,  ///< zeroes, or what was there
  kFlushed,  ///< what was recorded up to this number is on the disk
};

/// Written before the request begins; kFlushed after the flush is done.
struct JournalRecord {
  std::uint64_t number = 0;
  JournalKind kind = JournalKind::kWrite;
  std::uint32_t first = 0;  ///< sector
  std::uint32_t count = 0;
  std::uint32_t padding = 0;
};

/// A file that outlives the program that appends to it. From any thread.
class JournalWriter {
 public:
  explicit JournalWriter(const std::string& path);
  void append(const JournalRecord& record) const;

 private:
  UniqueFd fd_;
};

std::vector<JournalRecord> read_journal(const std::string& path);

/// What each sector of a disk may hold after a program that kept a journal was ended.
class JournalReader {
 public:
  /// `before` is what the sectors held when the program began, as stamps.
  JournalReader(const std::vector<JournalRecord>& records,
                const std::vector<std::uint64_t>& before);
  /// The first sector that holds what it may not; empty if there is none.
  std::string first_wrong(const std::vector<std::uint64_t>& now) const;
  std::uint64_t last_number() const { return last_number_; }

 private:
  void apply(const JournalRecord& record, bool flushed);

  std::vector<std::set<std::uint64_t>> possible_;
  std::uint64_t last_number_ = 0;
};

/// The stamps of a disk in a file; what is no sector full of one stamp is ~0.
std::vector<std::uint64_t> read_stamps(const std::string& raw_path);

}  // namespace vireo::test
