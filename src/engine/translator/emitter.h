#pragma once
#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "base/chunked_list.h"
#include "engine/translator/assembler.h"
#include "engine/translator/code_memory.h"
#include "engine/translator/cold_code.h"
#include "engine/translator/glue.h"
#include "engine/translator/recording.h"
#include "engine/translator/reencode.h"
#include "engine/translator/superblock.h"
#include "engine/translator/translation.h"

namespace vireo::engine::translator {

/// Numbers of sites and exits are what generated code holds; those of the oldest code are
/// forgotten with it.
struct CodeTables {
  ChunkedList<Site> sites;
  ChunkedList<Exit> exits;
};

/// Writes the host code of superblocks, one after the other.
///
/// R10 and R11 are the scratch registers; the guest's R10 and R11 are in CpuState. A register that
/// is not where the instruction names it (these two, and RSP, which is kept in host form) is
/// "displaced": it is brought to a scratch register and taken back.
class Emitter : Assembler {
 public:
  Emitter(CodeMemory& memory, const Glue& glue, CodeTables& tables, bool exact_flags)
      : Assembler(memory.writable(), CodeMemory::kSize),
        memory_(memory),
        glue_(glue),
        tables_(tables),
        exact_flags_(exact_flags) {}

  /// Fills in entries and exits of `translation`, whose start, tag and mode are set. `recording`:
  /// null, or for what a copy needs.
  void emit(const Superblock& block, Translation& translation, Recording* recording = nullptr);

 private:
  /// Where the guest's arithmetic flags are.
  enum class Flags : std::uint8_t {
    kHost,    ///< in the host's
    kSaved,   ///< in Cpu::flags
    kRecipe,  ///< to be had again by what set them, at `producer_`
    kDead,    ///< nobody asks for them before they are set again
  };
  static constexpr std::size_t kNobody = ~std::size_t{0};

  // emitter.cpp
  void emit_step(std::size_t index);
  void copy(std::size_t index);
  void load_live_immediate(const Step& step);
  void adjust_stack(std::size_t index);
  void interpret(std::size_t index);
  bool finishes_here(std::size_t index) const;
  void ensure_vectors(std::size_t index);
  void divide(std::size_t index);
  void cold_call(std::size_t index, std::uint32_t site, Label& from);
  void address_to_register(const Step& step);
  std::uint32_t add_site(const Step& step);
  std::uint64_t tag_of(const Step& step) const { return tag_at(step.offset); }
  std::uint64_t tag_at(std::int64_t page_offset) const;

  // emitter_heads.cpp
  void emit_heads(const Superblock& block);
  void emit_poll(bool flags_in_host, Label& leave);
  void emit_saved_entry(Label& saved);
  void emit_indirect_heads(Label& saved, Label& leave_saved);
  void compare_home(const Xbyak::Reg64& result);
  void set_code_base();
  void compare_keeping_flags(Label& other);
  void emit_stack_check(Label& saved);

  // emitter_x87.cpp
  /// The last x87 instruction, and the last with a memory operand, where the guest's FIP and FDP
  /// have not been brought up to them.
  struct X87Pointers {
    std::size_t instruction = kNobody, operand = kNobody;
  };
  void x87(std::size_t index);
  void ensure_x87(std::size_t index);
  void load_control(std::size_t index);
  void write_pointers(const X87Pointers& pointers);
  void settle_pointers();
  void keep_pointers(const Step& next);

