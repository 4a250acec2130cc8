#include "stats.h"

#include <cerrno>
#include <fstream>
#include <system_error>

#include "print_json.h"

namespace vireo::app {
namespace {

Json object_of(const std::vector<engine::Counter>& counters) {
  Json object = Json::object();
  for (const auto& [name, value] : counters) object[name] = value;
  return object;
}

Json instructions_of(const machine::MachineStatistics& statistics) {
  for (const auto& [name, value] : statistics.engine_counters) {
    if (name == "instructions") return value;
  }
  return nullptr;
}

Json disks_of(const machine::MachineStatistics& statistics) {
  Json disks = Json::array();
  for (const auto& [name, requests, queues] : statistics.disks) {
    Json& disk = disks.emplace_back(Json{{"name", name},
                                         {"requests", requests.requests},
                                         {"read_bytes", requests.read_bytes},
                                         {"written_bytes", requests.written_bytes},
                                         {"flushes", requests.flushes},
                                         {"errors", requests.errors}});
    if (!queues) continue;
    disk["notifications"] = queues->notifications;
    disk["interrupts"] = queues->interrupts;
  }
  return disks;
}

Json networks_of(const machine::MachineStatistics& statistics) {
  Json networks = Json::array();
  for (const auto& [name, frames, queues] : statistics.networks) {
    networks.push_back({{"name", name},
                        {"sent_frames", frames.sent_frames},
                        {"sent_bytes", frames.sent_bytes},
                        {"received_frames", frames.received_frames},
                        {"received_bytes", frames.received_bytes},
                        {"dropped_frames", frames.dropped},
                        {"notifications", queues.notifications},
                        {"interrupts", queues.interrupts}});
  }
  return networks;
}

Json to_json(const machine::MachineStatistics& statistics, const machine::Ending& ending) {
  return {{"engine", statistics.engine},
          {"cpu_model", statistics.cpu_model},
          {"cpus", statistics.cpus},
          {"memory_bytes", statistics.memory_bytes},
          {"resident_bytes", statistics.resident_bytes},
          {"end_reason", machine::end_reason_name(ending.reason)},
          {"exit_status", machine::exit_status(ending)},
          {"wall_seconds", statistics.wall_seconds},
          {"cpu_seconds", statistics.cpu_seconds},
          {"guest_instructions", instructions_of(statistics)},
          {"resets", statistics.resets},
          {"halts", statistics.halts},
          {"interrupts", statistics.interrupts},
          {"console_bytes", statistics.console_bytes},
          {"disks", disks_of(statistics)},
          {"networks", networks_of(statistics)},
          {"device_exits", object_of(statistics.device_accesses)},
          {"counters", object_of(statistics.engine_counters)}};
}

}  // namespace

Result<StatsFile> StatsFile::open(const std::string& where) {
  StatsFile result;
  result.where_ = where;
  if (where.empty() || where == "-") return result;
  result.file_.open(where, std::ios::trunc);
  if (!result.file_) {
    return usage_error("cannot write statistics to {}: {}", where,
                       std::generic_category().message(errno));
  }
  return result;
}

Result<> StatsFile::write(const machine::MachineStatistics& statistics,
                          const machine::Ending& ending) {
  if (where_.empty()) return {};
  const std::string text = to_text(to_json(statistics, ending));
  if (where_ == "-") {
    fmt::print("{}", text);
    return {};
  }
  file_ << text;
  file_.close();
  if (!file_)
    return host_error("cannot write statistics to {}: {}", where_,
                      std::generic_category().message(errno));
  return {};
}

}  // namespace vireo::app
