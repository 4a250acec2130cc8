#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "backends/share/file_locks.h"
#include "backends/share/message.h"
#include "backends/share/protocol.h"
#include "backends/share/shared_folder.h"

namespace vireo::backends {

/// Serves a shared folder to one client by 9P2000.L. Messages come in from any thread, several at a
/// time, and are answered before handle() returns; the order of those that depend on each other is
/// the client's affair, and Tflush that of whoever queues them. The client is hostile.
class FileServer {
 public:
  /// Larger messages are never agreed on.
  static constexpr std::uint32_t kMostMessageBytes = (512 << 10) + 4096;
  static constexpr std::uint32_t kLeastMessageBytes = 4096;
  static constexpr std::size_t kMostFids = 1 << 16;
  /// Extended attributes that are being read or written at a time: each is kept whole.
  static constexpr std::size_t kMostExtended = 256;

  explicit FileServer(std::unique_ptr<SharedFolder> folder) : folder_(std::move(folder)) {}

  /// For each thread that calls handle(), first: files get the permissions that the guest asks for,
  /// without regard to the host user's umask. Such a thread takes no signals.
  static void prepare_thread();

  /// The message's header is what it says about its size. Fills `answer`, which has room for
  /// kErrorBytes at least, and returns the size of the answer.
  std::size_t handle(std::span<const std::byte> message, std::span<std::byte> answer);
  /// The client is gone, or begins anew: forgets its fids. What is being handled ends as it would.
  void reset();
  std::size_t fids() const;

 private:
  /// What a number of the client stands for. Copied out of the table and used without its lock.
  struct Fid {
    std::shared_ptr<Node> node;
    struct Opened {
      std::shared_ptr<Node> file;
      std::mutex mutex;  // guards the position in a folder, and what is locked
      FileLocks::Held held;
    };
    /// An extended attribute of a node, as it was when it was asked for, or as it is to be.
    struct Extended {
      std::shared_ptr<Node> node;
      std::string name;
      bool writes = false;  ///< it is set when the fid is clunked
      int flags = 0;        ///< as setxattr() has them
      std::mutex mutex;     // guards what follows
      std::vector<std::byte> value;
      std::size_t filled = 0;  ///< bytes that have been written
    };
    std::shared_ptr<Opened> opened;      ///< null: not open
    std::shared_ptr<Extended> extended;  ///< null: it is the node itself
  };
  using Operation = OrErrno<> (FileServer::*)(MessageReader&, MessageWriter&);
  static Operation operation_of(ninep::Kind kind);

  // Sessions and fids.
  OrErrno<> version(MessageReader& in, MessageWriter& out);
  OrErrno<> attach(MessageReader& in, MessageWriter& out);
  OrErrno<> walk(MessageReader& in, MessageWriter& out);
  OrErrno<> clunk(MessageReader& in, MessageWriter& out);
  OrErrno<> remove(MessageReader& in, MessageWriter& out);

  // Open files and folders.
  OrErrno<> open(MessageReader& in, MessageWriter& out);
  OrErrno<> create(MessageReader& in, MessageWriter& out);
  OrErrno<> read(MessageReader& in, MessageWriter& out);
  OrErrno<> write(MessageReader& in, MessageWriter& out);
  OrErrno<> read_folder(MessageReader& in, MessageWriter& out);
  OrErrno<> sync(MessageReader& in, MessageWriter& out);
  OrErrno<> lock(MessageReader& in, MessageWriter& out);
  OrErrno<> get_lock(MessageReader& in, MessageWriter& out);

  // Names and attributes.
  OrErrno<> statfs(MessageReader& in, MessageWriter& out);
  OrErrno<> get_attributes(MessageReader& in, MessageWriter& out);
  OrErrno<> set_attributes(MessageReader& in, MessageWriter& out);
  OrErrno<> read_link(MessageReader& in, MessageWriter& out);
  OrErrno<> symlink(MessageReader& in, MessageWriter& out);
  OrErrno<> make_node(MessageReader& in, MessageWriter& out);
  OrErrno<> make_folder(MessageReader& in, MessageWriter& out);
  OrErrno<> link(MessageReader& in, MessageWriter& out);
  OrErrno<> rename_at(MessageReader& in, MessageWriter& out);
  OrErrno<> unlink_at(MessageReader& in, MessageWriter& out);

  // Extended attributes.
  OrErrno<> find_extended(MessageReader& in, MessageWriter& out);
  OrErrno<> make_extended(MessageReader& in, MessageWriter& out);
  static OrErrno<> read_extended(Fid::Extended& attribute, std::uint64_t offset,
                                 std::uint32_t wanted, MessageWriter& out);
  static OrErrno<> write_extended(Fid::Extended& attribute, std::uint64_t offset,
                                  std::span<const std::byte> data, MessageWriter& out);
  static OrErrno<> set_extended(Fid::Extended& attribute);

  OrErrno<Fid> find(std::uint32_t number) const;
  OrErrno<Fid> find_open(std::uint32_t number) const;
  /// Under a number that is free.
  OrErrno<> add(std::uint32_t number, Fid fid);
  /// Makes the fid stand for an open file, unless it already does.
  OrErrno<> set_open(std::uint32_t number, std::shared_ptr<Node> file);
  OrErrno<> check_writable() const;
  /// The qid, by which a client knows files: type, version and identity.
  void put_qid(MessageWriter& out, const struct stat& info);
  OrErrno<> put_qid(MessageWriter& out, const Node& node);
  OrErrno<> put_qid_of(MessageWriter& out, const Node& folder, const std::string& name);

  const std::unique_ptr<SharedFolder> folder_;
  FileLocks locks_;
  std::atomic<std::uint32_t> message_bytes_ = kLeastMessageBytes;  ///< as agreed on

  mutable std::mutex mutex_;  // guards what follows; no system call with it held
  std::map<std::uint32_t, Fid> fids_;
  std::size_t extended_ = 0;  ///< how many of them are extended attributes
};

}  // namespace vireo::backends
