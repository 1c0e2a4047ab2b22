#include "server/batch_request.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "server/file_form.hpp"

namespace sluice::server {
namespace {

using json = nlohmann::json;

// Limits of OpenAI's API.
constexpr std::size_t most_pairs = 16;
constexpr std::size_t longest_name = 64;
constexpr std::size_t longest_value = 512;
constexpr std::int64_t hour = 3600;
constexpr std::int64_t day = 24 * hour;
constexpr std::int64_t longest_window = 30 * day;
// In bytes. The window is stored as it was given.
constexpr std::size_t longest_window_text = 16;
constexpr int largest_priority = 100;

// Counts the characters of valid UTF-8, because OpenAI's limits count characters, not bytes.
std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char byte) { return (byte & '\xc0') != '\x80'; }));
}

std::optional<endpoint> endpoint_named(std::string_view name) {
  for (const auto target : {endpoint::chat_completions, endpoint::completions, endpoint::embeddings,
                            endpoint::responses}) {
    if (name == to_string(target)) return target;
  }
  return std::nullopt;
}

std::optional<std::int64_t> window_seconds(std::string_view text) {
  if (text.size() > longest_window_text) return {};
  std::int64_t count = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, count);
  if (error != std::errc{} || end - stop != 1 || (*stop != 'h' && *stop != 'd')) return {};
  const std::int64_t unit = *stop == 'h' ? hour : day;
  if (count < 1 || count > longest_window / unit) return {};
  return count * unit;
}

// Reads a required text.
std::optional<api_error> read_text(const json& body, const char* name, std::string& into) {
  const auto found = body.find(name);
  if (found == body.end() || found->is_null()) return missing_parameter(name);
  if (!found->is_string()) {
    return invalid_parameter(name, fmt::format("Invalid type for '{}': expected a string.", name));
  }
  into = found->get<std::string>();
  return std::nullopt;
}

std::optional<api_error> read_metadata(const json& body, batch_request& into) {
  const auto found = body.find("metadata");
  if (found == body.end() || found->is_null()) return std::nullopt;
  const auto refused = [](std::string sentence) {
    return invalid_parameter("metadata", std::move(sentence));
  };
  if (!found->is_object()) return refused("Invalid type for 'metadata': expected an object.");
  if (found->size() > most_pairs) {
    return refused(fmt::format("Invalid 'metadata': at most {} pairs are allowed.", most_pairs));
  }
  for (const auto& [name, value] : found->items()) {
    if (!value.is_string()) {
      return refused(
          fmt::format("Invalid type for 'metadata.{}': expected a string.", shortened(name)));
    }
    const auto text = value.get<std::string>();
    if (name.find('\0') != std::string::npos || text.find('\0') != std::string::npos) {
      return refused("Invalid 'metadata': it has a NUL character.");
    }
    if (characters(name) > longest_name || characters(text) > longest_value) {
      return refused(
          fmt::format("Invalid 'metadata': keys have at most {} characters, and values at most {}.",
                      longest_name, longest_value));
    }
    into.metadata.emplace(name, text);
  }
  into.has_metadata = true;
  return std::nullopt;
}

std::optional<api_error> read_expiry(const json& body, batch_request& into) {
  const auto found = body.find("output_expires_after");
  if (found == body.end() || found->is_null()) return std::nullopt;
  constexpr auto name = "output_expires_after";
  if (!found->is_object() || found->value("anchor", json()) != json("created_at")) {
    return invalid_parameter(name,
                             "Invalid 'output_expires_after': 'anchor' must be \"created_at\".");
  }
  const json seconds = found->value("seconds", json());
  if (!seconds.is_number_integer() || seconds < shortest_file_life || seconds > longest_file_life) {
    return invalid_parameter(
        name, fmt::format("Invalid 'output_expires_after': 'seconds' must be from {} to {}.",
                          shortest_file_life, longest_file_life));
  }
  into.output_expires_after_s = seconds.get<std::int64_t>();
  return std::nullopt;
}

std::optional<api_error> read_priority(const json& body, batch_request& into) {
  const auto found = body.find("priority");
  if (found == body.end() || found->is_null()) return std::nullopt;
  if (!found->is_number_integer() || *found < -largest_priority || *found > largest_priority) {
    return invalid_parameter(
        "priority", fmt::format("Invalid 'priority': it must be from {} to {}.", -largest_priority,
                                largest_priority));
  }
  into.priority = found->get<int>();
  return std::nullopt;
}

std::optional<api_error> read_all(const json& body, batch_request& into) {
  std::string target;
  if (auto fault = read_text(body, "input_file_id", into.input_file_id)) return fault;
  if (auto fault = read_text(body, "endpoint", target)) return fault;
  if (auto fault = read_text(body, "completion_window", into.completion_window)) return fault;
  const auto known = endpoint_named(target);
  if (!known) {
    return invalid_parameter(
        "endpoint", fmt::format("Invalid value: '{}'. Supported values are: "
                                "'/v1/chat/completions', '/v1/completions', '/v1/embeddings', "
                                "and '/v1/responses'.",
                                shortened(target)));
  }
  into.target = *known;
  const auto window = window_seconds(into.completion_window);
  if (!window) {
    return invalid_parameter(
        "completion_window",
        fmt::format("Invalid value: '{}'. Supported values are: '24h', or any whole number of "
                    "hours or days up to '30d'.",
                    shortened(into.completion_window)));
  }
  into.window_s = *window;
  if (auto fault = read_metadata(body, into)) return fault;
  if (auto fault = read_expiry(body, into)) return fault;
  return read_priority(body, into);
}

}  // namespace

std::variant<batch_request, api_error> read_batch_request(std::string_view text) {
  const json body = json::parse(text, nullptr, false);
  if (!body.is_object()) {
    return api_error{.message =
                         "We could not parse the JSON body of your request. It must be one "
                         "JSON object."};
  }
  batch_request read;
  if (auto fault = read_all(body, read)) return *std::move(fault);
  return read;
}

}  // namespace sluice::server
