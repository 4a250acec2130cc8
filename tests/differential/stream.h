#pragma once
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "support/guest_setup.h"

namespace vireo::test {

/// What kinds of instruction a stream is made of.
enum class Family : std::uint8_t { kInteger, kX87, kSse, kAvx };

/// A random instruction with what puts its operands into place before it: a unit that can be left
/// out of a stream.
struct Item {
  std::vector<std::uint8_t> bytes;
  unsigned main_offset = 0;  ///< where the instruction itself starts
  unsigned instructions = 1;
};

/// Where memory operands point: the middle of the data window and of the stack window.
inline constexpr std::uint64_t kActiveData = 0x26000, kActiveDataSize = 0x4000,
                               kActiveStack = 0x37000, kActiveStackSize = 0x2000,
                               kGatherIndices = 0x2f000;

/// Makes random valid user-mode instructions out of random bytes: whatever the decoder takes for an
/// instruction of the wanted families, prefixes that mean nothing included. Registers that address
/// memory are set before each use, so that most accesses meet memory.
class StreamGenerator {
 public:
  StreamGenerator(Mode mode, std::vector<Family> families, std::uint64_t seed);

  /// Where the data and the stack segment begin; addresses in the items are offsets in them.
  struct Bases {
    std::uint64_t data = 0, stack = 0;
  };
  void set_bases(const Bases& bases) { bases_ = bases; }
  /// Operands in FS and GS too, which lead somewhere else.
  void with_fs_and_gs(bool with) { with_fs_and_gs_ = with; }
  /// `address` is where the item will stand, as RIP has it.
  Item next(std::uint64_t address);
  std::mt19937_64& random() { return random_; }

 private:
  friend class ItemBuilder;
  std::vector<std::uint8_t> random_bytes();

  Mode mode_;
  std::vector<Family> families_;
  std::mt19937_64 random_;
  Bases bases_;
  bool with_fs_and_gs_ = false;
};

/// One line per instruction.
std::vector<std::string> disassemble(Mode mode, std::uint64_t address,
                                     const std::vector<std::uint8_t>& bytes);

}  // namespace vireo::test
