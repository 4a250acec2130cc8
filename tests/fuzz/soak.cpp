// Feeds a target with random inputs for a while: the fuzz targets as ordinary tests.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "fuzz/fuzz_input.h"

namespace {

std::vector<std::uint8_t> random_input(std::mt19937_64& random, std::size_t largest) {
  std::vector<std::uint8_t> bytes(1 + random() % largest);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
  // Often few different bytes: long runs of one opcode, sparse tables.
  if (random() % 4 == 0) {
    const auto mask = static_cast<std::uint8_t>(random());
    for (auto& byte : bytes) byte &= mask;
  }
  return bytes;
}

/// One of the given files with a few bytes changed, perhaps cut.
std::vector<std::uint8_t> mutated(std::mt19937_64& random, std::vector<std::uint8_t> bytes) {
  for (auto changes = random() % 16; changes > 0 && !bytes.empty(); --changes)
    bytes[random() % std::min<std::size_t>(bytes.size(), 0x1000)] =
        static_cast<std::uint8_t>(random() % 4 == 0 ? 0xff : random());
  if (random() % 4 == 0) bytes.resize(random() % (bytes.size() + 1));
  return bytes;
}

std::vector<std::uint8_t> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t seed = 1, first = 0;
  double seconds = 5;
  std::size_t largest = 512;
  std::vector<std::string> corpus_files;
  CLI::App app("Feeds a fuzz target with random inputs.");
  app.add_option("--seed", seed, "The same seed makes the same inputs");
  app.add_option("--seconds", seconds, "How long");
  app.add_option("--largest", largest, "Of an input, in bytes");
  app.add_option("--first", first, "Begin with this input: to come back to one that failed");
  app.add_option("--corpus", corpus_files, "Files to change instead of random bytes");
  CLI11_PARSE(app, argc, argv);

  std::vector<std::vector<std::uint8_t>> corpus;
  for (const auto& path : corpus_files) corpus.push_back(read_file(path));
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const auto begin = std::chrono::steady_clock::now();
  std::uint64_t number = first;
  for (;; ++number) {
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    if (elapsed.count() > seconds) break;
    std::mt19937_64 random(seed << 32 ^ number);
    const auto input = corpus.empty() || random() % 8 == 0
                           ? random_input(random, largest)
                           : mutated(random, corpus[random() % corpus.size()]);
    if (number % 64 == 0)
      std::printf("seed %lu: from input %lu\n", static_cast<unsigned long>(seed),
                  static_cast<unsigned long>(number));
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  std::printf("%lu inputs\n", static_cast<unsigned long>(number - first));
}
