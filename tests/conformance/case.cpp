#include "conformance/case.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace vireo::test {
namespace {

using Json = nlohmann::json;

WideNumber parse_wide(const std::string& text) {
  WideNumber result{};
  std::size_t shift = 0;
  for (std::size_t i = text.size(); i > 2; --i, shift += 4) {
    const auto digit = static_cast<std::uint64_t>(std::stoul(text.substr(i - 1, 1), nullptr, 16));
    if (shift < 256) result[shift / 64] |= digit << (shift % 64);
  }
  return result;
}

std::uint64_t parse_number(const std::string& text) { return parse_wide(text)[0]; }

std::vector<std::uint8_t> parse_bytes(const std::string& text) {
  std::vector<std::uint8_t> result;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    result.push_back(static_cast<std::uint8_t>(std::stoul(text.substr(i, 2), nullptr, 16)));
  return result;
}

RegisterValue parse_register(const Json& json, std::size_t first) {
  RegisterValue result;
  if (first == 1) result.operation = json[0].get<std::string>()[0];
  result.name = json[first].get<std::string>();
  result.value = parse_wide(json[first + 1].get<std::string>());
  result.mask = parse_number(json[first + 2].get<std::string>());
  return result;
}

Poke parse_poke(const Json& json) {
  return {parse_number(json[0].get<std::string>()), parse_bytes(json[1].get<std::string>())};
}

ExpectedStop parse_stop(const std::string& text) {
  if (text == "vector") return ExpectedStop::kVector;
  if (text == "triple") return ExpectedStop::kTripleFault;
  if (text == "halt") return ExpectedStop::kHalt;
  if (text == "port") return ExpectedStop::kPort;
  return ExpectedStop::kEnd;
}

Case parse_case(const std::string& suite, const Json& json) {
  Case result;
  result.suite = suite;
  result.name = json.at("name").get<std::string>();
  result.cpu = json.at("cpu").get<std::string>();
  result.feature = json.at("feature").get<std::string>();
  const auto mode = parse_mode(json.at("mode").get<std::string>());
  if (!mode) throw std::runtime_error("unknown mode in " + result.name);
  result.mode = *mode;
  result.code = parse_bytes(json.at("code").get<std::string>());
  result.end = parse_number(json.at("end").get<std::string>());
  result.native = json.at("native").get<bool>();
  result.only_intel = json.at("only_intel").get<bool>();
  result.direct_only_intel = json.at("direct_only_intel").get<bool>();
  result.direct_notes_operand = json.at("direct_notes_operand").get<bool>();
  result.copied_only_intel = json.at("copied_only_intel").get<bool>();
  result.strict = json.at("strict").get<bool>();
  result.software_interrupt = json.at("software_interrupt").get<bool>();
  result.skip_engines = json.at("skip").get<std::vector<std::string>>();
  for (const Json& item : json.at("in")) result.inputs.push_back(parse_register(item, 1));
  for (const Json& item : json.at("pokes")) result.pokes.push_back(parse_poke(item));
  result.stop = parse_stop(json.at("stop").get<std::string>());
  result.vector = json.at("vector").get<unsigned>();
  if (json.contains("error"))
    result.error_code =
        static_cast<std::uint32_t>(parse_number(json.at("error").get<std::string>()));
  for (const Json& item : json.at("registers")) result.registers.push_back(parse_register(item, 0));
  for (const Json& item : json.at("handler"))
    result.handler_registers.push_back(parse_register(item, 0));
  for (const Json& item : json.at("memory")) result.memory.push_back(parse_poke(item));
  if (json.contains("ports")) result.ports = json.at("ports").get<std::vector<std::string>>();
  return result;
}

}  // namespace

Result<std::vector<Case>> load_cases(const std::string& directory) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error))
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::vector<Case> cases;
  for (const auto& file : files) {
    try {
      const Json json = Json::parse(std::ifstream(file));
      for (const Json& item : json.at("cases"))
        cases.push_back(parse_case(json.at("suite").get<std::string>(), item));
    } catch (const std::exception& exception) {
      return host_error("{}: {}", file.string(), exception.what());
    }
  }
  if (cases.empty()) return host_error("no conformance cases in {}", directory);
  return cases;
}

}  // namespace vireo::test
