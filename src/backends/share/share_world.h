#pragma once
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "backends/share/file_server.h"

namespace vireo::backends {

/// A folder of the host for a test, gone at its end: `share/` is shared, `secret` is beside it.
struct ShareFolder {
  ShareFolder() {
    std::string pattern = ::testing::TempDir() + "/vireo-share-XXXXXX";
    path = ::mkdtemp(pattern.data());
    std::filesystem::create_directory(shared());
    write("../secret", "secret");
  }
  ~ShareFolder() { std::filesystem::remove_all(path); }
  std::string shared(const std::string& name = "") const { return path + "/share/" + name; }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(shared(name)) << text;
  }
  std::string read(const std::string& name) const {
    std::ifstream file(shared(name));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::unique_ptr<SharedFolder> open(bool read_only = false) const {
    auto folder = SharedFolder::open(shared(), read_only);
    EXPECT_TRUE(folder) << folder.error().message;
    return std::move(*folder);
  }
  std::string path;
};

/// A message of 9P as a client builds it.
class ClientMessage {
 public:
  ClientMessage(ninep::Kind kind, std::uint16_t tag = 1) {
    (*this)(std::uint32_t{0})(static_cast<std::uint8_t>(kind))(tag);
  }
  template <std::unsigned_integral T>
  ClientMessage& operator()(T value) {
    const auto field = std::as_bytes(std::span(&value, 1));
    bytes_.insert(bytes_.end(), field.begin(), field.end());
    return *this;
  }
  ClientMessage& operator()(std::string_view text) {
    (*this)(static_cast<std::uint16_t>(text.size()));
    return raw(text);
  }
  ClientMessage& raw(std::string_view text) {
    const auto field = std::as_bytes(std::span(text));
    bytes_.insert(bytes_.end(), field.begin(), field.end());
    return *this;
  }
  /// With its size filled in.
  std::vector<std::byte> bytes() const {
    auto result = bytes_;
    const auto size = static_cast<std::uint32_t>(result.size());
    std::memcpy(result.data(), &size, sizeof(size));
    return result;
  }

 private:
  std::vector<std::byte> bytes_;
};

/// An answer, or the error number that it is.
struct ServerAnswer {
  int error = 0;
  std::vector<std::byte> body;  ///< behind the header

  MessageReader reader() const { return MessageReader(body); }
};

/// The client's end of a session, attached as fid 0.
struct ShareClient {
  explicit ShareClient(std::unique_ptr<SharedFolder> folder) : server(std::move(folder)) {
    EXPECT_EQ(call(ClientMessage(ninep::Kind::kVersion, 0xffff)(65536u)("9P2000.L")).error, 0);
    EXPECT_EQ(attach(0).error, 0);
  }

  ServerAnswer call(const ClientMessage& message, std::size_t room = 70000) {
    return call(message.bytes(), room);
  }
  ServerAnswer call(const std::vector<std::byte>& message, std::size_t room = 70000) {
    std::vector<std::byte> answer(room);
    const std::size_t size = server.handle(message, answer);
    EXPECT_LE(size, room);
    MessageReader in(std::span(answer).first(size));
    EXPECT_EQ(in.take<std::uint32_t>(), size);
    const auto kind = in.take<std::uint8_t>();
    EXPECT_EQ(in.take<std::uint16_t>(),
              MessageReader(std::span(message).subspan(5)).take<std::uint16_t>());
    ServerAnswer result;
    if (kind == 7) {
      result.error = static_cast<int>(in.take<std::uint32_t>());
    } else {
      EXPECT_EQ(kind, std::to_integer<unsigned>(message.at(4)) + 1);
      result.body.assign(answer.begin() + ninep::kHeaderBytes,
                         answer.begin() + static_cast<std::ptrdiff_t>(size));
    }
    return result;
  }
  ServerAnswer attach(std::uint32_t fid) {
    return call(ClientMessage(ninep::Kind::kAttach)(fid)(ninep::kNoFid)("")("")(0u));
  }
  ServerAnswer walk(std::uint32_t from, std::uint32_t to, const std::vector<std::string>& names) {
    ClientMessage message(ninep::Kind::kWalk);
    message(from)(to)(static_cast<std::uint16_t>(names.size()));
    for (const auto& name : names) message(name);
    return call(message);
  }
  ServerAnswer open(std::uint32_t fid, int flags) {
    return call(ClientMessage(ninep::Kind::kOpen)(fid)(static_cast<std::uint32_t>(flags)));
  }
  /// In the folder that `fid` stands for; then it stands for the new file.
  ServerAnswer create(std::uint32_t fid, const std::string& name, int flags,
                      std::uint32_t mode = 0644) {
    return call(ClientMessage(ninep::Kind::kCreate)(fid)(name)(static_cast<std::uint32_t>(flags))(
        mode)(0u));
  }
  ServerAnswer write(std::uint32_t fid, std::uint64_t offset, std::string_view data) {
    return call(
        ClientMessage(ninep::Kind::kWrite)(fid)(offset)(static_cast<std::uint32_t>(data.size()))
            .raw(data));
  }
  std::string read(std::uint32_t fid, std::uint64_t offset, std::uint32_t count) {
    const auto answer = call(ClientMessage(ninep::Kind::kRead)(fid)(offset)(count));
    if (answer.error != 0) return "error " + std::to_string(answer.error);
    auto in = answer.reader();
    const auto data = in.raw(in.take<std::uint32_t>());
    return {reinterpret_cast<const char*>(data.data()), data.size()};
  }
  int clunk(std::uint32_t fid) { return call(ClientMessage(ninep::Kind::kClunk)(fid)).error; }
  /// The status of Rlock.
  unsigned lock(std::uint32_t fid, std::uint8_t type, std::uint64_t start, std::uint64_t length,
                std::uint32_t process) {
    const auto answer =
        call(ClientMessage(ninep::Kind::kLock)(fid)(type)(0u)(start)(length)(process)("guest"));
    EXPECT_EQ(answer.error, 0);
    return answer.reader().take<std::uint8_t>();
  }

  FileServer server;
};

}  // namespace vireo::backends
