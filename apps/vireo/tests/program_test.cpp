#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace vireo::app {
namespace {

using ::testing::HasSubstr;

struct Outcome {
  int status = -1;
  std::string out, error;
};

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

struct ProgramTest : ::testing::Test {
  ProgramTest() {
    char name[] = "/tmp/vireo-test-XXXXXX";
    directory = ::mkdtemp(name);
  }
  ~ProgramTest() override {
    [[maybe_unused]] const int status = ::system(("rm -r " + directory).c_str());
  }

  pid_t start(const std::vector<std::string>& arguments) {
    const pid_t child = ::fork();
    if (child != 0) return child;
    if (std::freopen("/dev/null", "r", stdin) == nullptr) ::_exit(126);
    if (std::freopen((directory + "/out").c_str(), "w", stdout) == nullptr) ::_exit(126);
    if (std::freopen((directory + "/error").c_str(), "w", stderr) == nullptr) ::_exit(126);
    std::vector<char*> argv{const_cast<char*>("vireo")};
    for (const std::string& argument : arguments)
      argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    ::execv(VIREO_PROGRAM, argv.data());
    ::_exit(127);
  }
  Outcome finish(pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, contents(directory + "/out"),
            contents(directory + "/error")};
  }
  Outcome vireo(const std::vector<std::string>& arguments) { return finish(start(arguments)); }

  /// A multiboot kernel at 1 MiB that executes this 32-bit code.
  std::string kernel(const std::string& code) {
    const std::uint32_t header[] = {
        0x1badb002, 0x10000, 0u - 0x1badb002u - 0x10000u, 0x100000, 0x100000, 0, 0, 0x100020};
    std::string path = directory + "/kernel";
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(header), sizeof(header));
    file << code;
    return path;
  }
  /// mov edx, port; then for each byte: mov al, byte; out dx, al.
  static std::string out_code(std::uint16_t port, const std::string& bytes) {
    std::string code("\xba", 1);
    code += static_cast<char>(port & 0xff);
    code += static_cast<char>(port >> 8);
    code += std::string(2, '\0');
    for (const char byte : bytes) code += std::string("\xb0") + byte + "\xee";
    return code;
  }
  static inline const std::string kLoop{"\xeb\xfe"}, kHalt{"\xf4\xeb\xfd"}, kInvalid{"\x0f\x0b"};

  std::string directory;
};

TEST_F(ProgramTest, DebugExitDecidesTheStatusAndTheSerialPortIsTheOutput) {
  const auto file = kernel(out_code(0x3f8, "hello\n") + out_code(0xf4, "\x03") + kLoop);
  const Outcome outcome = vireo({"run", "--kernel", file, "--debug-exit", "--timeout", "60"});
  EXPECT_EQ(outcome.status, 7);
  EXPECT_EQ(outcome.out, "hello\n");
  EXPECT_EQ(outcome.error, "");
}

TEST_F(ProgramTest, ATripleFaultEndsWithFourAndSaysWhere) {
  const auto file = kernel(out_code(0x3f8, "dying\n") + kInvalid);  // there is no IDT
  const Outcome outcome = vireo({"run", "--kernel", file, "--timeout", "60"});
  EXPECT_EQ(outcome.status, 4);
  EXPECT_THAT(outcome.error, HasSubstr("triple fault at 0x0010:0x1000"));
  EXPECT_THAT(outcome.error, HasSubstr("32-bit protected mode"));
  EXPECT_THAT(outcome.error, HasSubstr("  | dying"));
}

TEST_F(ProgramTest, AResetEndsWithZeroIfThatIsWanted) {
  const auto file = kernel(out_code(0x64, "\xfe") + kLoop);
  EXPECT_EQ(vireo({"run", "--kernel", file, "--no-reboot", "--timeout", "60"}).status, 0);
}

