#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/address.h"
#include "x86/decode/insn.h"

namespace vireo::engine {

struct Cpu;
struct Op;
struct Block;

/// Executes one operation and, by a tail call, everything after it. Returns only when the block
/// must be left.
using OpHandler = void (*)(const Op* op, Cpu* cpu);

/// One guest instruction, decoded for good: what to run and where its operands are. Registers are
/// named by their byte offset in Cpu, so that AH, a zero and RIP are registers like any other.
struct Op {
  OpHandler run = nullptr;
  std::uint16_t dst = 0;  ///< entries: how often they ran, for an engine that counts
  std::uint16_t src = 0;
  std::uint16_t base = 0;
  std::uint16_t index = 0;
  union {
    std::int64_t displacement = 0;
    Block* block;  ///< entries, exits and branches that can be linked: the block they are in
  };
  std::uint64_t immediate = 0;
  union {
    const Op* target = nullptr;  ///< branches: the linked block's first operation
    const x86::Insn* insn;       ///< operations that call a handler
  };
  std::uint16_t offset = 0;  ///< of the instruction, from the start of its block
  std::uint8_t length = 0;
  std::uint8_t remaining = 0;  ///< instructions from this one to the end of the block
  std::uint8_t shift = 0;      ///< scale of the index
  std::uint8_t segment = 0;
  std::uint8_t address_width = 0;
  std::uint8_t width = 0;
};
static_assert(sizeof(Op) == 48);

/// What besides the bytes decides how code is decoded and linked.
struct BlockMode {
  x86::CodeSize code_size = x86::CodeSize::k64;
  bool single = false;        ///< one instruction per block: something must happen after each
  bool limited_code = false;  ///< CS has a limit to check: blocks are not linked

  static constexpr std::uint32_t kCodeSizeBits = 3;
  std::uint32_t key() const {
    return static_cast<std::uint32_t>(code_size) | (single ? 4u : 0u) | (limited_code ? 8u : 0u);
  }
};

constexpr std::size_t kMaxBlockInstructions = 64;

/// A run of guest instructions without a branch in between, within one page (a single instruction
/// may reach into a second). Does not depend on the linear address it runs at.
struct Block {
  PhysAddr start{};
  std::uint32_t mode = 0;
  std::uint16_t bytes = 0;  ///< of guest code
  /// Bytes that made it what it is: more where they are no instruction.
  std::uint16_t relied_on = 0;
  std::uint16_t op_count = 0;  ///< including the entry and the exit operation
  bool valid = true;       ///< in the cache; otherwise it is not to be linked, or to be run again
  bool straddles = false;  ///< its one instruction ends in `second_page`
  PhysAddr second_page{};
  /// The bytes it stands for. Null: they are in two pages, or no instruction.
  std::uint8_t* code = nullptr;
  Op* ops = nullptr;
  std::uint64_t chunk = 0;  ///< of the memory it is in: see BlockCache
  struct Link {
    Op* branch = nullptr;
    std::uint64_t chunk = 0;  ///< that the branch is in
  };
  std::vector<Link> incoming;  ///< branches linked to this block; some may be gone
  Block* next = nullptr;       ///< in the same list of BlockCache
};

}  // namespace vireo::engine
