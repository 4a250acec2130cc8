#include "backends/network/network_options.h"

#include <algorithm>
#include <charconv>

namespace vireo::backends {
namespace {

/// What comes before the next separator; `text` goes on behind it.
std::string_view take_word(std::string_view& text, char separator) {
  const std::size_t end = text.find(separator);
  const std::string_view word = text.substr(0, end);
  text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  return word;
}

template <class T>
std::optional<T> number(std::string_view text, int base) {
  T result{};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, result, base);
  if (error != std::errc() || stop != end) return std::nullopt;
  return result;
}

/// The rest of a word that begins so.
std::optional<std::string_view> value_of(std::string_view word, std::string_view name) {
  if (!word.starts_with(name)) return std::nullopt;
  return word.substr(name.size());
}

Result<std::uint16_t> parse_port(std::string_view text, std::string_view word) {
  const auto port = number<std::uint16_t>(text, 10);
  if (!port || *port == 0)
    return usage_error("'{}' in '{}' is no port: they go from 1 to 65535", text, word);
  return *port;
}

Result<PortForward> parse_forward(std::string_view text) {
  const std::string_view word = text;
  PortForward result;
  const std::string_view protocol = take_word(text, ':');
  const std::size_t colon = text.rfind(':');
  if ((protocol != "tcp" && protocol != "udp") || colon == std::string_view::npos)
    return usage_error(
        "--net takes forward=tcp:HOSTPORT:GUESTPORT or forward=udp:HOSTPORT:GUESTPORT, not "
        "'forward={}'",
        word);
  result.udp = protocol == "udp";
  result.guest_port = TRY(parse_port(text.substr(colon + 1), word));
  std::string_view host = text.substr(0, colon);
  if (const std::size_t end = host.rfind(':'); end != std::string_view::npos) {
    result.host_address = host.substr(0, end);
    host = host.substr(end + 1);
  }
  result.host_port = TRY(parse_port(host, word));
  return result;
}

Result<MacAddress> parse_mac(std::string_view text) {
  const auto wrong = [word = std::string(text)] {
    return usage_error(
        "--net takes an address such as mac=02:56:52:00:00:01, of one card and not of a group, not "
        "'mac={}'",
        word);
  };
  MacAddress result{};
  bool any = false;
  for (std::uint8_t& byte : result) {
    const std::string_view digits = take_word(text, ':');
    const auto value = number<std::uint8_t>(digits, 16);
    if (digits.size() != 2 || !value) return wrong();
    byte = *value;
    any = any || byte != 0;
  }
  if (!text.empty() || !any || (result[0] & 1) != 0) return wrong();
  return result;
}

/// In bits, as rates of networks are; the answer in bytes.
Result<std::uint64_t> parse_rate(std::string_view text) {
  constexpr std::uint64_t kMost = 1'000'000;
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto count = number<std::uint64_t>(text.substr(0, digits), 10);
  const std::string_view unit = text.substr(digits);
  const std::uint64_t bytes = unit == "kbit"   ? 125
                              : unit == "Mbit" ? 125'000
                              : unit == "Gbit" ? 125'000'000
                                               : 0;
  if (!count || *count == 0 || *count > kMost || bytes == 0)
    return usage_error("--net takes a rate such as rate=10Mbit (kbit, Mbit, Gbit), not 'rate={}'",
                       text);
  return *count * bytes;
}

Result<NetworkOptions> parse_kind(std::string_view word) {
  NetworkOptions result;
  if (word == "user") return result;
  if (const auto name = value_of(word, "switch=")) {
    result.kind = NetworkOptions::Kind::kSwitch;
    result.name = *name;
  } else if (const auto tap = value_of(word, "tap=")) {
    result.kind = NetworkOptions::Kind::kTap;
    result.name = *tap;
  }
  if (result.name.empty())
    return usage_error("--net takes none, user, switch=NAME or tap=IFNAME, not '{}'", word);
  return result;
}

}  // namespace

Result<std::optional<NetworkOptions>> parse_network(std::string_view text) {
  if (text == "none") return std::nullopt;
  NetworkOptions result = TRY(parse_kind(take_word(text, ',')));
  const bool user = result.kind == NetworkOptions::Kind::kUser;
  while (!text.empty()) {
    const std::string_view word = take_word(text, ',');
    if (const auto forward = value_of(word, "forward="); forward && user) {
      result.forwards.push_back(TRY(parse_forward(*forward)));
    } else if (const auto mac = value_of(word, "mac=")) {
      result.mac = TRY(parse_mac(*mac));
    } else if (const auto rate = value_of(word, "rate=")) {
      result.bytes_per_second = TRY(parse_rate(*rate));
    } else if (const auto file = value_of(word, "pcap="); file && !file->empty()) {
      result.pcap = *file;
    } else {
      return usage_error("--net does not know '{}'; behind {} there may be {}mac=, rate= and pcap=",
                         word, user ? "user" : "the name", user ? "forward=, " : "");
    }
  }
  return result;
}

}  // namespace vireo::backends
