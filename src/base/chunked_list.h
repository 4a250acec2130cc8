#pragma once
#include <array>
#include <cstddef>
#include <memory>
#include <vector>

namespace vireo {

/// A list that only grows until it is cleared, whose elements stay where they are. Unlike with
/// std::deque, a chunk holds many of them even if they are large.
template <class T, std::size_t kPerChunk = 256>
class ChunkedList {
 public:
  T& operator[](std::size_t index) { return (*chunks_[index / kPerChunk])[index % kPerChunk]; }
  const T& operator[](std::size_t index) const {
    return (*chunks_[index / kPerChunk])[index % kPerChunk];
  }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  /// A new element, as T{} makes it; its index is size() - 1.
  T& add() {
    if (size_ % kPerChunk == 0) chunks_.push_back(std::make_unique<Chunk>());
    return (*this)[size_++];
  }
  void clear() {
    chunks_.clear();
    size_ = 0;
  }

 private:
  using Chunk = std::array<T, kPerChunk>;
  std::vector<std::unique_ptr<Chunk>> chunks_;
  std::size_t size_ = 0;
};

}  // namespace vireo
