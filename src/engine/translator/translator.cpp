#include "engine/translator/translator.h"

#include "engine/translator/translator_vcpu.h"

namespace vireo::engine {
namespace {

class Translator final : public Engine {
 public:
  Translator(memory::GuestMemory& memory, const TranslatorOptions& options)
      : memory_(memory), options_(options) {
    if (options_.shared == nullptr)
      options_.shared = std::make_shared<translator::SharedTranslations>();
  }
  std::string_view name() const override { return "translator"; }
  Result<std::unique_ptr<EngineVcpu>> create_vcpu(const VcpuContext& context) override {
    return std::make_unique<translator::TranslatorVcpu>(
        context, memory_, TRY(translator::CodeMemory::create(options_.code_bytes / 2)), options_);
  }

 private:
  memory::GuestMemory& memory_;
  TranslatorOptions options_;
};

}  // namespace

std::unique_ptr<Engine> make_translator(memory::GuestMemory& memory,
                                        const TranslatorOptions& options) {
  return std::make_unique<Translator>(memory, options);
}

}  // namespace vireo::engine
