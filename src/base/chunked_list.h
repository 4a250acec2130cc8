#pragma once
#include <array>
#include <cstddef>
#include <memory>
#include <vector>

namespace vireo {

/// A list that grows at its end until it is cleared, and may lose what is in front. Its elements
/// stay where they are, and keep their indices. Unlike with std::deque, a chunk holds many of them
/// even if they are large.
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
    size_ = gone_ = 0;
  }
  /// Nobody asks for the elements before this one any more.
  void forget_before(std::size_t index) {
    for (; gone_ < index / kPerChunk; ++gone_) chunks_[gone_].reset();
  }

 private:
  using Chunk = std::array<T, kPerChunk>;
  std::vector<std::unique_ptr<Chunk>> chunks_;
  std::size_t size_ = 0;
  std::size_t gone_ = 0;  ///< chunks
};

}  // namespace vireo