  // emitter_memory.cpp
  void load_guest(const Xbyak::Reg64& to, unsigned gpr);
  void store_guest(unsigned gpr, const Xbyak::Reg64& from);
  void rip_to(const Xbyak::Reg64& to, std::uint64_t tag);
  void effective_address(const Step& step, std::int64_t further = 0);
  static bool is_simple(const x86::MemoryOperand& memory);
  static bool is_indexed(const x86::MemoryOperand& memory);
  std::optional<std::int32_t> constant_address(const Step& step) const;
  static Xbyak::RegExp host_address(const HostMemory& memory);
  HostMemory native_stack(const Step& step) const;
  HostMemory access(std::size_t index, unsigned scratch_wanted);
  bool is_near_stack(const Step& step) const;
  HostMemory near_stack(std::size_t index, std::uint32_t site);
  bool has_segment_slot(const Step& step) const;
  HostMemory segment_slot(std::size_t index, std::uint32_t site);
  HostMemory find_constant(std::size_t index, std::uint32_t site, std::int32_t address);
  void go_carefully(std::size_t index, Flags flags, std::size_t producer, TlbIndex tlb);
  void check(std::size_t index, std::uint32_t site, unsigned size, bool write, unsigned alignment);
  HostMemory stack_slot(std::size_t index, std::int32_t displacement, bool write);
  std::uint8_t salt_of(const Step& step) const;
  void load_from_tlb(const Step& step);
  void to_linear_address(const Step& step, bool write);
  void to_host_address(const Step& step, bool write);
  void note_access(std::uint32_t site, unsigned size, bool write, unsigned alignment);
  void cold_miss(std::size_t index, std::uint32_t site, Label& from, bool constant);

  // emitter_looks.cpp
  /// What a scratch register holds: what a shared look has found, plus a register.
  struct HeldWay {
    std::uint8_t look = Step::kOwnLook, added = x86::kNoRegister;
    bool operator==(const HeldWay&) const = default;
  };
  HostMemory operand_beside(const x86::MemoryOperand& memory, const Xbyak::Reg64& way);
  HostMemory operand_behind(const Step& step, const Xbyak::Reg64& sum) const;
  HostMemory follow(const Step& step, unsigned scratch_wanted);
  std::uint8_t added_to_way(const Step& step) const;
  void plan_sums();
  void remember(const Step& step);
  Xbyak::Reg64 recall(const HeldWay& way, bool both_free);
  bool holds() const;
  void still_held(bool held);
  void forget_changed_sums(const Step& done);

  // emitter_narrow.cpp: what is different in code that is not 64-bit
  bool narrow() const { return static_cast<bool>(translation_->mode.narrow); }
  void narrow_offset(const Step& step);
  void narrow_segment(std::size_t index, unsigned segment, unsigned size);
  void narrow_load_address(const Step& step);
  HostMemory narrow_access(std::size_t index, unsigned scratch_wanted);
  HostMemory narrow_stack_slot(std::size_t index, std::int32_t displacement, bool write);
  void move_stack(std::int32_t amount);
  void narrow_adjust_stack(std::size_t index);
  void narrow_push(std::size_t index);
  void narrow_push_operand(const Step& step, const Xbyak::RegExp& to);
  void narrow_pop(std::size_t index);
  void narrow_leave(std::size_t index);
  void narrow_push_return_address(std::size_t index);
  void narrow_branch_operand(std::size_t index);
  void narrow_call_or_jump(std::size_t index);
  void narrow_return(std::size_t index);
  void narrow_check_target(std::size_t index);
  void narrow_branch_indirect(std::size_t index);
  void narrow_loop(std::size_t index);

  // emitter_flags.cpp
  void spoil_flags(std::size_t index);
  void need_flags(std::size_t index, bool r11_free = false);
  bool have_again(Flags flags, std::size_t producer, std::size_t index);
  bool hand_over_flags(std::size_t index);
  void after_step(std::size_t index);
  bool sets_flags(const Step& done) const;
  bool recipe_lasts(std::size_t producer, std::size_t index) const;
  bool recipe_intact(std::size_t producer, std::size_t index) const;
  void emit_recipe(std::size_t producer, bool r11_free);
  void repeat(const x86::Insn& insn, const Xbyak::Reg64& in);
  void emit_restore(bool r11_free);
  void emit_save();

  // emitter_system.cpp
  void system(std::size_t index);
  void system_of_kernel(std::size_t index);
  void leave_if_set(std::size_t field, std::uint64_t bits, Label& cold);
  void leave_unless_set(std::size_t field, std::uint64_t bits, Label& cold);
  void leave_if_interrupt_waits(Label& cold);
  void push_flags(std::size_t index);
  void pop_flags(std::size_t index);
  void change_flag(std::size_t index, std::uint64_t flag, bool value);
  void enable_interrupts(std::size_t index);
  void suspend_smap(std::size_t index);
  void read_time_stamp(std::size_t index);
  void segment_base(std::size_t index);
  void read_system_register(std::size_t index);
  void bit_string(std::size_t index);
  void protection_keys(std::size_t index);
  const std::uint8_t* system_call(std::size_t index, bool flags_in_host);

