#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/address.h"
#include "engine/software/cpu.h"
#include "engine/software/host_stub.h"
#include "engine/translator/narrow.h"
#include "x86/decode/insn.h"
#include "x86/semantics/handler.h"

namespace vireo::engine::translator {

/// What besides the bytes decides how code is translated.
struct Mode {
  bool user = false;     ///< CPL 3
  bool sse = false;      ///< SSE code may run as it is: enabled, no exception unmasked
  bool avx = false;      ///< the same for AVX
  bool careful = false;  ///< no stack window and no merged checks: every access on its own
  bool x87 = false;      ///< x87 and MMX code may run as it is: no exception unmasked or pending
  /// EFLAGS.AC is surely set at level 0, so that SMAP is suspended. Code that does not ask for it
  /// is right too, but its accesses to user pages miss.
  bool suspended = false;
  Narrow narrow{};  ///< of code that is not 64-bit

  std::uint64_t key() const {
    return (user ? 1u : 0u) | (sse ? 2u : 0u) | (avx ? 4u : 0u) | (careful ? 8u : 0u) |
           (x87 ? 16u : 0u) | (suspended ? 32u : 0u) | narrow.key() << 6;
  }
  bool operator==(const Mode&) const = default;
};

struct Translation;

/// A place where translated code goes to the code at a known address of its page. Not linked it
/// leaves with the exit's number.
struct Exit {
  Translation* from = nullptr;
  std::uint64_t tag = 0;          ///< of the target
  std::uint8_t* patch = nullptr;  ///< writable address of the displacement of a jump; null: none
  const std::uint8_t* stub = nullptr;  ///< where the jump goes while it is not linked
  bool backward = false;               ///< events are looked for on the way
  bool suspended = false;              ///< the code there may rely on it: see Mode
  bool careful = false;                ///< to the careful code of the same place
  /// The target is in another page, and this code asks the branch table for it. Null: it is in the
  /// same page.
  const std::uint8_t* detour = nullptr;
  /// In code whose pages are not sure to stay where they are: `patch` is of a jump that is taken
  /// where the target's page is not at home. The displacement of the jump that is taken where it
  /// is, and the place of its home in the instruction that loads it. Null: there are no such.
  std::uint8_t *at_home = nullptr, *home = nullptr;
  bool noted = false;        ///< among those that TranslationCache::unlink_pages() undoes
  bool flags_saved = false;  ///< the flags are in Cpu::flags on the way
  Translation* to = nullptr;
};

/// What the emitter says of a site.
struct SiteFacts {
  std::uint64_t tag = 0;                 ///< of the instruction
  const std::uint8_t* retry = nullptr;   ///< the access once more
  const std::uint8_t* resume = nullptr;  ///< behind the instruction
  bool more_follows = false;             ///< the next instruction is done in the same translation
  bool branches = false;                 ///< always: its code has nothing to resume at
  bool x87_loaded = false;               ///< its code relies on TranslatorCpu::x87_loaded
  // The instruction: most are never executed here, so that only its bytes are kept at first.
  decltype(x86::Insn::bytes) bytes{};
  std::uint8_t length = 0;
  x86::CodeSize code_size = x86::CodeSize::k64;
  // The access that missed:
  TlbIndex tlb = TlbIndex::kSupervisor;
  bool write = false;
  std::uint16_t size = 0;
  std::uint16_t alignment = 1;
  std::uint8_t salt = 0;  ///< with which the code looks into the TLB
  /// Others rely on what it finds: what it does not find is for careful code. `size`, `write` and
  /// `alignment` are of the whole span.
  bool looks_for_others = false;
  // A stack check instead of an instruction: the span that has to be in the window, from RSP.
  std::int32_t stack_low = 0, stack_high = 0;
  bool load_x87 = false;  ///< instead of an instruction: the x87 registers are to be loaded
};

/// A place where translated code needs C++ for one instruction.
struct Site : SiteFacts {
  Translation* from = nullptr;
  struct Decoded {
    x86::Insn insn;
    x86::Handler handler = nullptr;
    const HostStub* stub = nullptr;  ///< instead of a handler; found when it is executed
  };
  mutable std::unique_ptr<Decoded> decoded;  ///< null: it was not wanted so far
  mutable std::uint8_t times_not_found = 0;  ///< what it looks for for others
};

/// One superblock: guest instructions of one page in the order in which they probably run. `tag` is
/// what stands for RIP in its code: RIP itself if that fits in 32 bits signed, and otherwise RIP
/// less TranslatorCpu::code_base, so that the code may run anywhere. In code that is not 64-bit it
/// is the linear address.
struct Translation {
  PhysAddr start{};
  /// Where its only instruction ends, if that is in another page. Such code is found by its linear
  /// address only: what is mapped behind the page may change.
  std::optional<PhysAddr> second_page;
  Mode mode;
  std::uint64_t tag = 0;
  bool relative = false;  ///< uses code_base
  bool valid = true;
  /// Branches that find it look whether its page is where its code may run, so that the table of
  /// branches may keep it when mappings change.
  bool asks_home = false;
  std::uint32_t home = 0;             ///< of its page: TranslatorCpu::page_home
  bool flags_live = false;            ///< somebody may ask for flags from before
  std::uint16_t first = 0, last = 0;  ///< the bytes it was made from, offsets in the page
                                      ///< (behind it: in the second one)
  /// Those bytes, but for numbers that its code reads where they stand; none if there is a second
  /// page.
  std::vector<std::uint8_t> made_from;
  struct LiveNumber {
    std::uint16_t offset = 0, size = 0;  ///< in the page
  };
  std::vector<LiveNumber> live_numbers;
  const std::uint8_t* entry = nullptr;          ///< from within the page, forward
  const std::uint8_t* entry_polling = nullptr;  ///< backward: looks for events
  const std::uint8_t *entry_saved = nullptr,    ///< the same two with flags in Cpu::flags
      *entry_polling_saved = nullptr;
  const std::uint8_t* entry_indirect = nullptr;        ///< R10: the target, R11: its branch entry
  const std::uint8_t* entry_indirect_saved = nullptr;  ///< the same with flags in Cpu::flags
  const std::uint8_t* begin = nullptr;                 ///< of its code
  std::size_t code_bytes = 0;
  std::span<const std::uint8_t> seldom;  ///< more code, elsewhere
  std::vector<std::uint32_t> exits;
  std::vector<std::uint32_t> incoming;  ///< exits that are linked to it
  std::span<const std::uint8_t> often() const { return {begin, code_bytes}; }
  Translation* next = nullptr;  ///< in the same list of the page
};

}  // namespace vireo::engine::translator
