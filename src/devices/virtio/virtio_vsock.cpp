#include "devices/virtio/virtio_vsock.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

namespace vireo::devices::virtio {

using backends::SocketKind;
using vsock::Header;
using vsock::Operation;

namespace {

constexpr SocketKind kKinds[] = {SocketKind::kStream, SocketKind::kMessages};
constexpr std::size_t kLongestLine = 32;

std::uint16_t type_of(SocketKind kind) {
  return kind == SocketKind::kMessages ? vsock::kMessages : vsock::kStream;
}

/// Reads the line that a program of the host begins with, as far as it has come. Nothing while it
/// has no end; false if none can come.
std::optional<bool> read_line(int fd, SocketKind kind, std::string& line) {
  if (kind == SocketKind::kMessages) {
    line.resize(kLongestLine);
    const ssize_t count = ::recv(fd, line.data(), line.size(), MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
    line.resize(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    if (!line.ends_with('\n')) return false;
    line.pop_back();
    return true;
  }
  while (true) {  // one at a time: what follows the line is the guest's
    char character = 0;
    const ssize_t count = ::recv(fd, &character, 1, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
    if (count <= 0 || line.size() == kLongestLine) return false;
    if (character == '\n') return true;
    line += character;
  }
}

}  // namespace

VirtioVsock::VirtioVsock(std::unique_ptr<backends::SocketFolder> folder, std::uint32_t guest_cid,
                         memory::GuestMemory& memory, EventLoop& loop)
    : folder_(std::move(folder)), guest_cid_(guest_cid), memory_(memory), loop_(loop) {
  const std::lock_guard lock(mutex_);
  listen();
}

VirtioVsock::~VirtioVsock() {
  reset();
  const std::lock_guard lock(mutex_);
  stop_listening();
}

std::size_t VirtioVsock::streams() const {
  const std::lock_guard lock(mutex_);
  return streams_.size();
}

void VirtioVsock::read_config(std::uint64_t offset, std::span<std::byte> data) const {
  std::ranges::fill(data, std::byte{0});
  const auto space = std::as_bytes(std::span(&guest_cid_, 1));
  if (offset >= space.size()) return;
  const auto bytes = space.subspan(offset);
  std::memcpy(data.data(), bytes.data(), std::min(data.size(), bytes.size()));
}

void VirtioVsock::start(std::uint64_t features) {
  const std::lock_guard lock(mutex_);
  has_messages_ = (features & vsock::kMessagesFeature) != 0;
}

void VirtioVsock::reset() {
  const std::lock_guard lock(mutex_);
  receive_ = transmit_ = nullptr;
  transmit_waits_ = has_messages_ = false;
  answers_.clear();
  ready_.clear();
  while (!streams_.empty()) remove(streams_.begin()->first, false);
  for (const auto& [fd, client] : clients_) loop_.unwatch(fd);
  clients_.clear();
  listen();
}

void VirtioVsock::serve(Virtqueue& queue) {
  const std::lock_guard lock(mutex_);
  if (queue.index() == kTransmit) serve_transmit(queue);
  if (queue.index() == kReceive) receive_ = &queue;
  listen();
  pump();
}

// --- From the guest.

void VirtioVsock::serve_transmit(Virtqueue& queue) {
  transmit_ = &queue;
  const auto may_go_on = [&] {
    if (answers_.size() >= kMostAnswers) pump();
    transmit_waits_ = answers_.size() >= kMostAnswers;
    return !transmit_waits_;
  };
  if (!may_go_on()) return;
  queue.serve_while([&](Chain& chain) {
    take_packet(queue, chain);
    return may_go_on();
  });
}

void VirtioVsock::take_packet(Virtqueue& queue, const Chain& chain) {
  Header header;
  if (!copy_from(memory_, chain.readable(), 0,
                 std::as_writable_bytes(std::span(&header, 1)).first(vsock::kHeaderBytes)))
    return queue.refuse({"a packet without header"});
  if (header.length > chain.readable_bytes() - vsock::kHeaderBytes)
    return queue.refuse({"a packet that is shorter than it says"});
  judge(header, chain, queue);
  queue.give_back(chain, 0);
}

void VirtioVsock::judge(const Header& header, const Chain& chain, Virtqueue& queue) {
  if (header.source_cid != guest_cid_ || header.destination_cid != vsock::kHostCid) return;
  const Key key{header.destination_port, header.source_port};
  const bool reset = header.operation == Operation::kReset;
  const bool known =
      header.type == vsock::kStream || (has_messages_ && header.type == vsock::kMessages);
  const auto found = streams_.find(key);
  const bool is_new = found == streams_.end();
  if (known && is_new && header.operation == Operation::kRequest) return on_request(key, header);
  if (!known || is_new || found->second.type() != header.type) {
    if (!reset) answer(key, header.type, Operation::kReset);
    return;
  }
  found->second.learn(header);
  if (reset) return remove(key, false);
  if (!on_packet(found->second, key, header, chain, queue)) return remove(key, true);
  advance(key, found->second);
}

void VirtioVsock::on_request(Key key, const Header& header) {
  if (streams_.size() >= kMostStreams) return answer(key, header.type, Operation::kReset);
  const bool messages = header.type == vsock::kMessages;
  UniqueFd socket =
      folder_->connect(key.host_port, messages ? SocketKind::kMessages : SocketKind::kStream);
  if (!socket) return answer(key, header.type, Operation::kReset);
  auto& stream =
      streams_.try_emplace(key, std::move(socket), VsockStream::State::kOpen, header.type)
          .first->second;
  stream.learn(header);
  answer(key, header.type, Operation::kResponse);
  advance(key, stream);
}

/// False if the guest did what it may not.
bool VirtioVsock::on_packet(VsockStream& stream, Key key, const Header& header, const Chain& chain,
                            Virtqueue& queue) {
  switch (header.operation) {
    case Operation::kResponse:
      return stream.state() == VsockStream::State::kRequested && stream.accepted(key.host_port);
    case Operation::kShutdown:
      stream.shut_down(header.flags);
      return true;
    case Operation::kData:
      return on_data(stream, header, chain, queue);
    case Operation::kCreditRequest:
      answer(key, stream.type(), Operation::kCreditUpdate);
      return true;
    case Operation::kCreditUpdate:
      return true;
    default:
      return false;
  }
}

bool VirtioVsock::on_data(VsockStream& stream, const Header& header, const Chain& chain,
                          Virtqueue& queue) {
  if (header.length > VsockStream::kBufferBytes) return false;
  data_.resize(header.length);
  if (!copy_from(memory_, chain.readable(), vsock::kHeaderBytes, data_)) {
    queue.refuse({"a packet outside memory"});
    return false;
  }
  return stream.put(data_, header.flags);
}

// --- From the host.

void VirtioVsock::listen() {
  const bool room = clients_.size() < kMostClients && streams_.size() < kMostStreams;
  if (!room) return stop_listening();
  if (std::exchange(listens_, true)) return;
  for (const SocketKind kind : kKinds) {
    if (!loop_.watch(folder_->listener(kind), {.readable = true},
                     [this, kind](EventLoop::Ready) { on_listener(kind); }))
      return stop_listening();
  }
}

void VirtioVsock::stop_listening() {
  if (!std::exchange(listens_, false)) return;
  for (const SocketKind kind : kKinds) loop_.unwatch(folder_->listener(kind));
}

/// Without a driver that knows their kind, or without descriptors, they come in vain.
void VirtioVsock::on_listener(SocketKind kind) {
  const std::lock_guard lock(mutex_);
  UniqueFd socket = folder_->accept(kind);
  if (!socket) {  // without descriptors: until a stream ends, or the guest says something
    if (errno == EMFILE || errno == ENFILE) stop_listening();
    return;
  }
  const int fd = socket.get();
  if (receive_ == nullptr || (kind == SocketKind::kMessages && !has_messages_) ||
      !loop_.watch(fd, {.readable = true}, [this, fd](EventLoop::Ready) { on_client(fd); }))
    return;
  clients_[fd] = {std::move(socket), kind, {}};
  listen();
}

void VirtioVsock::on_client(int fd) {
  const std::lock_guard lock(mutex_);
  const auto found = clients_.find(fd);
  if (found == clients_.end()) return;
  Client& client = found->second;
  const std::optional<bool> whole = read_line(fd, client.kind, client.line);
  if (!whole) return;
  loop_.unwatch(fd);
  if (*whole) begin(client);
  clients_.erase(found);
  listen();
  pump();
}

/// Asks the guest. Takes the client's socket, unless its line makes no sense.
bool VirtioVsock::begin(Client& client) {
  constexpr std::string_view kCommand = "CONNECT ";
  std::string_view line = client.line;
  if (!line.starts_with(kCommand) || streams_.size() >= kMostStreams) return false;
  line.remove_prefix(kCommand.size());
  Key key{};
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), key.guest_port);
  if (error != std::errc() || end != line.data() + line.size()) return false;
  do {
    key.host_port = next_port_++;
    next_port_ |= kFirstHostPort;
  } while (streams_.contains(key));
  const std::uint16_t type = type_of(client.kind);
  streams_.try_emplace(key, std::move(client.socket), VsockStream::State::kRequested, type);
  answer(key, type, Operation::kRequest);
  return true;
}

void VirtioVsock::on_socket(Key key) {
  const std::lock_guard lock(mutex_);
  const auto found = streams_.find(key);
  if (found == streams_.end()) return;
  advance(key, found->second);
  pump();
}

/// Moves what can be moved, and says to both sides what they should know. The stream may be gone
/// afterwards.
void VirtioVsock::advance(Key key, VsockStream& stream) {
  if (!stream.move()) return remove(key, true);
  if (!stream.ready().empty() && !std::exchange(stream.queued, true)) ready_.push_back(key);
  if (stream.ended_now()) answer(key, stream.type(), Operation::kShutdown, vsock::kSendsNoMore);
  if (stream.over()) return remove(key, true);
  if (stream.credit_is_news()) answer(key, stream.type(), Operation::kCreditUpdate);
  watch(key, stream);
}

void VirtioVsock::watch(Key key, VsockStream& stream) {
  const EventLoop::Ready wanted = stream.interest();
  if (wanted.readable == stream.watched.readable && wanted.writable == stream.watched.writable)
    return;
  stream.watched = wanted;
  if (!wanted.readable && !wanted.writable) return loop_.unwatch(stream.socket());
  if (!loop_.watch(stream.socket(), wanted, [this, key](EventLoop::Ready) { on_socket(key); }))
    remove(key, true);
}

void VirtioVsock::remove(Key key, bool tell_guest) {
  const auto found = streams_.find(key);
  loop_.unwatch(found->second.socket());
  if (found->second.queued) std::erase(ready_, key);
  const std::uint16_t type = found->second.type();
  streams_.erase(found);
  if (tell_guest) answer(key, type, Operation::kReset);
  listen();
}

// --- For the guest.

void VirtioVsock::answer(Key key, std::uint16_t type, Operation operation, std::uint32_t flags) {
  answers_.push_back({key, operation, flags, type});
}

/// Fills the driver's buffers as long as there are some, and something for them.
void VirtioVsock::pump() {
  if (receive_ == nullptr) return;
  bool room = true;
  while (room) {
    if (!answers_.empty()) {
      const Answer next = answers_.front();
      Header header;
      header.source_port = next.key.host_port;
      header.destination_port = next.key.guest_port;
      header.operation = next.operation;
      header.flags = next.flags;
      header.type = next.type;
      if (const auto found = streams_.find(next.key); found != streams_.end())
        found->second.tell(header);
      std::size_t sent = 0;
      room = send(header, {}, header.flags, sent);
      if (room) answers_.pop_front();
    } else if (!ready_.empty()) {
      room = send_data(ready_.front(), streams_.at(ready_.front()));
    } else {
      break;
    }
  }
  if (transmit_waits_ && answers_.size() < kMostAnswers) transmit_->serve_later();
}

/// One packet; then it is the turn of others. False if the driver has no buffer.
bool VirtioVsock::send_data(Key key, VsockStream& stream) {
  const auto next = [&] {
    ready_.pop_front();
    stream.queued = false;
    advance(key, stream);
    return true;
  };
  if (stream.ready().empty()) return next();  // the guest's credit or interest has gone
  Header header;
  header.source_port = key.host_port;
  header.destination_port = key.guest_port;
  header.type = stream.type();
  header.operation = Operation::kData;
  stream.tell(header);
  std::size_t sent = 0;
  if (!send(header, stream.ready(), stream.flags_of_last(), sent)) return false;
  stream.sent(sent);
  return next();
}

/// Header and as much of the data as one buffer of the driver holds, with the flags of the last
/// packet if that is all; false if there is none.
bool VirtioVsock::send(Header header, std::span<const std::byte> data, std::uint32_t flags_of_last,
                       std::size_t& sent) {
  std::size_t count = 0;
  const std::size_t least = vsock::kHeaderBytes + (data.empty() ? 0 : 1);
  if (receive_->gather(least, 1, chains_, count) != Virtqueue::Gathered::kAll) return false;
  const Chain& chain = chains_.front();
  const auto part = data.first(
      std::min<std::uint64_t>(data.size(), chain.writable_bytes() - vsock::kHeaderBytes));
  header.source_cid = vsock::kHostCid;
  header.destination_cid = guest_cid_;
  header.length = static_cast<std::uint32_t>(part.size());
  header.flags = part.size() == data.size() ? flags_of_last : 0;
  if (!copy_to(memory_, chain.writable(), 0,
               std::as_bytes(std::span(&header, 1)).first(vsock::kHeaderBytes)) ||
      !copy_to(memory_, chain.writable(), vsock::kHeaderBytes, part)) {
    receive_->refuse({"a buffer for packets outside memory"});
    return false;
  }
  sent = part.size();
  receive_->give_back(chain, static_cast<std::uint32_t>(vsock::kHeaderBytes + part.size()));
  return true;
}

}  // namespace vireo::devices::virtio