  // emitter_string.cpp
  void string(std::size_t index);
  void narrow_string_registers(const x86::Insn& insn);
  void narrow_string_instruction(const x86::Insn& insn);
  void check_run(std::size_t index, const Xbyak::Reg64& address, bool write, Label& cold);

  // emitter_branch.cpp
  void push(std::size_t index);
  void push_memory(std::size_t index);
  void pop(std::size_t index);
  void leave(std::size_t index);
  void push_return_address(std::size_t index);
  void branch_direct(std::size_t index);
  void call_or_jump(std::size_t index);
  void branch(std::size_t index);
  void return_near(std::size_t index);
  void go_to(std::int64_t page_offset, std::uint16_t from, bool flags_saved);
  void go_to_other_page(std::int64_t page_offset, bool flags_saved);
  bool links_pages() const;
  void look_up_page(std::int64_t page_offset, bool flags_saved);
  Exit& link_page(std::int64_t page_offset, std::uint8_t* patch, Label& stub, bool flags_saved);
  void go_home(std::int64_t page_offset, bool flags_saved);
  void fall_through();
  void jump_by_table(bool flags_saved);
  void jump_indirect(bool flags_saved);
  void branch_indirect(std::size_t index);
  Exit& link_exit(std::uint64_t tag, std::uint8_t* patch, Label& stub, bool flags_saved = false);
  std::uint32_t add_exit(std::uint64_t tag);

  const std::uint8_t* here() const { return memory_.executable(getCurr()); }
  /// Into the glue.
  void jump_to(const std::uint8_t* executable) {
    jmp(memory_.writable(executable), T_NEAR);
    note(Relocation::Of::kGlue);
  }
  void site_to_r11(std::uint32_t number) {
    mov(r11d, number);
    note(Relocation::Of::kSite);
  }
  void exit_to_r11(std::uint32_t number) {
    mov(r11d, number);
    note(Relocation::Of::kExit);
  }
  const Step& step(std::size_t index) const { return block_->steps[index]; }

  CodeMemory& memory_;
  const Glue& glue_;
  CodeTables& tables_;
  const bool exact_flags_;  ///< also those that nobody asks for: see TranslatorOptions
  const Superblock* block_ = nullptr;
  Translation* translation_ = nullptr;
  Label& new_label();

  std::deque<Label> labels_;  ///< the first `labels_used_` are the superblock's
  std::size_t labels_used_ = 0;
  std::array<std::size_t, 8> head_bytes_{};  ///< of the last head of each kind
  ColdCode cold_;                            ///< that runs seldom, behind the rest
  std::vector<std::uint32_t> step_sites_;    ///< of the step that is being written
  Flags flags_ = Flags::kHost;
  std::size_t producer_ = kNobody;  ///< the step that set the flags, if they can be had again
  const bool bmi2_ = __builtin_cpu_supports("bmi2") != 0;
  TlbIndex tlb_ = TlbIndex::kSupervisor;
  bool vectors_known_ = false;                ///< they are loaded from here on
  bool x87_known_ = false;                    ///< the x87 registers are
  std::array<HeldWay, 2> held_;               ///< R10 and R11, as long as no code stands behind
  const std::uint8_t* held_until_ = nullptr;  ///< this
  std::size_t last_recalled_ = 1;             ///< of `held_`
  std::uint32_t written_ = 0;                 ///< general registers that the superblock writes
  std::uint32_t found_ = 0;                   ///< shared looks that were found, a bit for each
  /// For each shared look, the register that all who follow add to what it has found, so that it
  /// remembers the sum; or kNoRegister.
  std::array<std::uint8_t, Superblock::kMaxLooks> sums_{};
  X87Pointers pointers_;
};

}  // namespace vireo::engine::translator
