#include "devices/virtio/virtio_9p.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace vireo::devices::virtio {

using backends::FileServer;
namespace ninep = backends::ninep;

/// What all messages begin with, and of Tflush what it is about.
struct Virtio9p::Header {
  std::uint32_t size = 0;
  ninep::Kind kind{};
  std::uint16_t tag = 0, flushed_tag = 0;
};

/// A request under way; used again for others.
struct Virtio9p::Request {
  Chain chain;
  Virtqueue* queue = nullptr;
  Header header;
  std::array<std::byte, ninep::kHeaderBytes> head{};  ///< as it was read
  std::vector<Request*> flushes;                      ///< answered behind it
};

Virtio9p::Virtio9p(std::unique_ptr<backends::SharedFolder> folder, std::string tag,
                   memory::GuestMemory& memory)
    : memory_(memory), tag_(std::move(tag)), server_(std::move(folder)) {
  for (auto& thread : threads_) thread = std::thread([this] { work(); });
}

Virtio9p::~Virtio9p() {
  drain();
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void Virtio9p::read_config(std::uint64_t offset, std::span<std::byte> data) const {
  std::ranges::fill(data, std::byte{0});
  std::vector<std::byte> space(sizeof(std::uint16_t) + tag_.size());
  const auto size = static_cast<std::uint16_t>(tag_.size());
  std::memcpy(space.data(), &size, sizeof(size));
  std::memcpy(space.data() + sizeof(size), tag_.data(), tag_.size());
  if (offset >= space.size()) return;
  std::memcpy(data.data(), space.data() + offset,
              std::min<std::size_t>(data.size(), space.size() - offset));
}

void Virtio9p::drain() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return under_way_ == 0; });
}

void Virtio9p::serve(Virtqueue& queue) {
  queue.serve([&](Chain& chain) {
    Request& request = acquire();
    std::swap(request.chain, chain);
    request.queue = &queue;
    {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(&request);
    }
    changed_.notify_one();
  });
}

Virtio9p::Request& Virtio9p::acquire() {
  const std::lock_guard lock(mutex_);
  ++under_way_;
  if (free_.empty()) return *requests_.emplace_back(std::make_unique<Request>());
  Request& request = *free_.back();
  free_.pop_back();
  return request;
}

void Virtio9p::release(Request& request) {
  const std::lock_guard lock(mutex_);
  free_.push_back(&request);
  if (--under_way_ == 0) idle_.notify_all();
}

void Virtio9p::work() {
  FileServer::prepare_thread();
  std::vector<std::byte> message, answer;
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    Request& request = *waiting_.front();
    waiting_.pop_front();
    const bool sound = begin(request);
    const bool flush = request.header.kind == ninep::Kind::kFlush;
    if (sound && flush) {
      const auto found = by_tag_.find(request.header.flushed_tag);
      if (found != by_tag_.end()) {
        found->second->flushes.push_back(&request);
        continue;
      }
    }
    lock.unlock();
    if (!sound) {
      request.queue->refuse({"a message of 9P that is none, or has no room for an answer"});
      release(request);
    } else if (flush) {
      answer_flush(request);
    } else {
      carry_out(request, message, answer);
      end(request);
    }
    lock.lock();
  }
}

/// Reads the head of its message and makes it known by its tag, before any request behind it
/// begins. With the lock.
bool Virtio9p::begin(Request& request) {
  const Chain& chain = request.chain;
  if (chain.readable_bytes() < request.head.size() || chain.writable_bytes() < ninep::kErrorBytes ||
      !copy_from(memory_, chain.readable(), 0, request.head))
    return false;
  backends::MessageReader in(request.head);
  Header& header = request.header;
  header.size = in.take<std::uint32_t>();
  header.kind = static_cast<ninep::Kind>(in.take<std::uint8_t>());
  header.tag = in.take<std::uint16_t>();
  if (header.size < request.head.size() || header.size > chain.readable_bytes() ||
      header.size > FileServer::kMostMessageBytes)
    return false;
  if (header.kind == ninep::Kind::kFlush) {
    std::array<std::byte, sizeof(std::uint16_t)> tag{};
    if (header.size < request.head.size() + tag.size() ||
        !copy_from(memory_, chain.readable(), request.head.size(), tag))
      return false;
    header.flushed_tag = backends::MessageReader(tag).take<std::uint16_t>();
    return true;
  }
  // Two of one tag at a time are a mistake that harms only whoever makes it: flushes find the
  // first.
  by_tag_.try_emplace(header.tag, &request);
  return true;
}

void Virtio9p::carry_out(Request& request, std::vector<std::byte>& message,
                         std::vector<std::byte>& answer) {
  const Chain& chain = request.chain;
  message.resize(request.header.size);
  std::ranges::copy(request.head, message.begin());
  answer.resize(std::min<std::uint64_t>(chain.writable_bytes(), FileServer::kMostMessageBytes));
  if (!copy_from(memory_, chain.readable(), request.head.size(),
                 std::span(message).subspan(request.head.size())))
    return request.queue->refuse({"a message of 9P outside memory"});
  give_back(request, std::span(answer).first(server_.handle(message, answer)));
}

/// It is done: no flush finds it any more, and those that did are done as well.
void Virtio9p::end(Request& request) {
  std::vector<Request*> flushes;
  {
    const std::lock_guard lock(mutex_);
    const auto found = by_tag_.find(request.header.tag);
    if (found != by_tag_.end() && found->second == &request) by_tag_.erase(found);
    flushes.swap(request.flushes);
  }
  for (Request* flush : flushes) answer_flush(*flush);
  release(request);
}

void Virtio9p::answer_flush(Request& request) {
  std::array<std::byte, ninep::kHeaderBytes> answer{};
  backends::MessageWriter out(answer);
  out.put(static_cast<std::uint32_t>(answer.size()));
  out.put(static_cast<std::uint8_t>(static_cast<std::uint8_t>(ninep::Kind::kFlush) + 1));
  out.put(request.header.tag);
  give_back(request, answer);
  release(request);
}

void Virtio9p::give_back(Request& request, std::span<const std::byte> answer) {
  if (!copy_to(memory_, request.chain.writable(), 0, answer))
    return request.queue->refuse({"an answer of 9P outside memory"});
  request.queue->give_back(request.chain, static_cast<std::uint32_t>(answer.size()));
}

}  // namespace vireo::devices::virtio