TEST_F(ProgramTest, TheTimeoutEndsWith124WhateverTheGuestDoes) {
  for (const std::string& code : {kLoop, kHalt}) {
    const Outcome outcome = vireo({"run", "--kernel", kernel(code), "--timeout", "0.2"});
    EXPECT_EQ(outcome.status, 124);
    EXPECT_THAT(outcome.error, HasSubstr("time is over"));
  }
}

TEST_F(ProgramTest, SignalsEndTheMachineInOrder) {
  const std::string socket = directory + "/serial", stats = directory + "/stats";
  const pid_t child = start({"run", "--kernel", kernel(kLoop), "--serial", "unix:" + socket,
                             "--stats", stats, "--timeout", "60"});
  for (int i = 0; i < 12000 && ::access(socket.c_str(), F_OK) != 0; ++i) ::usleep(5000);
  EXPECT_EQ(::access(socket.c_str(), F_OK), 0);
  ::usleep(300'000);
  ::kill(child, SIGTERM);
  EXPECT_EQ(finish(child).status, 128 + SIGTERM);
  EXPECT_NE(::access(socket.c_str(), F_OK), 0) << "the socket is removed";
  EXPECT_EQ(nlohmann::json::parse(contents(stats))["end_reason"], "stopped");
}

TEST_F(ProgramTest, StatisticsCountWhatTheGuestDid) {
  const auto file = kernel(out_code(0x3f8, "12345") + out_code(0xf4, "\x01") + kLoop);
  const Outcome outcome = vireo({"run", "--kernel", file, "--serial", "none", "--debug-exit",
                                 "--engine", "interpreter", "--stats", "-", "--timeout", "60"});
  EXPECT_EQ(outcome.status, 3);
  const auto stats = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(stats["engine"], "interpreter");
  EXPECT_EQ(stats["exit_status"], 3);
  EXPECT_EQ(stats["device_exits"]["serial"], 5);
  EXPECT_GE(stats["guest_instructions"], 13);
  EXPECT_GT(stats["wall_seconds"], 0.0);
}

TEST_F(ProgramTest, StatisticsNameDisksAndNetworks) {
  const std::string image = directory + "/disk";
  const std::string other = directory + "/other";
  for (const std::string& path : {image, other}) std::ofstream(path) << std::string(1 << 16, 'x');
  const Outcome outcome = vireo(
      {"run", "--kernel", kernel(out_code(0xf4, "\x01") + kLoop), "--serial", "none",
       "--debug-exit", "--disk", image + ",format=raw", "--disk",
       other + ",format=raw,interface=ide", "--net", "user", "--stats", "-", "--timeout", "60"});
  ASSERT_EQ(outcome.status, 3) << outcome.error;
  const auto stats = nlohmann::json::parse(outcome.out);
  ASSERT_EQ(stats["disks"].size(), 2u);
  const auto virtio = nlohmann::json::parse(
      R"({"read_bytes": 0, "written_bytes": 0, "requests": 0, "flushes": 0, "errors": 0,
          "notifications": 0, "interrupts": 0})");
  for (const auto& [name, value] : virtio.items())
    EXPECT_EQ(stats["disks"][0][name], value) << name;
  EXPECT_EQ(stats["disks"][0]["name"], "raw image " + image);
  EXPECT_FALSE(stats["disks"][1].contains("notifications")) << "IDE has no queues";
  ASSERT_EQ(stats["networks"].size(), 1u);
  const auto& network = stats["networks"][0];
  EXPECT_EQ(network["name"], "user");
  for (const char* name : {"sent_frames", "sent_bytes", "received_frames", "received_bytes",
                           "dropped_frames", "notifications", "interrupts"})
    EXPECT_EQ(network[name], 0) << name;
}

TEST_F(ProgramTest, TheDebugConsoleGetsWhatIsWrittenToItsPort) {
  const auto file = kernel(out_code(0xe9, "debug") + out_code(0xf4, "\x10") + kLoop);
  const std::string log = directory + "/log";
  EXPECT_EQ(vireo({"run", "--kernel", file, "--debug-console", "file:" + log, "--debug-exit",
                   "--timeout", "60"})
                .status,
            33);
  EXPECT_EQ(contents(log), "debug");
}

