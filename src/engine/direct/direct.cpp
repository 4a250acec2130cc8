#include "engine/direct/direct.h"

#include <sys/mman.h>

#include "base/unique_fd.h"
#include "engine/direct/direct_vcpu.h"

namespace vireo::engine {
namespace {

class Direct final : public Engine {
 public:
  Direct(memory::GuestMemory& memory, const DirectOptions& options)
      : memory_(memory), options_(options) {
    if (options_.shared == nullptr)
      options_.shared = std::make_shared<translator::SharedTranslations>();
  }
  std::string_view name() const override { return "direct"; }
  Result<std::unique_ptr<EngineVcpu>> create_vcpu(const VcpuContext& context) override {
    return std::make_unique<direct::DirectVcpu>(
        context, memory_, TRY(translator::CodeMemory::create(options_.code_bytes / 2)), options_);
  }

 private:
  memory::GuestMemory& memory_;
  DirectOptions options_;
};

}  // namespace

std::unique_ptr<Engine> make_direct(memory::GuestMemory& memory, const DirectOptions& options) {
  return std::make_unique<Direct>(memory, options);
}

Result<> probe_direct() {
  const UniqueFd empty(::memfd_create("vireo-probe", MFD_CLOEXEC));
  const auto first = TRY(direct::StubProcess::create(empty.get()));
  TRY(first->spawn());
  return {};
}

}  // namespace vireo::engine
