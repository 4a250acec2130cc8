#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/interpreter/interpreter_vcpu.h"
#include "engine/translator/translator_vcpu.h"

namespace vireo::test {

/// The interpreter, which every run() leaves after one instruction, or after what had to happen
/// before or instead of it.
class SteppingInterpreter final : public engine::interpreter::InterpreterVcpu {
 public:
  using InterpreterVcpu::InterpreterVcpu;

  /// A linear address, and what kind of code stands there.
  struct Place {
    std::uint64_t linear;
    x86::CodeSize size;
  };
  /// Where the instruction stood that the last run() executed; empty if there was none.
  std::optional<Place> executed() const { return executed_; }
  Result<engine::ExitReason> run() override;
  /// Guest code at a linear address, as far as it is in one page.
  std::vector<std::uint8_t> code_at(std::uint64_t linear, std::size_t size);

 private:
  void execute() override;
  std::optional<engine::ExitReason> step() override;

  Place here() const;

  std::optional<Place> executed_;
};

/// The translator, which every run() leaves after one stretch of translated code: up to where
/// translated code looks for events, or has nothing to go on with. So no instruction runs twice in
/// a stretch. Everything is translated the first time it runs, and linked as soon as both ends are
/// there; what cannot be translated runs one instruction at a time.
class SteppingTranslator final : public engine::translator::TranslatorVcpu {
 public:
  using TranslatorVcpu::TranslatorVcpu;

  Result<engine::ExitReason> run() override;
  /// Whether the last stretch was translated code.
  bool translated() const { return in_translation_; }
  /// The translation of the code at a linear address in the current mode, as lines of text; empty
  /// if there is none.
  std::vector<std::string> listing_at(std::uint64_t linear);

 private:
  void execute() override;
  const void* execute_site(const engine::translator::Site& site) override;
  void run_stretch();
  bool went_nowhere(const x86::CpuState& before) const;
  void stop_soon(bool stop);

  bool in_translation_ = false;
};

}  // namespace vireo::test
