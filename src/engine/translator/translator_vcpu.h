#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "engine/interpreter/interpreter_vcpu.h"
#include "engine/software/page_set.h"
#include "engine/translator/code_spaces.h"
#include "engine/translator/slot_contest.h"
#include "engine/translator/translation_cache.h"
#include "engine/translator/translator.h"
#include "engine/translator/translator_cpu.h"

namespace vireo::engine::translator {

/// Interprets guest code and translates what is warm. A test derives from it to look in after every
/// piece of translated code.
class TranslatorVcpu : public interpreter::InterpreterVcpu, protected MappingListener {
 public:
  TranslatorVcpu(const VcpuContext& context, memory::GuestMemory& memory, CodeMemory code,
                 const TranslatorOptions& options);
  ~TranslatorVcpu() override;

  Result<ExitReason> run() override;
  std::vector<Counter> counters() const override;

 protected:
  void execute() override;
  bool has_other_form() override { return !interpret_next_ && cache_.shares() && adopt_here(); }
  /// Whether there is a translation for state.rip, or one could be made.
  bool translate_here();
  /// The same, if another vCPU has made it.
  bool adopt_here();
  std::optional<Mode> mode() const;
  // Code is found by its linear address, which 64-bit code has in RIP.
  Translation* find(std::uint64_t linear, Mode mode);
  Translation* still_there(std::uint64_t linear, Mode mode);
  Translation* find_entry(std::uint64_t linear, Mode mode);
  Translation* after_exit();
  Translation* make(std::uint64_t linear, Mode mode);
  Translation* find_or_make(std::uint64_t linear, Mode mode);
  Translation* find_careful(std::uint64_t linear, Mode mode);
  /// The same code for where SMAP is suspended; made if need be.
  Translation* find_suspended(Translation& plain);
  virtual const void* execute_site(const Site& site);
  bool store_slowly(const Site& site);
  /// The guest's kernel has gone to user code: whether that is for execute(), not for translations.
  virtual bool takes_user_code() { return false; }
  Site::Decoded& decoded(const Site& site);

  // MappingListener
  void mappings_flushed(x86::TlbFlush kind) override;
  void page_invalidated(std::uint64_t linear) override;
  void address_space_changed(std::uint16_t from, std::uint16_t to, bool keep) override;
  void address_space_forgotten(std::uint16_t pcid) override { spaces_.forget(pcid); }
  void page_protected(PhysAddr) override {}  // as the TLBs are
  void pages_moved() override {}

  TranslatorCpu& translated_;
  TranslationCache cache_;
  bool interpret_next_ = false;  ///< the instruction at RIP is not one for C++ alone
  /// Where translated code has just been left for the lack of more, until the run loop comes to it.
  std::uint64_t not_translated_ = kNoAddress;
  /// Where quick_indirect() saw just now that there is no code for what branches find.
  std::uint64_t nothing_at_ = kNoAddress;
  static constexpr std::uint64_t kNoAddress = 1ull << 62;  ///< not canonical

 private:
  /// Where a page of code is, as long as mappings stand.
  struct CodePage {
    std::uint64_t linear = ~0ull;  ///< page address, with bit 0 for user mode
    PhysAddr physical{};
    bool global = false;
    std::uint64_t space = 0;  ///< CodeSpaces::current() that it is of, unless it is global
    TranslationCache::Page* code = nullptr;
    std::uint64_t generation = 0;  ///< TranslationCache::generation() when `code` was entered
  };

  void run_translated(Translation* translation);
  void interpret();
  static constexpr std::size_t kCodePages = 1024;
  static std::size_t code_page_slot(std::uint64_t linear) {
    return (linear >> kPageShift) % kCodePages;
  }
  /// It is that of the address, for code of this privilege.
  bool holds(const CodePage& page, std::uint64_t linear, bool user) const {
    return page.linear == ((linear & ~kPageMask) | (user ? 1u : 0u)) &&
           (page.global || page.space == spaces_.current());
  }
  CodePage* code_page(std::uint64_t linear);
  std::optional<std::uint64_t> base_near(std::uint64_t linear) const;
  void forget_code_pages();
  bool is_global(std::uint64_t linear, const Translation& code);
  void refuse_target();

