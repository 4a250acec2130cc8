#include "devices/virtio/virtio_net.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "backends/network/offload.h"
#include "base/assert.h"
#include "devices/virtio/virtio_bits.h"
#include "devices/virtio/virtio_net_layout.h"

namespace vireo::devices::virtio {

using backends::FrameHeader;
using backends::TakenFrames;

namespace {

/// The header of drivers from before 1.0 that merge no buffers.
constexpr std::size_t kShortHeader = sizeof(FrameHeader) - sizeof(FrameHeader::buffers);
constexpr std::size_t kMostCommandBytes = 4096;

}  // namespace

VirtioNet::VirtioNet(backends::NetworkBackend& backend, memory::GuestMemory& memory,
                     const backends::MacAddress& mac, unsigned pairs)
    : backend_(backend),
      memory_(memory),
      first_mac_(mac),
      pairs_(pairs),
      mac_(mac),
      transmit_(pairs),
      receive_(pairs) {
  VIREO_ASSERT(pairs >= 1 && pairs <= kMostPairs);
  backends::NetworkReader& self = *this;
  backend_.start(self);
}

VirtioNet::~VirtioNet() { backend_.stop(); }

std::uint64_t VirtioNet::features() const {
  return net::kChecksum | net::kGuestChecksum | net::kMac | net::kGuestTso4 | net::kGuestTso6 |
         net::kGuestEcn | net::kHostTso4 | net::kHostTso6 | net::kHostEcn | net::kMergeBuffers |
         net::kStatus | net::kControlQueue | net::kControlReceive | net::kControlReceiveExtra |
         net::kControlMac | (pairs_ > 1 ? net::kMultiQueue : 0);
}

void VirtioNet::read_config(std::uint64_t offset, std::span<std::byte> data) const {
  net::ConfigSpace space;
  {
    const std::lock_guard lock(mac_mutex_);
    space.mac = mac_;
  }
  space.status = net::kLinkUp;
  space.queue_pairs = static_cast<std::uint16_t>(pairs_);
  std::ranges::fill(data, std::byte{0});
  if (offset >= sizeof(space)) return;
  const auto bytes = std::as_bytes(std::span(&space, 1)).subspan(offset);
  std::memcpy(data.data(), bytes.data(), std::min(data.size(), bytes.size()));
}

NetworkCounters VirtioNet::counters() const {
  return {.sent_frames = sent_frames_.load(std::memory_order_relaxed),
          .sent_bytes = sent_bytes_.load(std::memory_order_relaxed),
          .received_frames = received_frames_.load(std::memory_order_relaxed),
          .received_bytes = received_bytes_.load(std::memory_order_relaxed),
          .dropped = dropped_.load(std::memory_order_relaxed)};
}

void VirtioNet::start(std::uint64_t features) { features_ = features; }

/// What the driver sends is copied when it is taken; only receive() may still be writing.
void VirtioNet::drain() { const std::lock_guard lock(receive_mutex_); }

void VirtioNet::reset() {
  {
    const std::lock_guard lock(transmit_mutex_);
    std::ranges::fill(transmit_, nullptr);
  }
  outgoing_.clear();
  sent_ = 0;
  {
    const std::lock_guard lock(mac_mutex_);
    mac_ = first_mac_;
  }
  bool resume = false;
  {
    const std::lock_guard lock(receive_mutex_);
    std::ranges::fill(receive_, nullptr);
    active_pairs_ = 1;
    flows_.forget();
    filter_ = {};
    delivered_ = 0;
    resume = std::exchange(waits_for_buffers_, false);
  }
  if (resume) backend_.resume();
}

void VirtioNet::serve(Virtqueue& queue) {
  const unsigned pairs = usable_pairs();
  if (queue.index() == 2 * pairs) return serve_control(queue);
  if (queue.index() > 2 * pairs) return;  // of a driver that does not know of more pairs
  return queue.index() % 2 == kReceive ? serve_receive(queue) : serve_transmit(queue);
}

std::size_t VirtioNet::header_bytes() const {
  return has(feature::kVersion1 | net::kMergeBuffers) ? sizeof(FrameHeader) : kShortHeader;
}

// --- Frames for the guest.

void VirtioNet::serve_receive(Virtqueue& queue) {
  bool resume = false;
  {
    const std::lock_guard lock(receive_mutex_);
    receive_.at(queue.index() / 2) = &queue;
    resume = std::exchange(waits_for_buffers_, false);
  }
  if (resume) backend_.resume();
}

bool VirtioNet::can_receive(std::uint8_t segmentation) const {
  if ((segmentation & FrameHeader::kEcn) != 0 && !has(net::kGuestEcn)) return false;
  switch (segmentation & ~FrameHeader::kEcn) {
    case FrameHeader::kTcp4:
      return has(net::kGuestTso4);
    case FrameHeader::kTcp6:
      return has(net::kGuestTso6);
    default:
      return segmentation == FrameHeader::kWhole;
  }
}

/// Null if the driver is not there.
Virtqueue* VirtioNet::receiver_of(std::span<const std::byte> frame) const {
  Virtqueue* const queue = receive_[active_pairs_ > 1 ? flows_.pair_of(frame) % active_pairs_ : 0];
  return queue != nullptr ? queue : receive_[0];
}

bool VirtioNet::receive(const FrameHeader& header, std::span<const std::byte> frame) {
  const std::lock_guard lock(receive_mutex_);
  Virtqueue* const queue = receiver_of(frame);
  if (queue == nullptr || !backends::sound(header, frame)) {
    add(dropped_, 1);
    return true;
  }
  {
    const std::lock_guard mac_lock(mac_mutex_);
    if (!filter_.wants(frame, mac_)) return true;
  }
  bool taken = false;
  if (!can_receive(header.segmentation) || !has(net::kGuestChecksum)) {
    taken = deliver_segments(*queue, header, frame);
  } else {
    taken = deliver(*queue, header, frame);
  }
  waits_for_buffers_ = !taken;
  return taken;
}

/// What the driver does not do itself. A frame that has to be offered again goes on where it was.
bool VirtioNet::deliver_segments(Virtqueue& queue, const FrameHeader& header,
                                 std::span<const std::byte> frame) {
  const FrameHeader finished{.flags = FrameHeader::kChecksumValid};
  if (header.segmentation == FrameHeader::kWhole) {
    if ((header.flags & FrameHeader::kNeedsChecksum) == 0) return deliver(queue, header, frame);
    finished_.assign(frame.begin(), frame.end());
    FrameHeader now = header;
    backends::finish_checksum(now, finished_);
    return deliver(queue, now, finished_);
  }
  bool taken = true;
  backends::segment(header, frame, delivered_, finished_, [&](std::span<const std::byte> segment) {
    taken = deliver(queue, finished, segment);
    if (taken) ++delivered_;
    return taken;
  });
  if (taken) delivered_ = 0;
  return taken;
}

/// A frame that does not fit into any buffers is lost.
bool VirtioNet::deliver(Virtqueue& queue, FrameHeader header, std::span<const std::byte> frame) {
  header.flags &= has(net::kGuestChecksum)
                      ? FrameHeader::kNeedsChecksum | FrameHeader::kChecksumValid
                      : std::uint8_t{0};
  std::size_t count = 0;
  const std::size_t most = has(net::kMergeBuffers) ? std::size_t{kQueueSize} : 1;
  switch (queue.gather(header_bytes() + frame.size(), most, chains_, count)) {
    case Virtqueue::Gathered::kWait:
      return false;
    case Virtqueue::Gathered::kNever:
      add(dropped_, 1);
      return true;
    case Virtqueue::Gathered::kAll:
      break;
  }
  header.buffers = static_cast<std::uint16_t>(count);
  if (!fill(header, frame, count)) {
    queue.refuse({"a buffer for frames outside memory"});
    return true;
  }
  add(received_frames_, 1);
  add(received_bytes_, frame.size());
  queue.give_back(done_);
  return true;
}

/// Header and frame, one behind the other, in the first `count` of chains_, whatever the driver has
/// cut them into.
bool VirtioNet::fill(FrameHeader header, std::span<const std::byte> frame, std::size_t count) {
  auto head = std::as_bytes(std::span(&header, 1)).first(header_bytes());
  done_.clear();
  for (const Chain& chain : std::span(chains_).first(count)) {
    const auto part = head.first(std::min<std::uint64_t>(head.size(), chain.writable_bytes()));
    const std::uint64_t room = chain.writable_bytes() - part.size();
    const auto rest = frame.first(std::min<std::uint64_t>(frame.size(), room));
    if (!copy_to(memory_, chain.writable(), 0, part) ||
        !copy_to(memory_, chain.writable(), part.size(), rest))
      return false;
    head = head.subspan(part.size());
    frame = frame.subspan(rest.size());
    done_.push_back({&chain, static_cast<std::uint32_t>(part.size() + rest.size())});
  }
  return true;
}

// --- Frames of the guest.

void VirtioNet::on_writable() {
  const std::lock_guard lock(transmit_mutex_);
  for (Virtqueue* const queue : transmit_) {
    if (queue != nullptr) queue->serve_later();
  }
}

void VirtioNet::serve_transmit(Virtqueue& queue) {
  {
    const std::lock_guard lock(transmit_mutex_);
    transmit_.at(queue.index() / 2) = &queue;
  }
  if (!send_outgoing()) return;
  queue.serve_while([&](Chain& chain) {
    take_frame(queue, chain);
    return send_outgoing();
  });
}

bool VirtioNet::can_send(std::uint8_t segmentation) const {
  if ((segmentation & FrameHeader::kEcn) != 0 && !has(net::kHostEcn)) return false;
  switch (segmentation & ~FrameHeader::kEcn) {
    case FrameHeader::kTcp4:
      return has(net::kHostTso4);
    case FrameHeader::kTcp6:
      return has(net::kHostTso6);
    default:
      return segmentation == FrameHeader::kWhole;
  }
}

/// The driver has its buffers back as soon as they are copied.
void VirtioNet::take_frame(Virtqueue& queue, const Chain& chain) {
  const std::size_t head = header_bytes();
  if (chain.readable_bytes() < head) return queue.refuse({"a frame to send without header"});
  const std::uint64_t size = chain.readable_bytes() - head;
  if (size < backends::kLeastFrameBytes || size > backends::kMostFrameBytes) {
    add(dropped_, 1);
    return queue.give_back(chain, 0);
  }
  FrameHeader header;
  if (frame_.size() < size) frame_.resize(size);  // shrinking it would be filling it again
  const auto frame = std::span(frame_).first(size);
  if (!copy_from(memory_, chain.readable(), 0,
                 std::as_writable_bytes(std::span(&header, 1)).first(head)) ||
      !copy_from(memory_, chain.readable(), head, frame))
    return queue.refuse({"a frame to send outside memory"});
  queue.give_back(chain, 0);
  if (usable_pairs() > 1) flows_.learn(frame, queue.index() / 2);
  header.flags &= has(net::kChecksum) ? FrameHeader::kNeedsChecksum : std::uint8_t{0};
  header.buffers = 0;
  if (!can_send(header.segmentation) || !backends::sound(header, frame)) return add(dropped_, 1);
  add(sent_frames_, 1);
  add(sent_bytes_, size);
  queue_outgoing(header, frame);
}

/// What the backend shall have of the frame.
void VirtioNet::queue_outgoing(FrameHeader header, std::span<std::byte> frame) {
  const TakenFrames takes = backend_.takes();
  if (takes == TakenFrames::kPlain && header.segmentation != FrameHeader::kWhole) {
    outgoing_bytes_.clear();
    backends::segment(header, frame, 0, segment_, [&](std::span<const std::byte> segment) {
      outgoing_.push_back({{}, outgoing_bytes_.size(), segment.size()});
      outgoing_bytes_.insert(outgoing_bytes_.end(), segment.begin(), segment.end());
      return true;
    });
    return;
  }
  if (takes != TakenFrames::kUnfinished) backends::finish_checksum(header, frame);
  outgoing_bytes_.swap(frame_);
  outgoing_.push_back({header, 0, frame.size()});
}

/// False if the backend has no room: on_writable() will follow.
bool VirtioNet::send_outgoing() {
  for (; sent_ < outgoing_.size(); ++sent_) {
    const Outgoing& one = outgoing_[sent_];
    if (!backend_.send(one.header, std::span(outgoing_bytes_).subspan(one.start, one.size)))
      return false;
  }
  outgoing_.clear();
  sent_ = 0;
  return true;
}

// --- What the driver wants.

void VirtioNet::serve_control(Virtqueue& queue) {
  queue.serve([&](Chain& chain) {
    std::vector<std::byte> request(
        std::min<std::uint64_t>(chain.readable_bytes(), kMostCommandBytes));
    if (request.size() < 2 || chain.writable_bytes() == 0)
      return queue.refuse({"a command without its kind or room for the answer"});
    if (!copy_from(memory_, chain.readable(), 0, request))
      return queue.refuse({"a command outside memory"});
    const bool done =
        request.size() == chain.readable_bytes() &&
        carry_out(std::to_integer<std::uint8_t>(request[0]),
                  std::to_integer<std::uint8_t>(request[1]), std::span(request).subspan(2));
    const std::uint8_t answer = done ? net::kOk : net::kError;
    if (!copy_to(memory_, chain.writable(), 0, std::as_bytes(std::span(&answer, 1))))
      return queue.refuse({"a command with its answer outside memory"});
    queue.give_back(chain, 1);
  });
}

bool VirtioNet::carry_out(std::uint8_t kind, std::uint8_t command,
                          std::span<const std::byte> data) {
  if (!has(net::kControlQueue)) return false;
  if (kind == net::kReceiveClass)
    return data.size() == 1 && set_receive_mode(command, data[0] != std::byte{0});
  if (kind == net::kQueuesClass) return command == net::kSetPairs && set_pairs(data);
  if (kind != net::kMacClass) return false;
  if (command == net::kSetTables) return set_tables(data);
  if (command != net::kSetAddress || data.size() != sizeof(mac_)) return false;
  const std::lock_guard lock(mac_mutex_);
  std::memcpy(mac_.data(), data.data(), data.size());
  return true;
}

bool VirtioNet::set_receive_mode(std::uint8_t command, bool on) {
  const std::lock_guard lock(receive_mutex_);
  switch (command) {
    case net::kPromiscuous:
      filter_.promiscuous = on;
      return true;
    case net::kAllGroups:
      filter_.all_groups = on;
      return true;
    case net::kAllSingle:
      filter_.all_single = on;
      return true;
    case net::kNoGroups:
      filter_.no_groups = on;
      return true;
    case net::kNoSingle:
      filter_.no_single = on;
      return true;
    case net::kNoBroadcast:
      filter_.no_broadcast = on;
      return true;
    default:
      return false;
  }
}

/// How many pairs frames for the guest may go to. 5.1.6.5.5.
bool VirtioNet::set_pairs(std::span<const std::byte> data) {
  std::uint16_t pairs = 0;
  if (data.size() != sizeof(pairs)) return false;
  std::memcpy(&pairs, data.data(), sizeof(pairs));
  if (!has(net::kMultiQueue) || pairs == 0 || pairs > pairs_) return false;
  const std::lock_guard lock(receive_mutex_);
  active_pairs_ = pairs;
  return true;
}

/// Two tables, each behind the number of its addresses. 5.1.6.5.2.
bool VirtioNet::set_tables(std::span<const std::byte> data) {
  ReceiveFilter tables;
  for (auto* table : {&tables.single, &tables.groups}) {
    std::uint32_t count = 0;
    if (data.size() < sizeof(count)) return false;
    std::memcpy(&count, data.data(), sizeof(count));
    data = data.subspan(sizeof(count));
    if (count > data.size() / sizeof(backends::MacAddress)) return false;
    const std::size_t bytes = count * sizeof(backends::MacAddress);
    if (count <= ReceiveFilter::kMostAddresses) {
      table->resize(count);
      if (count != 0) std::memcpy(table->data(), data.data(), bytes);
    } else {
      (table == &tables.single ? tables.too_many_single : tables.too_many_groups) = true;
    }
    data = data.subspan(bytes);
  }
  if (!data.empty()) return false;
  const std::lock_guard lock(receive_mutex_);
  filter_.single = std::move(tables.single);
  filter_.groups = std::move(tables.groups);
  filter_.too_many_single = tables.too_many_single;
  filter_.too_many_groups = tables.too_many_groups;
  return true;
}

}  // namespace vireo::devices::virtio
