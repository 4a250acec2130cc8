#pragma once
#include <array>
#include <cstdint>

#include "engine/software/page_filter.h"
#include "x86/cpu_port.h"
#include "x86/cpu_state.h"

namespace vireo::engine {

/// Gives looked-up branch targets the tag that says how long they hold (Cpu::jump_tag). A tag names
/// how code is decoded, the privilege, and a generation of it that ends when the translation of a
/// page ends from which code was looked up. Tags never come back.
class JumpTags {
 public:
  /// Code was looked up in a page, of 1 << `shift` bytes, at this privilege.
  void note(bool user, std::uint64_t linear, unsigned shift, bool global) {
    Generation& generation = generations_[user];
    generation.pages.add(linear, shift);
    generation.has_local = generation.has_local || !global;
  }
  void flush(x86::TlbFlush kind) {
    for (Generation& generation : generations_)
      if (kind == x86::TlbFlush::kAll || generation.has_local) end(generation);
  }
  void invalidate_page(std::uint64_t linear) {
    for (Generation& generation : generations_)
      if (generation.pages.may_hold(linear)) end(generation);
  }
  /// Never 0. Targets are keyed by RIP: another base or limit of the code segment makes them stale.
  std::uint64_t current(const x86::CpuState& state) {
    const auto& cs = state.segment[x86::kCs];
    const bool code64 = state.code64();
    const std::uint64_t base = code64 ? 0 : cs.base;
    const std::uint32_t limit = code64 ? 0xffffffff : cs.limit;
    if (base != base_ || limit != limit_) {
      for (Generation& generation : generations_) end(generation);
      base_ = base;
      limit_ = limit;
    }
    const bool user = state.cpl() == 3;
    const std::uint64_t mode = code64 ? 2u : cs.big() ? 1u : 0u;
    return generations_[user].number << 8 | 0x80 | (user ? 4u : 0u) | mode;
  }

 private:
  struct Generation {
    std::uint64_t number = 0;
    PageFilter pages;        ///< from which code was looked up
    bool has_local = false;  ///< one of them is not global
  };
  void end(Generation& generation) {
    ++generation.number;
    generation.pages.clear();
    generation.has_local = false;
  }

  std::array<Generation, 2> generations_;  ///< supervisor, user
  std::uint64_t base_ = 0;
  std::uint32_t limit_ = 0;
};

}  // namespace vireo::engine
