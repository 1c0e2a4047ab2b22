#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/support.hpp"
#include "http/server/multipart.hpp"

namespace sluice::fuzz {
namespace {

using http_server::multipart_parser;

constexpr std::string_view boundary = "b";

struct part {
  multipart_parser::part_head head;
  std::string content;
  bool complete = false;
};

struct form {
  std::vector<part> parts;
  std::string fault;
};

/// The form that the parser finds if the body arrives in pieces that end at `cuts`.
form read(std::string_view text, std::vector<std::size_t> cuts) {
  form found;
  multipart_parser parser(
      boundary,
      {[&](const multipart_parser::part_head& head) {
         require(found.parts.empty() || found.parts.back().complete, "parts do not overlap");
         found.parts.push_back({head, {}, false});
       },
       [&](std::string_view bytes) {
         require(!found.parts.empty() && !found.parts.back().complete, "bytes belong to a part");
         require(!bytes.empty(), "no piece is empty");
         found.parts.back().content += bytes;
       },
       [&] {
         require(!found.parts.empty() && !found.parts.back().complete, "a part ends once");
         found.parts.back().complete = true;
       }});
  cuts.push_back(text.size());
  std::size_t begin = 0;
  bool good = true;
  for (const std::size_t end : cuts) {
    const std::string piece(text.substr(begin, end - begin));  // freed after the call
    begin = end;
    good = parser.feed(piece);
    if (!good) break;
  }
  if (good) good = parser.finish();
  require(good == parser.fault().empty(), "what fails has a fault", parser.fault());
  found.fault = parser.fault();
  return found;
}

std::string describe(const form& found) {
  nlohmann::json list = nlohmann::json::array({found.fault});
  for (const part& each : found.parts) {
    list.push_back({each.head.name, each.head.filename.value_or("(no file)"),
                    each.head.content_type, each.content, each.complete});
  }
  return list.dump(1, ' ', true, nlohmann::json::error_handler_t::replace);
}

/// Checks rules that hold for every form.
void check(const form& found, std::string_view text) {
  require(found.parts.size() <= multipart_parser::max_parts, "the number of parts is bounded");
  std::size_t sum = 0;
  for (const part& each : found.parts) {
    sum += each.content.size();
    require(text.find(each.content) != std::string_view::npos, "content is cut from the body",
            each.content);
    require(each.content.find("\r\n--" + std::string(boundary)) == std::string::npos,
            "content holds no boundary", each.content);
    require(each.complete || !found.fault.empty(), "each part of a good form is complete");
  }
  require(sum <= text.size(), "no byte is given twice");
}

/// Content must come back as it was sent, if it contains no boundary.
void check_round_trip(std::string_view content, input& in) {
  const std::string end = "\r\n--" + std::string(boundary);
  // A line end before the content belongs to the head.
  if (("\r\n" + std::string(content) + end).find(end) != content.size() + 2) return;
  const std::string body = "--" + std::string(boundary) +
                           "\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n" +
                           std::string(content) + end + "--\r\n";
  const form found = read(body, in.cuts(body));
  require(found.fault.empty() && found.parts.size() == 1, "the form has one part", found.fault);
  require(found.parts.front().content == content, "the content is the one that was sent",
          describe(found));
}

}  // namespace
}  // namespace sluice::fuzz

/// The first choice decides whether the text is a body with the boundary `b`, or the content of a
/// part.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice::fuzz;
  input in(data, size);
  if (in.pick(2) == 1) {
    check_round_trip(in.text(), in);
    static_cast<void>(sluice::http_server::multipart_parser::boundary_of(in.text()));
    return 0;
  }
  const form whole = read(in.text(), {});
  check(whole, in.text());
  const auto agrees = [&](const std::vector<std::size_t>& cuts, std::string_view how) {
    const std::string actual = describe(read(in.text(), cuts));
    require(actual == describe(whole), how, describe(whole) + "\nactual\n" + actual);
  };
  agrees(every_byte(in.text()), "byte by byte, the form is the same");
  agrees(in.cuts(in.text()), "in pieces, the form is the same");
  return 0;
}