TEST_F(ProgramTest, MistakesAreOneSentenceAndStatusTwo) {
  const auto mistake = [&](const std::vector<std::string>& arguments) {
    const Outcome outcome = vireo(arguments);
    EXPECT_EQ(outcome.status, 2) << outcome.error;
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(outcome.error.find('\n'), outcome.error.size() - 1) << outcome.error;
    return outcome.error;
  };
  const auto file = kernel(kLoop);
  EXPECT_THAT(mistake({}), HasSubstr("vireo help"));
  EXPECT_THAT(mistake({"rnu"}), HasSubstr("did you mean run?"));
  EXPECT_THAT(mistake({"run", "--kernl", file}), HasSubstr("did you mean --kernel?"));
  EXPECT_THAT(mistake({"run", "--kernel"}), HasSubstr("--kernel"));
  EXPECT_THAT(mistake({"run"}), HasSubstr("nothing to run"));
  EXPECT_THAT(mistake({"run", "--kernel", "/nonexistent"}), HasSubstr("No such file"));
  EXPECT_THAT(mistake({"run", "--kernel", VIREO_PROGRAM}), HasSubstr("not a kernel"));
  EXPECT_THAT(mistake({"run", "--kernel", file, "--memory", "12"}), HasSubstr("unit"));
  EXPECT_THAT(mistake({"run", "--kernel", file, "--memory", "1M"}), HasSubstr("at least 2 MiB"));
  EXPECT_THAT(mistake({"run", "--kernel", file, "--cpus", "65"}), HasSubstr("--cpus"));
  EXPECT_THAT(mistake({"run", "--kernel", file, "--timeout", "never"}), HasSubstr("--timeout"));
  EXPECT_THAT(mistake({"run", "--kernel", file, "--engine", "steam"}), HasSubstr("steam"));
  EXPECT_THAT(mistake({"run", "--kernel", file, "--cpu", "z80"}), HasSubstr("z80"));
  EXPECT_THAT(mistake({"run", "--kernel", file, "--serial", "x"}), HasSubstr("serial"));
  EXPECT_THAT(mistake({"run", "--kernel", file, "--initrd", "/nonexistent"}),
              HasSubstr("/nonexistent"));
  EXPECT_THAT(mistake({"run", "--kernel", file, "--stats", directory}), HasSubstr("statistics"));
  EXPECT_THAT(mistake({"run", "--kernel", file, "--disk", "/nonexistent"}),
              HasSubstr("/nonexistent"));
  const std::string image = directory + "/image";
  std::ofstream(image) << std::string(1024, 'x');
  std::vector<std::string> five{"run", "--kernel", file};
  for (unsigned i = 0; i < 5; ++i)
    five.insert(five.end(), {"--disk", image + ",format=raw,interface=ide,readonly"});
  EXPECT_THAT(mistake(five), HasSubstr("room for 4 IDE disks"));
  EXPECT_THAT(mistake({"run", "--kernel", file, "--disk", file + ",colour=red"}),
              HasSubstr("colour=red"));
  EXPECT_THAT(mistake({"run", "--kernel", file, "--net", "usr"}), HasSubstr("switch=NAME"));
  EXPECT_THAT(mistake({"run", "--kernel", file, "--net", "user,forward=tcp:22"}),
              HasSubstr("tcp:"));
  EXPECT_THAT(mistake({"run", "--kernel", file, "--net", "user,mac=1"}), HasSubstr("mac=1"));
  EXPECT_THAT(mistake({"run", "--kernel", file, "--net", "switch=a/b"}), HasSubstr("a/b"));
  EXPECT_THAT(mistake({"run", "--kernel", file, "--net", "tap=fd:99"}), HasSubstr("99"));
  EXPECT_THAT(mistake({"run", "--firmware", file, "--kernel", file}), HasSubstr("not with both"));
  EXPECT_THAT(mistake({"run", "--kernel", file, "--firmware-variables", file}),
              HasSubstr("a kernel has none"));
  EXPECT_THAT(mistake({"run", "--firmware", file}), HasSubstr("64 KiB"));
  EXPECT_THAT(mistake({"run", "--cdrom", "/nonexistent"}), HasSubstr("/nonexistent"));
  EXPECT_THAT(mistake({"run", "--kernel", file, "--display", "x"}), HasSubstr("--display"));
  EXPECT_THAT(mistake({"run", "--kernel", file, "--display", "vnc=x"}), HasSubstr("vnc="));
  EXPECT_THAT(mistake({"help", "rnu"}), HasSubstr("run"));
  EXPECT_THAT(mistake({"completion", "cmd"}), HasSubstr("bash"));
}

