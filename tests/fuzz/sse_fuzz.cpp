#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/support.hpp"
#include "openai/sse_parser.hpp"

namespace sluice::fuzz {
namespace {

struct event {
  std::string type;
  std::string data;
  bool raw = false;
  friend bool operator==(const event&, const event&) = default;
};

/// The events that the parser finds if the text arrives in these pieces, at most `most`. After the
/// first raw text, the caller handles all further bytes.
std::vector<event> read(std::string_view text, std::vector<std::size_t> cuts, std::size_t most) {
  std::vector<event> found;
  sse_parser parser;
  const auto sink = [&](const sse_parser::event& one) {
    found.push_back({std::string(one.type), std::string(one.data), one.raw});
    return found.size() < most;
  };
  cuts.push_back(text.size());
  std::size_t begin = 0;
  for (const std::size_t end : cuts) {
    const std::string piece(text.substr(begin, end - begin));  // freed after the call
    begin = end;
    if (parser.feed(piece, sink)) continue;
    if (!found.empty() && found.back().raw) found.back().data += text.substr(end);
    return found;
  }
  parser.finish(sink);
  return found;
}

/// The same events, from a simple implementation of the standard that reads a whole text.
std::vector<event> read_plainly(std::string_view text) {
  std::vector<event> found;
  std::string type;
  std::optional<std::string> data;
  const auto dispatch = [&] {
    if (data) found.push_back({type, *data, false});
    type.clear();
    data.reset();
  };
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  while (!text.empty()) {
    if (text.front() == '{' || text.front() == '<') {
      dispatch();
      found.push_back({{}, std::string(text), true});
      return found;
    }
    const std::size_t end = std::min(text.find_first_of("\r\n"), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end);
    text.remove_prefix(text.starts_with("\r\n") ? 2 : text.empty() ? 0 : 1);
    if (line.empty()) {
      dispatch();
      continue;
    }
    const std::size_t colon = std::min(line.find(':'), line.size());
    std::string_view value = line.substr(std::min(colon + 1, line.size()));
    if (value.starts_with(' ')) value.remove_prefix(1);
    if (line.substr(0, colon) == "event") type = value;
    if (line.substr(0, colon) == "data") data = data ? *data + '\n' : std::string();
    if (line.substr(0, colon) == "data") *data += value;
  }
  dispatch();
  return found;
}

std::string describe(const std::vector<event>& events) {
  nlohmann::json list = nlohmann::json::array();
  for (const event& each : events) list.push_back({each.type, each.data, each.raw});
  return list.dump(1, ' ', true, nlohmann::json::error_handler_t::replace);
}

}  // namespace
}  // namespace sluice::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice::fuzz;
  input in(data, size);
  const std::size_t most = in.pick(10) == 0 ? std::string_view::npos : 1 + in.pick(4);
  std::vector<event> expected = read_plainly(in.text());
  if (expected.size() > most) expected.resize(most);
  const auto agrees = [&](const std::vector<std::size_t>& cuts, std::string_view how) {
    const auto actual = read(in.text(), cuts, most);
    require(actual == expected, how, describe(expected) + "\nactual\n" + describe(actual));
  };
  agrees({}, "whole, the events are those of the standard");
  agrees(every_byte(in.text()), "byte by byte, the events are those of the standard");
  agrees(in.cuts(in.text()), "in pieces, the events are those of the standard");
  return 0;
}
