#include "engine/interpreter/interpreter.h"

#include "engine/interpreter/interpreter_vcpu.h"

namespace vireo::engine {
namespace {

class Interpreter final : public Engine {
 public:
  explicit Interpreter(memory::GuestMemory& memory) : memory_(memory) {}
  std::string_view name() const override { return "interpreter"; }
  Result<std::unique_ptr<EngineVcpu>> create_vcpu(const VcpuContext& context) override {
    return std::make_unique<interpreter::InterpreterVcpu>(context, memory_);
  }

 private:
  memory::GuestMemory& memory_;
};

}  // namespace

std::unique_ptr<Engine> make_interpreter(memory::GuestMemory& memory) {
  return std::make_unique<Interpreter>(memory);
}

}  // namespace vireo::engine