TEST_F(ProgramTest, DisksAreInTheSlotsBehindTheChipset) {
  // Configuration address, then the device's number from its upper half: 0x1001, without the 0x10.
  const auto probe = [](unsigned slot) {
    const std::string address{0, static_cast<char>(slot << 3), 0, static_cast<char>(0x80)};
    return "\xb8" + address + std::string("\x66\xba\xf8\x0c\xef\x66\xba\xfe\x0c\xec", 10) +
           std::string("\x66\xba\xf4\x00\xee", 5);
  };
  const std::string image = directory + "/disk";
  std::ofstream(image) << std::string(1 << 20, 'x');
  const auto status = [&](unsigned slot, const std::vector<std::string>& more) {
    std::vector<std::string> words{"run",          "--kernel",  kernel(probe(slot) + kLoop),
                                   "--debug-exit", "--timeout", "60"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = vireo(words);
    EXPECT_EQ(outcome.error, "");
    return outcome.status;
  };
  constexpr int kDisk = 0x01 << 1 | 1, kNothing = 0xff;
  EXPECT_EQ(status(3, {"--disk", image}), kDisk);
  EXPECT_EQ(status(4, {"--disk", image + ",readonly", "--disk", image + ",format=raw,readonly"}),
            kDisk);
  EXPECT_EQ(status(3, {image + ",discard-changes"}), kDisk) << "an IMAGE is a disk too";
  EXPECT_EQ(status(20, {"--disk", image}), kNothing);
}

TEST_F(ProgramTest, NetworkCardsComeBehindDisks) {
  // As above, for the number of a network card.
  const auto status = [&](const std::vector<std::string>& more) {
    const std::string probe = std::string("\xb8\0\x18\0\x80\x66\xba\xf8\x0c\xef", 10) +
                              std::string("\x66\xba\xfe\x0c\xec\x66\xba\xf4\x00\xee", 10);
    std::vector<std::string> words{"run",          "--kernel",  kernel(probe + kLoop),
                                   "--debug-exit", "--timeout", "60"};
    words.insert(words.end(), more.begin(), more.end());
    return vireo(words).status;
  };
  constexpr int kNetwork = 0x00 << 1 | 1, kDisk = 0x01 << 1 | 1, kEntropy = 0x05 << 1 | 1;
  const std::string image = directory + "/disk";
  std::ofstream(image) << std::string(1 << 20, 'x');
  EXPECT_EQ(status({"--net", "user"}), kNetwork);
  EXPECT_EQ(status({"--net", "user,mac=02:00:00:00:00:01", "--net", "user"}), kNetwork);
  EXPECT_EQ(status({"--net", "user", "--disk", image}), kDisk);
  EXPECT_EQ(status({"--net", "none"}), kEntropy);
  EXPECT_EQ(status({}), kEntropy) << "a kernel gets no card unasked";
}

TEST_F(ProgramTest, WhatThisHostLacksIsOneSentenceAndStatusThree) {
  const auto lack = [&](const std::string& net) {
    const Outcome outcome =
        vireo({"run", "--kernel", kernel(kLoop), "--timeout", "60", "--net", net});
    EXPECT_EQ(outcome.status, 3) << outcome.error;
    EXPECT_EQ(outcome.error.find('\n'), outcome.error.size() - 1) << outcome.error;
    return outcome.error;
  };
  EXPECT_THAT(lack("tap=vireo-none"), HasSubstr("ip tuntap add"));
  EXPECT_THAT(lack("user,pcap=/nonexistent/x"), HasSubstr("/nonexistent/x"));
  const int taken = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(::bind(taken, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(taken, 1), 0);
  ASSERT_EQ(::getsockname(taken, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const std::string port = std::to_string(ntohs(address.sin_port));
  EXPECT_THAT(lack("user,forward=tcp:" + port + ":22"), HasSubstr("TCP port " + port));
  ::close(taken);
}

TEST_F(ProgramTest, ImagesAreMadeDescribedCheckedCopiedAndResized) {
  const std::string image = directory + "/a.qcow2", copy = directory + "/copy";
  const auto succeeds = [this](std::vector<std::string> words) {
    words.insert(words.begin(), "image");
    const Outcome outcome = vireo(words);
    EXPECT_EQ(outcome.status, 0) << outcome.error;
    EXPECT_EQ(outcome.error, "");
    return outcome.out;
  };
  succeeds({"create", image, "3M"});
  EXPECT_THAT(succeeds({"check", image}), HasSubstr("sound"));
  succeeds({"resize", image, "+1M"});
  succeeds({"convert", image, copy, "--format", "raw"});
  EXPECT_EQ(contents(copy), std::string(4 << 20, '\0'));
  const auto info = nlohmann::json::parse(succeeds({"info", "--json", image}));
  EXPECT_EQ(info["format"], "qcow2");
  EXPECT_EQ(info["disk_bytes"], 4 << 20);
  EXPECT_TRUE(nlohmann::json::parse(succeeds({"check", image, "--json"}))["sound"]);
  EXPECT_THAT(succeeds({"info", copy}), HasSubstr("raw"));
  succeeds({"resize", copy, "1M", "--shrink"});
  EXPECT_EQ(contents(copy).size(), 1u << 20);
}

TEST_F(ProgramTest, AnImageCanStandOnAnother) {
  const std::string base = directory + "/base.qcow2", top = directory + "/top.qcow2";
  ASSERT_EQ(vireo({"image", "create", base, "3M"}).status, 0);
  const Outcome made = vireo({"image", "create", "--backing", "base.qcow2", top});
  EXPECT_EQ(made.status, 0) << made.error;
  const auto info = nlohmann::json::parse(vireo({"image", "info", "--json", top}).out);
  EXPECT_EQ(info["disk_bytes"], 3 << 20);
  EXPECT_EQ(info["backing_path"], "base.qcow2");
  EXPECT_EQ(info["below"][0]["path"], base);
  EXPECT_TRUE(info["below_error"].is_null());
  EXPECT_THAT(vireo({"image", "info", top}).out,
              AllOf(HasSubstr("base.qcow2 (qcow2)"), HasSubstr("\n\nimage          " + base)));
  ASSERT_EQ(std::remove(base.c_str()), 0);
  EXPECT_THAT(vireo({"image", "info", top}).out, HasSubstr("note           "));
}

TEST_F(ProgramTest, MistakesWithImagesAreOneSentence) {
  const auto mistake = [this](std::vector<std::string> words) {
    words.insert(words.begin(), "image");
    const Outcome outcome = vireo(words);
    EXPECT_EQ(outcome.status, 2) << outcome.error;
    EXPECT_EQ(outcome.error.find('\n'), outcome.error.size() - 1) << outcome.error;
    return outcome.error;
  };
  const std::string image = directory + "/a.raw";
  EXPECT_THAT(mistake({}), HasSubstr("vireo help image"));
  EXPECT_THAT(mistake({"creat"}), HasSubstr("did you mean create?"));
  EXPECT_THAT(mistake({"create", image}), HasSubstr("SIZE"));
  EXPECT_THAT(mistake({"create", image, "10"}), HasSubstr("10G"));
  EXPECT_THAT(mistake({"create", image, "--backing", "b"}), HasSubstr("only a qcow2 image"));
  EXPECT_THAT(mistake({"create", image, "1M", "--backing-format", "raw"}), HasSubstr("--backing "));
  EXPECT_THAT(mistake({"create", directory + "/a.qcow2", "--backing", "none"}), HasSubstr("/none"));
  EXPECT_THAT(mistake({"create", directory + "/a", "1M"}), HasSubstr("--format"));
  EXPECT_THAT(mistake({"create", image, "1M", "--formt", "raw"}), HasSubstr("--format"));
  EXPECT_THAT(mistake({"info", image}), HasSubstr(image));
  EXPECT_EQ(vireo({"image", "create", image, "1M"}).status, 0);
  EXPECT_THAT(mistake({"create", image, "1M"}), HasSubstr("already"));
  EXPECT_THAT(mistake({"resize", image, "512K"}), HasSubstr("lost"));
}

TEST_F(ProgramTest, AnImageThatIsNotSoundIsStatusOne) {
  const std::string image = directory + "/a.qcow2";
  ASSERT_EQ(vireo({"image", "create", image, "1M"}).status, 0);
  std::fstream(image, std::ios::in | std::ios::out | std::ios::binary).seekp(65536 + 6).put(2);
  const Outcome outcome = vireo({"image", "check", image});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.out, HasSubstr("contradict"));
}

TEST_F(ProgramTest, EveryVerbThatPrintsDataPrintsJson) {
  EXPECT_EQ(nlohmann::json::parse(vireo({"version", "--json"}).out)["name"], "vireo");
  const auto engines = nlohmann::json::parse(vireo({"engines", "--json"}).out)["engines"];
  EXPECT_TRUE(std::any_of(engines.begin(), engines.end(), [](const auto& engine) {
    return engine["name"] == "interpreter" && engine["available"];
  }));
  const auto models = nlohmann::json::parse(vireo({"cpu-models", "--json"}).out)["cpu_models"];
  EXPECT_EQ(models[0]["name"], "baseline");
  EXPECT_FALSE(nlohmann::json::parse(vireo({"doctor", "--json"}).out)["checks"].empty());
}

TEST_F(ProgramTest, HelpIsThereForEveryVerb) {
  for (const char* verb :
       {"run", "image", "engines", "cpu-models", "doctor", "version", "help", "completion"}) {
    const Outcome asked = vireo({"help", verb}), flagged = vireo({verb, "--help"});
    EXPECT_EQ(asked.status, 0);
    EXPECT_THAT(asked.out, HasSubstr(std::string("vireo ") + verb));
    EXPECT_EQ(asked.out, flagged.out);
    EXPECT_THAT(vireo({"help"}).out, HasSubstr(verb));
  }
}

TEST_F(ProgramTest, CompletionScriptsAreValidAndKnowTheOptions) {
  const Outcome bash = vireo({"completion", "bash"});
  EXPECT_THAT(bash.out, HasSubstr("--initrd"));
  EXPECT_THAT(bash.out, HasSubstr("create info check convert resize"));
  std::ofstream(directory + "/script") << bash.out;
  EXPECT_EQ(::system(("bash -n " + directory + "/script").c_str()), 0);
  EXPECT_THAT(vireo({"completion", "zsh"}).out, HasSubstr("bashcompinit"));
  const std::string fish = vireo({"completion", "fish"}).out;
  EXPECT_THAT(fish, HasSubstr("-l no-reboot"));
  EXPECT_THAT(fish, HasSubstr("-a convert"));
}

}  // namespace
}  // namespace vireo::app
