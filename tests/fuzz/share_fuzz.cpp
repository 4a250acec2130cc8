// Any client of a shared folder: messages of 9P as the input has them. Whatever comes, answers are
// sound, and what lies beside the folder stays as it is.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "backends/share/file_server.h"
#include "base/assert.h"
#include "fuzz/fuzz_input.h"

namespace vireo::test {
namespace {

using backends::FileServer;
using backends::ninep::Kind;

/// share/ with a few things in it, among them links that lead out, and a secret beside it.
class Folder {
 public:
  Folder() {
    const char* place = ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    path_ = std::string(place) + "/vireo-fuzz-XXXXXX";
    VIREO_ASSERT(::mkdtemp(path_.data()) != nullptr);
    std::filesystem::create_directories(shared() + "/d/e");
    std::ofstream(path_ + "/secret") << "secret";
    std::ofstream(shared() + "/a") << std::string(5000, 'a');
    std::filesystem::create_symlink("..", shared() + "/up");
    std::filesystem::create_symlink("../secret", shared() + "/out");
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string shared() const { return path_ + "/share"; }
  void check() const {
    std::ifstream file(path_ + "/secret");
    VIREO_ASSERT(std::string(std::istreambuf_iterator<char>(file), {}) == "secret");
    VIREO_ASSERT(std::filesystem::hard_link_count(path_ + "/secret") == 1);
    std::size_t entries = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(path_)) ++entries;
    VIREO_ASSERT(entries == 2);
  }

 private:
  std::string path_;
};

class Client {
 public:
  Client(FuzzInput input, FileServer& server) : input_(input), server_(server) {}

  void run() {
    begin(Kind::kVersion);
    put(std::uint32_t{16384});
    text("9P2000.L");
    send();
    begin(Kind::kAttach);
    put(std::uint32_t{0}), put(~std::uint32_t{0});
    text(""), text("");
    put(std::uint32_t{0});
    send();
    while (!input_.rest().empty()) step();
  }

 private:
  template <class T>
  T take() {
    return input_.take<T>();
  }
  template <class T>
  void put(T value) {
    const auto bytes = std::as_bytes(std::span(&value, 1));
    message_.insert(message_.end(), bytes.begin(), bytes.end());
  }
  void text(std::string_view text) {
    put(static_cast<std::uint16_t>(text.size()));
    const auto bytes = std::as_bytes(std::span(text));
    message_.insert(message_.end(), bytes.begin(), bytes.end());
  }
  void begin(Kind kind) {
    message_.clear();
    put(std::uint32_t{0}), put(kind), put(std::uint16_t{1});
  }
  void fid() { put(std::uint32_t{take<std::uint8_t>()} % 8); }
  void name() {
    constexpr std::array<const char*, 12> kNames{"a",   "b",  "c",         "d", "e", "up",
                                                 "out", "..", "../secret", "/", "",  "."};
    text(kNames.at(take<std::uint8_t>() % kNames.size()));
  }
  void attribute() {
    constexpr std::array<const char*, 5> kNames{"", "user.a", "user.b", "security.capability",
                                                "system.posix_acl_access"};
    text(kNames.at(take<std::uint8_t>() % kNames.size()));
  }
  /// Mostly of the right form.
  void step() {
    constexpr std::array<Kind, 24> kKinds{
        Kind::kStatfs,     Kind::kOpen,       Kind::kCreate,        Kind::kSymlink,
        Kind::kMakeNode,   Kind::kReadLink,   Kind::kGetAttributes, Kind::kSetAttributes,
        Kind::kReadFolder, Kind::kSync,       Kind::kLock,          Kind::kGetLock,
        Kind::kLink,       Kind::kMakeFolder, Kind::kRenameAt,      Kind::kUnlinkAt,
        Kind::kAttach,     Kind::kWalk,       Kind::kRead,          Kind::kWrite,
        Kind::kClunk,      Kind::kRemove,     Kind::kFindExtended,  Kind::kMakeExtended};
    const auto choice = take<std::uint8_t>();
    const Kind kind = kKinds.at(choice % kKinds.size());
    begin(choice >= 250 ? static_cast<Kind>(take<std::uint8_t>()) : kind);
    fid();
    switch (kind) {
      case Kind::kWalk: {
        fid();
        const unsigned count = take<std::uint8_t>() % 4;
        put(static_cast<std::uint16_t>(count));
        for (unsigned i = 0; i < count; ++i) name();
        break;
      }
      case Kind::kFindExtended:
        fid(), attribute();
        break;
      case Kind::kMakeExtended:
        attribute(), put(std::uint64_t{take<std::uint8_t>()} % 64);
        put(std::uint32_t{take<std::uint8_t>()} % 4);
        break;
      case Kind::kRenameAt:
        name(), fid(), name();
        break;
      case Kind::kLink:
        fid(), name();
        break;
      case Kind::kSymlink:
        name(), name();
        break;
      case Kind::kCreate:
        name(), put(std::uint32_t{take<std::uint16_t>()}),
            put(std::uint32_t{take<std::uint16_t>()});
        break;
      case Kind::kUnlinkAt:
      case Kind::kMakeNode:
      case Kind::kMakeFolder:
        name(), put(std::uint32_t{take<std::uint16_t>()});
        break;
      case Kind::kOpen:
        put(std::uint32_t{take<std::uint16_t>()});
        break;
      case Kind::kRead:
      case Kind::kWrite:
      case Kind::kReadFolder:
        put(std::uint64_t{take<std::uint16_t>()}), put(std::uint32_t{take<std::uint16_t>()});
        break;
      default:
        break;
    }
    const unsigned more = take<std::uint8_t>() % 64;
    for (unsigned i = 0; i < more; ++i) put(take<std::uint8_t>());
    send();
  }
  void send() {
    const auto size = static_cast<std::uint32_t>(message_.size());
    std::memcpy(message_.data(), &size, sizeof(size));
    std::vector<std::byte> answer(11 + take<std::uint16_t>() % 20000);
    const std::size_t length = server_.handle(message_, answer);
    VIREO_ASSERT(length >= backends::ninep::kHeaderBytes && length <= answer.size());
    backends::MessageReader in(answer);
    VIREO_ASSERT(in.take<std::uint32_t>() == length);
    const auto kind = in.take<std::uint8_t>();
    VIREO_ASSERT(kind == 7 || kind == std::to_integer<unsigned>(message_.at(4)) + 1);
  }

  FuzzInput input_;
  FileServer& server_;
  std::vector<std::byte> message_;
};

}  // namespace
}  // namespace vireo::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const vireo::test::Folder folder;
  auto shared = vireo::backends::SharedFolder::open(folder.shared(), false);
  VIREO_ASSERT(shared.has_value());
  vireo::backends::FileServer server(std::move(*shared));
  vireo::test::Client(vireo::test::FuzzInput({data, size}), server).run();
  folder.check();
  return 0;
}
