#pragma once
#include <array>
#include <atomic>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "engine/translator/shared_translation.h"

namespace vireo::engine::translator {

/// What the vCPUs of a machine have translated, for the others: at most so many bytes of it, what
/// was used last. It is not told of writes: whoever takes something compares what it was made from.
/// Used from any thread.
class SharedTranslations {
 public:
  static constexpr std::size_t kMaxBytes = std::size_t{64} << 20;
  explicit SharedTranslations(std::size_t max_bytes = kMaxBytes) : max_bytes_(max_bytes) {}

  /// A vCPU on its own neither offers nor looks for anything.
  class Member {
   public:
    explicit Member(std::shared_ptr<SharedTranslations> all) : all_(std::move(all)) {
      if (all_ != nullptr) ++all_->members_;
    }
    ~Member() {
      if (all_ != nullptr) --all_->members_;
    }
    Member(const Member&) = delete;
    Member& operator=(const Member&) = delete;

    /// Null: there is nobody to share with.
    SharedTranslations* others() const {
      return all_ != nullptr && all_->members_.load(std::memory_order_relaxed) > 1 ? all_.get()
                                                                                   : nullptr;
    }

   private:
    std::shared_ptr<SharedTranslations> all_;
  };

  /// In place of what there is with that key.
  void offer(SharedTranslation made);
  /// Null: there is none.
  std::shared_ptr<const SharedTranslation> find(const TranslationKey& key);

  struct Page {
    std::size_t translations = 0;      ///< that begin there
    std::optional<std::uint64_t> tag;  ///< what stands for its address in relative code

    /// Whether one may begin there: most that is looked for is not there, which this says sooner
    /// than find().
    bool may_begin(PhysAddr start) const { return begins[place(start)]; }

   private:
    friend SharedTranslations;
    static constexpr std::size_t kStep = 16;
    static std::size_t place(PhysAddr start) { return (value(start) & kPageMask) / kStep; }
    std::bitset<kPageSize / kStep> begins;  ///< where some have begun, to so many bytes
  };
  /// What is there of the guest page.
  Page page(PhysAddr start);

  std::size_t bytes();

 private:
  struct Hash {
    std::size_t operator()(const TranslationKey& key) const {
      return (value(key.start) * 31 ^ key.tag ^ key.mode.key() << 3) * 0x9e3779b97f4a7c15;
    }
  };
  using Uses = std::list<std::shared_ptr<const SharedTranslation>>;  ///< the last one first
  /// That of some pages.
  struct Shard {
    std::mutex mutex;  ///< of all below; held for a few steps only
    Uses uses;
    std::unordered_map<TranslationKey, Uses::iterator, Hash> known;
    std::unordered_map<std::uint64_t, Page> pages;
    std::size_t bytes = 0;

    void forget(Uses::iterator which);
  };
  Shard& shard(PhysAddr start) { return shards_[(value(start) >> kPageShift) % shards_.size()]; }

  const std::size_t max_bytes_;
  std::atomic<unsigned> members_ = 0;
  std::array<Shard, 16> shards_;
};

}  // namespace vireo::engine::translator
