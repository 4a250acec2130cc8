#pragma once
#include <cstdint>
#include <memory>
#include <span>

#include "engine/software/soft_world.h"
#include "engine/translator/translation_cache.h"

namespace vireo::engine::translator::test {

/// A translation cache with everything around it but a vCPU: translations are made and looked at,
/// not run.
struct TranslationWorld {
  static constexpr Mode kUser{true, true, true, false, true},
      kSupervisor{false, true, true, false, true};

  std::unique_ptr<memory::GuestMemory> memory = engine::test::make_memory();
  std::unique_ptr<TranslatorCpu> cpu = std::make_unique<TranslatorCpu>();
  x86::CpuidModel model = x86::CpuidModel::parse("v3", {}).value();
  BlockCache blocks{*cpu, *memory, nothing, nothing};
  x86::DecodeCache decoder{model.features()};
  TranslationCache cache;

  explicit TranslationWorld(bool exact_flags = false,
                            std::shared_ptr<SharedTranslations> shared = nullptr,
                            std::size_t part_size = CodeMemory::kPartSize)
      : cache(*cpu, blocks, *memory, decoder, CodeMemory::create(part_size).value(),
              SiteCallbacks{nowhere, nowhere, nowhere, nowhere, nowhere, nowhere}, exact_flags,
              std::move(shared)) {}

  void write(std::uint64_t address, std::span<const std::uint8_t> code) {
    memory->write(PhysAddr{address}, std::as_bytes(code));
  }
  /// The translation of code at a physical address that is executed at `rip`.
  Translation* translate(std::uint64_t address, std::uint64_t rip, Mode mode = kUser) {
    return cache.translate(PhysAddr{address}, mode, rip);
  }
  Translation* find(std::uint64_t address, std::uint64_t rip, Mode mode = kUser) {
    return cache.find(PhysAddr{address}, mode, rip);
  }

 private:
  static void nothing(const Op*, Cpu*) {}
  static const void* nowhere(TranslatorCpu*, std::uint32_t) { return nullptr; }
};

}  // namespace vireo::engine::translator::test
