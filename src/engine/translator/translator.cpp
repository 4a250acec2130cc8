#include "engine/translator/translator.h"

#include "engine/translator/translator_vcpu.h"

namespace vireo::engine {
namespace {

class Translator final : public Engine {
 public:
  Translator(memory::GuestMemory& memory, unsigned warm_after)
      : memory_(memory), warm_after_(warm_after) {}
  std::string_view name() const override { return "translator"; }
  Result<std::unique_ptr<EngineVcpu>> create_vcpu(const VcpuContext& context) override {
    return std::make_unique<translator::TranslatorVcpu>(
        context, memory_, TRY(translator::CodeMemory::create()), warm_after_);
  }

 private:
  memory::GuestMemory& memory_;
  const unsigned warm_after_;
};

}  // namespace

std::unique_ptr<Engine> make_translator(memory::GuestMemory& memory, unsigned warm_after) {
  return std::make_unique<Translator>(memory, warm_after);
}

}  // namespace vireo::engine