  // What translated code calls. The quick ones stand in a file of their own.
  static const void* quick_miss(TranslatorCpu* cpu, std::uint32_t site);
  static const void* quick_window(TranslatorCpu* cpu, std::uint32_t site);
  static const void* quick_indirect(TranslatorCpu* cpu, std::uint32_t);
  static const void* on_miss(TranslatorCpu* cpu, std::uint32_t site);
  static const void* on_window(TranslatorCpu* cpu, std::uint32_t site);
  static const void* on_call(TranslatorCpu* cpu, std::uint32_t site);
  static const SiteCallbacks kCallbacks;
  void link(std::uint32_t exit, Translation& to, std::uint64_t linear);
  const void* leave();
  void count_calls(std::vector<Counter>& counters) const;
  const void* go_on(std::uint64_t rip);
  const void* go_to(const Site& site, const void* code);
  const void* go_carefully(const Site& site);
  void prepare_entry(const Translation& to, std::uint64_t linear);
  void choose_window(const Mode& mode);
  void renew_slots();
  void prepare_shortcuts();
  void settle_privilege();
  const void* deliver_here();
  void note_flat_pairs();
  void keep_branches_of(Mode mode);
  const void* leave_to_interpret(std::uint64_t rip);
  /// The linear address that a tag stands for, and RIP.
  std::uint64_t linear_of(const Translation& translation, std::uint64_t tag) const {
    return translation.relative ? translated_.code_base + tag : tag;
  }
  std::uint64_t rip_of(const Translation& translation, std::uint64_t tag) const {
    return rip_at(linear_of(translation, tag), translation.mode);
  }
  static std::uint64_t rip_at(std::uint64_t linear, const Mode& mode) {
    return mode.narrow ? mode.narrow.eip(linear) : linear;
  }
  static std::uint64_t linear_at(std::uint64_t rip, const Mode& mode) {
    return mode.narrow ? mode.narrow.linear(rip) : rip;
  }

  /// The lowest linear address that the site wants in the stack window.
  static std::uint64_t stack_bottom(const TranslatorCpu& cpu, const Site& site) {
    return cpu.rsp - cpu.stack_delta + static_cast<std::uint64_t>(std::int64_t{site.stack_low});
  }
  static std::uint64_t next_page(std::uint64_t linear, const Mode& mode) {
    const std::uint64_t next = (linear | kPageMask) + 1;
    return mode.narrow ? static_cast<std::uint32_t>(next) : next;
  }
  /// Code that is not 64-bit may go a page beyond its window before it looks again, and nothing may
  /// wrap on the way.
  static bool may_be_window(const Mode& mode, std::uint64_t page) {
    return !mode.narrow || (page >= kPageSize && page < 0xfffff000);
  }
  static TlbIndex stack_user(const Site& site) {
    return site.from->mode.user ? TlbIndex::kUser : TlbIndex::kSupervisor;
  }

  // Interpreter operations in front of blocks.
  static void enter_cold(const Op* op, Cpu* cpu);
  static void enter_translated(const Op* op, Cpu* cpu);

  std::uint64_t slots_epoch_ = 0;  ///< Cpu::window_epoch when the segment slots were looked at
  std::array<CodePage, kCodePages> code_pages_;
  CodeSpaces spaces_;
  PageSet code_set_;                 ///< pages from which code was looked up
  PageFilter window_filter_;         ///< pages that windows were opened on
  SlotContest contest_;              ///< for slots of the TLB
  std::array<Mode, 2> branch_mode_;  ///< of the code that indirect branches find, by privilege
  const unsigned warm_after_;
  std::uint64_t entries_ = 0, misses_ = 0, calls_ = 0, indirect_misses_ = 0, window_moves_ = 0;
  unsigned slow_stores_ = 0;
  std::array<std::uint64_t, ZYDIS_MNEMONIC_MAX_VALUE + 1> calls_by_mnemonic_{};
};

}  // namespace vireo::engine::translator
